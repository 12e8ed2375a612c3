// The program is `__main__`: code that looks up a program's names by its module finds them.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { LegacyClient, run, sharedWorker } from './worker.mjs';

/** @type {Awaited<ReturnType<typeof sharedWorker>>} */
let worker;
before(async () => {
  worker = await sharedWorker();
});
after(() => worker?.stop());

/** Code, and the value that it must return. @type {[string, string, unknown][]} */
const PROGRAMS = [
  [
    'pickle finds its classes and functions',
    `import pickle
from dataclasses import dataclass
@dataclass
class Point:
    x: int
def double(x): return 2 * x
point, function = pickle.loads(pickle.dumps((Point(1), double)))
[point == Point(1), function(21), Point.__module__]`,
    [true, 42, '__main__'],
  ],
  [
    'mock patches its functions',
    `from unittest import mock
def fetch(): return 'real'
def report(): return fetch().upper()
with mock.patch('__main__.fetch', return_value='mocked'):
    inside = report()
[inside, report()]`,
    ['MOCKED', 'REAL'],
  ],
  [
    'annotations are resolved',
    `from __future__ import annotations
import dataclasses, typing
from typing import ClassVar, NamedTuple
@dataclasses.dataclass
class Node:
    many: ClassVar[int] = 0
    next: Node | None = None
class Pair(NamedTuple):
    one: Node
class Plain:
    value: Node
[[field.name for field in dataclasses.fields(Node)], str(typing.get_type_hints(Plain)['value']),
 str(typing.get_type_hints(Pair)['one'])]`,
    [['next'], "<class '__main__.Node'>", "<class '__main__.Node'>"],
  ],
  [
    'inspect has the source of its functions and classes',
    `import inspect
def one():
    return 1
class Two:
    three = 3
[inspect.getsource(one), inspect.getsource(Two)]`,
    ['def one():\n    return 1\n', 'class Two:\n    three = 3\n'],
  ],
  [
    'its tests are found',
    `import doctest, unittest
class Case(unittest.TestCase):
    def test_sum(self): self.assertEqual(1 + 1, 2)
def half(x):
    """
    >>> half(4)
    2.0
    """
    return x / 2
ran = unittest.main(argv=['main'], exit=False, verbosity=0).result
[ran.testsRun, ran.wasSuccessful(), doctest.testmod().attempted]`,
    [1, true, 1],
  ],
  [
    'it is the module of that name, and has the names that it had',
    'import sys, __main__\n[vars(sys.modules["__main__"]) is globals(), __main__.__name__, sorted(globals())]',
    [true, '__main__', ['__builtins__', '__main__', '__name__', 'sys']],
  ],
];

for (const [name, code, expected] of PROGRAMS) {
  test(name, async () => {
    const { return_value, error } = await run(worker.url, code);
    assert.deepEqual(return_value, expected, error);
  });
}

test('a session that keeps variables keeps the module', async () => {
  const { session } = await run(worker.url, 'class A:\n    x = 1\ndef get(): return value\nvalue = 1', {
    session: 'new',
  });
  const code = `import pickle, sys
value = 2
[pickle.loads(pickle.dumps(A())).x, get(), given, vars(sys.modules["__main__"]) is globals()]`;
  const { return_value, error } = await run(worker.url, code, { session, global_variables: { given: 3 } });
  assert.deepEqual(return_value, [1, 2, 3, true], error);
});

test('nothing of one run is left there for another', async () => {
  const client = await LegacyClient.connect(worker.url);
  const first = 'import sys\nmark = 1\nsys.modules["__main__"].more = 2\nsys.modules["__main__"] = None\n"set"';
  assert.equal((await client.run(first)).return_value, 'set');
  const { return_value, error } = await client.run(
    'import sys, __main__\n[name for name in ("mark", "more") if hasattr(__main__, name) or name in globals()]',
  );
  assert.deepEqual(return_value, [], error);
});
