// Measures the page: start, stop, memory, bytes. Prints a table, and writes target/bench-page.json.
//
// usage: node bench.mjs [REPETITIONS]
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { openChromium } from './browser.mjs';
import { memory } from './memory.mjs';
import { serveSite } from './site.mjs';
import { firstResult } from './visit.mjs';

const runs = Number(process.argv[2] ?? 5);

const site = await serveSite({ '/plain': { body: '<!doctype html><html lang="en"><title>A page</title>' } });
const browser = await openChromium();

/** @type {{ name: string, unit: string, values: number[] }[]} */
const rows = [];

/** @param {string} name @param {string} unit @param {number[]} values */
function row(name, unit, values) {
  values.sort((a, b) => a - b);
  rows.push({ name, unit, values });
  const at = (/** @type {number} */ quantile) =>
    values[Math.min(values.length - 1, Math.floor(values.length * quantile))];
  const cells = [values[0], at(0.5), values.at(-1) ?? NaN].map((value) => value.toFixed(0).padStart(7));
  console.log(`${name.padEnd(70)} ${cells.join(' ')} ${unit}`);
}

console.log(`${''.padEnd(70)}     min     p50     max`);
const [cold, warm] = [/** @type {number[]} */ ([]), /** @type {number[]} */ ([])];
for (let run = 0; run < runs; run += 1) {
  const context = await browser.newContext();
  const before = site.bytes;
  cold.push(await firstResult(context, `${site.url}/plain`));
  if (run === 0) row('bytes over the wire, first visit, kB', '', [(site.bytes - before) / 1000]);
  const between = site.bytes;
  warm.push(await firstResult(context, `${site.url}/plain`));
  if (run === 0) row('bytes over the wire, next visit, kB', '', [(site.bytes - between) / 1000]);
  await context.close();
}
row('page load to the first 1+1, cold', 'ms', cold);
row('page load to the first 1+1, from the cache', 'ms', warm);

for (const [name, code] of [
  ['numpy', 'import numpy as np\nnp.arange(10).sum()'],
  ['pandas and pyplot', 'import pandas as pd\nimport matplotlib.pyplot as plt\npd.Series([1, 2]).sum()'],
  ['a plot of pandas', 'import pandas as pd\nimport matplotlib.pyplot as plt\npd.Series([1, 2]).plot()\nNone'],
]) {
  /** @type {number[]} */
  const cold = [];
  /** @type {number[]} */
  const kept = [];
  for (let run = 0; run < Math.min(runs, 3); run += 1) {
    const context = await browser.newContext();
    cold.push(await firstResult(context, `${site.url}/plain`, code, true));
    for (let visit = 0; visit < 3; visit += 1) kept.push(await firstResult(context, `${site.url}/plain`, code));
    await context.close();
  }
  row(`page load to the first result with ${name}, cold`, 'ms', cold);
  row(`page load to the first result with ${name}, next visit`, 'ms', kept);
}

const context = await browser.newContext();
const page = await context.newPage();
await page.goto(`${site.url}/plain`);
const times = await page.evaluate(async (runs) => {
  const { codeSandbox } = await import(/** @type {any} */ ('/code-sandbox.js'));
  const sandbox = await codeSandbox({ limits: { timeLimitSeconds: 1 } });
  /** @type {Record<string, number[]>} */
  const times = { call: [], stop: [], kill: [], next: [] };
  await sandbox.eval('1 + 1');
  for (let run = 0; run < runs * 20; run += 1) {
    const start = performance.now();
    await sandbox.eval('1 + 1');
    times.call.push(performance.now() - start);
  }
  for (let run = 0; run < runs * 2; run += 1) {
    const running = sandbox.eval('print("on")\nwhile True: pass');
    await new Promise((resolve) => sandbox.addEventListener('output', resolve, { once: true }));
    await new Promise((resolve) => setTimeout(resolve, 50));
    const start = performance.now();
    sandbox.interrupt();
    await running;
    times.stop.push(performance.now() - start);
  }
  for (let run = 0; run < Math.min(runs, 3); run += 1) {
    const start = performance.now();
    await sandbox.eval('sum(range(10**12))');
    const killed = performance.now();
    times.kill.push(killed - start - 1000);
    await sandbox.eval('1 + 1');
    times.next.push(performance.now() - killed);
  }
  sandbox.close();
  return times;
}, runs);
row('1+1 in a sandbox that is there', 'ms', times.call);
row('Stop of an endless loop', 'ms', times.stop);
row('end of a loop in C, after its limit', 'ms', times.kill);
row('the next result after that', 'ms', times.next);

const rest = memory();
for (const count of [1, 10]) {
  await page.evaluate(async (count) => {
    const { codeSandbox } = await import(/** @type {any} */ ('/code-sandbox.js'));
    const open = await Promise.all(Array.from({ length: count }, () => codeSandbox()));
    for (const sandbox of open) await sandbox.eval('1 + 1');
    Object.assign(window, { open });
  }, count);
  await page.waitForTimeout(2000);
  row(`memory with ${count} sandbox${count > 1 ? 'es' : ''}, more than without`, 'MB', [memory() - rest]);
  await page.evaluate(() => {
    for (const sandbox of /** @type {any} */ (window).open) sandbox.close();
  });
  await page.waitForTimeout(4000);
}
row('memory after they were closed, more than without', 'MB', [memory() - rest]);
await context.close();

/** @type {number[][]} */
const paints = [[], [], []];
for (let run = 0; run < runs; run += 1) {
  const context = await browser.newContext();
  const page = await context.newPage();
  await page.addInitScript(() => {
    const tasks = /** @type {number[]} */ ([]);
    Object.assign(window, { tasks });
    new PerformanceObserver((list) => {
      for (const { duration } of list.getEntries()) tasks.push(duration);
    }).observe({ type: 'longtask', buffered: true });
  });
  await page.goto(site.url);
  await page.waitForTimeout(1500);
  const [paint, blocked, bytes] = await page.evaluate(() => [
    performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? NaN,
    /** @type {any} */ (window).tasks.reduce(
      (/** @type {number} */ sum, /** @type {number} */ task) => sum + task - 50,
      0,
    ),
    performance.getEntriesByType('resource').reduce((sum, entry) => sum + /** @type {any} */ (entry).transferSize, 0),
  ]);
  paints[0].push(paint);
  paints[1].push(blocked);
  paints[2].push(bytes / 1000);
  await context.close();
}
row('the page: first contentful paint', 'ms', paints[0]);
row('the page: main thread blocked (tasks beyond 50 ms)', 'ms', paints[1]);
row('the page: bytes before the first run, not compressed, kB', '', paints[2]);

writeFileSync(fileURLToPath(new URL('../../target/bench-page.json', import.meta.url)), JSON.stringify(rows, null, 2));
await browser.close();
site.close();
