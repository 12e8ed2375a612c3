// Attacks on the service: whatever a run does to its interpreter, others are answered meanwhile and afterwards.
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { answer, modernHeaders, post, run, sleep, startWorker } from '../edge/worker.mjs';
import { counted, during, startHome } from './home.mjs';
import { attackQuotas, attackService, QUOTAS } from './suites.mjs';

describe('attacks on the worker', () => {
  const home = during(() => startHome({ TIME_LIMIT_SECONDS: '3', MEMORY_LIMIT_MB: '200', FILES_LIMIT: '2000' }));
  attackService(home);
});

describe('attacks on what each may have', () => {
  const home = during(() => startHome(QUOTAS));
  attackQuotas(home);
});

describe('attacks on connections', () => {
  /** @type {Awaited<ReturnType<typeof startWorker>>} */
  let worker;
  before(async () => {
    worker = await startWorker({ RUNS_LIMIT_EACH: '2', TIME_LIMIT_SECONDS: '5' });
  });
  after(() => worker?.stop());
  const held = counted('connections', () => ({ name: 'edge' }));

  const works = async () => assert.equal((await run(worker.url, '20 + 22')).return_value, 42);
  /** @param {string} text */
  function half(text) {
    const { port } = new URL(worker.url);
    const socket = connect(Number(port), '127.0.0.1', () => socket.write(text));
    socket.on('error', () => {});
    return socket;
  }

  test('half-open connections, and bodies that never end', async () => {
    const head =
      'POST /mcp HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 9000\r\n\r\n';
    const sockets = Array.from({ length: 50 }, (_, n) => half(n % 2 ? head : `${head}{"jsonrpc": "2.0",`));
    sockets.push(...Array.from({ length: 50 }, () => half('POST /mcp HT')));
    await sleep(300);
    await works();
    for (const socket of sockets) socket.destroy();
    await works();
    held(2);
  });

  test('readers who never read', async () => {
    const params = { name: 'run_python_code', arguments: { python_code: 'for n in range(20_000): print("x" * 90)' } };
    const body = {
      jsonrpc: '2.0',
      id: 1,
      method: 'tools/call',
      params: {
        ...params,
        _meta: (await import('../edge/worker.mjs')).meta({ 'io.modelcontextprotocol/logLevel': 'debug' }),
      },
    };
    const responses = await Promise.all(
      [1, 2].map(() => post(worker.url, body, modernHeaders('tools/call', params.name))),
    );
    await sleep(6000);
    await works();
    await Promise.all(responses.map((response) => response.body?.cancel()));
    // The runs end with their connections: there is room for as many again.
    await sleep(2000);
    await Promise.all([works(), works()]);
    held();
  });

  test('values beyond number in a request', async () => {
    const many = `{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"x":[${'0,'.repeat(2_000_000)}0]}}`;
    const { status, error } = await answer(await post(worker.url, many, modernHeaders('tools/list')));
    assert.equal(status, 400);
    assert.match(error.message, /Invalid Request: 20\d{5} values, at most 250000 are taken/);
    await works();
    held();
  });
});
