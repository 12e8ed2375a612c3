// Isolates that are booted ahead: a run after a pause gets one, and none is used for two runs.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { LONG, longTest } from '../long.mjs';
import { LegacyClient, modern, residentMemory, run, sleep, startWorker } from './worker.mjs';

const RUNS = 150;

/** The number of rounds; they start 1 to 4 runs at once, in turn. */
const ROUNDS = LONG ? 12 : 4;

/** Returns which marks of other runs it finds, and leaves its own mark in every place. */
const MARK = `
import builtins, json, os, sys, js
found = [hasattr(builtins, "mark"), hasattr(json, "mark"), hasattr(js, "mark"), "mark" in globals()]
found += [os.path.exists(f"{folder}/mark") for folder in ("/tmp", "/home/pyodide", os.getcwd())]
builtins.mark = json.mark = js.mark = mark = 1
sys.modules["mark"] = json
for folder in ("/tmp", "/home/pyodide", os.getcwd()): open(f"{folder}/mark", "w").close()
found`;

/** How many isolates were booted ahead, and how many of them were given to runs. @param {string} url @returns {Promise<{ booted: number, taken: number }>} */
const counts = async (url) => (await fetch(new URL('/ahead', url))).json();

/** Waits until `booted` isolates were booted ahead. @param {string} url @param {number} booted */
async function booted(url, booted) {
  for (let n = 0; n < 500 && (await counts(url)).booted < booted; n++) await sleep(20);
  assert.ok((await counts(url)).booted >= booted, 'it was not booted in time');
}

/** @param {string} url @param {string} code @param {Record<string, unknown>} [args] */
async function value(url, code, args) {
  const { return_value, error } = await run(url, code, args);
  assert.equal(error, undefined);
  return return_value;
}

describe('isolates booted ahead', () => {
  /** @type {Awaited<ReturnType<typeof startWorker>>} */
  let worker;
  before(async () => {
    worker = await startWorker();
  });
  after(() => worker?.stop());

  /** Runs code in an isolate that was booted ahead. @param {string} code @param {Record<string, unknown>} [args] */
  async function inSpare(code, args) {
    const { url } = worker;
    for (let n = 0; n < 20; n++) {
      const before = await counts(url);
      const result = await run(url, code, args);
      const { taken } = await counts(url);
      if (taken > before.taken) return result;
      await booted(url, before.booted + 1);
    }
    throw new Error('none was booted ahead');
  }

  test('a run after a pause gets one, with its packages', async () => {
    assert.equal((await inSpare('1+1')).return_value, 2);
    const code = 'import numpy\nint(numpy.arange(4).sum())';
    assert.equal((await inSpare(code)).return_value, 6);
    assert.equal((await inSpare('1+1')).return_value, 2);
  });

  test('each is for one run, whoever comes when', async () => {
    const { url } = worker;
    const before = await counts(url);
    const session = await LegacyClient.connect(url);
    let handle;
    for (let round = 0; round < ROUNDS; round++) {
      const n = 1 + (round % 4);
      const found = await Promise.all(Array.from({ length: n }, () => value(url, MARK)));
      for (const one of found) assert.deepEqual(one, Array(7).fill(false));
      // A session finds its own marks only.
      const own = (await session.run(MARK)).return_value;
      assert.equal(own[0], round > 0);
      const named = await run(url, MARK, { session: handle ?? 'new' });
      handle ??= named.session;
      assert.equal(named.return_value[0], round > 0);
      await sleep([0, 60, 200, 300][round % 4]);
    }
    const after = await counts(url);
    assert.ok(after.taken > before.taken, 'none was booted ahead');
    assert.ok(after.taken <= after.booted);
  });

  test('nothing random is the same in two', async () => {
    const seen = new Set();
    for (let n = 0; n < 8; n++) {
      const { return_value } = await inSpare('import os, random\n[random.random(), os.urandom(8).hex()]');
      for (const one of return_value) seen.add(one);
    }
    assert.equal(seen.size, 16);
  });

  test('a run in one is told of its lines, fails, and is ended like any other', async () => {
    const failed = await inSpare('print("a")\n1/0');
    assert.match(failed.error, /ZeroDivisionError/);
    assert.deepEqual(failed.output, ['a']);
    const { url } = worker;
    await inSpare('1');
    await booted(url, (await counts(url)).taken + 1);
    await sleep(200);
    const { taken } = await counts(url);
    const abort = new AbortController();
    const params = { name: 'run_python_code', arguments: { python_code: 'while True: pass' } };
    const going = modern(url, 'tools/call', params, abort.signal).then((response) => response.text());
    await sleep(300);
    abort.abort();
    await assert.rejects(going);
    assert.equal((await counts(url)).taken, taken + 1);
    // The aborted run has ended, and slows no other.
    assert.equal(await value(url, '1+1'), 2);
    assert.equal((await inSpare('2')).return_value, 2);
  });

  // A longer version of the memory test in isolation.test.mjs.
  longTest(`no memory is left of ${RUNS}`, async () => {
    const { url } = worker;
    const some = async (/** @type {number} */ runs) => {
      for (let n = 0; n < runs; n++) {
        assert.equal(await value(url, '1+1'), 2);
        await sleep(n % 2 ? 150 : 0);
      }
    };
    await some(30);
    const before = residentMemory(worker.pid);
    await some(RUNS);
    await sleep(1000);
    const after = residentMemory(worker.pid);
    assert.ok(after < before * 1.1, `${before} MB, then ${after} MB`);
  });
});

test('a worker that boots none ahead', async () => {
  const worker = await startWorker({ INTERPRETERS_BOOTED_AHEAD: '0' });
  try {
    for (let n = 0; n < 3; n++) {
      assert.equal(await value(worker.url, '1+1'), 2);
      await sleep(300);
    }
    assert.deepEqual(await counts(worker.url), { booted: 0, taken: 0 });
  } finally {
    await worker.stop();
  }
});
