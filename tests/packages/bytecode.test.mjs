// Packages are compiled after the first run that fetched them: the next run finds bytecode, and nothing else changes.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { LegacyClient, run, sleep, startWorker } from '../edge/worker.mjs';

/** @type {Awaited<ReturnType<typeof startWorker>>} */
let worker;
let state = '';
before(async () => {
  state = mkdtempSync(join(tmpdir(), 'bytecode-'));
  worker = await startWorker({}, state);
});
after(async () => {
  await worker?.stop();
  rmSync(state, { recursive: true, force: true });
});

/** How long it may take to compile a small package on a busy machine, in milliseconds. */
const PATIENCE = 60_000;

/** Returns how many of the packages' imported sources have bytecode, and how many do not. */
const SOURCES = `
import os, sys
loaded = [m.__spec__ for m in list(sys.modules.values()) if (getattr(m, '__file__', None) or '').startswith('/lib/python3.14/packages')]
[len([s for s in loaded if os.path.exists(s.cached)]), len([s for s in loaded if not os.path.exists(s.cached)])]`;

/** Waits until everything that `imports` imports has bytecode. @param {(code: string) => Promise<any>} ask @param {string} imports */
async function compiled(ask, imports) {
  const until = Date.now() + PATIENCE;
  for (;;) {
    const { return_value, error } = await ask(`${imports}\n${SOURCES}`);
    assert.ok(return_value, error);
    const [have, lack] = return_value;
    if (lack === 0) return assert.ok(have > 0);
    assert.equal(have, 0, 'a package is compiled as a whole');
    assert.ok(Date.now() < until, 'it was not compiled in time');
    await sleep(200);
  }
}

const ask = (/** @type {string} */ code) => run(worker.url, code);

test('the next run has bytecode, with the same tracebacks', { timeout: 240_000 }, async () => {
  const broken = 'import mpmath\nmpmath.mpf("x")';
  const { error: before } = await ask(broken);
  assert.match(before, /File "\/lib\/python3.14\/packages\/mpmath\/ctx_mp_python.py", line \d+, in /);
  await compiled(ask, 'import mpmath');
  const { error: after } = await ask(broken);
  assert.equal(after, before);
  const { return_value } = await ask('import inspect, mpmath\ninspect.getsource(mpmath.ctx_mp).splitlines()[0]');
  assert.equal(return_value, '"""', 'its source is there, too');
});

test('in a session of the legacy protocol as well', { timeout: 120_000 }, async () => {
  // Each attempt is in a new session: a run without a session would trigger the compilation, too.
  await compiled(async (code) => (await LegacyClient.connect(worker.url)).run(code), 'import attr');
});

test('what a program does to its interpreter is in no bytecode', { timeout: 120_000 }, async () => {
  const { status, error } = await ask(`
import six, builtins, importlib.util, py_compile, os
def evil(*a, **k):
    raise SystemExit('evil')
py_compile.compile = builtins.compile = importlib.util.cache_from_source = evil
try:
    os.makedirs('/lib/python3.14/packages/__pycache__')
    raise AssertionError('packages can be written')
except OSError:
    pass`);
  assert.equal(status, 'success', error);
  await compiled(ask, 'import six');
  const { return_value } = await ask('import six\nsix.PY3');
  assert.equal(return_value, true);
});

test('another process finds it', { timeout: 120_000 }, async () => {
  await worker.stop();
  worker = await startWorker({}, state);
  const { return_value, error } = await ask(`import mpmath, six\n${SOURCES}`);
  assert.ok(return_value, error);
  assert.equal(return_value[1], 0);
  assert.ok(return_value[0] > 0);
});
