// Supervision of processes: the effects of one run on others, and what is left when something ends.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { meta, sleep, timed } from '../edge/worker.mjs';
import { exists, StdioClient, start, Temporary, until, workerds } from './desk.mjs';

/** A loop in C: nothing in the interpreter can check the time limit. */
const IN_C = 'sum(range(10**12))';

/** @param {StdioClient} client */
const pid = (client) => client.child.pid ?? 0;

/** Asserts that the time since `start` is from `least` to `most` milliseconds. @param {number} start @param {number} least @param {number} most */
function inTime(start, least, most) {
  const took = performance.now() - start;
  assert.ok(took >= least && took < most, `${took} ms, instead of ${least} to ${most}`);
}

describe('supervision', () => {
  /** @type {Temporary} */
  let temporary;
  /** @param {string[]} args */
  const connect = async (...args) => {
    const client = new StdioClient(args, { TMPDIR: temporary.path });
    await client.initialize();
    return client;
  };
  before(() => {
    temporary = new Temporary();
  });
  after(() => temporary.remove());

  test('a loop in C is ended, and meanwhile everybody else is served', async () => {
    await using client = await connect('--time-limit', '6', '--processes', '2');
    await client.run('open("f", "w").close()');
    const start = performance.now();
    const stuck = client.run(IN_C);
    await sleep(1500);
    const answered = Promise.all([
      timed(() => client.request('ping')),
      timed(() => client.request('tools/list')),
      timed(async () => assert.equal((await client.run('1 + 1', {}, meta())).return_value, 2)),
      timed(async () => assert.equal((await client.run('2 + 2', { session: 'new' })).return_value, 4)),
    ]);
    const first = await Promise.race([answered, stuck.then(() => 'the loop ended first')]);
    assert.ok(Array.isArray(first), `${first}`);
    assert.ok(first[0] < 3000 && first[1] < 3000, `ping and tools/list took ${first}`);
    const { status, error } = await stuck;
    assert.equal(status, 'run-error');
    assert.match(error, /TimeoutError: the run took longer than 6 s/);
    // The run's limit, its grace of 1 s, and the time that the watchdog takes to end a process on a busy machine.
    inTime(start, 6000, 14_000);
    const next = await client.run('import os\nos.path.exists("f")');
    assert.equal(next.return_value, false);
    assert.match(next.output[0], /restarted/);
  });

  test('a loop in Python is stopped from within, and nothing is lost', async () => {
    await using client = await connect('--time-limit', '2');
    await client.run('open("f", "w").close()');
    const processes = workerds(pid(client));
    const start = performance.now();
    const { error } = await client.run('while True: pass');
    assert.match(error, /TimeoutError/);
    inTime(start, 2000, 5000);
    const next = await client.run('import os\nos.path.exists("f")');
    assert.deepEqual([next.return_value, next.output], [true, []]);
    assert.ok(processes.every((process) => exists(process)));
  });

  test('while all hold too much memory, the idle session that holds most loses its interpreter', async () => {
    await using client = await connect('--set', 'MEMORY_LIMIT_TOTAL_MB=1000');
    /** @param {number} megabytes @param {string} session */
    const hold = (megabytes, session) => client.run(`held = b'x' * (${megabytes} << 20)\nlen(held)`, { session });
    const large = await hold(400, 'new');
    const small = await hold(20, 'new');
    assert.equal((await hold(400, 'new')).status, 'success');
    await sleep(3000);
    const length = 'len(held) >> 20 if "held" in globals() else None';
    const kept = await client.run(length, { session: small.session });
    assert.deepEqual([kept.return_value, kept.output], [20, []]);
    const lost = await client.run(length, { session: large.session });
    assert.equal(lost.return_value, null);
    assert.match(lost.output[0], /restarted/);
  });

  test('a process that is nearly full loses idle interpreters, and no run its memory', async () => {
    // The process may have 4 GB, each interpreter 1 GB.
    await using client = await connect('--processes', '1');
    for (let n = 0; n < 14; n++) {
      const { status, error } = await client.run('held = b"x" * (300 << 20)\nlen(held)', { session: 'new' });
      assert.equal(status, 'success', error);
    }
  });

  test('a cancelled run ends, also one that does nothing but C', async () => {
    await using client = await connect();
    for (const code of ['while True: pass', IN_C]) {
      client.send({
        id: 'c',
        method: 'tools/call',
        params: { name: 'run_python_code', arguments: { python_code: code } },
      });
      await sleep(500);
      const start = performance.now();
      client.send({ method: 'notifications/cancelled', params: { requestId: 'c' } });
      assert.equal((await client.run('1 + 1')).return_value, 2);
      // Without the cancellation, the run would take its limit of 60 s.
      inTime(start, 0, 15_000);
      assert.deepEqual(client.notifications, []);
    }
  });

  test('a run that is interrupted while it is being sent ends', async () => {
    await using client = new StdioClient([], { MCP_RUN_PYTHON_LIBRARY: '1' });
    await client.initialize();
    for (let n = 0; n < 20; n++) {
      const start = performance.now();
      let going = true;
      const running = client.run('import time\ntime.sleep(20)').finally(() => {
        going = false;
      });
      // Interrupts as often as possible, until the answer says that there was a run.
      for (let stopped = false; going && !stopped; await new Promise(setImmediate)) {
        const told = client.answered('interrupt');
        client.send({ id: 'interrupt', method: 'interrupt' });
        stopped = (await told).result.interrupted;
      }
      const { error } = await running;
      assert.match(error ?? '', /KeyboardInterrupt/);
      inTime(start, 0, 5000);
    }
  });

  test('kill -9 of a workerd: its runs fail, the next call works', async () => {
    await using client = await connect('--processes', '2');
    await client.run('1');
    const [victim] = workerds(pid(client));
    const running = client.run('import time\ntime.sleep(30)');
    await sleep(500);
    const start = performance.now();
    process.kill(victim, 'SIGKILL');
    const { status, error } = await running;
    inTime(start, 0, 5000);
    assert.equal(status, 'run-error');
    assert.match(error, /workerd ended \(signal 9\)/);
    const next = await client.run('1 + 1');
    assert.equal(next.return_value, 2);
    assert.match(next.output[0], /restarted/);
    await until(() => !exists(victim), 'the process is gone');
  });

  test('memory has a limit, and who meets it loses only his own', async () => {
    await using client = await connect('--set', 'TIME_LIMIT_SECONDS=20');
    const start = performance.now();
    const { status } = await client.run('x = []\nwhile True: x.append(bytearray(50_000_000))');
    assert.equal(status, 'run-error');
    inTime(start, 0, 15_000);
    assert.equal((await client.run('1 + 1')).return_value, 2);
  });

  for (const [how, signal] of /** @type {[string, NodeJS.Signals | null][]} */ ([
    ['the end of its input', null],
    ['SIGTERM', 'SIGTERM'],
    ['SIGINT', 'SIGINT'],
    ['SIGHUP', 'SIGHUP'],
    ['kill -9', 'SIGKILL'],
  ])) {
    test(`${how} leaves no process and no file`, async () => {
      await using client = await connect();
      await client.run('1');
      const processes = workerds(pid(client));
      assert.ok(processes.length > 0);
      client.send({
        id: 'r',
        method: 'tools/call',
        params: { name: 'run_python_code', arguments: { python_code: 'import time\ntime.sleep(1)' } },
      });
      await sleep(200);
      if (signal) client.child.kill(signal);
      else client.child.stdin.end();
      assert.equal(await client.ended, signal === 'SIGKILL' ? 'SIGKILL' : 0);
      await until(() => !processes.some(exists), 'all processes are gone');
      await until(() => temporary.left.length === 0, `no file is left: ${temporary.left}`);
    });
  }

  test('a client that no longer reads ends it', async () => {
    const child = start(['stdio'], { TMPDIR: temporary.path });
    const ended = new Promise((resolve) => child.on('exit', resolve));
    child.stdout.destroy();
    child.stdin.on('error', () => {});
    child.stdin.write('{"jsonrpc":"2.0","id":1,"method":"ping"}\n{"jsonrpc":"2.0","id":2,"method":"ping"}\n');
    assert.equal(await ended, 0);
    await until(() => temporary.left.length === 0, 'no file is left');
  });
});
