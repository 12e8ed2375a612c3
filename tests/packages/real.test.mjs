// Real packages, which the code imports or declares, on the running worker.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { answer, meta, modern, run, startWorker } from '../edge/worker.mjs';

/** @type {Awaited<ReturnType<typeof startWorker>>} */
let worker;
let state = '';
before(async () => {
  // A new folder, in which nothing is cached yet.
  state = mkdtempSync(join(tmpdir(), 'packages-'));
  worker = await startWorker({ PACKAGES: 'pypi', DENIED_PACKAGES: 'tiktoken' }, state);
});
after(async () => {
  await worker?.stop();
  rmSync(state, { recursive: true, force: true });
});

/** Runs code; returns its result and all notifications. @param {string} code */
async function tell(code) {
  const _meta = meta({ 'io.modelcontextprotocol/logLevel': 'debug', progressToken: 'p' });
  const params = { name: 'run_python_code', arguments: { python_code: code }, _meta };
  return answer(await modern(worker.url, 'tools/call', params));
}

/** Code, and the value that it must return. @type {[string, string, unknown][]} */
const PROGRAMS = [
  ['numpy', 'import numpy as np\nnp.arange(6).reshape(2, 3).sum(axis=0)', [3, 5, 7]],
  [
    'pandas',
    `import pandas as pd
frame = pd.DataFrame({'k': ['a', 'b', 'a'], 'v': [1, 2, 3]})
[frame.groupby('k').v.sum().to_json(), frame.v.describe()['mean'], frame.to_json(orient='records')]`,
    ['{"a":4,"b":2}', 2.0, '[{"k":"a","v":1},{"k":"b","v":2},{"k":"a","v":3}]'],
  ],
  ['scipy', 'from scipy import stats\nround(float(stats.norm.cdf(1.96)), 4)', 0.975],
  [
    'scipy.io, without threads',
    `from io import BytesIO
import scipy.io, scipy.sparse
file = BytesIO()
scipy.io.mmwrite(file, scipy.sparse.eye_array(4))
file.seek(0)
float(scipy.io.mmread(file, spmatrix=False).trace())`,
    4,
  ],
  [
    'pillow',
    'import io\nfrom PIL import Image\nout = io.BytesIO()\nImage.new("RGB", (4, 4), "red").save(out, "PNG")\nImage.open(out).getpixel((1, 1))',
    [255, 0, 0],
  ],
  ['sympy', 'import sympy as sp\nx = sp.symbols("x")\nstr(sp.integrate(sp.cos(x), x))', 'sin(x)'],
  ['lxml', 'from lxml import etree\netree.fromstring("<a><b>1</b></a>").findtext("b")', '1'],
  ['regex', 'import regex\nregex.findall(r"\\p{Lu}", "aBcD")', ['B', 'D']],
  [
    'beautifulsoup4, by its module',
    'from bs4 import BeautifulSoup\nBeautifulSoup("<p>x</p>", "html.parser").p.text',
    'x',
  ],
  [
    'a pure package that is in no lock file',
    'from tabulate import tabulate\ntabulate([[1, 2]], tablefmt="plain")',
    '1  2',
  ],
  ['a PEP 783 wheel of the index', 'import msgspec\nmsgspec.json.decode(b"[1]")', [1]],
  ['shared libraries that a wheel brings along', 'import flint\nstr(flint.fmpz(2) ** 100)', `${2n ** 100n}`],
  [
    'another version than the lock file has',
    '# /// script\n# dependencies = ["packaging==25.0"]\n# ///\nimport packaging\npackaging.__version__',
    '25.0',
  ],
  [
    'an extra',
    '# /// script\n# dependencies = ["pydantic[email]"]\n# ///\nfrom pydantic import BaseModel, EmailStr\nclass M(BaseModel):\n    e: EmailStr\nM(e="a@example.com").e',
    'a@example.com',
  ],
  [
    'a script block',
    '# /// script\n# requires-python = ">=3.12"\n# dependencies = ["humanize<5"]\n# ///\nimport humanize\nhumanize.intcomma(12345)',
    '12,345',
  ],
  [
    'a guarded import of what there is',
    'try:\n    import six\nexcept ImportError:\n    six = None\nsix is not None',
    true,
  ],
  [
    'a guarded import of what there is not',
    'try:\n    import torch\nexcept ImportError:\n    torch = None\ntorch',
    null,
  ],
];

for (const [name, code, expected] of PROGRAMS) {
  test(name, { timeout: 120_000 }, async () => {
    const result = await run(worker.url, code);
    assert.deepEqual(result, { status: 'success', output: [], return_value: expected });
  });
}

test('requests and httpx are there, and the network is not', async () => {
  for (const call of [
    'import requests\nrequests.get("http://example.com")',
    'import httpx\nhttpx.get("http://example.com")',
  ]) {
    const { status, error } = await run(worker.url, call);
    assert.equal(status, 'run-error');
    assert.match(error, /ConnectionError|ConnectError|OSError|URLError|JsException|NetworkError/, error);
  }
});

test('matplotlib draws two figures', { timeout: 120_000 }, async () => {
  const code =
    'import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.figure()\nplt.bar([1], [2])\nlen(plt.get_fignums())';
  const { result } = await tell(code);
  assert.equal(result.structuredContent.return_value, 2, JSON.stringify(result.structuredContent));
  const images = result.content.filter((/** @type {any} */ block) => block.type === 'image');
  assert.equal(images.length, 2);
  for (const { data, mimeType } of images) {
    assert.equal(mimeType, 'image/png');
    assert.equal(Buffer.from(data, 'base64').toString('latin1', 1, 4), 'PNG');
  }
});

test('a figure or an image that is returned is shown, whether or not pyplot has it', { timeout: 120_000 }, async () => {
  for (const code of [
    'from PIL import Image\nImage.new("RGB", (4, 4), "red")',
    'from matplotlib.figure import Figure\nfigure = Figure()\nfigure.subplots().plot([1, 2])\nfigure',
    'import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.gcf()',
  ]) {
    const { result } = await tell(code);
    const images = result.content.filter((/** @type {any} */ block) => block.type === 'image');
    assert.deepEqual(
      images.map((/** @type {any} */ { mimeType, data }) => [
        mimeType,
        Buffer.from(data, 'base64').subarray(1, 4).toString(),
      ]),
      [['image/png', 'PNG']],
      JSON.stringify(result.structuredContent),
    );
  }
});

test('the client hears of what is fetched and installed', async () => {
  const { notifications, result } = await tell('import wcwidth; wcwidth.wcswidth("ab")');
  assert.equal(result.structuredContent.return_value, 2, JSON.stringify(result.structuredContent));
  const told = notifications.filter(({ params }) => params.logger === 'packages');
  const texts = (/** @type {string} */ level) =>
    told.filter(({ params }) => params.level === level).map(({ params }) => params.data);
  assert.ok(
    texts('debug').some((text) => text.startsWith('Fetching ')),
    JSON.stringify(told),
  );
  assert.ok(
    texts('info').some((text) => /^Installed wcwidth [\d.]+ \(/.test(text)),
    JSON.stringify(told),
  );
  const progress = notifications.filter(({ method }) => method === 'notifications/progress');
  assert.ok(
    progress.some(({ params }) => /^Installed 1 of 1 packages$/.test(params.message)),
    JSON.stringify(progress),
  );
  const amounts = progress.map(({ params }) => params.progress);
  assert.deepEqual(
    amounts,
    amounts.toSorted((a, b) => a - b),
  );
});

/** Requirements that cannot be installed, and what the error must say. @type {[string, string, RegExp[]][]} */
const REFUSED = [
  [
    'a version that is not there',
    'numpy==9.9',
    [/`numpy==9\.9`, required by the code's script block/, /Pyodide has numpy 2\.4\.3/, /the package index has/],
  ],
  [
    'wheels for other platforms only',
    'torch',
    [/Pyodide has no torch/, /none with a wheel that runs here/, /pyemscripten_2026_0_wasm32/],
  ],
  ['a conflict', 'numpy<2", "pandas', [/numpy<2/, /Pyodide has numpy 2\.4\.3/]],
  ['no such package', 'mcp-run-python-no-such-package', [/it knows no mcp-run-python-no-such-package/]],
  ['what is no requirement', 'numpy=>2', [/`numpy=>2` is not a requirement/]],
  ['an address', 'x @ https://example.com/x.whl', [/not installed from addresses/]],
  ['what this server does not install', 'tiktoken', [/this server does not install tiktoken/]],
];

for (const [name, requirement, expected] of REFUSED) {
  test(`install-error: ${name}`, async () => {
    const code = `# /// script\n# dependencies = ["${requirement}"]\n# ///\nprint("started")`;
    const { status, error, output } = await run(worker.url, code);
    assert.equal(status, 'install-error');
    for (const part of expected) assert.match(error, part);
    assert.ok(!output.includes('started'));
  });
}

test('install-error: another Python', async () => {
  const { status, error } = await run(worker.url, '# /// script\n# requires-python = "<3.10"\n# ///\n1');
  assert.deepEqual(
    [status, /requires Python <3\.10, and this is Python 3\.14/.test(error)],
    ['install-error', true],
    error,
  );
});

test('a module that cannot be had is missed by Python, with the reason', async () => {
  const { status, error } = await run(worker.url, 'import torch');
  assert.equal(status, 'run-error');
  assert.match(error, /ModuleNotFoundError: No module named 'torch'\n/);
  assert.match(error, /none with a wheel that runs here/);
});

test('scikit-learn fits, and scipy is not too much for it', { timeout: 120_000 }, async () => {
  const code = `from sklearn.linear_model import LinearRegression
model = LinearRegression().fit([[1], [2], [3]], [2, 4, 6])
round(float(model.predict([[4]])[0]), 6)`;
  assert.deepEqual(await run(worker.url, code), { status: 'success', output: [], return_value: 8.0 });
});
