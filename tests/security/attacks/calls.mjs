// Goal: make the host do what a program may not ask for, in a run that may make some calls: by forged and malformed calls, and
// by forged answers. The tool is `test_calls` (src/mcp/fixtures.rs).

import { BROKE } from './host.mjs';

/** @param {unknown} id @param {string} name @param {string} args JSON, or not @param {object} [more] */
const call = (id, name = 'echo', args = '{}', more = {}) =>
  JSON.stringify({ call: { id, name, arguments: args, ...more } });

/** @param {string[]} frames @returns {string} a Python expression: their bytes */
const lines = (...frames) => `${JSON.stringify(`${frames.join('\n')}\n`)}.encode()`;

const ARGUMENTS = [
  '',
  '1',
  '[]',
  'null',
  '"{}"',
  '{',
  '{}}',
  '{} {}',
  '{"a":}',
  '{a:1}',
  '{"a":NaN}',
  '\ufeff{}',
  '{"a":"\u0001"}',
];

/** The bytes, as a Python expression, that are sent in place of each frame. @type {[name: string, bytes: string, ends: RegExp][]} */
export const FORGED_CALLS = [
  ['a name that is not allowed', lines(call(1, 'run_python_code')), BROKE],
  ['a name like one that is', lines(call(1, 'echo\u0000')), BROKE],
  ['an object for a name', lines('{"call":{"id":1,"name":{"echo":1},"arguments":"{}"}}'), BROKE],
  ['the same id twice', lines(call(1), call(1)), BROKE],
  ['ids that go down', lines(call(9), call(8)), BROKE],
  ['the id of a call that was let go of', lines(call(1, 'never'), '{"cancel":1}', call(1)), BROKE],
  ['the end of a call that comes later', lines('{"cancel":9}', call(9)), BROKE],
  ...[0, -1, 1.5, 2 ** 53, '1', null, [1], {}].map(
    (id) => /** @type {[string, string, RegExp]} */ ([`the id ${JSON.stringify(id)}`, lines(call(id)), BROKE]),
  ),
  ...ARGUMENTS.map(
    (args) =>
      /** @type {[string, string, RegExp]} */ ([
        `arguments ${JSON.stringify(args)}`,
        lines(call(1, 'echo', args)),
        BROKE,
      ]),
  ),
  ['arguments that are no text', lines('{"call":{"id":1,"name":"echo","arguments":{}}}'), BROKE],
  ['arguments that are too long', lines(call(1, 'echo', `{"a":"${'x'.repeat(100_000)}"}`)), BROKE],
  [
    'arguments of 100 MB',
    'b\'{"call":{"id":1,"name":"echo","arguments":"\' + b"x" * 100_000_000 + b\'"}}\\n\'',
    // The latter two if the host or its interpreter does not take a frame that long.
    /broke its protocol|ended the interpreter|MemoryError/,
  ],
  ['a principal', lines(call(1, 'echo', '{}', { principal: 'bob' })), BROKE],
  ['an answer with it', lines(call(1, 'echo', '{}', { value: 'owned' })), BROKE],
  ['an answer', lines('{"answer":{"id":1,"value":"owned"}}'), BROKE],
  ['permission for another name', lines('{"calls":{"names":["run_python_code"]}}', call(1, 'run_python_code')), BROKE],
  [
    'a hundred thousand calls',
    `b"".join(b'{"call":{"id":%d,"name":"never","arguments":"{}"}}\\n' % n for n in range(1, 100_001))`,
    /broke its protocol|ended the interpreter|MemoryError/,
  ],
  [
    'a hundred thousand calls that are let go of',
    `b"".join(b'{"call":{"id":%d,"name":"never","arguments":"{}"}}\\n{"cancel":%d}\\n' % (n, n) for n in range(1, 100_001))`,
    /broke its protocol|ended the interpreter|MemoryError/,
  ],
];

/** A program that answers its own call: only it gets the forged answer. */
export const ANSWERS_ITSELF = `
from _host import call
from _sandbox import calls
real = calls._host
class Forged:
    def begin(self, *arguments):
        return real.begin(*arguments)
    async def answered(self, call_id):
        return '{"value":"\\\\"owned\\\\""}'
    def cancel(self, call_id):
        pass
calls._host = Forged()
value = await call('never')
calls._host = real
[value, await call('echo', x=1)]`;

/** Frames that cancel calls of another run, by guessed ids. */
export const OTHERS = Array.from({ length: 20 }, (_, n) => `{"cancel":${n + 1}}`);
