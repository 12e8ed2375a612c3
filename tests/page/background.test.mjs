// Limits, Stop and results in a background tab, whose timers the browser throttles, and in one that the browser freezes.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import puppeteer from 'puppeteer-core';
import { CHROMIUM } from './browser.mjs';
import { serveSite } from './site.mjs';

/** @type {Awaited<ReturnType<typeof serveSite>>} */
let site;
/** @type {import('puppeteer-core').Browser} */
let browser;
/** @type {import('puppeteer-core').Page} */
let page;

before(async () => {
  site = await serveSite({ '/plain': { body: '<!doctype html><html lang="en"><title>A page</title>' } });
  browser = await puppeteer.launch({
    browser: 'chrome',
    executablePath: CHROMIUM,
    headless: true,
    // Drivers switch off the throttling that is tested here.
    ignoreDefaultArgs: [
      '--disable-background-timer-throttling',
      '--disable-backgrounding-occluded-windows',
      '--disable-renderer-backgrounding',
    ],
    args: ['--no-sandbox'],
  });
  console.log(`found ${await browser.version()}`);
  page = await browser.newPage();
  await page.goto(`${site.url}/plain`);
  await page.evaluate(async () => {
    const { codeSandbox, pythonServer } = await import(/** @type {any} */ ('/code-sandbox.js'));
    const sandbox = await codeSandbox({ persistent: true, limits: { timeLimitSeconds: 2 } });
    const server = await pythonServer();
    Object.assign(window, { sandbox, server });
  });
  // Another tab in front puts the page in the background.
  await (await browser.newPage()).bringToFront();
});

after(async () => {
  await browser?.close();
  site?.close();
});

/** Measures three chained timers of the page that should take 20 ms each. */
const throttled = () =>
  page.evaluate(async () => {
    const start = performance.now();
    for (let n = 0; n < 3; n += 1) await new Promise((resolve) => setTimeout(resolve, 20));
    return performance.now() - start;
  });

/** @param {string} code @param {{ stopOn?: boolean }} [options] `stopOn`: Stop at the first line of output */
const run = (code, { stopOn = false } = {}) =>
  page.evaluate(
    async (code, stopOn) => {
      const { sandbox } = /** @type {any} */ (window);
      if (stopOn) sandbox.addEventListener('output', () => sandbox.interrupt(), { once: true });
      const start = performance.now();
      const result = await sandbox.eval(code);
      return { ...result, took: performance.now() - start };
    },
    code,
    stopOn,
  );

test('in the background', { timeout: 300_000 }, async (t) => {
  await t.test('it is hidden, and its timers are slow', async (t) => {
    assert.equal(await page.evaluate(() => document.visibilityState), 'hidden');
    await new Promise((resolve) => setTimeout(resolve, 5000));
    const took = await throttled();
    t.diagnostic(`60 ms of timers took ${took.toFixed(0)} ms`);
    assert.ok(took > 900, `${took} ms`);
  });

  await t.test('results, output and variables come as ever', async () => {
    await run('x = 41');
    const { return_value, output, took } = await run('import time\ntime.sleep(0.2)\nprint("told")\nx + 1');
    assert.deepEqual([return_value, output], [42, ['told']]);
    assert.ok(took < 6000, `${took} ms`);
  });

  await t.test('the time limit ends a loop in its time', async () => {
    const { error, took } = await run('while True: pass');
    assert.match(error, /TimeoutError: the run took longer than 2 s/);
    assert.ok(took < 8000, `${took} ms`);
    assert.equal((await run('x')).return_value, 41);
  });

  await t.test('Stop ends a loop', async () => {
    const { error, took } = await run('print("on", flush=True)\nwhile True: pass', { stopOn: true });
    assert.match(error, /KeyboardInterrupt/);
    assert.ok(took < 6000, `${took} ms`);
    assert.equal((await run('x')).return_value, 41);
  });

  await t.test('a loop in C is ended, some seconds late', async (t) => {
    const { error, took } = await run('sum(range(10**12))');
    t.diagnostic(`a loop in C with a limit of 2 s was ended after ${(took / 1000).toFixed(1)} s`);
    assert.match(error, /TimeoutError: the run took longer than 2 s and did not end/);
    assert.ok(took < 20_000, `${took} ms`);
    assert.equal((await run('1 + 1')).return_value, 2);
  });

  await t.test('what was frozen goes on when it is thawed', async () => {
    const devtools = await page.createCDPSession();
    await run('y = 5');
    const running = page.evaluate(() =>
      /** @type {any} */ (window).sandbox.eval('import asyncio\nawait asyncio.sleep(1)\n"slept"'),
    );
    await devtools.send('Page.setWebLifecycleState', { state: 'frozen' });
    // Longer than a frame may take to answer a check that it is alive.
    await new Promise((resolve) => setTimeout(resolve, 15_000));
    await devtools.send('Page.setWebLifecycleState', { state: 'active' });
    const result = /** @type {any} */ (await running);
    assert.ok(result.return_value === 'slept' || /TimeoutError/.test(result.error), JSON.stringify(result));
    const kept = await run('y');
    assert.equal(kept.return_value, 5, JSON.stringify([result, kept]));
  });
});
