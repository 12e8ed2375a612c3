// Mistakes of clients: each gets its error, and the next request works.
import assert from 'node:assert/strict';
import { request as httpRequest } from 'node:http';
import { connect } from 'node:net';
import { after, afterEach, before, describe, test } from 'node:test';
import { answer, LegacyClient, MODERN, meta, modern, modernHeaders, post, run, sleep, startWorker } from './worker.mjs';

const MB = 1024 * 1024;

describe('bad input', () => {
  /** @type {Awaited<ReturnType<typeof startWorker>>} */
  let worker;
  before(async () => {
    worker = await startWorker({ ALLOWED_ORIGINS: 'https://app.example.com' });
  });
  after(() => worker?.stop());
  // The server still works after each test.
  afterEach(async () => assert.equal((await run(worker.url, '1 + 1')).return_value, 2));

  /**
   * @param {unknown} body @param {number} status @param {number | undefined} code
   * @param {Record<string, string | undefined>} [headers]
   */
  async function refused(body, status, code, headers) {
    const found = await answer(await post(worker.url, body, headers));
    const shown = typeof body === 'string' ? body.slice(0, 80) : JSON.stringify(body)?.slice(0, 200);
    assert.equal(found.status, status, `${shown}: ${found.text}`);
    assert.equal(found.error?.code, code, `${shown}: ${found.text}`);
    return found;
  }

  /** @param {Record<string, unknown>} args */
  const toolCall = (args) => ({
    jsonrpc: '2.0',
    id: 1,
    method: 'tools/call',
    params: { name: 'run_python_code', arguments: args, _meta: meta() },
  });
  const callHeaders = modernHeaders('tools/call', 'run_python_code');
  const list = { jsonrpc: '2.0', id: 1, method: 'tools/list', params: { _meta: meta() } };
  const listHeaders = modernHeaders('tools/list');

  test('what is not JSON', async () => {
    for (const body of ['not json', '{"jsonrpc":', '{"a":1}}', '\u0000', '"\\ud800"', '{"id": 01}', 'NaN']) {
      await refused(body, 400, -32700);
      await refused(body, 400, -32700, listHeaders);
    }
    await refused(new Uint8Array([0x22, 0xff, 0xfe, 0x22]), 400, -32700);
    await refused('', 400, -32700);
  });

  test('JSON that is no message', async () => {
    for (const body of [
      '1',
      'null',
      '[]',
      '{}',
      '"text"',
      { jsonrpc: '1.0', id: 1, method: 'ping' },
      { jsonrpc: '2.0', id: {}, method: 'ping' },
      { jsonrpc: '2.0', id: 1, method: 5 },
      { jsonrpc: '2.0', id: 1 },
      { jsonrpc: '2.0', id: 1.5, method: 'ping' },
    ]) {
      await refused(body, 400, -32600);
    }
  });

  test('nesting', async () => {
    const nested = '['.repeat(200_000) + ']'.repeat(200_000);
    const found = await refused(`{"jsonrpc":"2.0","id":1,"method":"tools/list","params":${nested}}`, 400, -32700);
    assert.match(found.error.message, /nested/);
    await refused('{"a":'.repeat(100_000), 400, -32700);
  });

  test('size', async () => {
    const found = await refused(toolCall({ python_code: '#'.repeat(10 * MB) }), 413, -32000, callHeaders);
    assert.match(found.error.message, /8388608/);
    // A far larger body gets the same error, every time, and is not kept in memory.
    for (let n = 0; n < 3; n++) await refused('#'.repeat(50 * MB), 413, -32000, callHeaders);
    const code = await refused(toolCall({ python_code: '#'.repeat(MB + 1) }), 200, -32602, callHeaders);
    assert.match(code.error.message, /python_code.*1048576/);
    await refused(`[${'{},'.repeat(99)}{}]`, 400, -32600);
  });

  test('arguments', async () => {
    for (const args of [
      {},
      { python_code: 5 },
      { python_code: null },
      { python_code: '1', global_variables: [] },
      { python_code: '1', session: 3 },
    ]) {
      await refused(toolCall(args), 200, -32602, callHeaders);
    }
    const unknown = { ...toolCall({}), params: { name: 'no_such_tool', arguments: {}, _meta: meta() } };
    const found = await refused(unknown, 200, -32602, modernHeaders('tools/call', 'no_such_tool'));
    assert.match(found.error.message, /no_such_tool/);
    await refused({ ...list, method: 'no/such' }, 404, -32601, modernHeaders('no/such'));
  });

  test('headers', async () => {
    await refused(list, 415, -32000, { ...listHeaders, 'content-type': 'text/plain' });
    await refused(list, 406, -32000, { ...listHeaders, accept: 'text/html' });
    await refused(list, 400, -32020, { ...listHeaders, 'mcp-method': 'tools/call' });
    await refused(list, 400, -32020, { 'mcp-protocol-version': MODERN });
    await refused(toolCall({ python_code: '1' }), 400, -32020, modernHeaders('tools/call', 'another_tool'));
    await refused(toolCall({ python_code: '1' }), 400, -32020, modernHeaders('tools/call'));
    await refused(list, 400, -32020, { ...listHeaders, 'mcp-protocol-version': '2025-11-25' });
    const _meta = meta({ 'io.modelcontextprotocol/protocolVersion': '2099-01-01' });
    const headers = { ...listHeaders, 'mcp-protocol-version': '2099-01-01' };
    const found = await refused({ ...list, params: { _meta } }, 400, -32022, headers);
    assert.ok(found.error.data.supported.includes(MODERN), found.text);
  });

  test('methods and paths', async () => {
    assert.equal((await fetch(worker.url, { method: 'PUT' })).status, 405);
    assert.equal((await fetch(new URL('/nothing', worker.url))).status, 404);
    assert.equal((await fetch(new URL('/start', worker.url), { method: 'POST' })).status, 404);
    assert.equal((await fetch(new URL('/run', worker.url), { method: 'POST' })).status, 404);
    const health = await (await fetch(new URL('/health', worker.url))).json();
    assert.equal(health.status, 'ok');
    assert.match(await (await fetch(new URL('/', worker.url))).text(), /<python-sandbox/);
  });

  test('hosts and origins that are not ours', async () => {
    const { port } = new URL(worker.url);
    /** @param {Record<string, string>} headers @returns {Promise<number | undefined>} */
    const status = (headers) =>
      new Promise((resolve, reject) => {
        const options = { host: '127.0.0.1', port, path: '/mcp', method: 'POST', headers };
        const sent = httpRequest(options, (response) => resolve(response.resume().statusCode)).on('error', reject);
        sent.end(JSON.stringify(list));
      });
    const good = { 'content-type': 'application/json', accept: 'application/json, text/event-stream', ...listHeaders };
    for (const [headers, expected] of /** @type {[Record<string, string>, number][]} */ ([
      [{}, 200],
      [{ host: `localhost:${port}` }, 200],
      [{ host: 'evil.example' }, 403],
      [{ host: `127.0.0.1.evil.example:${port}` }, 403],
      [{ origin: 'https://app.example.com' }, 200],
      [{ origin: `http://127.0.0.1:${port}` }, 200],
      [{ origin: 'https://evil.example' }, 403],
      [{ origin: 'http://app.example.com' }, 403],
      [{ origin: 'https://app.example.com:8443' }, 403],
      [{ origin: 'null' }, 403],
    ])) {
      assert.equal(await status({ ...good, ...headers }), expected, JSON.stringify(headers));
    }
    const preflight = await fetch(worker.url, {
      method: 'OPTIONS',
      headers: { origin: 'https://app.example.com', 'access-control-request-method': 'POST' },
    });
    assert.equal(preflight.headers.get('access-control-allow-origin'), 'https://app.example.com');
  });

  test('two initializes', async () => {
    const client = await LegacyClient.connect(worker.url);
    const params = { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'again', version: '1' } };
    const again = await answer(await client.request('initialize', params));
    assert.equal(again.status, 400);
    assert.equal(again.error.code, -32600);
    assert.equal((await client.run('1 + 1')).return_value, 2);
  });

  test('batches are of 2025-03-26', async () => {
    const batch = [1, 2].map((id) => ({ jsonrpc: '2.0', id, method: 'ping' }));
    const old = await LegacyClient.connect(worker.url, '2025-03-26');
    const response = await post(worker.url, batch, old.headers);
    const text = await response.text();
    assert.equal(response.status, 200, text);
    for (const id of [1, 2]) assert.match(text, new RegExp(`"id":${id}\\b`));
    const newer = await LegacyClient.connect(worker.url);
    await refused(batch, 400, -32600, newer.headers);
  });

  test('calls before initialize, and without a session', async () => {
    await refused({ jsonrpc: '2.0', id: 1, method: 'tools/list' }, 400, -32000, {
      'mcp-protocol-version': '2025-11-25',
    });
    assert.equal((await fetch(worker.url, { headers: { accept: 'text/event-stream' } })).status, 400);
  });

  test('a client that goes away in the middle of its request', async () => {
    const { port } = new URL(worker.url);
    await new Promise((resolve) => {
      const socket = connect(Number(port), '127.0.0.1', () => {
        socket.write('POST /mcp HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n');
        socket.write('accept: application/json, text/event-stream\r\ncontent-length: 1000\r\n\r\n{"jsonrpc"');
        setTimeout(() => socket.destroy(), 100);
      });
      socket.on('close', resolve).on('error', () => {});
    });
  });

  test('numbers stay what they are', async () => {
    const body = JSON.stringify(toolCall({ python_code: 'n', global_variables: { n: 0 } }));
    for (const number of ['123456789012345678901234567890', '1e400', '0.1', '-0.0', '3.0']) {
      const response = await post(worker.url, body.replace('"n":0', `"n":${number}`), callHeaders);
      const { text, error } = await answer(response);
      assert.equal(error, undefined, text);
      const shown = { '1e400': '"Infinity"' }[number] ?? number;
      assert.ok(text.includes(`"return_value":${shown}`), `${number}: ${text}`);
    }
  });

  test('after a panic, the next calls are answered', async () => {
    // The panic ends the wasm instance with all calls in it; later calls get a new instance.
    const connections = new AbortController();
    const params = { name: 'run_python_code', arguments: { python_code: 'import asyncio\nawait asyncio.sleep(1)' } };
    const others = [1, 2, 3].map(() => modern(worker.url, 'tools/call', params, connections.signal));
    await sleep(300);
    const panic = await fetch(new URL('/panic', worker.url));
    assert.equal(panic.status, 500);
    await panic.text();
    const client = await LegacyClient.connect(worker.url);
    assert.equal((await client.run('2 + 2')).return_value, 4);
    assert.equal((await answer(await modern(worker.url, 'tools/list'))).status, 200);
    connections.abort();
    await Promise.allSettled(others);
  });
});

test('a wrong setting is named', async () => {
  const said = await startWorker({ TIME_LIMIT_SECONDS: 'soon' }).then(
    async (worker) => {
      await worker.stop();
      return 'it started';
    },
    (error) => error.message,
  );
  assert.match(said, /TIME_LIMIT_SECONDS/);
});
