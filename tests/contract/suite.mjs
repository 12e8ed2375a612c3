// The life of a run on a real home: its client lets go at every moment, and the session's next run must find everything as
// it was. `src/session/contract.rs` tests the same natively, and much more.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { sleep } from '../edge/worker.mjs';
import { LONG } from '../long.mjs';
import { DEEP } from './deep.mjs';

/**
 * Milliseconds after which the client lets go: before the run began, while its isolate boots, in the middle, after it. Any
 * sooner, a cancellation may arrive before the request that it cancels.
 */
const MOMENTS = LONG ? [20, 40, 60, 90, 120, 160, 200, 400, 800] : [20, 90, 200, 800];

/** How long the next run may have to wait, in milliseconds: a stopped run may take time to clean up. */
const PATIENCE = 10_000;

/** The grace for the home to give a stopped run, in seconds: enough that a slow machine does not lose the interpreter. */
export const GRACE = '5';

const LOOP = 'while True: pass';
const SLEEP = 'import time\ntime.sleep(40)';

/** Parameters of a call. @param {string} python_code @param {string} [session] @param {string} [name] of the tool */
export const params = (python_code, session, name = 'run_python_code') => ({
  name,
  arguments: { python_code, ...(session && { session }) },
});

/**
 * A run in progress. `ended` resolves when the client no longer waits for it.
 * @typedef {{ letGo: () => Promise<unknown>, ended: Promise<unknown> }} Going
 */
/**
 * A client with a session of its own; `run` returns the structured content.
 * @typedef {object} Client
 * @property {(code: string, tool?: string) => Promise<any>} run
 * @property {(code: string, tool?: string) => Going} begin
 * @property {() => Promise<unknown>} close
 */
/**
 * A home. Its own runs are stateless, or belong to the session that is named.
 * @typedef {object} Home
 * @property {() => Promise<Client>} connect
 * @property {(code: string, session?: string, tool?: string) => Promise<any>} run
 * @property {(code: string, session?: string, tool?: string) => Going} begin
 * @property {() => Promise<unknown>} stop
 */

/** @template T @param {Promise<T>} work @param {string} what @returns {Promise<T>} */
export function soon(work, what) {
  const late = sleep(PATIENCE).then(() => assert.fail(`no answer in time: ${what}`));
  return Promise.race([work, late]);
}

/** @param {string} name @param {() => Promise<Home>} start @param {number} [sessions] how many it serves at once */
export function contract(name, start, sessions = 10) {
  describe(`the contract, on the ${name}`, () => {
    /** @type {Home} */
    let home;
    before(async () => {
      home = await start();
    });
    after(() => home?.stop());

    for (const alive of [false, true]) {
      for (const code of ['1', LOOP, SLEEP]) {
        test(`a session whose interpreter ${alive ? 'is there' : 'boots'} is let go of: ${code}`, async () => {
          for (const moment of MOMENTS) {
            const client = await home.connect();
            if (alive) await client.run('open("f", "w").write("kept")');
            const going = client.begin(code);
            await sleep(moment);
            await going.letGo();
            const next = 'import os\nopen("f").read() if os.path.exists("f") else ""';
            const what = `${code} at ${moment} ms`;
            const { return_value, output, error } = await soon(client.run(next), what);
            assert.equal(return_value, alive ? 'kept' : '', `${what}: ${error}`);
            assert.deepEqual(output, [], `${what}: nothing was restarted`);
            await soon(going.ended, what);
            await client.close();
          }
        });
      }
    }

    test('what goes deep ends with an error at most, and not with its interpreter', async () => {
      const client = await home.connect();
      await client.run('open("f", "w").write("kept")');
      for (const [what, code, value] of DEEP) {
        const result = await client.run(code);
        assert.deepEqual([result.status, result.return_value], ['success', value], `${what}: ${result.error}`);
      }
      assert.equal((await client.run('open("f").read()')).return_value, 'kept');
      await client.close();
    });

    test('the streams that a program closes are open for the next', async () => {
      const client = await home.connect();
      const methods = ['in', 'out', 'err'].flatMap((of) => [`${of}.close()`, `${of}.detach()`]);
      for (const closing of ['exit()', ...methods.map((method) => `import sys\nkept = sys.std${method}\nNone`)]) {
        await client.run(closing);
        const { output } = await client.run(
          'import sys\nprint("a")\nprint("b", file=sys.stderr)\nsys.__stdout__.write("c")',
        );
        assert.deepEqual(output, ['a', 'b', 'c'], closing);
        const { error } = await client.run('input()');
        assert.match(error, /^EOFError/m, closing);
      }
      await client.close();
    });

    test('a handle is let go of', async () => {
      const { session } = await home.run('x = 1', 'new');
      for (const moment of MOMENTS) {
        const going = home.begin(SLEEP, session);
        await sleep(moment);
        await going.letGo();
        const { return_value, output } = await soon(home.run('x', session), `at ${moment} ms`);
        assert.deepEqual([return_value, output], [1, []], `at ${moment} ms`);
      }
    });

    test('a key that is being derived is let go of, and another is derived', async () => {
      const client = await home.connect();
      await client.run('import hashlib\nhashlib.kept = True');
      const going = client.begin('import hashlib\nhashlib.pbkdf2_hmac("sha512", b"p", b"s", 10**9)');
      await sleep(400);
      await going.letGo();
      // RFC 7914, section 12.
      const key = 'hashlib.scrypt(b"pleaseletmein", salt=b"SodiumChloride", n=16384, r=8, p=1).hex()[:16]';
      const { return_value, error } = await soon(client.run(`import hashlib\n[hashlib.kept, ${key}]`), 'a key');
      assert.deepEqual(return_value, [true, '7023bdcb3afd7348'], error);
      await soon(going.ended, 'its end');
      await client.close();
    });

    test('runs that stand for themselves are let go of', async () => {
      for (const code of [LOOP, SLEEP]) {
        for (const moment of MOMENTS) {
          const going = home.begin(code);
          await sleep(moment);
          await going.letGo();
          assert.equal((await soon(home.run('1 + 1'), `${code} at ${moment} ms`)).return_value, 2);
        }
      }
    });

    test('what was lost is replaced, and nothing is done twice', async () => {
      const client = await home.connect();
      await client.run('open("f", "w").write("kept")');
      const { status, output } = await client.run('print("once")\nimport os\nos._exit(3)');
      assert.deepEqual([status, output], ['run-error', ['once']]);
      const next = await client.run('import os\nos.path.exists("f")');
      assert.equal(next.return_value, false);
      assert.match(next.output[0], /^The Python interpreter of this session was restarted: its files/);
      assert.deepEqual((await client.run('1')).output, []);
      await client.close();
    });

    test(`ten runs at once of one session, and one of each of ${sessions}`, async () => {
      const client = await home.connect();
      const code = 'import builtins\nbuiltins.n = getattr(builtins, "n", 0) + 1\nbuiltins.n';
      const values = await Promise.all(Array.from({ length: 10 }, async () => (await client.run(code)).return_value));
      assert.deepEqual(
        values.sort((one, other) => one - other),
        [1, 2, 3, 4, 5, 6, 7, 8, 9, 10],
      );
      await client.close();
      const clients = await Promise.all(Array.from({ length: sessions }, () => home.connect()));
      const all = await Promise.all(clients.map((one) => one.run(code)));
      assert.deepEqual(
        all.map(({ return_value, error }) => error ?? return_value),
        Array(sessions).fill(1),
      );
      for (const one of clients) await one.close();
    });
  });
}
