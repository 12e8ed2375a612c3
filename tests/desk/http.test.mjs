// MCP over streamable HTTP, with sessions and without.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { answer, LEGACY, LegacyClient, modern, post, run, sleep, timed } from '../edge/worker.mjs';
import { serve } from './desk.mjs';

describe('streamable-http', () => {
  /** @type {Awaited<ReturnType<typeof serve>>} */
  let server;
  before(async () => {
    server = await serve(['streamable-http']);
  });
  after(async () => assert.equal(await server?.stop(), 0));

  test('says where it is, and how it is', async () => {
    assert.match(server.said(), /Running mcp-run-python via streamable-http on http:\/\/127\.0\.0\.1:\d+\/mcp/);
    const health = await (await fetch(new URL('/health', server.url))).json();
    assert.deepEqual([health.status, health.python], ['ok', '3.14']);
    assert.equal((await fetch(new URL('/other', server.url))).status, 404);
  });

  test('eight clients at once have each their own session', async () => {
    const clients = await Promise.all(Array.from({ length: 8 }, () => LegacyClient.connect(server.url)));
    assert.equal(new Set(clients.map(({ session }) => session)).size, 8);
    for (const round of [0, 1]) {
      const results = await Promise.all(
        clients.map((client, n) =>
          client.run(`
import os
with open("owner", "a") as file: file.write("${n}")
print("${n}")
open("owner").read()`),
        ),
      );
      for (const [n, { return_value, output }] of results.entries()) {
        assert.deepEqual([return_value, output], [`${n}`.repeat(round + 1), [`${n}`]]);
      }
    }
  });

  test('a modern request stands for itself, and a session by handle does not', async () => {
    assert.equal((await run(server.url, '6 * 7')).return_value, 42);
    const { session } = await run(server.url, 'x = 1', { session: 'new' });
    assert.equal((await run(server.url, 'x + 1', { session })).return_value, 2);
  });

  test('a session is ended by its handle, with the run that goes on, and once', async () => {
    const end = async (/** @type {string} */ session) => {
      const { result } = await answer(
        await modern(server.url, 'tools/call', { name: 'end_python_session', arguments: { session } }),
      );
      return [result.isError ?? false, result.content[0].text];
    };
    const { session } = await run(server.url, 'x = 1', { session: 'new' });
    const running = run(server.url, 'import time\ntime.sleep(30)', { session });
    await sleep(500);
    const waited = await timed(async () => {
      assert.deepEqual(await end(session), [false, 'the session has ended, with its variables and files']);
      assert.match((await running).error, /^the sandbox was lost/);
    });
    assert.ok(waited < 10_000, `${waited}`);
    const why = 'this session has ended, with its variables and files: that was asked for; start one with "new"';
    assert.equal((await run(server.url, 'x', { session })).error, why);
    assert.deepEqual(await end(session), [false, why]);
    assert.deepEqual(await end('0'.repeat(26)), [true, 'there is no such session']);
  });

  test('a deleted session is gone', async () => {
    const client = await LegacyClient.connect(server.url);
    await client.run('1');
    assert.equal((await fetch(server.url, { method: 'DELETE', headers: client.headers })).status, 200);
    assert.equal((await answer(await client.request('tools/list'))).status, 404);
  });

  test('a client that goes ends its run', async () => {
    const gone = new AbortController();
    const client = await LegacyClient.connect(server.url);
    const params = { name: 'run_python_code', arguments: { python_code: 'import time\ntime.sleep(30)' } };
    const running = client.request('tools/call', params, gone.signal);
    await sleep(500);
    gone.abort();
    await assert.rejects(running.then((response) => response.text()));
    const waited = await timed(async () => assert.equal((await client.run('1 + 1')).return_value, 2));
    assert.ok(waited < 20_000, `${waited}`);
  });

  test('another site, or another name for this machine, is refused', async () => {
    const list = { jsonrpc: '2.0', id: 1, method: 'tools/list' };
    assert.equal((await post(server.url, list, { origin: 'https://evil.example' })).status, 403);
    assert.equal((await post(server.url, list, { origin: 'http://localhost:1' })).status, 400, 'a session is wanted');
  });

  test('what is no message gets the right status, and the next one is served', async () => {
    assert.equal((await post(server.url, 'not json')).status, 400);
    assert.equal((await post(server.url, 'x'.repeat(9 * 1024 * 1024))).status, 413);
    assert.equal((await post(server.url, {}, { 'content-type': 'text/plain' })).status, 415);
    assert.equal((await answer(await modern(server.url, 'tools/list'))).status, 200);
  });
});

test('streamable-http-stateless gives out no sessions', async () => {
  const server = await serve(['streamable-http-stateless']);
  try {
    const client = await LegacyClient.connect(server.url, LEGACY);
    assert.equal(client.session, null);
    await client.run('open("f", "w").close()');
    assert.equal((await client.run('import os\nos.path.exists("f")')).return_value, false);
    assert.equal((await fetch(server.url)).status, 405);
  } finally {
    assert.equal(await server.stop(), 0);
  }
});
