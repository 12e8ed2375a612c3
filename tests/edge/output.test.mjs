// Output as it is written, and its limit.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { answer, meta, modern, run, startWorker } from './worker.mjs';

describe('output', () => {
  /** @type {Awaited<ReturnType<typeof startWorker>>} */
  let worker;
  before(async () => {
    worker = await startWorker({ OUTPUT_LIMIT_KB: '64', RESULT_LIMIT_KB: '1024' });
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

test('of a result that a model reads the beginning and the end are kept, and a program gets all', async () => {
  const worker = await startWorker({ RESULT_LIMIT_KB: '64' });
  try {
    const code = 'for i in range(15_000): print("line", i)\n"the end"';
    const call = { name: 'run_python_code', arguments: { python_code: code } };
    const { result } = await answer(await modern(worker.url, 'tools/call', call));
    const { output, return_value } = result.structuredContent;
    assert.deepEqual([output[0], output.at(-1), return_value], ['line 0', 'line 14999', 'the end']);
    const notes = output.filter((/** @type {string} */ line) => line.startsWith('[output cut: '));
    assert.match(
      notes.join(),
      /^\[output cut: \d+ bytes left out here, by RESULT_LIMIT_KB; all of it: sandbox:\/\/\w{26}\/output\.txt\]$/,
    );
    const told = JSON.stringify(result.structuredContent).length + result.content[0].text.length;
    assert.ok(told <= 64 * 1024 && told > 48 * 1024, `${told} bytes`);
    const whole = { ...call, _meta: meta({ 'mcp-run-python/whole-result': true }) };
    const all = await answer(await modern(worker.url, 'tools/call', whole));
    assert.equal(all.result.structuredContent.output.length, 15_000);
  } finally {
    await worker.stop();
  }
});
