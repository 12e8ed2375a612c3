// Markup that a program displays is shown in a powerless frame; a listener would hear whatever gets out of it.
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { after, before, test } from 'node:test';
import { openChromium, openPage } from './browser.mjs';
import { serveSite } from './site.mjs';

const PAGE = {
  body: `<!doctype html><html lang="en"><title>A page</title>
<script type="module" src="/python-sandbox.js"></script>
<main><python-sandbox label="A program">1</python-sandbox></main>`,
};

/** @type {Awaited<ReturnType<typeof serveSite>>} */
let site;
/** @type {import('playwright-core').Browser} */
let browser;
/** The paths of the requests that the listener heard. @type {string[]} */
const heard = [];
const listener = createServer((request, response) => {
  heard.push(request.url ?? '');
  response.writeHead(200, { 'access-control-allow-origin': '*', 'content-type': 'text/html' }).end('reached');
});
let away = '';

before(async () => {
  await new Promise((resolve) => listener.listen(0, '127.0.0.1', () => resolve(undefined)));
  away = `http://127.0.0.1:${/** @type {import('node:net').AddressInfo} */ (listener.address()).port}`;
  // The page `/open` has no policy of its own, so nothing but the element protects it.
  site = await serveSite({
    '/open': PAGE,
    '/strict': { ...PAGE, headers: { 'content-security-policy': "default-src 'self'" } },
  });
  browser = await openChromium();
});

after(async () => {
  await browser?.close();
  site?.close();
  listener.close();
});

/** Markup that tries everything that markup can do without interaction. */
const markup =
  () => `</iframe></body></html>"'&quot;><script>top.hacked = parent.hacked = 1; fetch('${away}/script')</script>
<script src="${away}/script-src"></script><script type="module" src="${away}/module"></script>
<img src="${away}/img" onerror="top.hacked = 1"><img srcset="${away}/srcset 1x">
<img src="data:," onerror="top.hacked = 1; location = '${away}/onerror'">
<picture><source srcset="${away}/picture"><img alt=""></picture>
<svg onload="top.hacked = 1"><image href="${away}/image"/><use href="${away}/use#a"/><script>top.hacked = 1</script></svg>
<link rel="stylesheet" href="${away}/stylesheet"><link rel="preload" as="image" href="${away}/preload">
<link rel="prefetch" href="${away}/prefetch"><link rel="modulepreload" href="${away}/modulepreload">
<link rel="icon" href="${away}/icon"><link rel="prerender" href="${away}/prerender">
<style>@import url(${away}/import); @font-face { font-family: f; src: url(${away}/font) }
body { background: url(${away}/background); font-family: f; cursor: url(${away}/cursor), auto }</style>
<p style="background: url(${away}/style)">text</p>
<meta http-equiv="refresh" content="0; url=${away}/refresh">
<meta http-equiv="Content-Security-Policy" content="default-src *">
<base href="${away}/base/"><img src="relative" alt="">
<form id="f" action="${away}/form"><input autofocus onfocus="top.hacked = 1"><input type="image" src="${away}/input"></form>
<iframe src="${away}/frame"></iframe><iframe srcdoc="<img src='${away}/srcdoc'><script>top.hacked = 1</script>"></iframe>
<object data="${away}/object"></object><embed src="${away}/embed">
<video src="${away}/video" poster="${away}/poster" autoplay></video><audio src="${away}/audio" autoplay></audio>
<body background="${away}/body" onload="top.hacked = 1"><details open ontoggle="top.hacked = 1"></details>
<iframe src="javascript:top.hacked = 1"></iframe><a href="${away}/ping" ping="${away}/ping">x</a>`;

/** Runs a program whose value has this markup. @param {import('playwright-core').Page} page @param {string} html @param {string} [method] */
async function show(page, html, method = '_repr_html_') {
  const code = `class Value:\n    def ${method}(self): return ${JSON.stringify(html)}\n    def __repr__(self): return 'value'\nValue()`;
  return page.evaluate(async (code) => {
    await customElements.whenDefined('python-sandbox');
    const element = /** @type {any} */ (document.querySelector('python-sandbox'));
    element.code = code;
    const result = await element.run();
    const { shadowRoot } = element;
    return {
      result,
      frames: [...shadowRoot.querySelectorAll('iframe.display')].map((frame) => frame.getAttribute('sandbox')),
      texts: [...shadowRoot.querySelectorAll('pre.display')].map((pre) => pre.textContent),
      inPage: shadowRoot.querySelectorAll('.results :is(script, style, link, meta, form, img, svg)').length,
    };
  }, code);
}

const quiet = (/** @type {number} */ time) => new Promise((resolve) => setTimeout(resolve, time));

/** State of the page that shows whether it was taken over. @param {import('playwright-core').Page} page */
const untouched = (page) =>
  page.evaluate(() => [/** @type {any} */ (window).hacked, document.title, location.pathname]);

test('the listener hears of such markup where nothing holds it', async () => {
  const { page, close } = await openPage(browser, `${site.url}/open`);
  heard.length = 0;
  // Without the navigations, which would leave before the other requests are sent.
  const staying = markup()
    .replaceAll(/ location = '[^']*'/g, '')
    .replace(/<meta http-equiv="refresh".*/, '');
  await page.evaluate((html) => {
    const frame = document.createElement('iframe');
    frame.srcdoc = html;
    document.body.append(frame);
  }, staying);
  const expected = ['/script', '/img', '/stylesheet', '/background', '/frame', '/object'];
  for (let waited = 0; waited < 5000 && !expected.every((path) => heard.includes(path)); waited += 100)
    await quiet(100);
  for (const path of expected) assert.ok(heard.includes(path), path);
  assert.equal(await page.evaluate(() => /** @type {any} */ (window).hacked), 1);
  // A single frame, without an enclosing document whose policy forbids it, may follow a link.
  await page.evaluate((away) => {
    const frame = document.createElement('iframe');
    Object.assign(frame, { id: 'alone', srcdoc: `<a href="${away}/link" style="position: fixed; inset: 0">x</a>` });
    frame.setAttribute('sandbox', '');
    document.body.prepend(frame);
  }, away);
  await quiet(500);
  await page.locator('#alone').click();
  for (let waited = 0; waited < 5000 && !heard.includes('/link'); waited += 100) await quiet(100);
  assert.ok(heard.includes('/link'));
  await close();
});

for (const path of ['/open', '/strict']) {
  for (const method of ['_repr_html_', '_repr_svg_']) {
    test(`${method} reaches nothing by itself, in ${path}`, async () => {
      const { page, close } = await openPage(browser, `${site.url}${path}`);
      heard.length = 0;
      const { frames, inPage } = await show(page, markup(), method);
      assert.deepEqual([frames, inPage], [[''], 0]);
      await quiet(1500);
      assert.deepEqual(heard, []);
      assert.deepEqual(await untouched(page), [undefined, 'A page', path]);
      await close();
    });
  }
}

test('nor when a person clicks, or presses keys', async () => {
  const { page, close } = await openPage(browser, `${site.url}/open`);
  const { context } = { context: page.context() };
  const full = 'style="position: fixed; inset: 0; width: 100%; height: 100%; display: block"';
  const tries = [
    ...['_self', '_top', '_parent', '_blank', 'other'].map(
      (target) => `<a href="${away}/${target}" target="${target}" ping="${away}/ping" ${full}>x</a>`,
    ),
    `<a href="javascript:top.hacked = 1" ${full}>x</a>`,
    `<a href="${site.url}/strict" ${full}>x</a>`,
    `<a href="${away}/download" download ${full}>x</a>`,
    `<form action="${away}/form" target="_top"><button ${full}>x</button></form>`,
    `<form action="${away}/post" method="post"><button ${full}>x</button></form>`,
    `<svg ${full}><a href="${away}/svg"><rect width="100%" height="100%"/></a></svg>`,
  ];
  for (const html of tries) {
    heard.length = 0;
    const before = site.requests.filter((path) => path === '/strict').length;
    const { frames } = await show(page, html);
    assert.equal(frames.length, 1);
    await quiet(200);
    const frame = page.locator('python-sandbox iframe.display');
    await frame.scrollIntoViewIfNeeded();
    await frame.click();
    await page.keyboard.press('Tab');
    await page.keyboard.press('Enter');
    await quiet(200);
    assert.deepEqual(heard, [], html);
    assert.equal(site.requests.filter((path) => path === '/strict').length, before, html);
    assert.deepEqual(await untouched(page), [undefined, 'A page', '/open'], html);
    assert.equal(context.pages().length, 1, html);
  }
  await close();
});

test('it is shown: a table is, with its style, and text as text', async () => {
  const { page, close } = await openPage(browser, `${site.url}/open`);
  const { result, texts } = await show(page, '<style>p { color: rgb(1, 2, 3) }</style><p>&amp; "shown"</p>');
  assert.deepEqual(result.display, [{ 'text/html': '<style>p { color: rgb(1, 2, 3) }</style><p>&amp; "shown"</p>' }]);
  assert.deepEqual(texts, []);
  const inner = page.locator('python-sandbox').frameLocator('iframe.display').frameLocator('iframe');
  await inner.getByText('& "shown"').waitFor({ timeout: 5000 });
  await close();
});

test('of many, some are frames', async () => {
  const { page, close } = await openPage(browser, `${site.url}/open`);
  const code = "class V:\n    def _repr_html_(self): return 'x'\nfor _ in range(40): display(V())";
  const counts = await page.evaluate(async (code) => {
    await customElements.whenDefined('python-sandbox');
    const element = /** @type {any} */ (document.querySelector('python-sandbox'));
    element.code = code;
    await element.run();
    return ['iframe.display', 'pre.display'].map((kind) => element.shadowRoot.querySelectorAll(kind).length);
  }, code);
  assert.deepEqual(counts, [16, 24]);
  await close();
});
