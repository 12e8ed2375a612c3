// The life of a run on a home as it is, over HTTP: whoever asked for it lets go at every moment, and the next one of the
// session finds everything as it was. `src/session/contract.rs` walks through the same natively, and much more.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { answer, LegacyClient, modern, run, sleep } from '../edge/worker.mjs';

/**
 * Milliseconds after which somebody lets go: before it began, while its isolate boots, in the middle, after it. Sooner, and
 * a cancellation may arrive before what it cancels.
 */
const MOMENTS = [20, 40, 60, 90, 120, 160, 200, 400, 800];

/** How long the next run may have to wait, in milliseconds: a run that is stopped may clean up. */
const PATIENCE = 10_000;

const LOOP = 'while True: pass';
const SLEEP = 'import time\ntime.sleep(40)';

/** @param {string} python_code @param {object} [more] */
const call = (python_code, more) => ({ name: 'run_python_code', arguments: { python_code, ...more } });

/** @template T @param {Promise<T>} work @param {string} what @returns {Promise<T>} */
function soon(work, what) {
  const late = sleep(PATIENCE).then(() => assert.fail(`no answer in time: ${what}`));
  return Promise.race([work, late]);
}

/**
 * @param {string} home
 * @param {() => Promise<{ url: string, stop: () => Promise<unknown> }>} start
 */
export function contract(home, start) {
  describe(`the contract, on the ${home}`, () => {
    /** @type {Awaited<ReturnType<typeof start>>} */
    let server;
    before(async () => {
      server = await start();
    });
    after(() => server?.stop());

    for (const alive of [false, true]) {
      for (const code of ['1', LOOP, SLEEP]) {
        test(`a session whose interpreter ${alive ? 'is there' : 'boots'} is let go of: ${code}`, async () => {
          for (const moment of MOMENTS) {
            const client = await LegacyClient.connect(server.url);
            if (alive) await client.run('open("f", "w").write("kept")');
            const going = client.send({ id: 'c', method: 'tools/call', params: call(code) }).then(answer);
            await sleep(moment);
            await client.send({ method: 'notifications/cancelled', params: { requestId: 'c' } });
            const next = 'import os\nopen("f").read() if os.path.exists("f") else ""';
            const what = `${code} at ${moment} ms`;
            const { return_value, output, error } = await soon(client.run(next), what);
            assert.equal(return_value, alive ? 'kept' : '', `${what}: ${error}`);
            assert.deepEqual(output, [], `${what}: nothing was restarted`);
            await soon(going, what);
          }
        });
      }
    }

    test('a handle is let go of', async () => {
      const { session } = await run(server.url, 'x = 1', { session: 'new' });
      for (const moment of MOMENTS) {
        const gone = new AbortController();
        const going = modern(server.url, 'tools/call', call(SLEEP, { session }), gone.signal).then(answer);
        going.catch(() => {});
        await sleep(moment);
        gone.abort();
        const { return_value, output } = await soon(run(server.url, 'x', { session }), `at ${moment} ms`);
        assert.deepEqual([return_value, output], [1, []], `at ${moment} ms`);
      }
    });

    test('runs that stand for themselves are let go of', async () => {
      for (const code of [LOOP, SLEEP]) {
        for (const moment of MOMENTS) {
          const gone = new AbortController();
          const going = modern(server.url, 'tools/call', call(code), gone.signal).then(answer);
          going.catch(() => {});
          await sleep(moment);
          gone.abort();
          assert.equal((await soon(run(server.url, '1 + 1'), `${code} at ${moment} ms`)).return_value, 2);
        }
      }
    });

    test('what was lost is replaced, and nothing is done twice', async () => {
      const client = await LegacyClient.connect(server.url);
      await client.run('open("f", "w").write("kept")');
      const { status, output } = await client.run('print("once")\nimport os\nos._exit(3)');
      assert.deepEqual([status, output], ['run-error', ['once']]);
      const next = await client.run('import os\nos.path.exists("f")');
      assert.equal(next.return_value, false);
      assert.match(next.output[0], /^The Python interpreter of this session was restarted: its files/);
      assert.deepEqual((await client.run('1')).output, []);
    });

    test('ten runs at once, of one session and of ten', async () => {
      const client = await LegacyClient.connect(server.url);
      const code = 'import builtins\nbuiltins.n = getattr(builtins, "n", 0) + 1\nbuiltins.n';
      const values = await Promise.all(Array.from({ length: 10 }, async () => (await client.run(code)).return_value));
      assert.deepEqual(
        values.sort((one, other) => one - other),
        [1, 2, 3, 4, 5, 6, 7, 8, 9, 10],
      );
      const clients = await Promise.all(Array.from({ length: 10 }, () => LegacyClient.connect(server.url)));
      const all = await Promise.all(clients.map(async (one) => (await one.run(code)).return_value));
      assert.deepEqual(all, Array(10).fill(1));
      for (const one of clients) await fetch(server.url, { method: 'DELETE', headers: one.headers });
    });
  });
}
