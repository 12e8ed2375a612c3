// Programs that wait on their stack (`run_sync`) for promises of JavaScript, whether those resolve, fail or never settle.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { LegacyClient, modern, run, sleep, startWorker, timed } from './worker.mjs';

const IMPORTS = 'import asyncio, js, time\nfrom pyodide.ffi import run_sync\n';
const NEVER = 'run_sync(js.Promise.withResolvers().promise)';

describe('waiting on a stack', () => {
  /** @type {Awaited<ReturnType<typeof startWorker>>} */
  let worker;
  before(async () => {
    worker = await startWorker({ TIME_LIMIT_SECONDS: '2' });
  });
  after(() => worker?.stop());

  test('promises that JavaScript resolves come back, hundreds of times, and the interpreter lives', async () => {
    const code = `${IMPORTS}
for i in range(150):
    p = js.Promise.withResolvers()
    js.setTimeout(p.resolve, 0)
    run_sync(p.promise)
kept = "alive"`;
    const { session } = await run(worker.url, '1', { session: 'new' });
    for (let i = 0; i < 12; i++) {
      const { status, error } = await run(worker.url, code, { session });
      assert.equal(status, 'success', error);
    }
    assert.equal((await run(worker.url, 'kept', { session })).return_value, 'alive');
  });

  test('what a promise gives or throws arrives', async () => {
    const code = `${IMPORTS}
from pyodide.ffi import JsException
found = [run_sync(js.Promise.resolve(i)) for i in range(3)]
try:
    run_sync(js.Promise.reject(js.Error.new("no")))
except JsException as error:
    found.append(str(error))
async def ask(i):
    p = js.Promise.withResolvers()
    js.setTimeout(p.resolve, 10 * i, i)
    return run_sync(p.promise)
[*found, await asyncio.gather(*map(ask, range(4)))]`;
    const { return_value, error } = await run(worker.url, code);
    assert.deepEqual(return_value, [0, 1, 2, 'Error: no', [0, 1, 2, 3]], error);
  });

  for (const [wait, line = wait] of [
    [NEVER],
    ['await js.Promise.withResolvers().promise'],
    ['run_sync(asyncio.Event().wait())'],
    ['asyncio.run(asyncio.Event().wait())'],
    ['import queue; queue.Queue().get()'],
    [`async def f(): ${NEVER}\nawait asyncio.gather(f(), f())`, 'await asyncio.gather(f(), f())'],
    ['async def f(): time.sleep(100)\nawait asyncio.gather(f(), f())', 'await asyncio.gather(f(), f())'],
  ]) {
    test(`ends at the limit, and its session's interpreter lives: ${wait.replace('\n', '; ')}`, async () => {
      const { session } = await run(worker.url, 'kept = "alive"', { session: 'new' });
      const code = `${IMPORTS}print("begun")\n${wait}\nprint("went on")`;
      /** @type {any} */
      let ended;
      const took = await timed(async () => {
        ended = await run(worker.url, code, { session });
      });
      assert.equal(ended.status, 'run-error');
      assert.match(ended.error, /TimeoutError: the run took longer than 2 s\n$/);
      assert.ok(ended.error.includes(line), `not where it waited: ${ended.error}`);
      assert.equal(ended.output[0], 'begun');
      assert.ok(!ended.output.includes('went on'));
      assert.ok(took > 2000 && took < 6000, `${took} ms`);
      assert.equal((await run(worker.url, 'kept', { session })).return_value, 'alive');
    });
  }

  test('it may clean up, waiting again', async () => {
    const code = `${IMPORTS}
try:
    ${NEVER}
except TimeoutError as error:
    time.sleep(0.1)
    run_sync(asyncio.sleep(0.1))
    await asyncio.sleep(0.1)
    print("cleaned up")
    raise`;
    const { output, error } = await run(worker.url, code);
    assert.match(error, /TimeoutError/);
    assert.deepEqual(output, ['cleaned up']);
  });

  test('a stop ends it, and its interpreter lives', async () => {
    const client = await LegacyClient.connect(worker.url);
    await client.run('import sys; sys.kept = "alive"');
    const params = { name: 'run_python_code', arguments: { python_code: IMPORTS + NEVER } };
    const running = client.send({ id: 77, method: 'tools/call', params }).then((response) => response.text());
    await sleep(500);
    await client.send({ method: 'notifications/cancelled', params: { requestId: 77, reason: 'test' } });
    assert.doesNotMatch(await running, /"result"/);
    assert.equal((await client.run('import sys; sys.kept')).return_value, 'alive');
  });

  test('who runs beside it is served', async () => {
    const params = { name: 'run_python_code', arguments: { python_code: IMPORTS + NEVER } };
    const waiting = modern(worker.url, 'tools/call', params).then((response) => response.text());
    assert.equal((await run(worker.url, '1 + 1')).return_value, 2);
    assert.match(await waiting, /TimeoutError/);
  });
});
