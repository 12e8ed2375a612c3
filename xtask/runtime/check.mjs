// Checks a snapshot by restoring it in workerd: a wrong one must fail the build, not a user's run.
import assert from 'node:assert/strict';
import { envelope } from '../../runtime/js/envelope.js';
import { LIMITS } from '../../runtime/js/limits.js';
import { VERSION } from '../../runtime/js/protocol.js';

/** Programs, and how each must end. @type {[string, object][]} */
const PROGRAMS = [
  ['1 + 1', { status: 'success', json: '2' }],
  // JSPI is there: sleeping suspends the run.
  ['import time; time.sleep(0.01); "slept"', { status: 'success', text: 'slept' }],
  ['import asyncio; asyncio.run(asyncio.sleep(0.01, "ran"))', { status: 'success', text: 'ran' }],
  ['from pyodide.ffi import can_run_sync; can_run_sync()', { status: 'success', json: 'true' }],
  // Symbols that no JavaScript names are found when they are looked up (xtask/src/link.rs).
  [
    'import ctypes; new = ctypes.pythonapi.PyTuple_New; new.restype = ctypes.py_object; ' +
      'new(0) == () and not hasattr(ctypes.pythonapi, "toString")',
    { status: 'success', json: 'true' },
  ],
  // Modules that are not in the snapshot come from the standard library beside it.
  ['import csv, sqlite3; csv.QUOTE_ALL', { status: 'success', json: '1' }],
  // Some of them are compiled already.
  [
    'import zipimport; zipimport._compile_source = None; import argparse; argparse.__file__',
    { status: 'success', text: '/lib/python314.zip/argparse.py' },
  ],
];

/**
 * Each program has an isolate of its own, as runs have.
 * @param {(use: (url: string) => Promise<void>) => Promise<void>} withIsolate
 * @param {ArrayBuffer[]} parts of the first request, see isolate.js
 * @param {string[]} modules that the snapshot has imported
 */
export async function check(withIsolate, parts, modules) {
  const absent = `import sys; [name for name in ${JSON.stringify(modules)} if name not in sys.modules]`;
  /** @type {typeof PROGRAMS} */
  const programs = [...PROGRAMS, [absent, { status: 'success', json: '[]' }]];
  for (const [code, expected] of programs) {
    /** @type {import('../../runtime/js/protocol.js').Request} */
    const request = {
      protocol: VERSION,
      code,
      globals: '{}',
      keep: false,
      files: [],
      limits: { ...LIMITS, time: 10_000 },
    };
    const run = JSON.stringify(request);
    await withIsolate(async (url) => {
      const response = await fetch(`${url}/run`, { method: 'POST', body: new Blob(envelope(run, parts)) });
      const text = await response.text();
      const frames = text
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line));
      assert.deepEqual(frames.at(-1)?.end, expected, `${code}: ${text}`);
    });
  }
}
