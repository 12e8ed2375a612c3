// Markdown, LaTeX and charts, drawn where nothing can be reached: the results, and hostile content.
import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { openChromium, openPage } from './browser.mjs';
import { serveSite } from './site.mjs';

const SHOTS = fileURLToPath(new URL('../../target/page', import.meta.url));
const PAGE = {
  body: `<!doctype html><html lang="en"><title>A page</title>
<script type="module" src="/python-sandbox.js"></script>
<main><python-sandbox label="A program">1</python-sandbox></main>`,
  headers: {
    'content-security-policy': "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src data:; font-src data:",
  },
};

const PLOTLY = 'application/vnd.plotly.v1+json';
const VEGA = 'application/vnd.vegalite.v6+json';

/** @type {Awaited<ReturnType<typeof serveSite>>} */
let site;
/** @type {import('playwright-core').Browser} */
let browser;

before(async () => {
  mkdirSync(SHOTS, { recursive: true });
  site = await serveSite({ '/open': PAGE });
  browser = await openChromium();
});

after(async () => {
  await browser?.close();
  site?.close();
});

/** Shows bundles, and waits until nothing is being drawn. @param {import('playwright-core').Page} page @param {object[]} bundles */
async function show(page, bundles) {
  const code = `import json\nfor bundle in json.loads(${JSON.stringify(JSON.stringify(bundles))}): display(bundle, raw=True)`;
  return page.evaluate(async (code) => {
    await customElements.whenDefined('python-sandbox');
    const element = /** @type {any} */ (document.querySelector('python-sandbox'));
    element.code = code;
    const result = await element.run();
    if (result.status !== 'success') throw new Error(result.error);
    const all = (/** @type {string} */ selector) => [...element.shadowRoot.querySelectorAll(selector)];
    while (all('pre.display').some(({ textContent }) => textContent === 'Drawing'))
      await new Promise((then) => setTimeout(then, 50));
    return {
      texts: all('pre.display').map(({ textContent }) => textContent),
      frames: all('iframe.display').map((frame) => [
        frame.getAttribute('sandbox'),
        Number.parseInt(frame.style.height, 10),
      ]),
    };
  }, code);
}

/** Parses the drawn documents and returns what the selectors find in them. @param {import('playwright-core').Page} page @param {string[]} selectors */
const found = (page, selectors) =>
  page.evaluate((selectors) => {
    const { shadowRoot } = /** @type {any} */ (document.querySelector('python-sandbox'));
    const parse = (/** @type {string} */ html) => new DOMParser().parseFromString(html, 'text/html');
    return [...shadowRoot.querySelectorAll('iframe.display')].map(({ srcdoc }, index) => {
      const inner = parse(parse(srcdoc).querySelector('iframe')?.srcdoc ?? '');
      const elements = [...inner.querySelectorAll(selectors[index])];
      return {
        text: inner.body.textContent ?? '',
        found: elements.map(({ textContent }) => textContent),
        html: elements.map(({ outerHTML }) => outerHTML).join(''),
      };
    });
  }, selectors);

test('each is drawn', async () => {
  const { page, close } = await openPage(browser, `${site.url}/open`);
  const { texts, frames } = await show(page, [
    { 'text/markdown': '# A title\n\n**bold** and $a^2$, for $5 or $6\n\n| a | b |\n|---|---|\n| 1 | 2 |' },
    { 'text/latex': '$\\displaystyle \\int_0^1 x^2\\,dx = \\frac{1}{3}$' },
    { 'text/latex': 'x_1 + \\sqrt{2}' },
    {
      [PLOTLY]: {
        data: [
          { type: 'bar', x: ['fig', 'plum'], y: { dtype: 'f8', bdata: 'AAAAAAAABEAAAAAAAAAQQA==' } },
          { type: 'scattergl', x: ['fig', 'plum'], y: [1, 3] },
        ],
        layout: { title: { text: 'Fruit' } },
      },
    },
    {
      [PLOTLY]: {
        data: [
          {
            type: 'heatmap',
            z: [
              [1, 2],
              [3, 4],
            ],
          },
        ],
      },
    },
    { [PLOTLY]: { data: [{ type: 'pie', labels: ['x', 'y'], values: [1, 2] }], layout: { width: 400, height: 300 } } },
    {
      [VEGA]: {
        $schema: 'https://vega.github.io/schema/vega-lite/v6.json',
        data: {
          values: [
            { a: 'fig', b: 2.5 },
            { a: 'plum', b: 4 },
          ],
        },
        mark: 'bar',
        encoding: { x: { field: 'a', type: 'nominal' }, y: { field: 'b', type: 'quantitative' } },
      },
    },
  ]);
  assert.deepEqual(texts, []);
  assert.equal(frames.length, 7);
  for (const [sandbox, height] of frames)
    assert.ok(sandbox === '' && height >= 32 && height <= 800, `${sandbox} ${height}`);
  await page.setViewportSize({ width: 1000, height: 900 });
  await page.evaluate(() => {
    /** @type {any} */ (document.querySelector('python-sandbox')).shadowRoot.querySelector('.results').style.maxHeight =
      'none';
  });
  for (let index = 0; index < 7; index++)
    await page
      .locator('python-sandbox iframe.display')
      .nth(index)
      .screenshot({ path: join(SHOTS, `drawn-${index}.png`) });
  const selectors = [
    'strong, td, .katex-html',
    '.katex-html',
    '.katex-html',
    'text',
    'image',
    '.slice',
    '.mark-rect path',
  ];
  const [markdown, integral, root, bars, heatmap, pie, vega] = await found(page, selectors);
  assert.deepEqual(markdown.found, ['bold', 'a2', '1', '2']);
  assert.match(markdown.text, /for \$5 or \$6/);
  for (const { found } of [integral, root]) assert.equal(found.length, 1);
  assert.deepEqual(bars.found.filter((text) => /^(Fruit|fig|plum|\d)$/.test(text ?? '')).sort(), [
    '0',
    '1',
    '2',
    '3',
    '4',
    'Fruit',
    'fig',
    'plum',
  ]);
  assert.match(heatmap.html, /href="data:image\/png;base64,/);
  assert.deepEqual([pie.found.length, vega.found.length], [2, 2]);
  await close();
});

test('what cannot be drawn is shown as what it is', async () => {
  const { page, close } = await openPage(browser, `${site.url}/open`);
  const bundles = [
    { [PLOTLY]: { data: [{ type: 'scatter3d', x: [1], y: [1], z: [1] }] }, 'text/html': '<p>instead</p>' },
    { [PLOTLY]: { data: 3 } },
    { [VEGA]: { mark: 'nothing that there is' } },
    { 'text/latex': '\\undefined{x}' },
  ];
  const { texts, frames } = await show(page, bundles);
  assert.match(texts[0], /plotly.*could not be drawn: scatter3d needs WebGL/);
  assert.match(texts[1], /plotly.*could not be drawn: it is no chart/);
  assert.match(texts[2], /vegalite.*could not be drawn/);
  assert.equal(frames.length, 2);
  assert.match((await found(page, ['p', '.katex-error']))[0].found.join(), /instead/);
  // Without the drawing scripts, as in an incomplete copy of the site.
  await page.route(/draw-texts/, (route) => route.abort());
  await page.reload();
  assert.deepEqual((await show(page, [{ 'text/markdown': '**bold**' }])).texts, ['**bold**']);
  await close();
});
