// Visits a page with the library, for benchmarks.

/**
 * Measures the time from the page's start to the first result, by the page's own clock, in milliseconds.
 * @param {import('playwright-core').BrowserContext} context @param {string} url @param {string} [code]
 * @param {boolean} [stay] whether to stay until a snapshot with its packages is stored
 */
export async function firstResult(context, url, code = '1 + 1', stay = false) {
  const page = await context.newPage();
  await page.goto(url);
  const time = await page.evaluate(async (code) => {
    const { codeSandbox } = await import(/** @type {any} */ ('/code-sandbox.js'));
    const sandbox = await codeSandbox();
    const { status, error } = await sandbox.eval(code);
    if (status !== 'success') throw new Error(error);
    const time = performance.now();
    Object.assign(window, { sandbox });
    return time;
  }, code);
  for (let tries = 0; stay && tries < 120 && !(await page.evaluate(hasSnapshot)); tries += 1)
    await page.waitForTimeout(1000);
  await page.evaluate(() => /** @type {any} */ (window).sandbox.close());
  await page.close();
  return time;
}

/** In the page: whether a snapshot is stored. */
function hasSnapshot() {
  return new Promise((resolve) => {
    const opening = indexedDB.open('python-sandbox');
    opening.onsuccess = () => {
      const database = opening.result;
      const count = database.transaction('snapshots').objectStore('snapshots').count();
      count.onsuccess = () => {
        database.close();
        resolve(count.result > 0);
      };
    };
  });
}
