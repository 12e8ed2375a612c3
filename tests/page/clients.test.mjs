// The official TypeScript clients and the MCP server of a page: in memory, over a port, and between windows.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { openChromium, openPage } from './browser.mjs';
import { serveSite } from './site.mjs';

/** @type {Awaited<ReturnType<typeof serveSite>>} */
let site;
/** Another origin, whose windows may connect. @type {Awaited<ReturnType<typeof serveSite>>} */
let friend;
/** Another origin, whose windows may not. @type {Awaited<ReturnType<typeof serveSite>>} */
let stranger;
/** @type {import('playwright-core').Browser} */
let browser;

const BLANK = { body: '<!doctype html><html lang="en"><title>A page</title>' };

before(async () => {
  const { outputFiles } = await build({
    entryPoints: [fileURLToPath(new URL('clients.js', import.meta.url))],
    bundle: true,
    write: false,
    format: 'esm',
    platform: 'browser',
    conditions: ['browser'],
  });
  const pages = {
    '/plain': BLANK,
    '/strict': { ...BLANK, headers: { 'content-security-policy': "default-src 'self'; frame-src *" } },
    '/clients.js': { type: 'text/javascript', body: outputFiles[0].text },
  };
  site = await serveSite(pages);
  friend = await serveSite(pages);
  stranger = await serveSite(pages);
  browser = await openChromium();
});

after(async () => {
  await browser?.close();
  for (const server of [site, friend, stranger]) server?.close();
});

/** Connects a client in a page and uses it. @param {{ major: 1 | 2, pin?: string, how: 'memory' | 'port' }} how */
async function useClient({ major, pin, how }) {
  const { pythonServer, ...clients } = {
    ...(await import(/** @type {any} */ ('/code-sandbox.js'))),
    ...(await import(/** @type {any} */ ('/clients.js'))),
  };
  const server = await pythonServer();
  const client =
    major === 1
      ? new clients.Client1({ name: 'page', version: '1' })
      : new clients.Client2({ name: 'page', version: '1' }, { versionNegotiation: { mode: pin ? { pin } : 'legacy' } });
  /** @type {any[]} */
  const logs = [];
  client.setNotificationHandler(
    major === 1 ? clients.LoggingMessageNotificationSchema : 'notifications/message',
    (/** @type {any} */ { params }) => logs.push([params.level, params.data]),
  );
  let transport = server.transport();
  if (how === 'port') {
    const { port1, port2 } = new MessageChannel();
    server.listen(port2);
    // A client's transport over a port, in three lines.
    transport = {
      start: async () => {
        port1.onmessage = ({ data }) => transport.onmessage?.(data);
      },
      send: async (/** @type {object} */ message) => port1.postMessage(message),
      close: async () => port1.close(),
    };
  }
  await client.connect(transport);
  if (!pin) await client.setLoggingLevel('info');
  const { tools } = await client.listTools();
  /** @param {string} python_code @param {object} [more] @param {object} [options] */
  const run = (python_code, more = {}, options = undefined) =>
    client.callTool(
      {
        name: 'run_python_code',
        arguments: { python_code, ...more },
        ...(pin && { _meta: { 'io.modelcontextprotocol/logLevel': 'info' } }),
      },
      ...(major === 1 ? [undefined, options] : [options]),
    );
  const sum = await run('print("seen")\nx + 1', { global_variables: { x: 41 } });
  const error = await run('1 / 0');
  await run('open("/tmp/mark", "w").close()');
  const kept = await run('import os\nos.path.exists("/tmp/mark")');
  const session = (await run('y = 7', { session: 'new' })).structuredContent.session;
  const inSession = await run('y', { session });
  const ended = await client.callTool({ name: 'end_python_session', arguments: { session } });
  const afterEnd = await run('y', { session });
  const many = await Promise.all(Array.from({ length: 5 }, (_, n) => run(`${n} * 2`)));
  const controller = new AbortController();
  setTimeout(() => controller.abort(), 300);
  const start = performance.now();
  const cancelled = await run('while True: pass', {}, { signal: controller.signal }).then(
    () => 'answered',
    () => 'cancelled',
  );
  const after = await run('"ready"');
  const waited = performance.now() - start;
  await client.close();
  server.close();
  return {
    tools: tools.map((/** @type {any} */ tool) => tool.name),
    text: sum.content[0].text,
    structured: sum.structuredContent,
    error: error.structuredContent.status,
    kept: kept.structuredContent.return_value,
    inSession: inSession.structuredContent.return_value,
    ended: ended.content[0].text,
    afterEnd: afterEnd.structuredContent.error,
    many: many.map((result) => result.structuredContent.return_value),
    cancelled,
    after: after.structuredContent.return_value,
    waited,
    logs: logs.filter(([, data]) => data === 'seen'),
    frames: document.querySelectorAll('iframe').length,
  };
}

/** @type {{ name: string, page: string, modern?: boolean, how: Parameters<typeof useClient>[0] }[]} */
const CONNECTIONS = [
  { name: 'sdk 1.x in memory', page: '/plain', how: { major: 1, how: 'memory' } },
  {
    name: 'client 2.x in memory, 2025-11-25, under a strict policy',
    page: '/strict',
    how: { major: 2, how: 'memory' },
  },
  {
    name: 'client 2.x in memory, 2026-07-28, under a strict policy',
    page: '/strict',
    modern: true,
    how: { major: 2, pin: '2026-07-28', how: 'memory' },
  },
  { name: 'client 2.x over a port', page: '/plain', how: { major: 2, how: 'port' } },
];

for (const { name, page: path, modern = false, how } of CONNECTIONS) {
  test(name, async () => {
    const { page, close } = await openPage(browser, `${site.url}${path}`);
    const seen = await page.evaluate(useClient, how);
    await close();
    assert.deepEqual(seen.tools.slice(0, 2), ['run_python_code', 'end_python_session']);
    assert.match(
      seen.text,
      /<status>success<\/status>\n<output>\nseen\n<\/output>\n<return_value>\n42\n<\/return_value>/,
    );
    assert.deepEqual(seen.structured, { status: 'success', output: ['seen'], return_value: 42 });
    assert.equal(seen.error, 'run-error');
    // Modern requests are stateless; a legacy client has an interpreter of its own.
    assert.equal(seen.kept, !modern);
    assert.equal(seen.inSession, 7);
    assert.equal(seen.ended, 'the session has ended, with its variables and files');
    assert.match(seen.afterEnd, /^this session has ended, .*: that was asked for/);
    assert.deepEqual(seen.many, [0, 2, 4, 6, 8]);
    assert.equal(seen.cancelled, 'cancelled');
    assert.equal(seen.after, 'ready');
    assert.ok(seen.waited < 5000, `${seen.waited} ms from the loop to the next answer`);
    assert.deepEqual(seen.logs, [['info', 'seen']]);
    assert.equal(seen.frames, 0);
  });
}

test('windows of the origins named are served, and no others', async () => {
  const { page, close } = await openPage(browser, `${site.url}/plain`);
  await page.evaluate(async (origin) => {
    const { pythonServer } = await import(/** @type {any} */ ('/code-sandbox.js'));
    const server = await pythonServer();
    server.listenToWindows({ origins: [origin] });
    for (const bad of [[], ['*'], ['null']]) {
      try {
        server.listenToWindows({ origins: bad });
        throw new Error(`accepted ${bad}`);
      } catch (error) {
        if (!(error instanceof TypeError)) throw error;
      }
    }
  }, friend.url);
  /** @param {string} url */
  const embed = async (url) => {
    await page.evaluate((address) => {
      const frame = document.createElement('iframe');
      frame.src = address;
      document.body.append(frame);
      return new Promise((resolve) => frame.addEventListener('load', resolve));
    }, url);
    const frame = page.frame({ url });
    assert.ok(frame);
    return frame.evaluate(async (origin) => {
      const { windowTransport } = await import(/** @type {any} */ ('/code-sandbox.js'));
      const { Client2 } = await import(/** @type {any} */ ('/clients.js'));
      const client = new Client2({ name: 'window', version: '1' });
      const late = new Promise((resolve) => setTimeout(() => resolve('no answer'), 4000));
      const used = (async () => {
        await client.connect(windowTransport(parent, origin));
        return (await client.callTool({ name: 'run_python_code', arguments: { python_code: '6 * 7' } }))
          .structuredContent.return_value;
      })();
      return Promise.race([used, late]);
    }, site.url);
  };
  assert.equal(await embed(`${friend.url}/plain`), 42);
  assert.equal(await embed(`${stranger.url}/plain`), 'no answer');
  await close();
});
