// Measures limits: how far beyond each of them a run gets.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { timed } from '../edge/worker.mjs';
import { report } from './home.mjs';

/** @typedef {import('./home.mjs').Home} Home */

/** The settings of the home that is measured. */
export const LIMITS = {
  TIME_LIMIT_SECONDS: '1',
  GRACE_SECONDS: '1',
  MEMORY_LIMIT_MB: '64',
  OUTPUT_LIMIT_KB: '16',
  FILES_LIMIT_MB: '1',
  FILES_LIMIT: '100',
};

const MB = 2 ** 20;

/** How much longer than its limit a run may take, in milliseconds; includes the start of an isolate on a busy machine. */
const LATE = 3000;

const MEMORY = `
import pyodide_js
kept = []
try:
    while True: kept.append(bytearray(100_000))
except MemoryError:
    kept.clear()
pyodide_js._module.HEAPU8.length`;

const FILE = `
import os
file = os.open("/tmp/large", os.O_CREAT | os.O_WRONLY)
try:
    while True: os.write(file, b"x" * 1000)
except OSError as error:
    print(error.strerror)
os.stat("/tmp/large").st_size`;

const FILES = `
import os
try:
    for n in range(10_000): open(f"/tmp/{n}", "w").close()
except OSError as error:
    print(error.strerror)
sum(name.isdigit() for name in os.listdir("/tmp"))`;

/** @param {number} bytes */
const megabytes = (bytes) => `${(bytes / MB).toFixed(2)} MB`;

/** Measures a home with `LIMITS`. @param {() => Home} home */
export function measureLimits(home) {
  /** @param {string} limit @param {string} found */
  const found = (limit, found) => report('limits', limit, { [home().name]: found });

  /** @param {string} code @param {RegExp} ends @param {number} limit ms @returns {Promise<string>} */
  async function lasts(code, ends, limit) {
    const times = [];
    for (let n = 0; n < 2; n++) {
      times.push(await timed(async () => assert.match((await home().run(code)).structured.error, ends)));
    }
    const longest = Math.max(...times);
    assert.ok(Math.min(...times) >= limit && longest < limit + LATE, `${times} ms`);
    return `${Math.round(longest)} ms`;
  }

  describe('limits', () => {
    test('time', async () => {
      const sleeping = 'import time\ntime.sleep(100)';
      found('1 s of time', await lasts(sleeping, /TimeoutError: the run took longer than 1 s/, 1000));
    });

    test('time, for who goes on', async () => {
      const code = 'import time\nwhile True:\n  try: time.sleep(100)\n  except BaseException: pass';
      found('1 s of time, and 1 s of grace', await lasts(code, /did not end when it was told to/, 2000));
    });

    test('memory', async () => {
      const { return_value, error } = (await home().run(MEMORY)).structured;
      assert.ok(return_value > 32 * MB && return_value <= 64 * MB, error ?? `${return_value}`);
      found('64 MB of memory', megabytes(return_value));
    });

    test('output', async () => {
      const { structured } = await home().run('for n in range(10_000): print("x" * 99)');
      const [note] = structured.output.splice(-1);
      assert.match(note, /output cut/);
      const bytes = structured.output.join('').length;
      assert.ok(bytes > 15 * 1024 && bytes <= 16 * 1024, `${bytes}`);
      found('16 KB of output', `${(bytes / 1024).toFixed(2)} KB`);
    });

    test('files', async () => {
      const large = (await home().run(FILE)).structured;
      assert.match(large.output?.[0] ?? large.error, /No space left/);
      assert.ok(large.return_value > 0.9 * MB && large.return_value <= MB, `${large.return_value}`);
      found('1 MB of files', megabytes(large.return_value));
      const many = (await home().run(FILES)).structured;
      assert.match(many.output?.[0] ?? many.error, /No space left/);
      assert.ok(many.return_value > 50 && many.return_value <= 100, `${many.return_value}`);
      found('100 files', `${many.return_value}`);
    });
  });
}
