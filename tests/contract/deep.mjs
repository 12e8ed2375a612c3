// Programs that nest or recurse deeply: each ends with at most a Python error, and its interpreter survives.

/** Code that makes a value `x` which is nested 100,000 deep. */
const NESTED = {
  'a list': 'x = []\nfor _ in range(100_000): x = [x]',
  'a dictionary': 'x = {}\nfor _ in range(100_000): x = {1: x}',
  objects:
    'class Node:\n    def __init__(self, next): self.next = next\nx = None\nfor _ in range(100_000): x = Node(x)',
  generators: 'def over(x):\n    yield x\nx = None\nfor _ in range(100_000):\n    x = over(x)\n    next(x)',
  'causes of errors':
    'x = None\nfor _ in range(100_000):\n    error = ValueError()\n    error.__cause__ = x\n    x = error\ndel error',
};

/** Code that recurses in C, and the code that has to run before it. */
const RECURSIVE = [
  ['repr(x)', NESTED['a list']],
  ['x == y', `${NESTED['a list']}\ny = x\n${NESTED['a list']}`],
  ['json.dumps(x)', `import json\n${NESTED['a list']}`],
  ["json.loads('[' * 100_000)", 'import json'],
  ['pickle.dumps(x)', `import pickle\n${NESTED['a list']}`],
  ['copy.deepcopy(x)', `import copy\n${NESTED['a list']}`],
  ["compile('+'.join('1' * 50_000), '', 'eval')", ''],
  ['repr(A())', 'class A:\n    def __repr__(self): return repr(self)'],
  ['A() < A()', 'class A:\n    def __lt__(self, other): return sorted([A(), A()])'],
  ['A()()', 'class A: pass\nA.__call__ = A()'],
  ['A().x', 'class A:\n    def __getattr__(self, name): return getattr(self, name)'],
  ['f(1)', 'import sys\nsys.setrecursionlimit(10**6)\ndef f(x): return max([1, 2], key=f)'],
];

/** Name, code and value of each. @type {[string, string, unknown][]} */
export const DEEP = [
  ...Object.entries(NESTED).flatMap(
    ([what, code]) =>
      /** @type {[string, string, unknown][]} */ ([
        [`${what}, freed by the program`, `${code}\ndel x\n1`, 1],
        [`${what}, freed after it`, `${code}\n1`, 1],
      ]),
  ),
  ...RECURSIVE.map(
    ([code, before]) =>
      /** @type {[string, string, unknown]} */ ([
        `${code} after ${before}`,
        `${before}\ntry:\n    ${code}\nexcept RecursionError:\n    result = 'ended'\nresult`,
        'ended',
      ]),
  ),
  [
    'what CPython has the depth for',
    'from functools import cache\n@cache\ndef fib(n): return n if n < 2 else fib(n - 1) + fib(n - 2)\nfib(450) % 1000',
    600,
  ],
];
