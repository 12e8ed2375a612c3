// Rich display by real libraries: tables of pandas, figures, charts, formulas.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { answer, modern, startWorker } from '../edge/worker.mjs';
import { COMPILED } from './compiled.mjs';

/** @type {Awaited<ReturnType<typeof startWorker>>} */
let worker;
before(async () => {
  worker = await startWorker(
    { PACKAGES: 'pypi', TABLE_ROWS: '5', TABLE_COLUMNS: '4', RESULT_LIMIT_KB: '1024' },
    COMPILED,
  );
});
after(() => worker?.stop());

/** Runs code and returns the result and its parts. @param {string} code */
async function call(code) {
  const params = { name: 'run_python_code', arguments: { python_code: code } };
  const { result } = await answer(await modern(worker.url, 'tools/call', params));
  const [{ text }, ...images] = result.content;
  return { ...result.structuredContent, text, images };
}

test('a DataFrame is a table', async () => {
  const {
    display,
    text,
    return_value: value,
  } = await call(
    "import pandas as pd\npd.DataFrame({'a|b': [1, 2], 'c': ['x\\ny', '<b>'], 'd': [0.1 + 0.2, None]}, index=['p', 'q'])",
  );
  assert.match(value, /^ +a\|b +c +d\n/);
  const table = `|  | a\\|b | c | d |
| --- | ---: | --- | ---: |
| p | 1 | x y | 0.3 |
| q | 2 | <b> | NaN |

2 rows x 3 columns`;
  assert.equal(display.length, 1);
  assert.deepEqual(Object.keys(display[0]), ['text/html', 'text/markdown']);
  assert.equal(display[0]['text/markdown'], table);
  assert.match(display[0]['text/html'], /<table border="1" class="dataframe">[\s\S]*&lt;b&gt;/);
  assert.ok(text.endsWith(`</return_value>\n<display>\n${table}\n</display>`), text);
});

test('a large one is cut, and a Series, levels and a wide cell are shown', async () => {
  const { display } = await call(
    `import pandas as pd
display(pd.DataFrame([[r * 10 + c for c in range(8)] for r in range(1000)]))
display(pd.Series([1.0, 2.5], name='s', index=pd.Index(['x', 'y'], name='key')))
display(pd.DataFrame({('a', 'b'): ['z' * 100]}, index=pd.MultiIndex.from_tuples([(1, 'q')], names=['m', None])))
display(pd.DataFrame())
pd.Series([pd.Timestamp('2026-01-02'), pd.NaT]).to_frame('when')`,
  );
  assert.deepEqual(
    display.map((/** @type {Record<string, string>} */ bundle) => bundle['text/markdown']),
    [
      `|  | 0 | 1 | … | 6 | 7 |
| --- | ---: | ---: | --- | ---: | ---: |
| 0 | 0 | 1 | … | 6 | 7 |
| 1 | 10 | 11 | … | 16 | 17 |
| 2 | 20 | 21 | … | 26 | 27 |
| … | … | … | … | … | … |
| 998 | 9980 | 9981 | … | 9986 | 9987 |
| 999 | 9990 | 9991 | … | 9996 | 9997 |

1000 rows x 8 columns`,
      '| key | s |\n| --- | ---: |\n| x | 1.0 |\n| y | 2.5 |\n\n2 rows x 1 column',
      `| m /  | a / b |\n| --- | --- |\n| 1 / q | ${'z'.repeat(59)}… |\n\n1 row x 1 column`,
      '|  |\n| --- |\n\n0 rows x 0 columns',
      '|  | when |\n| --- | --- |\n| 0 | 2026-01-02 00:00:00 |\n| 1 | NaT |\n\n2 rows x 1 column',
    ],
  );
});

test('figures come when they are shown, and once', async () => {
  const { output, images } = await call(
    `import matplotlib.pyplot as plt
plt.plot([1, 2])
plt.show()
print(len(plt.get_fignums()))
fig, ax = plt.subplots(figsize=(2, 1))
display(fig)
fig`,
  );
  assert.deepEqual(output, ['0']);
  assert.equal(images.length, 2);
  const open = await call('import matplotlib.pyplot as plt\nfig, ax = plt.subplots()\nfig.show()\nplt.figure()\nNone');
  assert.deepEqual([open.output, open.images.length], [[], 2]);
  const agg = await call(
    "import matplotlib\nmatplotlib.use('Agg')\nimport matplotlib.pyplot as plt\nplt.plot([1])\nplt.show()",
  );
  assert.deepEqual([agg.output, agg.images.length], [[], 1]);
});

test('an image of Pillow comes once, a formula as LaTeX', async () => {
  const image = await call("from PIL import Image\nImage.new('CMYK', (4, 2))");
  assert.deepEqual([image.images.length, image.display], [1, undefined]);
  const { display, text } = await call("import sympy\nx = sympy.symbols('x')\nsympy.sqrt(x) / 2");
  assert.deepEqual(display, [{ 'text/latex': '$\\displaystyle \\frac{\\sqrt{x}}{2}$' }]);
  assert.match(text, /<display>\n\$\\displaystyle/);
});

test('a chart of plotly comes as its JSON', async () => {
  const { display } = await call(
    "# /// script\n# dependencies = ['plotly']\n# ///\nimport plotly.graph_objects as go\ngo.Figure(go.Bar(y=[2, 1]))",
  );
  assert.deepEqual(Object.keys(display[0]), ['application/vnd.plotly.v1+json']);
  assert.deepEqual(display[0]['application/vnd.plotly.v1+json'].data, [{ y: [2, 1], type: 'bar' }]);
});

test('a chart of altair comes as its JSON', async (t) => {
  const { status, error, display, text } = await call(
    "# /// script\n# dependencies = ['altair>=5', 'pandas']\n# ///\nimport altair as alt, pandas as pd\nalt.Chart(pd.DataFrame({'a': [1]})).mark_bar().encode(x='a')",
  );
  // MarkupSafe is one of Pyodide's own wheels, which not every mirror has. Any other error fails the test.
  if (status === 'install-error' && /markupsafe/i.test(error)) return t.skip('no mirror has MarkupSafe');
  assert.equal(status, 'success', error);
  const [kind] = Object.keys(display[0]);
  assert.match(kind, /^application\/vnd\.vegalite\.v[56]\+json$/);
  assert.equal(display[0][kind].mark.type, 'bar');
  assert.equal(text.includes('<display>'), false);
});
