// Calls out of a running program, in a home with the tool `test_calls` (src/mcp/fixtures.rs), which sends every answer twice,
// with another that was not asked for. `src/session/contract.rs` tests the same natively.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { sleep } from '../edge/worker.mjs';
import { LONG } from '../long.mjs';
import { ANSWERS_ITSELF, FORGED_CALLS, OTHERS } from '../security/attacks/calls.mjs';
import { soon } from './suite.mjs';

const TOOL = 'test_calls';

/** The time limit for the home, in seconds: less than the 4 s that a call may take. */
export const TIME_LIMIT = 3;

/** @typedef {{ run: (code: string) => Promise<any>, plain: (code: string) => Promise<any>, begin: (code: string) => import('./suite.mjs').Going }} Way */

/**
 * @param {string} name @param {() => Promise<import('./suite.mjs').Home>} start
 * @param {import('../security/attacks/host.mjs').Way} way in which its isolates send frames
 */
export function contractOfCalls(name, start, { sending }) {
  describe(`calls, on the ${name}`, () => {
    /** @type {import('./suite.mjs').Home} */
    let home;
    /** The ways to request a run. @type {Record<string, Way>} */
    let ways;
    before(async () => {
      home = await start();
      const client = await home.connect();
      const { session } = await home.run('1', 'new');
      ways = {
        alone: {
          run: (code) => home.run(code, undefined, TOOL),
          plain: home.run,
          begin: (code) => home.begin(code, undefined, TOOL),
        },
        'of a handle': {
          run: (code) => home.run(code, session, TOOL),
          plain: (code) => home.run(code, session),
          begin: (code) => home.begin(code, session, TOOL),
        },
        'of a client': {
          run: (code) => client.run(code, TOOL),
          plain: client.run,
          begin: (code) => client.begin(code, TOOL),
        },
      };
    });
    after(() => home?.stop());

    for (const way of ['alone', 'of a handle', 'of a client']) {
      describe(`a run ${way}`, () => {
        /** Runs a program and returns its value. @param {string} code */
        const value = async (code) => {
          const { status, return_value, error } = await soon(ways[way].run(code), code);
          assert.equal(status, 'success', error);
          return return_value;
        };

        test('is answered', async () => {
          const code = `from _host import call, call_sync
print('before')
caught = []
for failing in (lambda: call_sync('fail'), lambda: call_sync('other'), lambda: call_sync('echo', x=float('nan'))):
    try:
        failing()
    except Exception as error:
        caught.append(f'{type(error).__name__}: {error}')
[await call('echo', x=[1, 'ä"']), call_sync('echo', y=2**70), len(await call('long')), caught]`;
          assert.deepEqual(await value(code), [
            { x: [1, 'ä"'] },
            { y: 2 ** 70 },
            1_000_000,
            [
              "KeyError: 'no such key'",
              "PermissionError: this run may not call 'other'",
              'ValueError: Out of range float values are not JSON compliant: nan',
            ],
          ]);
        });

        test('is answered ten times at once, and a hundred times', async () => {
          const code = `import asyncio
from _host import call, call_sync
at_once = await asyncio.gather(*[call('echo', n=n) for n in range(10)])
one_by_one = [(await call('echo', n=n))['n'] + call_sync('echo', n=n)['n'] for n in range(100)]
[at_once == [{'n': n} for n in range(10)], one_by_one == [2 * n for n in range(100)]]`;
          assert.deepEqual(await value(code), [true, true]);
        });

        test('lets go of calls, and makes others', async () => {
          const code = `import asyncio
from _host import call
gone = 0
for n in range(5):
    try:
        await asyncio.wait_for(call('never'), 0.02)
    except TimeoutError:
        gone += 1
task = asyncio.ensure_future(call('never'))
await asyncio.sleep(0)
task.cancel()
[gone, await call('echo', x=1)]`;
          assert.deepEqual(await value(code), [5, { x: 1 }]);
        });

        test('makes no more than it may', async () => {
          const code = `import asyncio
from _host import call, call_sync
tasks = [asyncio.ensure_future(call('never')) for n in range(70)]
await asyncio.sleep(0.1)
caught = [repr(task.exception()) for task in tasks if task.done()]
for task in tasks:
    task.cancel()
await asyncio.sleep(0)
for arguments in ({'x': 'x' * 100_000}, {'x': [0] * 2000}):
    try:
        await call('echo', **arguments)
    except Exception as error:
        caught.append(repr(error))
for n in range(1000):
    making = call('echo')
    try:
        making.send(None)
    except Exception as error:
        caught.append(repr(error))
        break
    making.close()
caught`;
          const at_once = "RuntimeError('at most 64 calls may wait for their answers')";
          assert.deepEqual(await value(code), [
            ...Array(6).fill(at_once),
            "RuntimeError('the arguments are 100009 bytes long, and at most 100000 are allowed')",
            "ValueError('the arguments of `echo` may consist of 1000 values, and nest 50 levels deep')",
            "RuntimeError('a run may make at most 1000 calls')",
          ]);
        });

        test('waits in vain, and its time does not go by', async () => {
          for (const waiting of ["await call('never')", "call_sync('never')"]) {
            const start = performance.now();
            const { error } = await ways[way].run(`from _host import call, call_sync\n${waiting}`);
            assert.match(error, /TimeoutError: the call of `never` took longer than 4 s\n$/);
            assert.ok(performance.now() - start < 8000);
          }
          const start = performance.now();
          const busy =
            'import asyncio\nfrom _host import call\ntask = asyncio.ensure_future(call("never"))\nawait asyncio.sleep(0)\nwhile True: pass';
          const { error } = await ways[way].run(busy);
          assert.match(error, new RegExp(`TimeoutError: the run took longer than ${TIME_LIMIT} s\\n$`));
          assert.ok(performance.now() - start < (TIME_LIMIT + 2) * 1000, 'a loop beside a call uses time up');
          assert.deepEqual(await value('from _host import call\nawait call("echo")'), {});
        });

        test('is let go of while it waits', async () => {
          for (const waiting of ["await call('never')", "call_sync('never')", "while True: await call('echo')"]) {
            for (const moment of LONG ? [60, 120, 250, 500] : [60, 250]) {
              const going = ways[way].begin(`from _host import call, call_sync\n${waiting}`);
              await sleep(moment);
              await going.letGo();
              const what = `${waiting} at ${moment} ms`;
              assert.equal(
                (await soon(ways[way].run('from _host import call\n(await call("echo", x=1))["x"]'), what))
                  .return_value,
                1,
                what,
              );
              await soon(
                going.ended.catch(() => {}),
                what,
              );
            }
          }
        });

        test('is over before its answers come, which are nobody else’s', async () => {
          for (let n = 0; n < (LONG ? 10 : 4); n++) {
            const code = `import asyncio\nfrom _host import call\nasyncio.ensure_future(call('echo', n=${n}))\nawait asyncio.sleep(0)\n1`;
            assert.equal(await value(code), 1);
            assert.deepEqual(await value(`from _host import call\n[await call('echo', m=k) for k in range(3)]`), [
              { m: 0 },
              { m: 1 },
              { m: 2 },
            ]);
          }
        });

        test('finds nothing to call where it may not', async () => {
          await value('import builtins\nfrom _host import call\nbuiltins.kept = call\n1');
          const { error } = await ways[way].plain('import _host');
          assert.match(error, /ModuleNotFoundError: No module named '_host'/);
          const kept = await ways[way].plain('await kept("echo")');
          assert.match(kept.error, way === 'alone' ? /NameError/ : /PermissionError: this run may not call 'echo'/);
        });
      });
    }

    for (const [what, bytes, ends] of FORGED_CALLS) {
      test(`forged: ${what}`, async () => {
        const client = await home.connect();
        for (const run of [ways.alone.run, (/** @type {string} */ code) => client.run(code, TOOL)]) {
          const seen = JSON.stringify(await soon(run(sending(bytes)), what));
          assert.match(seen, new RegExp(`${ends.source}|did not end when it was told to`));
          assert.doesNotMatch(seen, /owned/);
        }
        const next = JSON.stringify(await soon(client.run('20 + 22'), what));
        assert.match(next, /"return_value":42|broke its protocol|lost/);
        await client.close();
      });
    }

    test('a program that answers itself has its own word, and the next its own answer', async () => {
      const client = await home.connect();
      for (let n = 0; n < 2; n++) {
        const { return_value, error } = await client.run(ANSWERS_ITSELF, TOOL);
        assert.deepEqual(return_value, ['owned', { x: 1 }], error);
      }
      await client.close();
    });

    test('the calls of one run are none of another’s', async () => {
      const waits = ways.alone.run("from _host import call\nawait call('never')");
      await sleep(1000);
      const forged = sending(`${JSON.stringify(`${OTHERS.join('\n')}\n`)}.encode()`);
      for (const { run } of Object.values(ways)) assert.match(JSON.stringify(await run(forged)), /broke its protocol/);
      assert.match((await waits).error, /the call of `never` took longer than 4 s/);
    });
  });
}
