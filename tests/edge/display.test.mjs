// Rich display of values: MIME bundles like IPython's, in order and within their limits, whatever the values' methods do.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { answer, modern, run, startWorker } from './worker.mjs';

/** @type {Awaited<ReturnType<typeof startWorker>>} */
let worker;
before(async () => {
  worker = await startWorker({ TIME_LIMIT_SECONDS: '5', IMAGES_LIMIT: '2' });
});
after(() => worker?.stop());

const PNG = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==';

/** Runs code and returns the whole result. @param {string} code */
async function call(code) {
  const params = { name: 'run_python_code', arguments: { python_code: code } };
  return (await answer(await modern(worker.url, 'tools/call', params))).result;
}

/** Code for a class with this body, and an instance of it as the value. @param {string} body */
const value = (body) => `class Value:\n    ${body.replaceAll('\n', '\n    ')}\nValue()`;

test('the last value is shown as all that it can be', async () => {
  const result = await call(
    value(`_repr_html_ = lambda self: '<b>1</b>'
def _repr_markdown_(self): return '**1**'
def _repr_latex_(self): return '$1$', {'metadata': 1}
def _repr_svg_(self): return '<svg/>'
def __repr__(self): return 'one'`),
  );
  const { structuredContent, content } = result;
  assert.equal(structuredContent.return_value, 'one');
  assert.deepEqual(structuredContent.display, [
    { 'text/html': '<b>1</b>', 'text/markdown': '**1**', 'text/latex': '$1$', 'image/svg+xml': '<svg/>' },
  ]);
  assert.equal(
    content[0].text,
    '<status>success</status>\n<return_value>\n"one"\n</return_value>\n<display>\n**1**\n</display>',
  );
});

test('what notebooks import of IPython is there', async () => {
  const code = `import base64, IPython
from pathlib import Path
from IPython import get_ipython
from IPython.display import HTML, Image, JSON, Latex, Markdown, Math, Pretty, SVG, clear_output, display
assert get_ipython() is None and IPython.display.HTML is HTML
clear_output(True)
Path('/tmp/a.png').write_bytes(png := base64.b64decode('${PNG}'))
display(HTML('<b>'), Markdown(data='*1*'), Math('x^2'), Latex('$y$'), SVG(data='<svg/>'), Pretty('as is'), JSON({'a': 1}))
display(Image('/tmp/a.png'))
Image(data=png)`;
  const { structuredContent, content } = await call(code);
  assert.deepEqual(structuredContent.display, [
    { 'text/html': '<b>' },
    { 'text/markdown': '*1*' },
    { 'text/latex': '$\\displaystyle x^2$' },
    { 'text/latex': '$y$' },
    { 'image/svg+xml': '<svg/>' },
  ]);
  assert.deepEqual(structuredContent.output, ['as is', "{'a': 1}"]);
  const image = { type: 'image', data: PNG, mimeType: 'image/png' };
  assert.deepEqual(
    content.filter((/** @type {any} */ block) => block.type === 'image'),
    [image, image],
  );
  const far = await run(worker.url, 'from IPython.display import Image\nImage("https://example.com/a.png")');
  assert.match(far.error, /OSError: there is no network to get https:\/\/example\.com\/a\.png by/);
});

test('a bundle of its own has the types that are known, and JSON', async () => {
  const code = value(`def _repr_mimebundle_(self, include=None, exclude=None):
    return {'text/html': '<i>', 'text/x-evil': 'x', 'application/javascript': 'x', 'text/plain': 'x',
            'application/vnd.vegalite.v5+json': {'mark': 'bar', 'n': 1.0}, 'image/png': '${PNG}'}, {}`);
  const { structuredContent, content } = await call(code);
  assert.deepEqual(structuredContent.display, [
    { 'text/html': '<i>', 'application/vnd.vegalite.v5+json': { mark: 'bar', n: 1 } },
  ]);
  assert.deepEqual(content.slice(1), [{ type: 'image', data: PNG, mimeType: 'image/png' }]);
  assert.ok(!content[0].text.includes('<display>'), content[0].text);
});

test('a chart is of the version that its schema names', async () => {
  const chart = (/** @type {string} */ schema) => `import sys, types
class TopLevelMixin:
    def to_dict(self): return {'$schema': '${schema}', 'mark': 'bar'}
    def _repr_html_(self): raise SystemExit
sys.modules['altair'] = module = types.ModuleType('altair')
module.TopLevelMixin = TopLevelMixin
TopLevelMixin()`;
  const of = async (/** @type {string} */ schema) =>
    Object.keys((await run(worker.url, chart(schema))).display?.[0] ?? {});
  const schema = 'https://vega.github.io/schema/vega-lite';
  assert.deepEqual(await of(`${schema}/v5.20.1.json`), ['application/vnd.vegalite.v5+json']);
  assert.deepEqual(await of(`${schema}/v6.1.0.json`), ['application/vnd.vegalite.v6+json']);
  assert.deepEqual(await of(`${schema}/v55.json`), []);
  assert.deepEqual(await of('https://example.com/v5.json'), []);
});

test('`display` shows at once, in order, and what has no bundle as a text', async () => {
  const code = `import base64
class Rich:
    def __init__(self, text): self.text = text
    def _repr_markdown_(self): return self.text
class Pixels:
    def _repr_jpeg_(self): return b'\\xff\\xd8\\xff\\xe0'
print('before')
display(Rich('one'), 'plain', Rich('two'), display_id='x')
display({'text/latex': '$x$', 'text/plain': 'x'}, {'text/plain': 'only'}, raw=True)
display(Pixels())
print('after')
Rich('last')`;
  const { structuredContent, content } = await call(code);
  assert.deepEqual(structuredContent.output, ['before', "'plain'", 'only', 'after']);
  assert.deepEqual(structuredContent.display, [
    { 'text/markdown': 'one' },
    { 'text/markdown': 'two' },
    { 'text/latex': '$x$' },
    { 'text/markdown': 'last' },
  ]);
  assert.deepEqual(content[1], { type: 'image', data: '/9j/4A==', mimeType: 'image/jpeg' });
  assert.match(content[0].text, /\n<display>\none\n\ntwo\n\n\$x\$\n\nlast\n<\/display>$/);
});

test('what has no bundle has no trace of one', async () => {
  for (const [code, shown] of [
    ['1', 1],
    ['"x"', 'x'],
    ['[1]', [1]],
    [value("_repr_html_ = None\ndef __repr__(self): return 'x'"), 'x'],
    [value("def __getattr__(self, name): return lambda *a, **k: 'made up'\ndef __repr__(self): return 'x'"), 'x'],
    ["class V: _repr_html_ = lambda self: 'x'\nV.__name__", 'V'],
    [value("def __init__(self): self._repr_html_ = lambda: 'x'\ndef __repr__(self): return 'x'"), 'x'],
  ]) {
    const { structuredContent } = await call(/** @type {string} */ (code));
    assert.deepEqual(structuredContent, { status: 'success', output: [], return_value: shown });
  }
});

/** Display methods that fail or lie: the value is returned, without a bundle. @type {[string, string][]} */
const HOSTILE = [
  ['raises', "def _repr_html_(self): raise ValueError('x')"],
  ['raises what is no Exception', 'def _repr_html_(self): raise SystemExit(3)'],
  ['raises a KeyboardInterrupt', 'def _repr_html_(self): raise KeyboardInterrupt'],
  ['recurses', 'def _repr_html_(self): return self._repr_html_()'],
  ['displays itself', 'def _repr_html_(self): display(self)'],
  ['gives no text', 'def _repr_html_(self): return 7'],
  ['gives bytes', "def _repr_html_(self): return b'x'"],
  ['gives no image', "def _repr_png_(self): return b'GIF89a'"],
  ['gives no base64', "def _repr_png_(self): return '?'"],
  [
    'gives JSON that is none',
    "def _repr_mimebundle_(self, **k): return {'application/vnd.plotly.v1+json': {'a': float('nan')}}",
  ],
  [
    'gives JSON that is cyclic',
    "def _repr_mimebundle_(self, **k):\n    a = {}\n    a['a'] = a\n    return {'application/vnd.plotly.v1+json': a}",
  ],
  ['gives 10,000 types', "def _repr_mimebundle_(self, **k): return {f'text/{n}': 'x' for n in range(10_000)}"],
  ['is a metaclass that lies', '__slots__ = ()'],
];
for (const [what, body] of HOSTILE) {
  test(`a value whose method ${what} is a value`, async () => {
    const code = value(`${body}\ndef __repr__(self): return 'x'`);
    const liar = `class Meta(type):
    def __getattribute__(self, name): raise SystemExit(name)
    __dict__ = __mro__ = property(lambda self: 1 / 0)
class Value(metaclass=Meta):
    def __repr__(self): return 'x'
Value()`;
    const { structuredContent } = await call(what.startsWith('is') ? liar : code);
    const { status, return_value, display } = structuredContent;
    if (what.startsWith('is')) assert.ok(!display && (return_value === 'x' || status === 'run-error'));
    else assert.deepEqual([status, return_value, display], ['success', 'x', undefined]);
  });
}

test('a surrogate is escaped, and a lie of str is read as what it is', async () => {
  const code = `class Text(str):
    def encode(self, *a): return b''
    def __len__(self): return 0
    def __bool__(self): return True
${value("def _repr_html_(self): return Text('<p>\\ud800')")}`;
  const { structuredContent } = await call(code);
  assert.deepEqual(structuredContent.display, [{ 'text/html': '<p>\\ud800' }]);
});

test('too much of it is left out, and that is told', async () => {
  const large = await run(
    worker.url,
    value("def _repr_html_(self): return 'x' * 300_000\ndef _repr_latex_(self): return 'y'"),
  );
  assert.deepEqual(large.display, [{ 'text/latex': 'y' }]);
  assert.deepEqual(large.output, ['[text/html left out: 300000 bytes, at most 262144 are allowed]']);
  const many = await run(
    worker.url,
    `class V:\n    def _repr_markdown_(self): return 'x'\nfor _ in range(10_000): display(V())`,
  );
  assert.equal(many.display.length, 64);
  assert.deepEqual(many.output, ['[what is displayed from here on left out: at most 64, of 1048576 bytes]']);
  const { structuredContent, content } = await call(
    `class V:\n    def _repr_markdown_(self): return '\\x01' * 200_000\nfor _ in range(10): display(V())`,
  );
  assert.ok(content[0].text.length + JSON.stringify(structuredContent).length <= 64 * 1024);
  const images = await call(`import base64
class V:
    def _repr_png_(self): return base64.b64decode('${PNG}')
for _ in range(4): display(V())`);
  assert.equal(images.content.length, 3);
  assert.deepEqual(images.structuredContent.output, [
    '[an image and what follows left out: at most 2 images are shown]',
  ]);
});

test('a bundle that never ends takes the time of its run, and no more', async () => {
  const loops = value(
    "def _repr_html_(self):\n    while True: pass\n_repr_markdown_ = _repr_html_\ndef __repr__(self): return 'x'",
  );
  const began = Date.now();
  const result = await run(worker.url, loops);
  assert.deepEqual([result.status, result.return_value], ['success', 'x']);
  assert.ok(Date.now() - began < 15_000);
  const shown = await run(worker.url, loops.replace(/Value\(\)$/, 'display(Value())'));
  assert.match(shown.error, /TimeoutError: the run took longer than 5 s/);
});

test('output of the methods is output, and a failed run keeps what it displayed', async () => {
  const result = await run(
    worker.url,
    `class V:\n    def _repr_markdown_(self):\n        print('drawing')\n        return 'x'\ndisplay(V())\n1 / 0`,
  );
  assert.deepEqual(
    [result.status, result.output, result.display],
    ['run-error', ['drawing'], [{ 'text/markdown': 'x' }]],
  );
});

test('one run displays nothing of another', async () => {
  const { session } = await run(
    worker.url,
    "class V:\n    def _repr_markdown_(self): return 'x'\nkept = display\nV()",
    { session: 'new' },
  );
  const again = await run(worker.url, 'kept(V())', { session });
  assert.deepEqual(again.display, [{ 'text/markdown': 'x' }]);
  assert.equal((await run(worker.url, '1', { session })).display, undefined);
});

test('input says what to do instead', async () => {
  const { error } = await run(worker.url, 'input("name? ")');
  assert.match(
    error,
    /EOFError: EOF when reading a line\nThere is no user input: write the values into the code, .*\n$/,
  );
});
