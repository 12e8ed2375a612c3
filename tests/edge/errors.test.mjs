// Tracebacks: short ones are exactly Python's, long ones lack most frames of libraries.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { run, sharedWorker } from './worker.mjs';

/** @type {Awaited<ReturnType<typeof sharedWorker>>} */
let worker;
before(async () => {
  worker = await sharedWorker();
});
after(() => worker?.stop());

/** @param {string} code @returns {Promise<string>} */
const errorOf = async (code) => (await run(worker.url, code)).error;

/** @param {string} text @param {RegExp} pattern */
const count = (text, pattern) => text.match(new RegExp(pattern, 'g'))?.length ?? 0;

const OF_LIBRARIES = / {2}File "\/lib\//;

test("a long one keeps the program's frames and the last three of libraries", async () => {
  const code = `import copy
class E(dict):
    def __deepcopy__(self, memo):
        return 1 / 0
value = E()
for _ in range(20):
    value = [value]
def work():
    copy.deepcopy(value)
work()`;
  const error = await errorOf(code);
  assert.equal(count(error, OF_LIBRARIES), 3, error);
  assert.match(
    error,
    /line 10, in <module>\n[\s\S]*line 9, in work\n[\s\S]*\n {2}\[38 more frames\]\n[\s\S]*line 4, in __deepcopy__\n/,
  );
  assert.match(error, /\nZeroDivisionError: division by zero\n$/);
});

test('a short one stays as it is', async () => {
  const error = await errorOf('import json\njson.loads("[")');
  assert.equal(count(error, OF_LIBRARIES), 3, error);
  assert.ok(!error.includes('more frames'), error);
});

test('what an error came from, and the parts of a group, keep one frame of libraries each', async () => {
  const code = `import copy
class E(dict):
    def __deepcopy__(self, memo): 1 / 0
value = E()
for _ in range(20): value = [value]
def failed():
    try: copy.deepcopy(value)
    except ZeroDivisionError as error: return error
try: raise failed()
except ZeroDivisionError: raise ExceptionGroup("several", [failed(), failed()])`;
  const error = await errorOf(code);
  assert.equal(count(error, /File "\/lib\//), 3, error);
  assert.equal(count(error, /ZeroDivisionError: division by zero/), 3, error);
});

test('functions that call each other for ever are told in some lines', async () => {
  const error = await errorOf('def a(): b()\ndef b(): a()\na()');
  assert.ok(error.split('\n').length < 80, error);
  assert.match(error, /\[\d{3} more frames\]/);
});
