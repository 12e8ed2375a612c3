// Every wait ends: with frames that crash, never answer or send invalid messages, and with files that never arrive.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { openChromium, openPage } from './browser.mjs';
import { SITE, serveSite } from './site.mjs';

const BLANK = { body: '<!doctype html><html lang="en"><title>A page</title>' };

/** @type {Awaited<ReturnType<typeof serveSite>>} */
let site;
/** @type {import('playwright-core').Browser} */
let browser;

before(async () => {
  site = await serveSite({ '/plain': BLANK });
  browser = await openChromium();
});

after(async () => {
  await browser?.close();
  site?.close();
});

/** Opens a page with the library. */
async function open() {
  const opened = await openPage(browser, `${site.url}/plain`);
  await opened.page.evaluate(async () => {
    const why = (/** @type {any} */ error) => `Error: ${error.message}`;
    Object.assign(window, await import(/** @type {any} */ ('/code-sandbox.js')), { why });
  });
  return opened;
}

/**
 * Kills the process of the page's frames, as a program can by filling its memory. The driver takes this for the end of the
 * page, so the page reports to its server what it sees.
 */
async function crashFrames() {
  const session = await browser.newBrowserCDPSession();
  const { targetInfos } = await session.send('Target.getTargets');
  const frame = targetInfos.find(({ type, url }) => type === 'iframe' && url.includes('/assets/frame-'));
  const { targetId } = frame ?? assert.fail('frames have a process of their own');
  const { sessionId } = await session.send('Target.attachToTarget', { targetId, flatten: false });
  const message = JSON.stringify({ id: 1, method: 'Page.crash' });
  await session.send('Target.sendMessageToTarget', { sessionId, message });
}

/**
 * Opens a page that runs a script with the library, waits for its first report, crashes its frames, and returns the second.
 * @param {string} script
 */
async function crashing(script) {
  const told = `/told/${Math.random()}/`;
  const page = await browser.newPage();
  const body = `${BLANK.body}<script type="module">
import * as library from '/code-sandbox.js';
const { codeSandbox, pythonServer } = library;
const why = (error) => 'Error: ' + error.message;
const tell = (what) => fetch('${told}' + encodeURIComponent(JSON.stringify(what)));
${script}</script>`;
  await page.route('**/crashing', (route) => route.fulfill({ contentType: 'text/html', body }));
  await page.goto(`${site.url}/crashing`);
  /** @param {number} count */
  const report = async (count) => {
    for (let tries = 0; tries < 600; tries += 1) {
      const reports = site.requests.filter((path) => path.startsWith(told));
      if (reports.length >= count) return JSON.parse(decodeURIComponent(reports[count - 1].slice(told.length)));
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    throw new Error('nothing was told');
  };
  await report(1);
  await crashFrames();
  const seen = await report(2);
  await page.close().catch(() => {});
  return seen;
}

test('a crash rejects what runs in every frame of that process, and the next call starts anew', async () => {
  const { lost, took, results } = await crashing(`
const [one, other] = await Promise.all([codeSandbox({ persistent: true }), codeSandbox()]);
await one.eval('kept = 1');
const runs = [one, other].map((sandbox) => sandbox.eval('while True: pass').catch(why));
await new Promise((resolve) => setTimeout(resolve, 300));
await tell('running');
const start = performance.now();
const lost = await Promise.all(runs);
const took = performance.now() - start;
one.interrupt();
const results = [await one.eval('"kept" in globals()'), await other.eval('20 + 22'), await one.eval('1')];
await tell({ lost, took, results });`);
  assert.match(lost[0], /^Error: the sandbox was lost/);
  assert.match(lost[1], /^Error: the sandbox was lost/);
  assert.ok(took < 14_000, `${took} ms`);
  assert.equal(results[0].return_value, false);
  assert.match(results[0].output.join(), /^The Python interpreter of this session was restarted/);
  assert.equal(results[1].return_value, 42);
  assert.deepEqual([results[2].return_value, results[2].output], [1, []]);
});

test('a crash is told to the clients of a server, and the next connection is served', async () => {
  const { ended, value } = await crashing(`
const server = await pythonServer();
const transport = server.transport();
const told = new Promise((resolve) => { transport.onerror = (error) => resolve(error.message); });
const over = new Promise((resolve) => { transport.onclose = () => resolve('closed'); });
await transport.start();
await tell('connected');
const ended = [await told, await over];
const next = server.transport();
const answers = new Map();
next.onmessage = (message) => answers.get(message.id)?.(message);
await next.start();
const ask = (id, method, params) => new Promise((resolve) => {
  answers.set(id, resolve);
  void next.send({ jsonrpc: '2.0', id, method, params });
});
await ask(1, 'initialize', { protocolVersion: '2025-06-18', capabilities: {}, clientInfo: { name: 'x', version: '1' } });
const { result } = await ask(2, 'tools/call', { name: 'run_python_code', arguments: { python_code: '20 + 22' } });
await tell({ ended, value: result.structuredContent.return_value });`);
  assert.match(ended[0], /the sandbox was lost/);
  assert.equal(ended[1], 'closed');
  assert.equal(value, 42);
});

/** Replaces the frame's document by one with this script. @param {import('playwright-core').Page} page @param {string} script */
const playFrame = (page, script) =>
  page.route('**/frame-*.htm', (route) =>
    route.fulfill({
      contentType: 'text/html',
      body: `<!doctype html><script>const { port1: page, port2 } = new MessageChannel();
const hello = () => parent.postMessage({ sandbox: location.hash.slice(1) }, '*', [port2]);\n${script}</script>`,
    }),
  );

/** Opens a sandbox, and returns how that ends. @param {import('playwright-core').Page} page */
const opening = (page) =>
  page.evaluate(async () => {
    const { codeSandbox, why } = /** @type {any} */ (window);
    const start = performance.now();
    const sandbox = await codeSandbox().catch(why);
    const said = typeof sandbox === 'string' ? sandbox : await sandbox.eval('1').catch(why);
    return { said, took: performance.now() - start, frames: document.querySelectorAll('iframe').length };
  });

/** Scripts of documents in our frame's place, and the expected error. @type {[string, string, RegExp][]} */
const PLAYED = [
  ['that says nothing', '', /does not answer/],
  ['that answers no call', 'hello(); page.onmessage = () => {};', /its frame does not answer/],
  ['that sends what is no message', 'hello(); page.postMessage("what?");', /sent what no frame sends/],
  [
    'that sends a message of another shape',
    'hello(); page.postMessage({ type: "event", id: 1, event: { output: { stream: "stdin", text: 1 } } });',
    /sent what no frame sends/,
  ],
  [
    'that asks for what there is not',
    'hello(); page.postMessage({ type: "ask", id: 1, method: "constructor", args: [] });',
    /sent what no frame sends/,
  ],
  [
    'whose run is never over, though it is there',
    'hello(); page.onmessage = ({ data }) => { if (data.type === "ping") page.postMessage({ type: "pong" }); if (data.method === "boot") page.postMessage({ type: "result", id: data.id }); };',
    /has not answered for 136 s/,
  ],
];

for (const [name, script, expected] of PLAYED) {
  test(`a frame ${name} is given up`, async () => {
    const { page, close } = await open();
    await playFrame(page, script);
    // A fake clock for the waits, to spare the test's time.
    const waits = /136 s|not answer$/.test(expected.source);
    if (waits) await page.clock.install();
    const ended = opening(page);
    if (waits) {
      await page.waitForTimeout(500);
      for (let seconds = 0; seconds < 200; seconds += 1) await page.clock.runFor(1000);
    }
    const { said, took, frames } = await ended;
    assert.match(said, expected);
    assert.ok(took < (expected.source.includes('136 s') ? 200_000 : 14_000), `${took} ms`);
    assert.equal(frames, 0);
    await close();
  });
}

test('Stop ends a run whose frame has stopped answering', async () => {
  const { page, close } = await open();
  await playFrame(
    page,
    'hello(); page.onmessage = ({ data }) => { if (data.type === "ping") page.postMessage({ type: "pong" }); if (data.method === "boot") page.postMessage({ type: "result", id: data.id }); };',
  );
  const { said, took } = await page.evaluate(async () => {
    const { codeSandbox, why } = /** @type {any} */ (window);
    const sandbox = await codeSandbox();
    const running = sandbox.eval('1').catch(why);
    await new Promise((resolve) => setTimeout(resolve, 100));
    const start = performance.now();
    sandbox.interrupt();
    return { said: await running, took: performance.now() - start };
  });
  assert.match(said, /has not answered for 6 s/);
  assert.ok(took < 8000, `${took} ms`);
  await close();
});

test('a file that never comes is given up', async () => {
  const { page, close } = await open();
  await page.clock.install();
  await page.route('**/core.wasm-*.bin', () => {});
  const ended = opening(page);
  await page.waitForTimeout(1000);
  for (let seconds = 0; seconds < 40; seconds += 1) await page.clock.runFor(1000);
  const { said, frames } = await ended;
  assert.match(said, /core\.wasm.* could not be loaded: nothing came for 30 s/);
  assert.equal(frames, 0);
  await close();
});

test('a file that was changed, at the same length, does not get in', async () => {
  const { page, close } = await open();
  const name = readdirSync(join(SITE, 'assets')).find((file) => file.startsWith('isolate.js')) ?? assert.fail();
  const body = readFileSync(join(SITE, 'assets', name));
  body[body.length >> 1] ^= 1;
  await page.route(`**/${name}`, (route) => route.fulfill({ body }));
  const { said, frames } = await opening(page);
  assert.match(said, /isolate\.js.* is not the file that was built with this script \(sha256\)/);
  assert.equal(frames, 0);
  await close();
});
