// Goal: stop the service. While each attack runs, others are answered; afterwards everything is as before.

/** @typedef {{ name: string, code: string, ends: RegExp, output?: number }} Exhaustion `ends` is found in the structured content. */

/** @type {Exhaustion[]} */
export const exhaustions = [
  { name: 'a busy loop', code: 'while True: pass', ends: /TimeoutError: the run took longer/ },
  {
    name: 'a loop that catches all',
    code: 'while True:\n  try:\n    while True: pass\n  except BaseException: pass',
    ends: /did not end when it was told to/,
  },
  {
    name: 'a finally that never ends',
    code: 'try:\n  while True: pass\nfinally:\n  while True: pass',
    ends: /did not end when it was told to/,
  },
  {
    name: 'signal handlers of its own',
    code: 'import signal\nfor s in (2, 14, 24): signal.signal(s, signal.SIG_IGN)\nwhile True: pass',
    ends: /did not end when it was told to/,
  },
  { name: 'a sleep', code: 'import time\ntime.sleep(1000)', ends: /TimeoutError/ },
  {
    name: 'tasks that never end',
    code: 'import asyncio\nasync def f():\n  while True:\n    try: await asyncio.sleep(0.01)\n    except BaseException: pass\nfor _ in range(50): asyncio.ensure_future(f())\n1',
    ends: /"return_value":1/,
  },
  {
    name: 'a timer of JavaScript',
    code: 'import js\nfrom pyodide.ffi import create_proxy\ndef f(*a): js.setTimeout(p, 0)\np = create_proxy(f)\nf()\n1',
    ends: /"return_value":1/,
  },
  {
    name: 'a microtask that begets itself, for a while',
    code: 'import js\nfrom pyodide.ffi import create_proxy\nn = 0\ndef f(*a):\n  global n\n  n += 1\n  if n < 20_000: js.queueMicrotask(p)\np = create_proxy(f)\nf()\n1',
    ends: /"return_value":1/,
  },
  {
    name: 'threads',
    code: 'import threading\nts = [threading.Thread(target=print) for _ in range(100)]\nfor t in ts: t.start()',
    ends: /run-error/,
  },
  { name: 'processes', code: 'import os\nwhile True: os.fork()', ends: /run-error/ },
  { name: 'recursion', code: 'def f(): f()\nf()', ends: /RecursionError/ },
  {
    name: 'recursion without a limit',
    code: 'import sys\nsys.setrecursionlimit(10**9)\ndef f(): f()\nf()',
    ends: /run-error/,
  },
  { name: 'recursion in C', code: 'x = []\nfor _ in range(300_000): x = [x]\nrepr(x)', ends: /run-error/ },
  { name: 'a deep value', code: 'x = []\nfor _ in range(300_000): x = [x]\nx', ends: /success|run-error/ },
  { name: 'deep source', code: 'eval("(" * 10_000)', ends: /run-error/ },
  { name: 'the end of the interpreter', code: 'import os\nos._exit(1)', ends: /ended the interpreter/ },
  { name: 'an abort', code: 'import os\nos.abort()', ends: /ended the interpreter|failed/ },
  { name: 'a wild pointer', code: 'import ctypes\nctypes.string_at(0xfffffff0, 100_000)', ends: /run-error/ },
  { name: 'a broken heap', code: 'import ctypes\nctypes.memset(8, 0xff, 30_000_000)', ends: /run-error/ },
  { name: 'one large allocation', code: 'bytearray(2**31 - 1)', ends: /MemoryError/ },
  { name: 'many allocations', code: 'x = []\nwhile True: x.append(bytearray(1_000_000))', ends: /MemoryError/ },
  { name: 'small allocations', code: 'x = []\nwhile True: x.append(object())', ends: /MemoryError|TimeoutError/ },
  { name: 'a text that doubles', code: 'x = "x"\nwhile True: x += x', ends: /MemoryError/ },
  { name: '100 MB of output', code: 'for _ in range(100): print("x" * 1_000_000)', ends: /line cut/ },
  {
    name: '100 MB of output in one line',
    code: 'for _ in range(100): print("x" * 1_000_000, end="")',
    ends: /line cut/,
  },
  {
    name: '10,000 prints a second',
    code: 'import time\nend = time.time() + 2\nn = 0\nwhile time.time() < end:\n  n += 1\n  print(n)',
    ends: /output cut|success/,
  },
  { name: 'empty lines for ever', code: 'while True: print()', ends: /output cut: \d+ more lines/ },
  {
    name: 'output that is no text',
    code: 'import sys\nfor _ in range(30): sys.stdout.buffer.write(b"\\xff" * 100_000 + b"\\n")',
    ends: /line cut/,
  },
  { name: 'an error of megabytes', code: 'raise ValueError("x" * 20_000_000)', ends: /error cut|could not be written/ },
  { name: 'a value of megabytes', code: '"x" * 20_000_000', ends: /bytes long, and at most/ },
  { name: 'a value of many values', code: '[0] * 600_000', ends: /longer than \d+ bytes|values, and at most/ },
  {
    name: 'a value that never ends',
    code: 'import itertools\nitertools.count()',
    ends: /longer than \d+ bytes|TimeoutError/,
  },
  { name: 'files', code: 'for n in range(10**6): open(f"/tmp/{n}", "w").close()', ends: /No space left/ },
  {
    name: 'a large file',
    code: 'f = open("/tmp/f", "wb")\nwhile True: f.write(b"x" * 1_000_000)',
    ends: /No space left/,
  },
  {
    name: 'a sparse file',
    code: 'import os\nos.truncate(os.open("/tmp/f", os.O_CREAT | os.O_RDWR), 2**31 - 1)',
    ends: /No space left/,
  },
  {
    name: 'a file that was deleted',
    code: 'import os\nfor n in range(100):\n  f = os.open("/tmp/f", os.O_CREAT | os.O_RDWR)\n  os.unlink("/tmp/f")\n  os.write(f, b"x" * 5_000_000)',
    ends: /No space left/,
  },
  {
    name: 'a zip bomb',
    code: 'import io, zipfile\nb = io.BytesIO()\nwith zipfile.ZipFile(b, "w", zipfile.ZIP_DEFLATED) as z:\n  for n in range(20): z.writestr(f"{n}", b"\\0" * 10_000_000)\nzipfile.ZipFile(b).extractall("/tmp/z")',
    ends: /No space left|MemoryError|TimeoutError/,
  },
  {
    name: 'a regular expression, for a while',
    code: 'import re\nre.match(r"(a+)+$", "a" * 22 + "b")\n1',
    ends: /"return_value":1|TimeoutError/,
  },
];
