// Markdown, LaTeX and charts are drawn where nothing can be reached: what is hostile in them, and what they become.
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
  headers: { 'content-security-policy': "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src data:; font-src data:" },
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
    while (all('pre.display').some(({ textContent }) => textContent === 'Drawing')) await new Promise((then) => setTimeout(then, 50));
    return {
      texts: all('pre.display').map(({ textContent }) => textContent),
      frames: all('iframe.display').map((frame) => [frame.getAttribute('sandbox'), Number.parseInt(frame.style.height, 10)]),
    };
  }, code);
}

/** The document of what was drawn. @param {import('playwright-core').Page} page @param {number} index */
const drawn = (page, index) => page.frameLocator('python-sandbox iframe.display >> nth=' + index).frameLocator('iframe').locator('body');

test('each is drawn', async () => {
  const { page, close } = await openPage(browser, `${site.url}/open`);
  const { texts, frames } = await show(page, [
    { 'text/markdown': '# A title\n\n**bold** and $a^2$, for $5 or $6\n\n| a | b |\n|---|---|\n| 1 | 2 |' },
    { 'text/latex': '$\\displaystyle \\int_0^1 x^2\\,dx = \\frac{1}{3}$' },
    { 'text/latex': 'x_1 + \\sqrt{2}' },
    { [PLOTLY]: { data: [{ type: 'bar', x: ['fig', 'plum'], y: [2.5, 4] }, { type: 'scattergl', x: ['fig', 'plum'], y: [1, 3] }], layout: { title: { text: 'Fruit' } } } },
    { [PLOTLY]: { data: [{ type: 'heatmap', z: [[1, 2], [3, 4]] }] } },
    { [PLOTLY]: { data: [{ type: 'pie', labels: ['x', 'y'], values: [1, 2] }], layout: { width: 400, height: 300 } } },
    { [VEGA]: { $schema: 'https://vega.github.io/schema/vega-lite/v6.json', data: { values: [{ a: 'fig', b: 2.5 }, { a: 'plum', b: 4 }] }, mark: 'bar', encoding: { x: { field: 'a', type: 'nominal' }, y: { field: 'b', type: 'quantitative' } } } },
  ]);
  assert.deepEqual(texts, []);
  assert.equal(frames.length, 7);
  for (const [sandbox, height] of frames) assert.ok(sandbox === '' && height >= 32 && height <= 800, `${sandbox} ${height}`);
  await page.setViewportSize({ width: 1000, height: 900 });
  await page.evaluate(() => { /** @type {any} */ (document.querySelector('python-sandbox')).shadowRoot.querySelector('.results').style.maxHeight = 'none'; });
  for (let index = 0; index < 7; index++)
    await page.locator('python-sandbox iframe.display').nth(index).screenshot({ path: join(SHOTS, `drawn-${index}.png`) });
  assert.equal(await drawn(page, 0).locator('strong').textContent(), 'bold');
  assert.match((await drawn(page, 0).textContent()) ?? '', /for \$5 or \$6/);
  assert.equal(await drawn(page, 0).locator('td').first().textContent(), '1');
  for (const index of [0, 1, 2]) assert.ok((await drawn(page, index).locator('.katex-html').count()) > 0, String(index));
  assert.match((await drawn(page, 3).textContent()) ?? '', /Fruit/);
  for (const label of ['fig', 'plum', '0', '4']) assert.equal(await drawn(page, 3).locator('text', { hasText: new RegExp(`^${label}$`) }).count(), 1, label);
  assert.equal(await drawn(page, 3).locator('.bars .point').count(), 2);
  assert.match(await drawn(page, 4).locator('.heatmaplayer').innerHTML(), /<image [^>]*href="data:image\/png;base64,/);
  assert.equal(await drawn(page, 5).locator('.slice').count(), 2);
  assert.equal(await drawn(page, 6).locator('.mark-rect path').count(), 2);
  await close();
});
