// The library's main features in Firefox: results, output, Stop, kill, MCP.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { DEEP } from '../contract/deep.mjs';
import { openFirefox, suspends, withoutFirefox } from './browser.mjs';
import { serveSite } from './site.mjs';

// Each test has this option: node counts no tests in a suite that is skipped as a whole.
const skip = withoutFirefox();

describe('in Firefox', () => {
  /** @type {Awaited<ReturnType<typeof serveSite>>} */
  let site;
  /** @type {import('puppeteer-core').Browser} */
  let browser;
  /** @type {import('puppeteer-core').Page} */
  let page;

  before(async () => {
    if (skip) return;
    site = await serveSite({
      '/strict': {
        body: '<!doctype html><html lang="en"><title>A page</title>',
        headers: { 'content-security-policy': "default-src 'self'" },
      },
    });
    browser = await openFirefox();
    page = await browser.newPage();
    await page.goto(`${site.url}/strict`);
  });

  after(async () => {
    await browser?.close();
    site?.close();
  });

  test('results, output, a kill and a new interpreter', { skip }, async () => {
    const seen = await page.evaluate(async () => {
      const { codeSandbox } = await import(/** @type {any} */ ('/code-sandbox.js'));
      const sandbox = await codeSandbox({ limits: { timeLimitSeconds: 2 } });
      /** @type {string[]} */
      const lines = [];
      sandbox.addEventListener('output', (/** @type {any} */ { detail }) =>
        lines.push(`${detail.stream}: ${detail.text}`),
      );
      const sum = await sandbox.eval('import sys\nprint("a")\nprint("b", file=sys.stderr)\nx + 1', { x: 41 });
      const killed = await sandbox.eval('sum(range(10**12))');
      const next = await sandbox.eval('1 + 1');
      const large = await sandbox.eval('[n, n * n, 10**99_999]', { n: 2n ** 70n });
      sandbox.close();
      // As text: not every driver can return a bigint.
      const values = large.return_value.map(String);
      return { lines, sum, killed: killed.error, next: next.return_value, values };
    });
    assert.deepEqual(seen.sum, { status: 'success', output: ['a', 'b'], return_value: 42, images: [] });
    assert.deepEqual(seen.lines.slice(0, 2), ['stdout: a', 'stderr: b']);
    assert.match(seen.killed, /took longer than 2 s/);
    assert.equal(seen.next, 2);
    assert.deepEqual(seen.values, [2n ** 70n, 2n ** 140n, 10n ** 99_999n].map(String));
  });

  test('what goes deep ends with an error at most, and not with its interpreter', { skip }, async () => {
    const seen = await page.evaluate(async (programs) => {
      const { codeSandbox } = await import(/** @type {any} */ ('/code-sandbox.js'));
      const sandbox = await codeSandbox({ persistent: true });
      await sandbox.eval('kept = "kept"');
      const results = [];
      for (const [what, code] of programs) {
        const { return_value, error } = await sandbox.eval(code);
        results.push([what, return_value ?? error]);
      }
      const { return_value: kept } = await sandbox.eval('kept');
      sandbox.close();
      return { results, kept };
    }, DEEP);
    assert.deepEqual(
      seen.results,
      DEEP.map(([what, , value]) => [what, value]),
    );
    assert.equal(seen.kept, 'kept');
  });

  test('what waits is suspended, and Stop leaves the interpreter as it was', { skip }, async (t) => {
    // Browsers without JSPI: no-jspi.test.mjs.
    if (!(await suspends(page))) return t.skip(`${await browser.version()} has no JSPI`);
    const seen = await page.evaluate(async () => {
      const { codeSandbox } = await import(/** @type {any} */ ('/code-sandbox.js'));
      const sandbox = await codeSandbox({ persistent: true });
      const slept = await sandbox.eval(
        'import time, asyncio; time.sleep(0.01); asyncio.run(asyncio.sleep(0.01, "slept"))',
      );
      setTimeout(() => sandbox.interrupt(), 300);
      const stopped = await sandbox.eval('while True: pass');
      setTimeout(() => sandbox.interrupt(), 300);
      const woken = await sandbox.eval('time.sleep(50)');
      const kept = await sandbox.eval('time.__name__');
      sandbox.close();
      return { slept, stopped, woken, kept };
    });
    assert.equal(seen.slept.return_value, 'slept', seen.slept.error);
    assert.match(seen.stopped.error, /KeyboardInterrupt/);
    assert.match(seen.woken.error, /KeyboardInterrupt/);
    assert.equal(seen.kept.return_value, 'time', seen.kept.error);
  });

  test('MCP over the transport in memory', { skip }, async () => {
    const answer = await page.evaluate(async () => {
      const { pythonServer } = await import(/** @type {any} */ ('/code-sandbox.js'));
      const server = await pythonServer();
      const transport = server.transport();
      await transport.start();
      const answer = new Promise((resolve) => {
        transport.onmessage = (/** @type {any} */ message) => message.id === 2 && resolve(message);
      });
      const clientInfo = { name: 'test', version: '1' };
      await transport.send({
        jsonrpc: '2.0',
        id: 1,
        method: 'initialize',
        params: { protocolVersion: '2025-11-25', capabilities: {}, clientInfo },
      });
      await transport.send({ jsonrpc: '2.0', method: 'notifications/initialized' });
      await transport.send({
        jsonrpc: '2.0',
        id: 2,
        method: 'tools/call',
        params: { name: 'run_python_code', arguments: { python_code: '6 * 7' } },
      });
      const message = /** @type {any} */ (await answer);
      server.close();
      return message.result.structuredContent;
    });
    assert.deepEqual(answer, { status: 'success', output: [], return_value: 42 });
  });
});
