// Sessions: what they keep, that they share nothing, how they end, and that they outlive the worker.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { answer, LEGACY, LegacyClient, modern, run, sharedWorker, sleep, startWorker } from './worker.mjs';

/** 128 bits in base 32, without letters that look alike. */
const HANDLE = /^[0-9a-hjkmnp-tv-z]{26}$/;
const LOST = /^The Python interpreter of this session was restarted/;

describe('sessions', () => {
  /** @type {Awaited<ReturnType<typeof sharedWorker>>} */
  let worker;
  before(async () => {
    worker = await sharedWorker();
  });
  after(() => worker?.stop());

  /** Ends a session; returns the tool's text, and whether it is an error. @param {string} session */
  const end = async (session) => {
    const { result } = await answer(
      await modern(worker.url, 'tools/call', { name: 'end_python_session', arguments: { session } }),
    );
    return [result.isError ?? false, result.content[0].text];
  };

  test('a legacy session keeps files and modules, not variables', async () => {
    const client = await LegacyClient.connect(worker.url);
    await client.run('import math\nmath.mark = 1\nopen("kept.txt", "w").write("kept")\nx = 1');
    const { return_value, output } = await client.run(
      'import sys\n[open("kept.txt").read(), sys.modules["math"].mark, "x" in globals()]',
    );
    assert.deepEqual(return_value, ['kept', 1, false]);
    assert.deepEqual(output, []);
  });

  test('sessions share nothing, also when their runs overlap', async () => {
    const clients = await Promise.all(Array.from({ length: 4 }, () => LegacyClient.connect(worker.url)));
    assert.equal(new Set(clients.map(({ session }) => session)).size, 4);
    const results = await Promise.all(
      clients.map((client, n) =>
        client.run(`
import asyncio, builtins, os, time
builtins.owner = getattr(builtins, "owner", []) + [${n}]
with open("owner.txt", "a") as file: file.write("${n}")
end = time.time() + 0.3
i = 0
# However busy the machine is.
while time.time() < end or i < 30_000:
    print("${n}")
    for _ in range(10_000): i += 1
await asyncio.sleep(0.05)
[builtins.owner, open("owner.txt").read()]`),
      ),
    );
    for (const [n, { return_value, output }] of results.entries()) {
      assert.deepEqual(return_value, [[n], `${n}`]);
      assert.ok(output.length > 1 && output.every((/** @type {string} */ line) => line === `${n}`));
    }
  });

  test('a session takes its calls one after the other', async () => {
    const client = await LegacyClient.connect(worker.url);
    const code = 'import asyncio\nprint("a", end="")\nawait asyncio.sleep(0.1)\nprint("b")';
    const results = await Promise.all(Array.from({ length: 5 }, () => client.run(code)));
    for (const { output } of results) assert.deepEqual(output, ['ab']);
  });

  test('a deleted session is gone, and an unknown one never was', async () => {
    const client = await LegacyClient.connect(worker.url);
    await client.run('open("f", "w").close()');
    const gone = await fetch(worker.url, { method: 'DELETE', headers: client.headers });
    assert.ok(gone.ok, String(gone.status));
    for (const session of [client.session, '0'.repeat(64), 'no such session', '../../etc']) {
      const other = new LegacyClient(worker.url, session, LEGACY);
      const { status, error } = await answer(await other.request('tools/list'));
      assert.equal(status, 404, session ?? '');
      assert.equal(typeof error.code, 'number');
    }
  });

  test('a session by handle keeps variables, too', async () => {
    const { session } = await run(worker.url, 'import math\nx = [1]\nopen("f", "w").write("file")', { session: 'new' });
    assert.match(session, HANDLE);
    const next = await run(worker.url, 'x.append(math.pi > 3)\n[x, open("f").read()]', { session });
    assert.deepEqual(next.return_value, [[1, true], 'file']);
    assert.equal(next.session, session);
    const other = await run(worker.url, '"x" in globals()', { session: 'new' });
    assert.equal(other.return_value, false);
    assert.notEqual(other.session, session);
  });

  test('the text of a result has the handle, last', async () => {
    const args = { name: 'run_python_code', arguments: { python_code: '1 + 1', session: 'new' } };
    const { result } = await answer(await modern(worker.url, 'tools/call', args));
    const { session } = result.structuredContent;
    const text = '<status>success</status>\n<return_value>\n2\n</return_value>';
    assert.equal(result.content[0].text, `${text}\n<session>${session}</session>`);
    args.arguments.session = session;
    const next = await answer(await modern(worker.url, 'tools/call', args));
    assert.ok(next.result.content[0].text.endsWith(`<session>${session}</session>`));
    const { session: _, ...fresh } = args.arguments;
    const none = await answer(await modern(worker.url, 'tools/call', { ...args, arguments: fresh }));
    assert.equal(none.result.content[0].text, text);
  });

  test('only a handle that was given out opens a session', async () => {
    const legacy = await LegacyClient.connect(worker.url);
    for (const session of ['0'.repeat(64), '0'.repeat(26), 'nonsense', '', legacy.session]) {
      const args = { name: 'run_python_code', arguments: { python_code: '1', session } };
      const { error } = await answer(await modern(worker.url, 'tools/call', args));
      assert.equal(error?.code, -32602, `${session}`);
      assert.match(error.message, /session/);
    }
    // Nor is a handle an Mcp-Session-Id.
    const { session } = await run(worker.url, '1', { session: 'new' });
    const other = new LegacyClient(worker.url, session, LEGACY);
    assert.equal((await answer(await other.request('tools/list'))).status, 404);
  });

  test('a session is ended by its handle, with the run that goes on, and once', async () => {
    const { session } = await run(worker.url, 'x = 1', { session: 'new' });
    const running = run(worker.url, 'import time\ntime.sleep(30)', { session });
    await sleep(500);
    const start = performance.now();
    assert.deepEqual(await end(session), [false, 'the session has ended, with its variables and files']);
    assert.match((await running).error, /^the sandbox was lost/);
    assert.ok(performance.now() - start < 5000);
    const why = 'this session has ended, with its variables and files: that was asked for; start one with "new"';
    assert.equal((await run(worker.url, 'x', { session })).error, why);
    assert.deepEqual(await end(session), [false, why]);
    for (const none of ['0'.repeat(26), 'new', 'nonsense', ''])
      assert.deepEqual(await end(none), [true, 'there is no such session'], none);
  });

  test('a lost interpreter is replaced, and the next result says so', async () => {
    const client = await LegacyClient.connect(worker.url);
    await client.run('open("f", "w").close()');
    const lost = await client.run('print("last words")\nimport os\nos._exit(7)');
    assert.equal(lost.status, 'run-error');
    assert.deepEqual(lost.output, ['last words']);
    assert.match(lost.error, /ended the interpreter.*7/);
    const next = await client.run('import os\nos.path.exists("f")');
    assert.equal(next.return_value, false);
    assert.match(next.output[0], LOST);
    assert.deepEqual((await client.run('1')).output, []);
  });
});

describe('a session in time', () => {
  test('it survives a restart of the worker, without its interpreter', async () => {
    const state = mkdtempSync(join(tmpdir(), 'sessions-'));
    try {
      const first = await startWorker({}, state);
      const client = await LegacyClient.connect(first.url);
      const { session } = await run(first.url, 'x = 1', { session: 'new' });
      await client.run('open("f", "w").close()');
      await first.stop();
      const second = await startWorker({}, state);
      try {
        const { return_value, output } = await new LegacyClient(second.url, client.session, LEGACY).run('40 + 2');
        assert.equal(return_value, 42);
        assert.match(output[0], LOST);
        const byHandle = await run(second.url, '"x" in globals()', { session });
        assert.equal(byHandle.return_value, false);
        assert.match(byHandle.output[0], LOST);
      } finally {
        await second.stop();
      }
    } finally {
      rmSync(state, { recursive: true, force: true });
    }
  });

  test('it ends when it is idle, and not before', async () => {
    const worker = await startWorker({ SESSION_IDLE_SECONDS: '3' });
    try {
      const client = await LegacyClient.connect(worker.url);
      const { session } = await run(worker.url, 'x = 1', { session: 'new' });
      for (let i = 0; i < 3; i++) {
        await sleep(1500);
        assert.equal((await client.run('1')).return_value, 1);
        assert.deepEqual((await run(worker.url, 'x', { session })).output, []);
      }
      await sleep(6000);
      assert.equal((await answer(await client.request('ping'))).status, 404);
      const why = /this session has ended, with its variables and files: it was idle for 3 s; start one with "new"/;
      assert.match((await run(worker.url, 'x', { session })).error, why);
    } finally {
      await worker.stop();
    }
  });

  test('without sessions, legacy clients are served call by call', async () => {
    const worker = await startWorker({ LEGACY_SESSIONS: 'false' });
    try {
      const client = await LegacyClient.connect(worker.url);
      assert.equal(client.session, null);
      assert.equal((await client.run('import builtins\nbuiltins.mark = 1\n1 + 1')).return_value, 2);
      assert.equal((await client.run('import builtins\nhasattr(builtins, "mark")')).return_value, false);
      assert.equal((await fetch(worker.url, { headers: { accept: 'text/event-stream' } })).status, 405);
      assert.equal((await fetch(worker.url, { method: 'DELETE' })).status, 405);
    } finally {
      await worker.stop();
    }
  });
});
