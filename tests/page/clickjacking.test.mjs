// Clickjacking: pages that frame the element and steal a click or keystrokes, and programs that try to take the focus.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { openChromium, openPage } from './browser.mjs';
import { serveSite } from './site.mjs';

const ELEMENT = `<!doctype html><html lang="en"><title>A page</title><body style="margin:0">
<script type="module" src="/python-sandbox.js"></script>
<python-sandbox editor="plain" label="Program">print("ran")
6 * 7</python-sandbox><input id="own">`;

/** @type {Awaited<ReturnType<typeof serveSite>>} */
let site;
/** @type {Awaited<ReturnType<typeof serveSite>>} */
let evil;
/** @type {import('playwright-core').Browser} */
let browser;

before(async () => {
  site = await serveSite({
    '/open': { body: ELEMENT },
    '/closed': { body: ELEMENT, headers: { 'content-security-policy': "frame-ancestors 'self'" } },
    '/own': {
      body: '<!doctype html><html lang="en"><title>Own</title><iframe src="/open" width="800" height="500"></iframe>',
    },
  });
  const frame = (/** @type {string} */ path) => ({
    body: `<!doctype html><html lang="en"><title>Evil</title><body style="margin:0">
<iframe src="${site.url}${path}" style="position:absolute;left:0;top:0;width:800px;height:500px;opacity:0.01;border:0"></iframe>`,
  });
  evil = await serveSite({ '/open': frame('/open'), '/closed': frame('/closed') });
  browser = await openChromium();
});

after(async () => {
  await browser?.close();
  site?.close();
  evil?.close();
});

/** @param {import('playwright-core').Frame} frame */
const shown = (frame) =>
  frame.evaluate(
    () => document.querySelector('python-sandbox')?.shadowRoot?.querySelector('.results')?.textContent ?? '',
  );

test('a borrowed click on Run starts nothing in a page of a stranger, and says why', async () => {
  const { page, close } = await openPage(browser, `${evil.url.replace('127.0.0.1', 'localhost')}/open`);
  const frame = page.frames().find((one) => one.url().startsWith(site.url));
  assert.ok(frame);
  await frame.getByRole('button', { name: 'Run' }).waitFor();
  // The position of the button, under the foreign page's content.
  await page.mouse.click(30, 20);
  await frame.getByText(/frames this page/).waitFor();
  assert.doesNotMatch(await shown(frame), /ran/);
  assert.equal(await frame.evaluate(() => document.querySelectorAll('iframe').length), 0);
  await close();
});

test('where the page forbids it, it is not even there', async () => {
  const { page, close } = await openPage(browser, `${evil.url.replace('127.0.0.1', 'localhost')}/closed`);
  const frames = await Promise.all(page.frames().map((frame) => frame.locator('python-sandbox').count()));
  assert.deepEqual(frames, [0, 0]);
  await close();
});

test('in a frame of its own site it runs', async () => {
  const { page, close } = await openPage(browser, `${site.url}/own`);
  const [, frame] = page.frames();
  await frame.getByRole('button', { name: 'Run' }).click();
  await frame.getByRole('group', { name: 'Value' }).getByText('42').waitFor();
  await close();
});

test('a page that frames another takes its focus and its keys: no key leaves the page, and none runs anything', async () => {
  const { page, close } = await openPage(browser, `${evil.url.replace('127.0.0.1', 'localhost')}/open`);
  const frame = page.frames().find((one) => one.url().startsWith(site.url));
  assert.ok(frame);
  await frame.getByRole('button', { name: 'Run' }).waitFor();
  await page.evaluate(() => window.frames[0].focus());
  await page.keyboard.press('Control+Enter');
  await page.waitForTimeout(500);
  assert.equal(await frame.evaluate(() => document.activeElement?.tagName), 'BODY');
  assert.equal(await shown(frame), '');
  await close();
});

test('no program takes the focus of a person who is writing elsewhere, or sees a key', async () => {
  const { page, close } = await openPage(browser, `${site.url}/open`);
  const run = (/** @type {string} */ code) =>
    page.evaluate(async (code) => {
      const element = /** @type {any} */ (document.querySelector('python-sandbox'));
      element.code = code;
      return element.run();
    }, code);
  await page.locator('#own').focus();
  const seen = run(`import js, asyncio
heard = []
tried = []
for name in ("focus", "open", "alert", "prompt", "confirm", "print", "scrollTo"):
    tried.append([name, hasattr(js, name)])
from pyodide.ffi import create_proxy
for kind in ("keydown", "keyup", "keypress", "input", "focus", "blur", "paste", "pointermove", "click"):
    js.addEventListener(kind, create_proxy(lambda event: heard.append(event.type)))
for n in range(20):
    print("x" * 200)
    await asyncio.sleep(0.1)
[heard, [name for name, there in tried if there]]`);
  await page.keyboard.type('secret of the page', { delay: 60 });
  await page.mouse.move(200, 200);
  const result = await seen;
  assert.deepEqual(result.return_value, [[], []], result.error);
  assert.equal(await page.locator('#own').inputValue(), 'secret of the page');
  assert.equal(await page.evaluate(() => document.activeElement?.id), 'own');
  await run('1 / 0');
  assert.equal(await page.evaluate(() => document.activeElement?.id), 'own');
  await close();
});
