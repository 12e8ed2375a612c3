// Foreign pages with a handle of the page's window: one that has opened it, and one that it has opened.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { openChromium, openFirefox, openPage, withoutFirefox } from './browser.mjs';
import { serveSite } from './site.mjs';

const BLANK = { body: '<!doctype html><html lang="en"><title>A page</title><p>The page</p>' };

/** The attacks of the foreign page on a window and its first frame; returns their outcomes. */
const ATTACK = `async (target) => {
  const tried = {};
  const attempt = async (name, act) => {
    try { tried[name] = String(await act()); } catch (error) { tried[name] = error.name; }
  };
  const heard = [];
  addEventListener('message', ({ data }) => heard.push(data));
  await attempt('frames', () => target.length);
  const frame = target[0];
  await attempt('location of the frame', () => { frame.location = new URL('/evil', location).href; return 'set'; });
  await attempt('location.replace', () => { frame.location.replace(new URL('/evil', location).href); return 'set'; });
  await attempt('document of the frame', () => frame.document.body);
  await attempt('document of the page', () => target.document.body);
  for (const data of ['python-sandbox', { type: 'call', id: 1, method: 'eval', args: ['1', {}] }, { sandbox: '0'.repeat(32) }]) {
    for (const window of [target, frame]) {
      const { port1, port2 } = new MessageChannel();
      port1.onmessage = ({ data }) => heard.push(data);
      await attempt('message', () => { window.postMessage(data, '*', [port2]); return 'sent'; });
    }
  }
  await attempt('focus', () => { target.focus(); frame.focus(); return 'called'; });
  await attempt('named', () => { open(new URL('/evil', location).href, 'python'); return 'opened'; });
  await new Promise((resolve) => setTimeout(resolve, 1500));
  return { tried, heard };
}`;

/** @type {Awaited<ReturnType<typeof serveSite>>} */
let site;
/** @type {Awaited<ReturnType<typeof serveSite>>} */
let evil;
/** The address of another site, not only of another origin. */
let stranger = '';

before(async () => {
  evil = await serveSite({ '/evil': BLANK });
  stranger = evil.url.replace('127.0.0.1', 'localhost');
  site = await serveSite({
    '/plain': BLANK,
    '/coop': { ...BLANK, headers: { 'cross-origin-opener-policy': 'same-origin' } },
  });
});

after(() => {
  site?.close();
  evil?.close();
});

/** In the page: opens a sandbox. */
async function begin() {
  const { codeSandbox } = await import(/** @type {any} */ ('/code-sandbox.js'));
  const sandbox = await codeSandbox({ persistent: true });
  await sandbox.eval('x = 41');
  Object.assign(window, { sandbox });
}

/** In the page: uses the sandbox again. */
async function go() {
  const result = await /** @type {any} */ (window).sandbox.eval('x + 1');
  const frame = /** @type {HTMLIFrameElement} */ (document.querySelector('iframe'));
  return [result.return_value, result.output, frame.src.includes('/assets/frame-')];
}

/** @typedef {{ newPage: () => Promise<any>, close: () => Promise<void> }} Browser `newPage` shares no data with earlier ones */

/** @type {{ name: string, skip: string | false, open: () => Promise<Browser> }[]} */
const BROWSERS = [
  {
    name: 'Chromium',
    skip: false,
    async open() {
      const browser = await openChromium(['--disable-popup-blocking']);
      return { newPage: async () => (await browser.newContext()).newPage(), close: () => browser.close() };
    },
  },
  {
    name: 'Firefox',
    skip: withoutFirefox(),
    async open() {
      const browser = await openFirefox({ 'dom.disable_open_during_load': false });
      const newPage = async () => (await browser.createBrowserContext()).newPage();
      return { newPage, close: () => browser.close() };
    },
  },
];

for (const { name, skip, open } of BROWSERS) {
  /** @type {Browser} */
  let browser;
  before(async () => {
    if (!skip) browser = await open();
  });
  after(() => browser?.close());

  test(`${name}: who opened the page reads and changes nothing of its sandbox`, { skip }, async () => {
    const evilPage = await browser.newPage();
    await evilPage.goto(`${stranger}/evil`);
    const popup = new Promise((resolve) => evilPage.once('popup', resolve));
    await evilPage.evaluate((/** @type {string} */ url) => {
      Object.assign(window, { target: window.open(url) });
    }, `${site.url}/plain`);
    const page = /** @type {any} */ (await popup);
    await page.waitForSelector('p');
    await page.evaluate(begin);
    const { tried, heard } = await evilPage.evaluate(`(${ATTACK})(target)`);
    assert.equal(tried.frames, '1', JSON.stringify(tried));
    assert.match(tried['document of the frame'], /SecurityError/);
    assert.match(tried['document of the page'], /SecurityError/);
    assert.deepEqual(heard, []);
    assert.deepEqual(await page.evaluate(go), [42, [], true], JSON.stringify(tried));
  });

  test(`${name}: whom the page has opened, neither`, { skip }, async () => {
    const page = await browser.newPage();
    await page.goto(`${site.url}/plain`);
    await page.evaluate(begin);
    const popup = new Promise((resolve) => page.once('popup', resolve));
    await page.evaluate((/** @type {string} */ url) => void window.open(url), `${stranger}/evil`);
    const evilPage = /** @type {any} */ (await popup);
    await evilPage.waitForSelector('p');
    const { tried, heard } = await evilPage.evaluate(`(${ATTACK})(opener)`);
    assert.equal(tried.frames, '1', JSON.stringify(tried));
    assert.deepEqual(heard, []);
    assert.deepEqual(await page.evaluate(go), [42, [], true], JSON.stringify(tried));
  });

  test(`${name}: with a policy for openers, there is no handle`, { skip }, async () => {
    const page = await browser.newPage();
    await page.goto(`${site.url}/coop`);
    await page.evaluate(begin);
    const popup = new Promise((resolve) => page.once('popup', resolve));
    await page.evaluate((/** @type {string} */ url) => void window.open(url), `${stranger}/evil`);
    const evilPage = /** @type {any} */ (await popup);
    await evilPage.waitForSelector('p');
    assert.equal(await evilPage.evaluate('opener === null || opener.closed'), true);
    assert.deepEqual(await page.evaluate(go), [42, [], true]);
  });
}

test('who was opened can send the page elsewhere, as to any page that has no policy for openers', async (t) => {
  const browser = await openChromium(['--disable-popup-blocking']);
  t.after(() => browser.close());
  const { page } = await openPage(browser, `${site.url}/plain`);
  await page.evaluate(begin);
  const popup = page.waitForEvent('popup');
  await page.evaluate((url) => void window.open(url), `${stranger}/evil`);
  const evilPage = await popup;
  await evilPage.waitForSelector('p');
  await evilPage.evaluate("opener.location = new URL('/evil', location).href");
  await page.waitForURL(`${stranger}/evil`);
  assert.equal(await page.evaluate(() => document.querySelectorAll('iframe').length), 0);
});
