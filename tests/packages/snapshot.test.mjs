// A snapshot is made of each set of packages after its first run: the next run starts from it, and nothing else changes.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { run, sleep, startWorker } from '../edge/worker.mjs';

const SETTINGS = { SNAPSHOTS_LIMIT_MB: '256' };

/** @type {Awaited<ReturnType<typeof startWorker>>} */
let worker;
let state = '';
before(async () => {
  state = mkdtempSync(join(tmpdir(), 'snapshot-'));
  worker = await startWorker(SETTINGS, state);
});
after(async () => {
  await worker?.stop();
  rmSync(state, { recursive: true, force: true });
});

/** How long compiling and making the snapshot may take on a busy machine, in milliseconds. */
const PATIENCE = 180_000;

const ask = (/** @type {string} */ code) => run(worker.url, code);

/** Runs code, which must succeed, and returns its value. @param {string} code */
async function value(code) {
  const { status, return_value, error } = await ask(code);
  assert.equal(status, 'success', error);
  return return_value;
}

/** Whether a fresh interpreter for these imports has the module before it imports anything. @param {string} module @param {string} imports */
const starts = (module, imports) =>
  value(`import sys\nhad = ${JSON.stringify(module)} in sys.modules\n${imports}\nhad`);

/** Waits until an interpreter for these imports starts with the module. @param {string} module @param {string} imports */
async function made(module, imports) {
  const until = Date.now() + PATIENCE;
  while (!(await starts(module, imports))) {
    assert.ok(Date.now() < until, 'no snapshot was made in time');
    // Making a snapshot gives way to runs: leave it some time.
    await sleep(3000);
  }
}

test('the next run starts from a snapshot, and behaves as before', { timeout: 300_000 }, async () => {
  const program = `
import numpy as np, pandas as pd, io, warnings
frame = pd.DataFrame({'a': np.arange(4), 'b': list('abcd')})
out = io.StringIO()
frame.to_csv(out)
[frame.a.sum().item(), out.getvalue().splitlines()[0], str(frame.dtypes['b']), sorted(k for k in globals() if not k.startswith('__'))]`;
  const before = await value(program);
  const broken = 'import pandas\npandas.DataFrame({"a": [1]})["b"]';
  const { error: traceback } = await ask(broken);
  assert.equal(await starts('pandas', 'import pandas'), false);
  await made('pandas', 'import pandas');
  assert.deepEqual(await value(program), before);
  assert.equal((await ask(broken)).error, traceback);
  assert.match(traceback, /File "\/lib\/python3.14\/packages\/pandas\/core\/frame.py", line \d+, in __getitem__/);
});

test('it serves whoever needs more, too', { timeout: 120_000 }, async () => {
  assert.equal(await starts('pandas', 'import pandas, six, regex'), true);
  assert.equal(
    await value('import pandas, regex\nregex.match("a+", "aab").group() + str(pandas.Series([1]).sum())'),
    'aa1',
  );
});

test('nobody gets packages that he did not ask for', { timeout: 120_000 }, async () => {
  for (const imports of ['', 'import numpy']) assert.equal(await starts('pandas', imports), false, imports);
  assert.equal(await value('import importlib.util\nimportlib.util.find_spec("pan" + "das")'), null);
});

test('a session starts from it', { timeout: 120_000 }, async () => {
  const code = 'import sys\nhad = "pandas" in sys.modules\nimport pandas\nhad';
  const first = await run(worker.url, code, { session: 'new' });
  assert.equal(first.return_value, true, JSON.stringify(first));
  const next = await run(worker.url, 'pandas.Series([had]).all().item()', { session: first.session });
  assert.equal(next.return_value, true, JSON.stringify(next));
});

test('what a program does to its interpreter is in no snapshot', { timeout: 300_000 }, async () => {
  const evil = `
import sys, types, builtins, numpy, scipy
def evil(*a, **k):
    raise SystemExit('evil')
numpy.sum = builtins.sum = sys.modules['scipy.evil'] = evil
sys.modules['json'] = types.ModuleType('json')
import importlib
importlib.import_module = evil
open('left.txt', 'w').write('left')`;
  const { status, error } = await ask(evil);
  assert.equal(status, 'success', error);
  await made('scipy', 'import numpy, scipy');
  const left = await value(`
import sys, os, json, numpy, scipy
[numpy.sum([1, 2]).item(), sum([1]), 'scipy.evil' in sys.modules, os.path.exists('left.txt'), json.dumps([])]`);
  assert.deepEqual(left, [3, 1, false, false, '[]']);
});

test('nothing random is the same in two interpreters', { timeout: 600_000 }, async () => {
  /** Imports, and a list of random draws. @type {Record<string, [string, string]>} */
  const sets = {
    numpy: [
      'import numpy as np',
      '[np.random.rand(), np.random.default_rng().random(), np.random.get_state()[1][0].item()]',
    ],
    scipy: ['import numpy, scipy.stats', '[float(scipy.stats.norm.rvs()), float(scipy.stats.uniform().rvs())]'],
    pandas: ['import pandas as pd', '[pd.Series(range(10**6)).sample(3).tolist()]'],
  };
  for (const [module, [imports, drawn]] of Object.entries(sets)) {
    await made(module, imports);
    const draw = () =>
      value(`
import os, random, secrets, tempfile, uuid
${imports}
[random.random(), str(uuid.uuid4()), str(uuid.uuid1())[-12:], tempfile.mktemp(), secrets.token_hex(), os.urandom(8).hex()] + ${drawn}`);
    const [one, other] = [await draw(), await draw()];
    for (const [i, value] of one.entries()) assert.notDeepEqual(value, other[i], `${module}: ${i}: ${value}`);
  }
});

test('another process finds it', { timeout: 120_000 }, async () => {
  await worker.stop();
  worker = await startWorker(SETTINGS, state);
  assert.equal(await starts('pandas', 'import pandas'), true);
});

test('where memory has a budget there is none', { timeout: 240_000 }, async () => {
  const deployed = await startWorker({ ...SETTINGS, MEMORY_BUDGET_MB: '112' });
  try {
    const starts = async () => {
      const { return_value, error } = await run(
        deployed.url,
        'import sys\nhad = "attr" in sys.modules\nimport attr, os\n[had, os.path.exists(attr.__spec__.cached)]',
      );
      assert.ok(return_value, error);
      return return_value;
    };
    const until = Date.now() + PATIENCE;
    while (!(await starts())[1] && Date.now() < until) await sleep(500);
    await sleep(3000);
    assert.deepEqual(await starts(), [false, true]);
  } finally {
    await deployed.stop();
  }
});
