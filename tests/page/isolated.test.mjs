// Pages that are isolated by COOP and COEP: they add shared memory and precise clocks to the sandbox, nothing else.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { attacks as network } from '../security/attacks/network.mjs';
import { aimed, listen } from '../security/home.mjs';
import { openChromium, openFirefox, withoutFirefox } from './browser.mjs';
import { serveSite } from './site.mjs';

const ISOLATED = {
  body: '<!doctype html><html lang="en"><title>A page</title>',
  headers: { 'cross-origin-opener-policy': 'same-origin', 'cross-origin-embedder-policy': 'require-corp' },
};

/** @type {{ name: string, skip: string | false, open: () => Promise<any> }[]} */
const BROWSERS = [
  { name: 'Chromium', skip: false, open: () => openChromium() },
  { name: 'Firefox', skip: withoutFirefox(), open: () => openFirefox() },
];

for (const { name, skip, open } of BROWSERS) {
  describe(name, () => {
    /** @type {Awaited<ReturnType<typeof serveSite>>} */
    let site;
    /** @type {Awaited<ReturnType<typeof serveSite>>} */
    let elsewhere;
    /** @type {Awaited<ReturnType<typeof listen>>} */
    let listener;
    /** @type {any} */
    let browser;
    /** @type {any} */
    let page;

    before(async () => {
      if (skip) return;
      site = await serveSite({ '/isolated': ISOLATED, '/own': { body: 'REACHED' } });
      elsewhere = await serveSite();
      listener = await listen();
      browser = await open();
      page = await browser.newPage();
      await page.goto(`${site.url}/isolated`);
      assert.equal(await page.evaluate(() => crossOriginIsolated), true);
    });

    after(async () => {
      await browser?.close();
      site?.close();
      elsewhere?.close();
      listener?.close();
    });

    /** @param {string[]} programs @param {string} [from] the library's address */
    const run = (programs, from = '/code-sandbox.js') =>
      page.evaluate(
        async (/** @type {[string[], string]} */ [programs, from]) => {
          const { codeSandbox } = await import(from);
          const sandbox = await codeSandbox({ limits: { timeLimitSeconds: 20 } });
          const results = [];
          for (const code of programs) results.push(await sandbox.eval(code));
          sandbox.close();
          return results.map(({ return_value, error }) => return_value ?? error);
        },
        [programs, from],
      );

    test('programs run, and their worker shares memory and a clock', { skip }, async (t) => {
      const [sum, isolated, step] = await run([
        '1 + 1',
        'import js\n[js.crossOriginIsolated, hasattr(js, "SharedArrayBuffer")]',
        // The smallest step of the clock, in milliseconds.
        `import js
steps = ((js.performance.now(), js.performance.now()) for _ in range(20000))
min(b - a for a, b in steps if b > a)`,
      ]);
      assert.equal(sum, 2);
      assert.deepEqual(isolated, [true, true]);
      t.diagnostic(`the smallest step of a program's clock: ${step} ms`);
    });

    test('the files may be another site’s', { skip }, async () => {
      assert.deepEqual(await run(['6 * 7'], `${elsewhere.url}/code-sandbox.js`), [42]);
    });

    test('the network is as far away as ever', { skip, timeout: 200_000 }, async () => {
      await page.evaluate((/** @type {string} */ url) => fetch(url, { mode: 'no-cors' }).catch(() => {}), listener.url);
      assert.ok(listener.arrived.splice(0).length > 0, 'the listener hears nothing');
      site.requests.length = 0;
      const own = `${site.url}/own`;
      const results = await run(network.map(({ code }) => aimed(code, listener, own)));
      assert.equal(results.length, network.length);
      assert.doesNotMatch(JSON.stringify(results), /REACHED|Example Domain/);
      assert.deepEqual(listener.arrived, []);
      assert.ok(!site.requests.includes('/own'), site.requests.join());
    });
  });
}
