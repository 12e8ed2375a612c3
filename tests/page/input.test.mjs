// `input()` in a page: a person is asked while the program runs.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { openChromium, openPage, suspends } from './browser.mjs';
import { serveSite } from './site.mjs';

/** @type {Awaited<ReturnType<typeof serveSite>>} */
let site;
/** @type {import('playwright-core').Browser} */
let browser;

before(async () => {
  site = await serveSite({
    '/page': { body: '<!doctype html><html lang="en"><title>CANARY-TITLE</title>' },
    '/element': {
      body: `<!doctype html><html lang="en"><title>A page</title>
<script type="module" src="/python-sandbox.js"></script>
<main><input id="own"><python-sandbox editor="plain" forget time-limit="3" label="A program">1</python-sandbox></main>`,
      headers: { 'content-security-policy': "default-src 'self'" },
    },
  });
  browser = await openChromium();
});

after(async () => {
  await browser?.close();
  site?.close();
});

describe('in the element', () => {
  /** @type {import('playwright-core').Page} */
  let page;
  /** @type {string[]} */
  let complaints;
  /** @type {() => Promise<void>} */
  let close;
  before(async () => {
    ({ page, complaints, close } = await openPage(browser, `${site.url}/element`));
    await page.evaluate(() => customElements.whenDefined('python-sandbox'));
    assert.ok(await suspends(page), 'this browser cannot suspend a program: nothing here can be tried');
  });
  after(async () => {
    assert.deepEqual(complaints, []);
    await close?.();
  });

  /** Enters and runs a program as a person does. @param {string} code */
  const start = async (code) => {
    await page.getByRole('textbox', { name: 'A program' }).fill(code);
    await page.getByRole('button', { name: 'Run' }).click();
  };
  const question = () => page.locator('python-sandbox .question');
  const field = () => question().getByRole('textbox');
  const status = (/** @type {RegExp} */ text) => page.getByRole('status').getByText(text).waitFor();
  const shown = () => page.locator('python-sandbox .output').textContent();

  test('it asks when it gets there, and answers stand where they were asked for', async () => {
    await start(`print('first')
name = input('Name? ')
print('Hello', name)
print('Age', end=': ')
age = int(input())
age + 1`);
    await question().getByText('Name? ').waitFor();
    assert.equal(await shown(), 'first\n');
    await status(/^The program waits for input$/);
    assert.equal(await field().evaluate((field) => field.matches(':focus')), true);
    await page.keyboard.type('Ada <b>');
    await page.keyboard.press('Enter');
    await question().getByText('Age: ').waitFor();
    assert.equal(await shown(), 'first\nName? Ada <b>\nHello Ada <b>\n');
    // By keyboard alone: the focus moves from one question to the next.
    await page.keyboard.type('36');
    await page.keyboard.press('Enter');
    await status(/^Done in/);
    assert.equal(await page.locator('.value').textContent(), '37');
    assert.equal(await shown(), 'first\nName? Ada <b>\nHello Ada <b>\nAge: 36\n');
    assert.equal(await question().count(), 0);
  });

  test('by the button, too; Ctrl+D is the end', async () => {
    await start('import sys\n[sys.stdin.readline(), sys.stdin.read(), next(sys.stdin, None)]');
    await page.getByRole('textbox', { name: 'A line for the program' }).fill('one');
    await question().getByRole('button', { name: 'Enter' }).click();
    for (const [line, keys] of [
      ['two', 'Enter'],
      ['', 'Enter'],
      ['', 'Control+d'],
      ['', 'Control+d'],
    ]) {
      await field().waitFor();
      await field().fill(line);
      const [asked] = await Promise.all([question().elementHandle(), field().press(keys)]);
      await asked?.waitForElementState('hidden');
    }
    await status(/^Done in/);
    assert.match((await page.locator('.value').textContent()) ?? '', /"one\\n",\s+"two\\n\\n",\s+None/);
    await start('input()');
    await field().press('Control+d');
    await page.getByRole('alert').getByText('EOFError').waitFor();
  });

  test('Stop takes the question back, and is no failure; the interpreter stays', async () => {
    await start('import builtins\nbuiltins.stays = 1\ninput("Never? ")');
    await field().waitFor();
    await page.getByRole('button', { name: 'Stop' }).click();
    await status(/^Stopped after/);
    assert.equal(await question().count(), 0);
    await start('import builtins\nbuiltins.stays');
    await status(/^Done in/);
    assert.equal(await page.locator('.value').textContent(), '1');
  });

  test('while a person thinks, the time limit does not go on; afterwards it does', async () => {
    await start('input("Well? ")\nprint("went on")\nwhile True: pass');
    await field().waitFor();
    await page.waitForTimeout(4500);
    await field().fill('yes');
    await field().press('Enter');
    await page.getByRole('alert').getByText('TimeoutError: the run took longer than 3 s').waitFor({ timeout: 8000 });
    assert.match((await shown()) ?? '', /went on/);
  });

  test('a prompt is text, and bounded; it takes nobody away from the page', async () => {
    await page
      .getByRole('textbox', { name: 'A program' })
      .fill(`input('x' * 5000 + '<img src=x onerror="top.owned = 1">\\x1b[31mred')`);
    await page.locator('#own').focus();
    await page.evaluate(() => {
      void (/** @type {any} */ (document.querySelector('python-sandbox')).run());
    });
    await field().waitFor();
    await page.keyboard.type('a secret of the page');
    assert.equal(await page.locator('#own').inputValue(), 'a secret of the page');
    assert.equal(await field().inputValue(), '');
    const prompt = (await question().locator('.prompt').textContent()) ?? '';
    assert.match(prompt, /^x+<img src=x onerror="top.owned = 1">red$/);
    assert.ok(prompt.length <= 2000, `${prompt.length}`);
    assert.equal(await question().locator('img').count(), 0);
    assert.equal(await page.evaluate(() => /** @type {any} */ (window).owned), undefined);
    await field().fill('');
    await field().press('Enter');
    await status(/^Done in/);
  });
});

describe('in the library', () => {
  /** @type {import('playwright-core').Page} */
  let page;
  /** @type {() => Promise<void>} */
  let close;
  before(async () => {
    ({ page, close } = await openPage(browser, `${site.url}/page`));
    await page.evaluate(async () => {
      const { codeSandbox, pythonServer } = await import(/** @type {any} */ ('/code-sandbox.js'));
      const limits = { timeLimitSeconds: 3 };
      Object.assign(window, { sandbox: await codeSandbox({ limits }), server: await pythonServer({ limits }) });
    });
  });
  after(() => close?.());

  /**
   * Runs code whose questions get these answers; returns the result and the prompts. @param {string} code
   * @param {any[]} answers `'throw'`, `'never'`, or the answer itself
   */
  const ask = (code, answers) =>
    page.evaluate(
      async ([code, answers]) => {
        /** @type {string[]} */
        const prompts = [];
        let over = 0;
        const onInput = (/** @type {string} */ prompt, /** @type {AbortSignal} */ signal) => {
          prompts.push(prompt);
          const answer = answers.shift();
          if (answer === 'throw') throw new Error('CANARY-THROWN');
          signal.addEventListener('abort', () => (over += 1));
          return answer === 'never' ? new Promise(() => {}) : answer;
        };
        const result = await /** @type {any} */ (window).sandbox.eval(code, {}, { onInput });
        return { ...result, prompts, over };
      },
      /** @type {const} */ ([code, answers]),
    );

  test('answers are lines, of a bounded length, and nothing else', async () => {
    const { return_value, prompts, output } = await ask('[input("a"), input(), len(input("c"))]', [
      'one\nforged',
      '',
      'x'.repeat(1_000_000),
    ]);
    assert.deepEqual(return_value, ['one', '', 32 * 1024]);
    assert.deepEqual(prompts, ['a', '', 'c']);
    assert.deepEqual(output.slice(0, 2), ['aone', '']);
    const { error } = await ask('input()', [{ toString: 'CANARY' }]);
    assert.match(error, /EOFError/);
  });

  test('what goes wrong outside is not told to the program', async () => {
    const { error } = await ask('input()', ['throw']);
    assert.match(error, /OSError: nobody can be asked for input\n$/);
    assert.doesNotMatch(error, /CANARY/);
  });

  test('a question that nobody waits for is taken back', async () => {
    const code = `import asyncio
from _host import call
try:
    await asyncio.wait_for(call('input', prompt='late?'), 0.3)
except TimeoutError:
    print('gave up')
input('again?')`;
    const { prompts, over, return_value, output } = await ask(code, ['never', 'yes']);
    assert.deepEqual([prompts, over, return_value], [['late?', 'again?'], 1, 'yes']);
    assert.deepEqual(output, ['gave up', 'again?yes']);
  });

  test('a program that asks past the runtime gets no further', async () => {
    const code = `import asyncio
from _host import call
said = []
for arguments in ({}, {'prompt': 1}, {'prompt': 'x', 'more': 1}, {'prompt': 'x' * 20_000}):
    try:
        said.append(await call('input', **arguments))
    except Exception as error:
        said.append(f'{type(error).__name__}: {error}')
both = await asyncio.gather(call('input', prompt='1'), call('input', prompt='2'), return_exceptions=True)
[*said, repr(both)]`;
    const { return_value, error, prompts } = await ask(code, ['first']);
    const wrong = 'TypeError: `input` takes a `prompt`, which is a text';
    assert.ok(return_value, error);
    assert.deepEqual(return_value.slice(0, 3), [wrong, wrong, wrong]);
    assert.match(return_value[3], /RuntimeError: the arguments are 20014 bytes long/);
    assert.match(return_value[4], /'first'.*at most 1 calls may wait/);
    assert.deepEqual(prompts, ['1']);
  });

  test('a loop in C ends as soon as in a run that may not ask; one that pretends to wait, too', async () => {
    const start = performance.now();
    const { error } = await ask('sum(range(10**12))', []);
    assert.match(error, /^TimeoutError: the run took longer than 3 s and did not end when it was told to/);
    // The run's limit, its grace, and the frame's extra time; and slack for a busy machine.
    const took = performance.now() - start;
    assert.ok(took > 5000 && took < 9000, `${took} ms`);
    const pretends = `import js
from pyodide.ffi import create_proxy
# Nothing ends it from within, and its event loop turns.
js.setTimeout = js.clearTimeout = create_proxy(lambda *_: 1)
await js.Promise.new(create_proxy(lambda *_: None))`;
    const before = performance.now();
    const pretended = await ask(pretends, []).catch(String);
    assert.match(JSON.stringify(pretended), /did not end|took longer|lost/);
    assert.ok(performance.now() - before < 25_000, `${performance.now() - before} ms`);
    assert.equal((await ask('1 + 1', [])).return_value, 2);
  });

  test('a run that may not ask does not, whatever was kept, nor does a client of MCP', async () => {
    const { return_value } = await ask('import builtins, sys\nbuiltins.kept = sys.stdin\ninput()', ['may']);
    assert.equal(return_value, 'may');
    const { plain, kept, answer } = await page.evaluate(async () => {
      const { sandbox, server } = /** @type {any} */ (window);
      const plain = await sandbox.eval('input()');
      const kept = await sandbox.eval('import builtins\nbuiltins.kept.readline()');
      const transport = server.transport();
      const answer = new Promise((resolve) => {
        transport.onmessage = (/** @type {any} */ message) =>
          message.id === 1 && resolve(message.result.structuredContent);
      });
      await transport.start();
      const params = { name: 'run_python_code', arguments: { python_code: 'input("Who? ")' } };
      await transport.send({ jsonrpc: '2.0', id: 1, method: 'tools/call', params });
      return { plain, kept, answer: await answer };
    });
    assert.match(plain.error, /EOFError: EOF when reading a line\nThere is no user input/);
    assert.match(kept.error, /PermissionError: this run may not call 'input'/);
    assert.match(answer.error, /There is no user input: write the values into the code/);
  });
});
