// The lines of a run's output, as `OutputLines` in every isolate makes them.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { OutputLines } from '../../runtime/js/output.js';

/** @typedef {'stdout' | 'stderr'} Stream */

/**
 * Returns the lines that leave the sandbox when these texts are written.
 * @param {[Stream, string | Uint8Array][]} writes
 * @param {{ output?: number, lines?: number, line?: number }} [limits]
 */
function written(writes, limits) {
  /** @type {[Stream, string][]} */
  const sent = [];
  const output = new OutputLines({ output: 100, lines: 10, line: 50, ...limits }, (frame) => {
    for (const [stream, lines] of Object.entries(frame)) {
      for (const line of lines) sent.push([/** @type {Stream} */ (stream), line]);
    }
  });
  for (const [stream, text] of writes) {
    const bytes = typeof text === 'string' ? new TextEncoder().encode(text) : text;
    assert.equal(output.writer(stream)(bytes), bytes.length, 'all of it counts as written');
  }
  output.end();
  return sent;
}

/** @param {string} text */
const lines = (text) => written([['stdout', text]]).map(([, line]) => line);

test('lines are what is between newlines', () => {
  assert.deepEqual(lines('one\n\ntwo\nthree'), ['one', '', 'two', 'three']);
  assert.deepEqual(lines(''), []);
  assert.deepEqual(lines('\n'), ['']);
});

test('lines of both streams have the order in which they ended', () => {
  assert.deepEqual(
    written([
      ['stdout', 'a'],
      ['stderr', 'x\n'],
      ['stdout', 'b\n'],
    ]),
    [
      ['stderr', 'x'],
      ['stdout', 'ab'],
    ],
  );
});

test('a character may be written in pieces', () => {
  const bytes = new TextEncoder().encode('é€\n');
  assert.deepEqual(written([...bytes].map((byte) => ['stdout', Uint8Array.of(byte)])), [['stdout', 'é€']]);
});

test('a line keeps all of its characters, a byte order mark as well', () => {
  assert.deepEqual(lines('\ufeffone\n\ufeff\ufefftwo\nthree\ufeff\n'), ['\ufeffone', '\ufeff\ufefftwo', 'three\ufeff']);
});

test('a long line is cut, and says so', () => {
  assert.deepEqual(lines(`${'x'.repeat(60)}\nnext\n`), [`${'x'.repeat(50)} [line cut: 10 more bytes]`, 'next']);
});

test('once the output has its limit, nothing more leaves but how much there was', () => {
  // Each line costs one byte more than its text, also the line that uses the last byte.
  for (const used of [98, 99, 100, 101, 150]) {
    for (const more of [1, 10, 10_000_000]) {
      const sent = written(
        [
          ['stdout', `${'x'.repeat(used)}\n`],
          ['stdout', `${'y'.repeat(more)}\n`],
          ['stderr', `${'z'.repeat(more)}\n`],
        ],
        { line: 1000 },
      );
      const size = sent.reduce((sum, [, line]) => sum + line.length, 0);
      assert.ok(size < 250, `${size} characters after ${used} bytes and two lines of ${more}`);
      const kept = sent.filter(([, line]) => /^[xyz]+/.test(line));
      assert.ok(kept.map(([, line]) => line.replace(/ \[line cut.*/, '')).join('').length <= 100);
      if (used >= 100) assert.deepEqual(sent.at(-1), ['stderr', `[output cut: 2 more lines of ${2 * more} bytes]`]);
    }
  }
});

test('many lines are bounded, also empty ones', () => {
  assert.deepEqual(lines('\n'.repeat(12)), [...Array(10).fill(''), '[output cut: 2 more lines of 0 bytes]']);
});

test('what stands before the cursor is the end of the line that has no end yet', () => {
  const output = new OutputLines({ output: 100_000, lines: 10, line: 50_000 }, () => {});
  const write = (/** @type {Stream} */ stream, /** @type {string} */ text) =>
    output.writer(stream)(new TextEncoder().encode(text));
  assert.equal(output.unfinished, '');
  write('stdout', 'whole\nNa');
  write('stderr', 'other');
  write('stdout', 'me ä? ');
  assert.equal(output.unfinished, 'Name ä? ');
  write('stdout', 'x'.repeat(1500));
  write('stdout', 'y'.repeat(1000));
  assert.equal(output.unfinished, 'x'.repeat(1000) + 'y'.repeat(1000));
  write('stdout', '\n');
  assert.equal(output.unfinished, '');
});
