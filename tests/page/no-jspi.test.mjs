// Browsers that cannot suspend code (JSPI), such as Firefox 140 or Chromium before 137. What docs/page.md promises for them is
// tested in the installed Firefox with the feature switched off, and in the installed Chromium, which has no switch for it,
// with the feature deleted from its workers.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { LONG } from '../long.mjs';
import { openChromium, openFirefox, suspends, withoutFirefox } from './browser.mjs';
import { serveSite } from './site.mjs';

const BLANK = { body: '<!doctype html><html lang="en"><title>A page</title>' };

/** @typedef {{ evaluate: (run: any, argument?: any) => Promise<any>, goto: (url: string) => Promise<unknown> }} Page */

/** In the page: runs programs, and returns the result and the time of each. @param {[Program[], number?]} programs */
async function runAll([programs, timeLimitSeconds = 3]) {
  const { codeSandbox } = await import(/** @type {any} */ ('/code-sandbox.js'));
  const sandbox = await codeSandbox({ persistent: true, limits: { timeLimitSeconds } });
  // Boots Python first: a program that is stopped before would not run at all.
  await sandbox.eval('0');
  /** @type {number[]} */
  const lines = [];
  sandbox.addEventListener('output', () => lines.push(performance.now()));
  const results = [];
  for (const { code, stopAfter } of programs) {
    const start = performance.now();
    lines.length = 0;
    if (stopAfter) setTimeout(() => sandbox.interrupt(), stopAfter);
    const result = await sandbox.eval(code);
    results.push({ ...result, took: performance.now() - start, firstLine: lines[0] - start });
  }
  sandbox.close();
  return results;
}

/** @typedef {{ code: string, stopAfter?: number }} Program `stopAfter`: milliseconds */

/** @type {{ name: string, skip?: string | false, open: () => Promise<{ page: Page, close: () => Promise<void> }> }[]} */
const BROWSERS = [
  {
    name: 'Firefox without JSPI',
    skip: withoutFirefox(),
    async open() {
      const browser = await openFirefox({ 'javascript.options.wasm_js_promise_integration': false });
      return { page: await browser.newPage(), close: () => browser.close() };
    },
  },
  {
    name: 'Chromium without JSPI',
    async open() {
      const browser = await openChromium();
      const page = await browser.newPage();
      // Runs in the page and in the sandbox's frame, which makes its workers from blobs.
      await page.addInitScript(() => {
        const without = 'delete WebAssembly.Suspending; delete WebAssembly.promising;';
        for (const name of ['Suspending', 'promising']) Reflect.deleteProperty(WebAssembly, name);
        globalThis.Blob = class extends Blob {
          /** @param {BlobPart[]} [parts] @param {BlobPropertyBag} [options] */
          constructor(parts = [], options = undefined) {
            super(options?.type === 'text/javascript' ? [without, ...parts] : parts, options);
          }
        };
      });
      return { page, close: () => browser.close() };
    },
  },
];

// One browser is enough, as both prove the same: Firefox, which people really use in this state.
for (const { name, skip = false, open } of LONG ? BROWSERS : BROWSERS.slice(withoutFirefox() ? 1 : 0).slice(0, 1)) {
  describe(name, () => {
    /** @type {Awaited<ReturnType<typeof serveSite>>} */
    let site;
    /** @type {Awaited<ReturnType<typeof open>>} */
    let opened;

    before(async () => {
      if (skip) return;
      site = await serveSite({
        '/plain': BLANK,
        '/isolated': {
          ...BLANK,
          headers: { 'cross-origin-opener-policy': 'same-origin', 'cross-origin-embedder-policy': 'require-corp' },
        },
      });
      opened = await open();
      await opened.page.goto(`${site.url}/plain`);
      assert.equal(await suspends(opened.page), false, 'the browser suspends all the same');
    });

    after(async () => {
      await opened?.close();
      site?.close();
    });

    test('programs run, with packages and with `await`, and know that they cannot be suspended', { skip }, async () => {
      const [sum, array, awaited, able] = await opened.page.evaluate(runAll, [
        [
          { code: '1 + 1' },
          { code: 'import numpy as np\nnp.arange(10).sum()' },
          { code: 'import asyncio\nawait asyncio.sleep(0.01, "awaited")' },
          { code: 'from pyodide.ffi import can_run_sync\ncan_run_sync()' },
        ],
        30,
      ]);
      assert.equal(sum.return_value, 2, sum.error);
      assert.equal(array.return_value, 45, array.error);
      assert.equal(awaited.return_value, 'awaited', awaited.error);
      assert.equal(able.return_value, false, able.error);
    });

    test('nobody can be asked while a program runs: it reads what was given', { skip }, async () => {
      const seen = await opened.page.evaluate(async () => {
        const { codeSandbox } = await import(/** @type {any} */ ('/code-sandbox.js'));
        const sandbox = await codeSandbox();
        let asked = 0;
        const onInput = () => `${++asked}`;
        const given = await sandbox.eval('input()', {}, { onInput, stdin: 'given' });
        const none = await sandbox.eval('input()', {}, { onInput });
        sandbox.close();
        return [asked, given.return_value, none.error];
      });
      assert.deepEqual(seen.slice(0, 2), [0, 'given']);
      assert.match(seen[2], /EOFError/);
    });

    test('the time limit reaches a loop, and its output comes meanwhile; the interpreter stays', { skip }, async () => {
      const [, late, kept] = await opened.page.evaluate(runAll, [
        [{ code: 'x = 5' }, { code: 'print("begun")\nwhile True: pass' }, { code: 'x' }],
      ]);
      assert.match(late.error, /\nTimeoutError: the run took longer than 3 s\n$/);
      assert.ok(late.firstLine < 2900, `its first line after ${late.firstLine} ms`);
      assert.deepEqual([kept.return_value, kept.output], [5, []], kept.error);
    });

    test('Stop is the interpreter’s end, and the next run says so', { skip }, async () => {
      const [stopped, next] = await opened.page.evaluate(runAll, [
        [{ code: 'print("kept")\nwhile True: pass', stopAfter: 300 }, { code: '2' }],
        30,
      ]);
      assert.match(stopped.error, /^KeyboardInterrupt: .* its interpreter was ended/);
      assert.deepEqual(stopped.output, ['kept']);
      assert.ok(stopped.took < 8000, `${stopped.took} ms`);
      assert.equal(next.return_value, 2);
      assert.match(next.output.join(), /restarted/);
    });

    test('`time.sleep` waits where nothing reaches it, and `asyncio.run` is refused', { skip }, async () => {
      const [slept, refused, late, next] = await opened.page.evaluate(runAll, [
        [
          { code: 'import time\nstart = time.time()\ntime.sleep(0.2)\n0.15 < time.time() - start < 2' },
          { code: 'import asyncio\nasyncio.run(asyncio.sleep(0.01))' },
          { code: 'time.sleep(60)' },
          { code: '3' },
        ],
      ]);
      assert.equal(slept.return_value, true, slept.error);
      assert.match(refused.error, /\nRuntimeError: Cannot stack switch/);
      assert.match(late.error, /^TimeoutError: the run took longer than 3 s and did not end when it was told to/);
      assert.equal(next.return_value, 3);
      assert.match(next.output.join(), /restarted/);
    });

    test('on a page that is isolated from others, Stop leaves the interpreter as it was', { skip }, async () => {
      await opened.page.goto(`${site.url}/isolated`);
      assert.equal(await opened.page.evaluate(() => crossOriginIsolated), true);
      const [, stopped, kept] = await opened.page.evaluate(runAll, [
        [{ code: 'x = 7' }, { code: 'while True: pass', stopAfter: 300 }, { code: 'x' }],
      ]);
      assert.match(stopped.error, /\nKeyboardInterrupt\n?$/);
      assert.deepEqual([kept.return_value, kept.output], [7, []], kept.error);
    });
  });
}
