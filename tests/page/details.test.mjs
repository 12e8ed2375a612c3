// Details of `<python-sandbox>`: colours, questions, a program that is kept, links that run nothing.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { openChromium, openPage } from './browser.mjs';
import { serveSite } from './site.mjs';

/** @param {string} attributes */
const pageWith = (attributes) => ({
  body: `<!doctype html><html lang="en"><title>A page</title>
<script type="module" src="/python-sandbox.js"></script>
<main><python-sandbox ${attributes} label="A program">"written"</python-sandbox></main>`,
  headers: { 'content-security-policy': "default-src 'self'" },
});

/** @type {Awaited<ReturnType<typeof serveSite>>} */
let site;
/** @type {import('playwright-core').Browser} */
let browser;

before(async () => {
  site = await serveSite({
    '/plain': pageWith('editor="plain"'),
    '/code': pageWith(''),
    '/forget': pageWith('editor="plain" forget'),
  });
  browser = await openChromium();
});

after(async () => {
  await browser?.close();
  site?.close();
});

/** Runs a program with the element's method `run`. @param {import('playwright-core').Page} page @param {string} code */
const run = (page, code) =>
  page.evaluate(async (code) => {
    await customElements.whenDefined('python-sandbox');
    const element = /** @type {any} */ (document.querySelector('python-sandbox'));
    element.code = code;
    return element.run();
  }, code);

/** @param {import('playwright-core').Page} page */
const code = (page) => page.evaluate(() => /** @type {any} */ (document.querySelector('python-sandbox')).code);

test('colours of a terminal are classes, and nothing else of its sequences is left', async () => {
  const { page, complaints, close } = await openPage(browser, `${site.url}/plain`);
  await run(
    page,
    `print("a\\x1b[31mred\\x1b[1mbold\\x1b[0m\\x1b[38;5;46mgreen\\x1b[48;2;0;0;255mon blue\\x1b[m end")
print("\\x1b[32mgoes on")
print("on\\x1b[39m\\x1b[2Kward\\x1b]8;;http://x.example/\\x07link\\x1b]8;;\\x07\\x1b[?25l")
print("10%\\r50%\\r100%")
print("\\x1b[31m.\\x1b[32m" * 1000)
print("\\x1b[38;5;999mx\\x1b[31;onmouseover=1m<b>")
raise ValueError("\\x1b[35mpurple")`,
  );
  const lines = await page
    .locator('.output > span')
    .evaluateAll((all) =>
      all.map((line) =>
        [...line.childNodes].map((node) => [
          node instanceof Element ? `${node.getAttributeNames().join()} ${node.className}` : '',
          node.textContent,
        ]),
      ),
    );
  const span = (/** @type {string} */ classes, /** @type {string} */ text) => [`class ${classes}`, text];
  assert.deepEqual(lines.slice(0, 4), [
    [
      ['', 'a'],
      span('ansi-red', 'red'),
      span('ansi-red ansi-bold', 'bold'),
      span('ansi-green', 'green'),
      span('ansi-green ansi-on-blue', 'on blue'),
      ['', ' end'],
      ['', '\n'],
    ],
    [span('ansi-green', 'goes on'), ['', '\n']],
    [span('ansi-green', 'on'), ['', 'ward'], ['', 'link'], ['', '\n']],
    [
      ['', '100%'],
      ['', '\n'],
    ],
  ]);
  assert.deepEqual(lines[4], [
    ['', '.'.repeat(1000)],
    ['', '\n'],
  ]);
  assert.equal(lines[5].map(([, text]) => text).join(''), 'xnmouseover=1m<b>\n');
  assert.equal(await page.locator('.error .ansi-magenta').textContent(), 'purple');
  assert.deepEqual(complaints, []);
  await close();
});

test('values are as Python writes them', async () => {
  const { page, close } = await openPage(browser, `${site.url}/plain`);
  await run(page, '[True, None, 2.0, "a\\n", {"b": False}]');
  assert.equal(
    await page.locator('.value').textContent(),
    '[\n  True,\n  None,\n  2.0,\n  "a\\n",\n  {\n    "b": False\n  }\n]',
  );
  await run(page, '[{"a": True, "b": None}] * 300');
  assert.deepEqual(await page.locator('td').first().textContent(), 'True');
  const [inner, outer] = await page
    .locator('.table')
    .evaluate(({ scrollHeight, clientHeight }) => [scrollHeight, clientHeight]);
  assert.ok(inner > outer && outer < 500, `${inner} in ${outer}`);
  await close();
});

test('where nothing can be suspended, a program that asks is first asked what it will read', async () => {
  const { page, complaints, close } = await openPage(browser, `${site.url}/plain`);
  await page.addInitScript(() => Reflect.deleteProperty(WebAssembly, 'Suspending'));
  await page.reload();
  const editor = page.getByRole('textbox', { name: 'A program' });
  await editor.fill('name = input("Name? ")\nage = int(input())\nprint(name, age + 1)\ninput()');
  await editor.press('Shift+Enter');
  const input = page.getByRole('textbox', { name: 'Input' });
  await input.waitFor();
  assert.match((await page.getByRole('status').textContent()) ?? '', /asks for input/);
  await page.keyboard.type('Ada\n36');
  await page.getByRole('button', { name: 'Run' }).click();
  await page.getByText('Ada 37').waitFor();
  await page
    .getByRole('alert')
    .getByText(/EOFError/)
    .waitFor();
  // The next run reads the input from its start; with empty input, nothing is left of the old one.
  await input.fill('one\ntwo\nthree');
  await run(page, 'input()');
  assert.equal(await page.locator('.value').textContent(), 'one');
  await input.fill('');
  const { error } = await run(page, 'input()');
  assert.match(error, /EOFError/);
  assert.deepEqual(complaints, []);
  await close();
});

test('lines that were not read are not read by the next run of a session', async () => {
  const { page, close } = await openPage(browser, `${site.url}/plain`);
  const outcomes = await page.evaluate(async () => {
    const { codeSandbox } = await import(/** @type {any} */ ('/code-sandbox.js'));
    const sandbox = await codeSandbox({ persistent: true });
    const run = async (/** @type {string} */ code, /** @type {any} */ stdin) =>
      (await sandbox.eval(code, {}, { stdin })).return_value;
    const first = await run('x = 1\ninput()', 'a\nb\nc');
    const second = await run('[x, input(), input()]', 'd\n\nleft');
    const third = (await sandbox.eval('input()')).error;
    const refused = await sandbox.eval('1', {}, { stdin: 3 }).catch(String);
    sandbox.close();
    return [first, second, third, refused];
  });
  assert.deepEqual(outcomes.slice(0, 2), ['a', [1, 'd', '']]);
  assert.match(outcomes[2], /EOFError/);
  assert.match(outcomes[3], /TypeError/);
  await close();
});

test('Stop is no failure; what fails is one', async () => {
  const { page, close } = await openPage(browser, `${site.url}/plain`);
  for (const [program, status, alerts] of /** @type {const} */ ([
    ['print("on")\nwhile True: pass', /^Stopped after/, 0],
    ['print("on")\ntry:\n  while True: pass\nfinally: 1 / 0', /^Failed after/, 1],
  ])) {
    await page.getByRole('textbox', { name: 'A program' }).fill(program);
    await page.getByRole('button', { name: 'Run' }).click();
    await page.getByRole('log').getByText('on').waitFor();
    await page
      .locator('python-sandbox .clock')
      .getByText(/^\d+ s$/)
      .waitFor();
    await page.getByRole('button', { name: 'Stop' }).click();
    await page.getByRole('status').getByText(status).waitFor();
    assert.equal(await page.getByRole('alert').count(), alerts);
  }
  await close();
});

test('the program is there when the page is loaded anew, and nowhere else', async () => {
  const { page, close } = await openPage(browser, `${site.url}/plain`);
  const editor = page.getByRole('textbox', { name: 'A program' });
  await editor.fill('"mine"');
  await page.reload();
  assert.equal(await code(page), '"mine"');
  await editor.fill('"written"');
  await page.reload();
  assert.equal(await page.evaluate(() => sessionStorage.length), 0);
  await editor.fill(`"${'x'.repeat(100_001)}"`);
  await page.reload();
  assert.equal(await code(page), '"written"');
  await page.goto(`${site.url}/forget`);
  await editor.fill('"mine"');
  await page.reload();
  assert.equal(await code(page), '"written"');
  await close();
});

test('names are completed, and the keys that run do so all the same', async () => {
  const { page, close } = await openPage(browser, `${site.url}/code`);
  const editor = page.locator('.cm-content');
  await editor.click();
  await page.keyboard.press('Control+A');
  await page.keyboard.type('isins');
  await page.locator('.cm-tooltip-autocomplete').getByText('isinstance').waitFor();
  await page.waitForTimeout(100);
  await page.keyboard.press('Enter');
  assert.equal(await code(page), 'isinstance');
  await page.keyboard.press('Shift+Enter');
  await page.getByText(/built-in function isinstance/).waitFor();
  assert.equal(await code(page), 'isinstance');
  await close();
});

test('a link puts its program into the page, and runs nothing', async () => {
  const program = 'print("ran")\nopen("ran", "w").write("<b>&#x")';
  const before = site.requests.length;
  const link = `${site.url}/#${new URLSearchParams({ code: program })}`;
  const { page, close } = await openPage(browser, link);
  await page.getByText(/came with the link/).waitFor();
  assert.equal(await code(page), program);
  await page.waitForTimeout(1000);
  assert.equal(await page.locator('python-sandbox .results').evaluate(({ childElementCount }) => childElementCount), 0);
  assert.deepEqual(
    site.requests.slice(before).filter((path) => path.startsWith('/assets/core')),
    [],
  );
  await page.getByRole('button', { name: 'Run' }).click();
  await page.getByRole('log').getByText('ran').waitFor();
  // The copied link equals the link that was opened.
  await page.context().grantPermissions(['clipboard-read', 'clipboard-write']);
  await page.getByRole('button', { name: 'Copy a link' }).click();
  await page.getByRole('button', { name: 'Copied' }).waitFor();
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), link);
  await page.goto(`${site.url}/plain`);
  await page.goto(`${site.url}/#code=${'x'.repeat(20_001)}`);
  await page.getByRole('heading', { level: 1 }).waitFor();
  assert.notEqual((await code(page)).slice(0, 3), 'xxx');
  await close();
});
