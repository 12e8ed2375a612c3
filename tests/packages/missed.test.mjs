// Packages that a program turns out to need only while it runs: it is run again with them, once, if that cannot be noticed.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { answer, LegacyClient, meta, modern, run, startWorker } from '../edge/worker.mjs';
import { COMPILED } from './compiled.mjs';

/** @type {Awaited<ReturnType<typeof startWorker>>} */
let worker;
before(async () => {
  worker = await startWorker({ DENIED_PACKAGES: 'tiktoken', TIME_LIMIT_SECONDS: '300' }, COMPILED);
});
after(() => worker?.stop());

const SIX = 'import importlib\nsix = importlib.import_module("s" + "ix")\n';
const ADVICE = /add `import six` at the top of it/;

/** Runs code; returns its result, and the log messages about packages. @param {string} code */
async function tell(code) {
  const _meta = meta({ 'io.modelcontextprotocol/logLevel': 'info' });
  const params = { name: 'run_python_code', arguments: { python_code: code }, _meta };
  const { result, notifications } = await answer(await modern(worker.url, 'tools/call', params));
  const told = notifications.filter(({ params }) => params.logger === 'packages').map(({ params }) => params.data);
  return { ...result.structuredContent, told };
}

test('a module whose name only the run knows is there', async () => {
  const { told, ...result } = await tell(`${SIX}print(six.PY3)\nsix.__name__`);
  assert.deepEqual(result, { status: 'success', output: ['True'], return_value: 'six' });
  assert.match(told.join('\n'), /^Added six [\d.]+: the run missed `six`, and is run again with it$/m);
});

/** Code whose library imports a package late, and the value that it must return. @type {[string, string, unknown][]} */
const LATE = [
  [
    'lxml, of pandas',
    'import io, pandas as pd\ngetattr(pd, "read_" + "xml")(io.StringIO("<r><x><a>1</a></x></r>")).a.tolist()',
    [1],
  ],
  [
    'openpyxl, of pandas, which is of the index',
    'import pandas as pd\ngetattr(pd.DataFrame({"a": [1]}), "to_" + "excel")("f.xlsx")\nopen("f.xlsx", "rb").read(2).decode()',
    'PK',
  ],
  [
    'tzdata, of pandas',
    'import pandas as pd\nstr(getattr(pd.Timestamp("2026-07-01"), "tz_" + "localize")("CET"))',
    '2026-07-01 00:00:00+02:00',
  ],
];

for (const [name, code, expected] of LATE) {
  test(`what a library imports when it is used is there: ${name}`, { timeout: 400_000 }, async () => {
    const { return_value, error } = await run(worker.url, code);
    assert.deepEqual(return_value, expected, error);
  });
}

test('the second run finds nothing of the first', async () => {
  const code = `import os, sys
seen = os.path.exists('f'), hasattr(sys, 'seen')
open('f', 'w').close()
sys.seen = True
${SIX}list(seen)`;
  const { status, output, return_value, files } = await run(worker.url, code);
  assert.deepEqual([status, output, return_value], ['success', [], [false, false]]);
  assert.deepEqual(
    files.map((/** @type {any} */ { path, change }) => [path, change]),
    [['f', 'created']],
  );
});

test('what was printed is not printed twice: the error says what to import', async () => {
  for (const stream of ['stdout', 'stderr']) {
    const { status, output, error, told } = await tell(`import sys\nprint("once", file=sys.${stream})\n${SIX}`);
    assert.deepEqual([status, output, told], ['run-error', ['once'], []]);
    assert.match(error, /No module named 'six'\n/);
    assert.match(error, ADVICE);
  }
});

test('a figure counts as printed', { timeout: 400_000 }, async () => {
  const { error } = await run(worker.url, `import matplotlib.pyplot as plt\nplt.plot([1])\n__import__("mp" + "math")`);
  assert.match(error, /add `import mpmath` at the top of it/);
});

test('the second run is the last, and its error says what to import', async () => {
  const { error } = await run(worker.url, `${SIX}importlib.import_module("reg" + "ex")`);
  assert.match(error, /No module named 'regex'\n/);
  assert.match(error, /add `import six` and `import regex` at the top of it/);
  const other = await run(worker.url, `${SIX}print("again")\n1 / 0`);
  assert.deepEqual(other.output, ['again']);
  assert.match(other.error, /ZeroDivisionError: division by zero\nPackages are installed before a run/);
  assert.match(other.error, ADVICE);
});

test('in a session nothing is run twice', async () => {
  const { session, error } = await run(worker.url, `n = globals().get("n", 0) + 1\n${SIX}`, { session: 'new' });
  assert.match(error, ADVICE);
  assert.equal((await run(worker.url, 'n', { session })).return_value, 1);
  const client = await LegacyClient.connect(worker.url);
  const first = await client.run(`import sys\nsys.n = getattr(sys, "n", 0) + 1\n${SIX}`);
  assert.match(first.error, ADVICE);
  assert.equal((await client.run('import sys\nsys.n')).return_value, 1);
});

test('what this server does not install is not looked for', async () => {
  const { error, told } = await tell('__import__("tik" + "token")');
  assert.match(error, /This server does not install tiktoken/);
  assert.deepEqual(told, []);
});

test('a name that is none is not looked for', async () => {
  for (const name of ['../six', 'six\\x00', 'six==1', 'ｓix', 'a.'.repeat(200), 'six[x]', 'https://a.example/']) {
    const code = `raise ModuleNotFoundError("No module named '${name}'")`;
    const { status, error, told } = await tell(code);
    assert.equal(status, 'run-error', error);
    assert.ok(!/Packages are installed|Cannot install/.test(error), error);
    assert.deepEqual(told, []);
  }
});
