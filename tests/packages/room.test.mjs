// The memory and packages of an isolate: on one's own machine, and within a deployed worker's budget.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { DEPLOYED } from '../edge/deployed.mjs';
import { run, startWorker } from '../edge/worker.mjs';
import { COMPILED } from './compiled.mjs';
import { FOUR, OF_SIX, SIX } from './famous.mjs';

describe('under cargo xtask dev', () => {
  /** @type {Awaited<ReturnType<typeof startWorker>>} */
  let worker;
  before(async () => {
    // Enough time for a busy machine to compile what six packages import.
    worker = await startWorker({ TIME_LIMIT_SECONDS: '300' }, COMPILED);
  });
  after(() => worker?.stop());

  test('six packages fit into one isolate, again and again', { timeout: 600_000 }, async () => {
    const { url } = worker;
    for (let n = 0; n < 2; n++) {
      const { status, return_value, error } = await run(url, SIX);
      assert.deepEqual([status, return_value], ['success', OF_SIX], error);
    }
  });

  test('memory is bounded by its limit alone', async () => {
    const { url } = worker;
    const { return_value, error } = await run(url, 'len(bytearray(700_000_000))');
    assert.equal(return_value, 700_000_000, error);
    const { error: more } = await run(url, 'bytearray(1_100_000_000)');
    assert.match(more, /MemoryError/);
  });
});

describe('with the budget of a deployed worker', () => {
  /** @type {Awaited<ReturnType<typeof startWorker>>} */
  let worker;
  before(async () => {
    worker = await startWorker({ MEMORY_BUDGET_MB: DEPLOYED.MEMORY_BUDGET_MB, PACKAGES: 'lock' }, COMPILED);
  });
  after(() => worker?.stop());

  test('one famous package fits', { timeout: 240_000 }, async () => {
    const { url } = worker;
    for (const [code, expected] of [
      ['import pandas as pd\npd.Series([1, 2]).sum()', 3],
      ['import matplotlib.pyplot as plt\nplt.plot([1, 2])\nlen(plt.get_fignums())', 1],
      [
        'from sklearn.linear_model import LinearRegression\nround(LinearRegression().fit([[1], [2]], [2, 4]).coef_[0])',
        2,
      ],
    ]) {
      const { return_value, error } = await run(url, /** @type {string} */ (code));
      assert.equal(return_value, expected, error);
    }
  });

  test('what is too much is told, with what could go and where all of it fits', { timeout: 120_000 }, async () => {
    const { status, error, output } = await run(worker.url, FOUR);
    assert.equal(status, 'install-error');
    for (const part of [
      /^scipy is too much: the packages of this run need [\d.]+ MB of memory, and an isolate has room for [\d.]+ MB/,
      /MEMORY_BUDGET_MB/,
      /The largest: scipy [\d.]+ [\d.]+ MB, /,
      / Without `import matplotlib`, or without `import pandas`, or without `import scipy` the rest would fit\./,
      /All of it fits on the desk \(`mcp-run-python stdio`\), in a web page and under `cargo xtask dev`\.$/,
    ]) {
      assert.match(error, part);
    }
    assert.ok(!output.includes('started'));
  });

  test('memory, archives and files count together', { timeout: 120_000 }, async () => {
    const { url } = worker;
    const works = async (/** @type {string} */ code) => {
      const { status, error } = await run(url, code);
      assert.ok(status === 'success' || /MemoryError|No space left on device/.test(error), error);
      return status === 'success';
    };
    const takes = (/** @type {number} */ megabytes) => `x = bytearray(${megabytes}_000_000)\n`;
    const write = 'with open("f", "wb") as file:\n    for _ in range(50): file.write(bytes(1_000_000))\n';
    assert.equal(await works(takes(70)), true, 'memory alone');
    assert.equal(await works(write), true, 'files alone');
    assert.equal(await works(write + takes(70)), false, 'files, then memory');
    assert.equal(await works(takes(70) + write), false, 'memory, then files');
    assert.equal(await works(`import scipy\n${takes(70)}`), false, 'archives and memory');
  });
});
