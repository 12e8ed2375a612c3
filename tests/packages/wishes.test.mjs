// Packages that a library needs at run time although no code imports them.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { run, startWorker } from '../edge/worker.mjs';
import { COMPILED } from './compiled.mjs';

describe('by default', () => {
  /** @type {Awaited<ReturnType<typeof startWorker>>} */
  let worker;
  before(async () => {
    // Enough time for a busy machine to compile what pandas and matplotlib import.
    worker = await startWorker({ TIME_LIMIT_SECONDS: '300' }, COMPILED);
  });
  after(() => worker?.stop());

  /** Code, and the value that it must return. @type {[string, string, unknown][]} */
  const PROGRAMS = [
    ['df.plot draws', 'import pandas as pd\npd.DataFrame({"a": [1, 2]}).plot().get_xlim() is not None', true],
    [
      'Excel files are written and read',
      'import pandas as pd\npd.DataFrame({"a": [1, 2]}).to_excel("f.xlsx", index=False)\npd.read_excel("f.xlsx").a.sum()',
      3,
    ],
    [
      'to_markdown writes a table',
      'import pandas as pd\npd.DataFrame({"a": [1]}).to_markdown(index=False).splitlines()[0]',
      '|   a |',
    ],
    [
      'XML is read',
      'import io, pandas as pd\npd.read_xml(io.StringIO("<r><x><a>1</a></x><x><a>2</a></x></r>")).a.tolist()',
      [1, 2],
    ],
    ['a module is imported by its name', 'import importlib\nimportlib.import_module("six").PY3', true],
  ];

  for (const [name, code, expected] of PROGRAMS) {
    test(name, { timeout: 400_000 }, async () => {
      const { return_value, error } = await run(worker.url, code);
      assert.deepEqual(return_value, expected, error);
    });
  }

  test('time zones have their data, if it can be had, and else the reason follows', async () => {
    const { return_value, error } = await run(
      worker.url,
      'from zoneinfo import ZoneInfo\nfrom datetime import datetime\nstr(datetime(2026, 7, 1, tzinfo=ZoneInfo("Europe/Paris")))',
    );
    assert.equal(return_value, '2026-07-01 00:00:00+02:00', error);
  });

  test('what Python itself lacks is told', async () => {
    const { error } = await run(worker.url, 'import tkinter');
    assert.match(error, /`_?tkinter` belongs to Python itself, but the sandbox has no such module/);
  });
});

describe('where the lock file is all there is', () => {
  /** @type {Awaited<ReturnType<typeof startWorker>>} */
  let worker;
  before(async () => {
    worker = await startWorker({ PACKAGES: 'lock', TIME_LIMIT_SECONDS: '300' }, COMPILED);
  });
  after(() => worker?.stop());

  test('a missing module is told with the setting that would get it', async () => {
    const { status, error } = await run(worker.url, 'import humanize');
    assert.equal(status, 'run-error');
    assert.match(error, /No module named 'humanize'\n.*PACKAGES=pypi/);
  });

  test('what is only likely to be needed ends no run', { timeout: 400_000 }, async () => {
    const code = 'import pandas as pd\nframe = pd.DataFrame({"a": [1]})\nprint(frame.a.sum())\nframe.to_markdown()';
    const { status, output, error } = await run(worker.url, code);
    assert.deepEqual([status, output], ['run-error', ['1']]);
    assert.match(error, /tabulate/);
  });
});
