// Mirrors that lie, hang and never end; and what runs and sessions share of packages, and what not.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { LegacyClient, residentMemory, run, startWorker, timed } from '../edge/worker.mjs';
import { behaviours, startMirror } from './mirror.mjs';

/** @type {Awaited<ReturnType<typeof startMirror>>} */
let first;
/** @type {Awaited<ReturnType<typeof startMirror>>} */
let second;
/** @type {Awaited<ReturnType<typeof startWorker>>} */
let worker;
let state = '';

before(async () => {
  const { tampers, lies, hangs, stalls, endless, missing, breaks, circles } = behaviours;
  const slow = (/** @type {import('node:http').ServerResponse} */ response, /** @type {Buffer} */ bytes) =>
    void setTimeout(() => response.end(bytes), 500);
  first = await startMirror({
    six: slow,
    jiter: tampers,
    cycler: lies,
    click: hangs,
    sniffio: stalls,
    idna: endless,
    certifi: missing,
    regex: breaks,
    threadpoolctl: circles,
    distro: tampers,
  });
  second = await startMirror({ jiter: tampers });
  // A new folder, in which nothing is cached yet.
  state = mkdtempSync(join(tmpdir(), 'packages-'));
  worker = await startWorker({ PACKAGES: 'lock', PACKAGE_MIRRORS: `${first.url},${second.url}` }, state);
});

after(async () => {
  await worker?.stop();
  await first?.stop();
  await second?.stop();
  rmSync(state, { recursive: true, force: true });
});

test('a wheel with one bit changed is refused, and the run not started', async () => {
  const { status, error, output } = await run(worker.url, 'print("started")\nimport jiter');
  assert.equal(status, 'install-error');
  assert.match(error, /Cannot install jiter 0\.13\.0: .*sha256 is [0-9a-f]{64} and not [0-9a-f]{64}/);
  for (const mirror of [first, second]) assert.ok(error.includes(mirror.url), error);
  assert.ok(!output.includes('started'));
  assert.ok(output.length > 0);
});

for (const [name, what] of /** @type {const} */ ([
  ['cycler', 'gives another file'],
  ['certifi', 'has nothing'],
  ['idna', 'never ends'],
  ['regex', 'breaks off'],
  ['threadpoolctl', 'redirects in circles'],
  ['distro', 'changes a byte'],
  ['click', 'hangs'],
  ['sniffio', 'stops in the middle'],
])) {
  test(`a mirror that ${what} costs a moment, and the next one is asked`, { timeout: 60_000 }, async () => {
    const code = `import ${name}; ${name}.__name__`;
    const took = await timed(async () =>
      assert.deepEqual(await run(worker.url, code), { status: 'success', output: [], return_value: name }),
    );
    assert.ok(took < 30_000, `${took} ms`);
    assert.equal(second.asked.get(name), 1);
  });
}

test('five runs that need a wheel at once fetch it once', async () => {
  const runs = await Promise.all(Array.from({ length: 5 }, () => run(worker.url, 'import six; six.PY3')));
  for (const result of runs) assert.equal(result.return_value, true, JSON.stringify(result));
  assert.equal(first.asked.get('six'), 1);
  assert.equal(second.asked.get('six'), undefined);
});

test('a package of one session is not there in another, nor in a run that did not ask', async () => {
  const one = await LegacyClient.connect(worker.url);
  const two = await LegacyClient.connect(worker.url);
  assert.equal((await one.run('import six; six.PY3')).return_value, true);
  const look = 'import importlib.util; importlib.util.find_spec("si" + "x") is None';
  assert.equal((await two.run(look)).return_value, true);
  assert.equal((await run(worker.url, look)).return_value, true);
  // The first session still has it.
  assert.equal((await one.run(look)).return_value, false);
});

test('a session that needs more packages keeps its files, and says what it loses', async () => {
  const session = await LegacyClient.connect(worker.url);
  await session.run('import six; open("kept.txt", "w").write("here")');
  const result = await session.run('import numpy; open("kept.txt").read(), numpy.arange(3).sum()');
  assert.deepEqual(result.return_value, ['here', 3], JSON.stringify(result));
  assert.match(result.output.join('\n'), /restarted to add packages/);
  const again = await session.run('import six, numpy; six.PY3');
  assert.deepEqual(again, { status: 'success', output: [], return_value: true });
});

test('what is not in the lock file is for Python to miss', async () => {
  const { status, error } = await run(worker.url, 'import no_such_module_anywhere');
  assert.equal(status, 'run-error');
  assert.match(error, /ModuleNotFoundError/);
});

test('ten sets of packages leave no memory behind', { timeout: 120_000 }, async () => {
  const names = ['numpy', 'PIL', 'lxml', 'regex', 'six', 'contourpy', 'kiwisolver', 'click', 'packaging', 'requests'];
  const use = async () => {
    for (const name of names) {
      const result = await run(worker.url, `import ${name}; 1`);
      assert.equal(result.return_value, 1, JSON.stringify(result));
    }
    return residentMemory(worker.pid);
  };
  const before = await use();
  const later = await use();
  assert.ok(later < before + 100, `${before} MB, then ${later} MB`);
});
