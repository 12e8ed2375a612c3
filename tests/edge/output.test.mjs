// Output as it is written, and as much of it as may be.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { run, startWorker } from './worker.mjs';

describe('output', () => {
  /** @type {Awaited<ReturnType<typeof startWorker>>} */
  let worker;
  before(async () => {
    worker = await startWorker({ OUTPUT_LIMIT_KB: '64' });
  });
  after(() => worker?.stop());

  test('a huge line after the last byte of the limit is left out, and the result is there', async () => {
    const code = 'print("x" * 65536)\nprint("y" * 10_000_000)\nprint("z")\n"result"';
    const { status, return_value, output, error } = await run(worker.url, code);
    assert.equal(status, 'success', error);
    assert.equal(return_value, 'result');
    assert.deepEqual(output, ['x'.repeat(65536), '[output cut: 2 more lines of 10000001 bytes]']);
  });

  test('a byte order mark at the start of a line is kept', async () => {
    const { output } = await run(worker.url, 'print("\\ufeffone")\nprint("two\\ufeff")');
    assert.deepEqual(output, ['\ufeffone', 'two\ufeff']);
  });
});
