// A page whose storage is full, or that has no access to any: snapshots are not stored, and everything else works.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { openChromium, openPage } from './browser.mjs';
import { serveSite } from './site.mjs';

const BLANK = { body: '<!doctype html><html lang="en"><title>A page</title>' };

/** @type {Awaited<ReturnType<typeof serveSite>>} */
let site;
/** @type {import('playwright-core').Browser} */
let browser;

before(async () => {
  site = await serveSite({
    '/plain': BLANK,
    // A page of a sandboxed frame has no storage of its own.
    '/opaque': { ...BLANK, headers: { 'content-security-policy': 'sandbox allow-scripts' } },
  });
  browser = await openChromium();
});

after(async () => {
  await browser?.close();
  site?.close();
});

/** In the page: runs numpy in a fresh sandbox. @param {boolean} stays whether until the page has tried to keep a snapshot */
async function useNumpy(stays) {
  /** @type {string[]} */
  const complaints = [];
  addEventListener('unhandledrejection', ({ reason }) => complaints.push(String(reason)));
  addEventListener('error', ({ message }) => complaints.push(message));
  const { codeSandbox } = await import(/** @type {any} */ ('/code-sandbox.js'));
  const sandbox = await codeSandbox();
  const code = 'import sys\nhad = "numpy" in sys.modules\nimport numpy as np\n[had, int(np.arange(10).sum())]';
  const start = performance.now();
  const first = await sandbox.eval(code);
  const waited = performance.now() - start > 20_000;
  // What is kept is hashed first, in the page; nothing else is by then.
  const { digest } = SubtleCrypto.prototype;
  const tries = new Promise((resolve) => {
    /** @param {[AlgorithmIdentifier, BufferSource]} args @this {SubtleCrypto} */
    SubtleCrypto.prototype.digest = function (...args) {
      setTimeout(resolve, 1000, true);
      return digest.apply(this, args);
    };
    setTimeout(resolve, stays ? 60_000 : 0, false);
  });
  const tried = await tries;
  const next = await sandbox.eval('1 + 1');
  sandbox.close();
  return { first: first.return_value ?? first.error, next: next.return_value ?? next.error, waited, tried, complaints };
}

/** What `useNumpy` returns if nothing was kept, or tried. */
const EXPECTED = { first: [false, 45], next: 2, waited: false, tried: false, complaints: [] };

test('with a full quota nothing is kept, and nothing complains', { timeout: 120_000 }, async () => {
  const { page, complaints, close } = await openPage(browser, `${site.url}/plain`);
  const devtools = await page.context().newCDPSession(page);
  await devtools.send('Storage.overrideQuotaForOrigin', { origin: site.url, quotaSize: 1000 });
  const put = await page.evaluate(
    () =>
      new Promise((resolve) => {
        const opening = indexedDB.open('full', 1);
        opening.onupgradeneeded = () => opening.result.createObjectStore('s');
        opening.onerror = () => resolve(opening.error?.name);
        opening.onsuccess = () => {
          const transaction = opening.result.transaction('s', 'readwrite');
          transaction.objectStore('s').put('x'.repeat(1e6), 1);
          transaction.oncomplete = () => resolve('kept');
          transaction.onabort = () => resolve(transaction.error?.name);
        };
      }),
  );
  assert.equal(put, 'QuotaExceededError', 'the quota is not full');
  assert.deepEqual(await page.evaluate(useNumpy, true), { ...EXPECTED, tried: true });
  // The next visit finds no snapshot.
  await page.reload();
  assert.deepEqual(await page.evaluate(useNumpy, false), EXPECTED);
  assert.deepEqual(complaints, []);
  await close();
});

test('a page that may have no storage works', { timeout: 120_000 }, async () => {
  const { page, close } = await openPage(browser, `${site.url}/opaque`);
  const refused = await page.evaluate(() => {
    try {
      indexedDB.open('any');
      return 'opened';
    } catch (error) {
      return /** @type {any} */ (error).name;
    }
  });
  assert.equal(refused, 'SecurityError');
  // To a page with an opaque origin, its own server is another origin.
  await page.route('**/packages/*', async (route) => {
    const response = await route.fetch();
    await route.fulfill({ response, headers: { ...response.headers(), 'access-control-allow-origin': '*' } });
  });
  assert.deepEqual(await page.evaluate(useNumpy, true), { ...EXPECTED, tried: true });
  await close();
});

test('a database that is held by another tab is not waited for', { timeout: 120_000 }, async () => {
  const { page, close } = await openPage(browser, `${site.url}/plain`);
  // A connection to an older version of the database stays open, and blocks the upgrade.
  await page.evaluate(
    () =>
      new Promise((resolve, reject) => {
        const opening = indexedDB.open('python-sandbox', 1);
        opening.onupgradeneeded = () => opening.result.createObjectStore('snapshots', { keyPath: ['build', 'key'] });
        opening.onsuccess = () => resolve(Object.assign(window, { held: opening.result }) && undefined);
        opening.onerror = () => reject(opening.error);
      }),
  );
  assert.deepEqual(await page.evaluate(useNumpy, false), EXPECTED);
  await close();
});
