// `codeSandbox()` in Chromium, from pages with policies of their own.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { PROGRAM, RESULT } from '../contract/files.mjs';
import { VALUES } from '../contract/numbers.mjs';
import { openChromium, openPage } from './browser.mjs';
import { serveSite } from './site.mjs';

const STRICT = "default-src 'self'";

/** An empty page. */
const BLANK = { body: '<!doctype html><html lang="en"><title>A page</title>' };

/** @type {Awaited<ReturnType<typeof serveSite>>} */
let site;
/** @type {import('playwright-core').Browser} */
let browser;
/** @type {Awaited<ReturnType<typeof openPage>>} */
let opened;

before(async () => {
  site = await serveSite({
    '/strict': { ...BLANK, headers: { 'content-security-policy': STRICT } },
    '/plain': BLANK,
    '/isolated': {
      ...BLANK,
      headers: { 'cross-origin-opener-policy': 'same-origin', 'cross-origin-embedder-policy': 'require-corp' },
    },
  });
  browser = await openChromium();
  opened = await openPage(browser, `${site.url}/strict`);
  // Makes the library's functions globals, for the code that tests run in the page.
  await opened.page.evaluate(async () => {
    Object.assign(window, await import(/** @type {any} */ ('/code-sandbox.js')));
  });
});

after(async () => {
  await browser?.close();
  site?.close();
});

/**
 * @param {(codeSandbox: any) => Promise<any>} run in the page with the strict policy
 * @returns {Promise<any>}
 */
const inPage = (run) => opened.page.evaluate(`(${run})(window.codeSandbox)`);

test('under a policy of the page that allows nothing from elsewhere, results are the original’s', async () => {
  const results = await inPage(async (codeSandbox) => {
    const sandbox = await codeSandbox();
    const programs = [
      ['print("a"); print("b"); [1, {"x": 2.5}, None]', {}],
      ['x + 1', { x: 41 }],
      ['"text"', {}],
      ['print("before")\n1 / 0', {}],
      ['import asyncio\nawait asyncio.sleep(0.01)\n"awaited"', {}],
      ['y = 5', {}],
      ['y', {}],
      ['open("kept.txt", "w").write("kept")', {}],
      ['open("kept.txt").read()', {}],
    ];
    const results = [];
    for (const [code, globals] of programs) results.push(await sandbox.eval(code, globals));
    sandbox.close();
    return results;
  });
  const [value, global, text, error, awaited, , gone, , file] = results;
  assert.deepEqual(value, { status: 'success', output: ['a', 'b'], return_value: [1, { x: 2.5 }, null], images: [] });
  assert.equal(global.return_value, 42);
  assert.equal(text.return_value, 'text');
  assert.equal(error.status, 'run-error');
  assert.deepEqual(error.output, ['before']);
  assert.match(
    error.error,
    /^Traceback \(most recent call last\):\n {2}File "main.py", line 2, in <module>\n[\s\S]*ZeroDivisionError: division by zero/,
  );
  assert.equal(awaited.return_value, 'awaited');
  assert.match(gone.error, /NameError: name 'y' is not defined/);
  assert.equal(file.return_value, 'kept');
  assert.deepEqual(opened.complaints, []);
});

test('files go in and come out', async () => {
  const [result, outside, wrong] = await opened.page.evaluate(async (program) => {
    const { codeSandbox } = /** @type {any} */ (window);
    const sandbox = await codeSandbox();
    const files = { 'a.txt': 'ä', 'deep/b.bin': Uint8Array.of(1, 255), c: new Blob(['x']) };
    const result = await sandbox.eval(program, {}, { files });
    for (const file of result.files) if (typeof file.content !== 'string') file.content = Array.from(file.content);
    const refused = (/** @type {object} */ files) =>
      sandbox.eval('1', {}, { files }).catch((/** @type {Error} */ error) => error.message);
    const answers = [result, await refused({ '../a': 'x' }), await refused({ a: 1 })];
    sandbox.close();
    return answers;
  }, PROGRAM);
  assert.deepEqual([result.return_value, result.files], RESULT);
  assert.match(outside, /`..\/a` leads out of the folder/);
  assert.match(wrong, /the file a must be/);
});

test('numbers are exact, and floats told from integers where that is asked for', async () => {
  const programs = VALUES.map(({ code, globals }) => ({ code, globals }));
  const values = await opened.page.evaluate(async (programs) => {
    const { codeSandbox } = /** @type {any} */ (window);
    const values = [];
    for (const options of [{}, { numbers: 'exact' }]) {
      const sandbox = await codeSandbox(options);
      for (const { code, globals } of programs) {
        const { return_value, error } = await sandbox.eval(code, globals);
        values.push(error ?? return_value);
      }
      sandbox.close();
    }
    return values;
  }, programs);
  assert.deepEqual(values, [...VALUES.map(({ usual }) => usual), ...VALUES.map(({ exact }) => exact)]);
});

test('a persistent sandbox keeps variables, until it is reset', async () => {
  const results = await inPage(async (codeSandbox) => {
    const sandbox = await codeSandbox({ persistent: true });
    await sandbox.eval('n = 41');
    const kept = await sandbox.eval('n + 1');
    await sandbox.reset();
    const gone = await sandbox.eval('"n" in globals()');
    sandbox.close();
    return [kept.return_value, gone.return_value, gone.output];
  });
  assert.deepEqual(results, [42, false, []]);
});

test('output comes while the program runs, and a busy loop is stopped', async () => {
  const { lines, early, result, stopped, next } = await inPage(async (codeSandbox) => {
    const sandbox = await codeSandbox();
    const lines = /** @type {any[]} */ ([]);
    let early = 0;
    sandbox.addEventListener('output', (/** @type {any} */ event) => {
      lines.push(event.detail);
      early ||= performance.now();
      if (lines.length === 3) {
        start = performance.now();
        sandbox.interrupt();
      }
    });
    let start = performance.now();
    const begun = start;
    const result = await sandbox.eval(
      'import sys\nprint("one")\nprint("two", file=sys.stderr)\nprint("three")\nn = 0\nwhile True: n += 1',
    );
    const stopped = performance.now() - start;
    const next = await sandbox.eval('1 + 1');
    sandbox.close();
    return { lines, early: early - begun, result, stopped, next };
  });
  assert.deepEqual(lines, [
    { stream: 'stdout', text: 'one' },
    { stream: 'stderr', text: 'two' },
    { stream: 'stdout', text: 'three' },
  ]);
  assert.ok(early < 5000, `the first line after ${early} ms`);
  assert.equal(result.status, 'run-error');
  assert.match(result.error, /KeyboardInterrupt/);
  assert.ok(stopped < 5000, `stopped after ${stopped} ms`);
  assert.deepEqual([next.return_value, next.output], [2, []]);
});

test('what no signal reaches is ended by its time limit, and the next run says that the interpreter is new', async () => {
  const { slow, next } = await inPage(async (codeSandbox) => {
    const sandbox = await codeSandbox({ limits: { timeLimitSeconds: 1 } });
    const slow = await sandbox.eval('print("begun", flush=True)\nsum(range(10**12))');
    const next = await sandbox.eval('1 + 1');
    sandbox.close();
    return { slow, next };
  });
  assert.equal(slow.status, 'run-error');
  assert.match(slow.error, /took longer than 1 s/);
  assert.equal(next.return_value, 2);
  assert.match(next.output.join(), /restarted/);
});

test('an abort signal ends a run, with its own reason', async () => {
  const { reason, waiting, next } = await inPage(async (codeSandbox) => {
    const sandbox = await codeSandbox();
    const controller = new AbortController();
    const why = (/** @type {Promise<any>} */ promise) =>
      promise.then(
        () => 'answered',
        (/** @type {any} */ error) => error.message,
      );
    const running = why(sandbox.eval('while True: pass', {}, { signal: controller.signal }));
    const waiting = why(sandbox.eval('1', {}, { signal: controller.signal }));
    setTimeout(() => controller.abort(new Error('enough')), 200);
    const results = { reason: await running, waiting: await waiting };
    const next = await sandbox.eval('1 + 1');
    sandbox.close();
    return { ...results, next: next.return_value };
  });
  assert.deepEqual([reason, waiting, next], ['enough', 'enough', 2]);
});

test('what is closed answers no more, and its frame is gone', async () => {
  const seen = await inPage(async (codeSandbox) => {
    const sandbox = await codeSandbox();
    const running = sandbox.eval('while True: pass').catch((/** @type {any} */ error) => error.message);
    const frames = document.querySelectorAll('iframe').length;
    await new Promise((resolve) => setTimeout(resolve, 100));
    sandbox.close();
    const after = await sandbox.eval('1').catch((/** @type {any} */ error) => error.message);
    return { running: await running, frames, left: document.querySelectorAll('iframe').length, after };
  });
  assert.deepEqual(seen, { running: 'the sandbox was closed', frames: 1, left: 0, after: 'the sandbox is closed' });
});

test('`using` ends it, and so does its signal', async () => {
  const seen = await inPage(async (codeSandbox) => {
    const { pythonServer } = /** @type {any} */ (window);
    const frames = () => document.querySelectorAll('iframe').length;
    const why = (/** @type {any} */ error) => error.message;
    const used = /** @type {number[]} */ ([]);
    {
      using sandbox = await codeSandbox();
      using server = await pythonServer();
      await server.transport().start();
      used.push((await sandbox.eval('6 * 7')).return_value, frames());
    }
    used.push(frames());
    const controller = new AbortController();
    const sandbox = await codeSandbox({ signal: controller.signal });
    const running = sandbox.eval('while True: pass').catch(why);
    setTimeout(() => controller.abort(), 100);
    const aborted = [await running, await sandbox.eval('1').catch(why)];
    const late = new AbortController();
    const opening = codeSandbox({ signal: late.signal }).catch(why);
    late.abort(new Error('not wanted any longer'));
    return { used, aborted, opening: await opening, left: frames() };
  });
  assert.deepEqual(seen, {
    used: [42, 2, 0],
    aborted: ['the sandbox was closed', 'the sandbox is closed'],
    opening: 'not wanted any longer',
    left: 0,
  });
});

test('wrong arguments are told', async () => {
  const errors = await inPage(async (codeSandbox) => {
    const why = (/** @type {Promise<any>} */ promise) =>
      promise.then(
        () => 'answered',
        (/** @type {any} */ error) => error.message,
      );
    const sandbox = await codeSandbox();
    const errors = [
      await why(sandbox.eval(1)),
      await why(sandbox.eval('1', { f() {} })),
      await why(codeSandbox({ limits: { timeLimitSeconds: -1 } })),
      await why(codeSandbox({ assets: '/nowhere' })),
    ];
    sandbox.close();
    const other = await codeSandbox({ numbers: 'inexact' });
    errors.push(await why(other.eval('1')));
    other.close();
    return [...errors, document.querySelectorAll('iframe').length];
  });
  assert.match(errors[0], /`code` must be a string/);
  assert.match(errors[1], /clone/);
  assert.match(errors[2], /TIME_LIMIT_SECONDS is `-1`: it must be a number of seconds, more than 0/);
  assert.match(errors[3], /nowhere/);
  assert.match(errors[4], /`numbers` must be 'exact'/);
  assert.equal(errors[5], 0);
});

test('two sandboxes share nothing, and run at the same time', async () => {
  const { first, second, busy } = await inPage(async (codeSandbox) => {
    const [first, second] = await Promise.all([codeSandbox({ persistent: true }), codeSandbox({ persistent: true })]);
    await first.eval('x = 1\nopen("/tmp/mark", "w").close()\nimport js, random; js.mark = 1');
    const loop = first.eval('while True: pass');
    const start = performance.now();
    const seen = await second.eval(
      'import os, js; ["x" in globals(), os.path.exists("/tmp/mark"), hasattr(js, "mark")]',
    );
    const busy = performance.now() - start;
    first.interrupt();
    await loop;
    const numbers = [];
    for (const sandbox of [first, second])
      numbers.push((await sandbox.eval('import random; random.random()')).return_value);
    first.close();
    second.close();
    return { first: numbers, second: seen.return_value, busy };
  });
  assert.deepEqual(second, [false, false, false]);
  assert.notEqual(first[0], first[1]);
  assert.ok(busy < 10_000, `the second answered after ${busy} ms`);
});

test('where the page is isolated from others, a run stops that cannot be suspended', async () => {
  const { page, close } = await openPage(browser, `${site.url}/isolated`);
  const { isolated, error } = await page.evaluate(async () => {
    const { codeSandbox } = await import(/** @type {any} */ ('/code-sandbox.js'));
    const sandbox = await codeSandbox();
    // Stops it once it runs: if stopped before, it would not run at all.
    sandbox.addEventListener('output', () => setTimeout(() => sandbox.interrupt(), 300), { once: true });
    // Python that is called from JavaScript cannot be suspended.
    const result = await sandbox.eval(`
import js
print("on")
from pyodide.ffi import create_proxy
def forever(*_):
    while True: pass
getattr(js.Array, "from")(js.Array.of(1), create_proxy(forever))`);
    sandbox.close();
    return { isolated: crossOriginIsolated, error: result.error };
  });
  await close();
  assert.equal(isolated, true);
  assert.match(error, /KeyboardInterrupt/);
});

test('a page on another origin can use it', async () => {
  const other = await serveSite({ '/plain': BLANK });
  const { page, close } = await openPage(browser, `${other.url}/plain`);
  const value = await page.evaluate(async (url) => {
    const { codeSandbox } = await import(url);
    const sandbox = await codeSandbox();
    const { return_value } = await sandbox.eval('6 * 7');
    sandbox.close();
    return return_value;
  }, `${site.url}/code-sandbox.js`);
  await close();
  other.close();
  assert.equal(value, 42);
});

test('a large file of a run without a session is kept for whoever asks for it', async () => {
  const [told, sum, never] = await opened.page.evaluate(async () => {
    const { pythonServer } = /** @type {any} */ (window);
    const server = await pythonServer();
    const transport = server.transport();
    /** @type {Map<number, (message: any) => void>} */
    const waiting = new Map();
    transport.onmessage = (/** @type {any} */ message) => waiting.get(message.id)?.(message);
    await transport.start();
    let id = 0;
    const about = {
      'io.modelcontextprotocol/protocolVersion': '2026-07-28',
      'io.modelcontextprotocol/clientInfo': { name: 'tests', version: '1' },
      'io.modelcontextprotocol/clientCapabilities': {},
    };
    const ask = (/** @type {string} */ method, /** @type {object} */ params, more = {}) =>
      new Promise((resolve) => {
        waiting.set(++id, resolve);
        transport.send({ jsonrpc: '2.0', id, method, params: { ...params, _meta: { ...about, ...more } } });
      });
    const code = "open('a.bin', 'wb').write(bytes(range(256)) * 20_000)";
    const call = { name: 'run_python_code', arguments: { python_code: code } };
    const { result } = /** @type {any} */ (await ask('tools/call', call));
    const [{ uri, ...told }] = result.structuredContent.files;
    let [at, sum] = [0, 0];
    while (at < told.size) {
      const read = /** @type {any} */ (await ask('resources/read', { uri }, { 'mcp-run-python/at': at }));
      const text = atob(read.result.contents[0].blob);
      for (let n = 0; n < text.length; n++) if (text.charCodeAt(n) === ((at + n) & 255)) sum++;
      at += text.length;
    }
    const other = /** @type {any} */ (await ask('resources/read', { uri: uri.replace('a.bin', 'b.bin') }));
    server.close();
    return [told, sum, other.error.message];
  });
  const size = 5_120_000;
  assert.deepEqual(told, { path: 'a.bin', change: 'created', size, media_type: 'application/octet-stream' });
  assert.equal(sum, size, 'each byte is what it was');
  assert.match(never, /no such file|unknown/);
});
