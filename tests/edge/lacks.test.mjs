// Features that a sandbox lacks fail with one line that says so, or have a substitute.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { run, sharedWorker } from './worker.mjs';

/** @type {Awaited<ReturnType<typeof sharedWorker>>} */
let worker;
before(async () => {
  worker = await sharedWorker();
});
after(() => worker?.stop());

const THREADS = /\nThe sandbox has no threads: .*\n$/;
/** @param {string} what */
const NETWORK = (what) => new RegExp(`\\nThere is no network here${what}: give the program its data as files\\.\\n$`);
const EXAMPLE = NETWORK(', so api\\.example\\.com is out of reach');
const LEAVE_OUT = /: leave this line out\.\n$/;
const DATA_SET = /\nThere is no network here.*: a data set that has to be downloaded cannot be had\. .*\n$/;
const PROCESSES = /\nThe sandbox has no processes: .*\n$/;

/** Code that needs a missing feature, and the end of its error. @type {[string, RegExp][]} */
const PROGRAMS = [
  ['import threading\nthreading.Thread(target=print).start()', THREADS],
  [
    'from concurrent.futures import ThreadPoolExecutor\nwith ThreadPoolExecutor() as pool:\n    pool.submit(print).result()',
    THREADS,
  ],
  ['import subprocess\nsubprocess.run(["ls"])', PROCESSES],
  ['import multiprocessing\nmultiprocessing.Pool(2).map(abs, [1])', PROCESSES],
  ['from concurrent.futures import ProcessPoolExecutor\nProcessPoolExecutor().submit(abs, 1).result()', PROCESSES],
  ['import requests\nrequests.get("https://api.example.com/x")', EXAMPLE],
  ['import httpx\nhttpx.get("https://api.example.com/x")', EXAMPLE],
  ['import httpx\nasync with httpx.AsyncClient() as client: await client.get("https://api.example.com/x")', EXAMPLE],
  ['import urllib.request\nurllib.request.urlopen("https://api.example.com/x")', EXAMPLE],
  ['import socket\nsocket.create_connection(("api.example.com", 80))', EXAMPLE],
  ['import socket\nsocket.socket().connect(("10.1.2.3", 80))', NETWORK('')],
  ['import pyodide.http\nawait pyodide.http.pyfetch("https://api.example.com/x")', NETWORK('')],
  [
    'import urllib.request\ntry: urllib.request.urlopen("https://api.example.com/x")\nexcept OSError as error: group = ExceptionGroup("several", [error])\nraise group',
    /\n {4}\+-{10,}\nThere is no network here, so api\.example\.com is out of reach: .*\n$/,
  ],
  ['import nltk\nnltk.word_tokenize("one two")', DATA_SET],
  ['%matplotlib inline', LEAVE_OUT],
  ['import os\n%pip install numpy', LEAVE_OUT],
  ['!pip install numpy', LEAVE_OUT],
  ['files = !ls', /\nThe sandbox has no shell: .*\n$/],
];

for (const [code, expected] of PROGRAMS) {
  test(`${code.split('\n').at(-1)} is told to be impossible`, async () => {
    const { status, error } = await run(worker.url, code);
    assert.equal(status, 'run-error');
    assert.match(error, expected);
  });
}

test('an error that says the same for another reason is left as it is', async () => {
  const { error } = await run(worker.url, 'raise ValueError("RuntimeError: can\'t start new thread")');
  assert.ok(!error.includes('sandbox'), error);
  const broken = `class E(Exception):
    def __str__(self): raise SystemExit
    def add_note(self, note): raise SystemExit
raise E`;
  assert.match((await run(worker.url, broken)).error, /E/);
});

test('an exception that resists is told all the same', async () => {
  for (const member of ['host', 'request', '__cause__', '__suppress_context__', 'errno', '__notes__', 'text']) {
    const code = `class E(OSError):
    @property
    def ${member}(self): raise SystemExit
raise E(23, "the sandbox has no network")`;
    const { status, error } = await run(worker.url, code);
    assert.equal(status, 'run-error', member);
    assert.match(error, /E/, member);
  }
  const liar = 'e = OSError("the sandbox has no network")\ne.host = "x.example.com: <b>pay</b>"\nraise e';
  assert.match((await run(worker.url, liar)).error, /\nThere is no network here, so x\.example\.com is out of reach: /);
});

test('micropip has nothing to do', async () => {
  const code = 'import micropip\nawait micropip.install("regex")\nimport regex\nregex.search("b+", "abb")[0]';
  const { return_value, error, output } = await run(worker.url, code);
  assert.equal(return_value, 'bb', error);
  assert.ok(
    output.some((/** @type {string} */ line) => line.startsWith('micropip.install: nothing to do')),
    output,
  );
});

test('there is a user, and not the first of the machine', async () => {
  const { return_value, error } = await run(
    worker.url,
    'import os\n[os.getuid(), os.geteuid(), os.getgid(), os.getegid(), os.getgroups()]',
  );
  assert.deepEqual(return_value, [1000, 1000, 1000, 1000, [1000]], error);
});

test('the only thread has a number of the system, too', async () => {
  const { return_value, error } = await run(worker.url, 'import threading\ntype(threading.get_native_id()).__name__');
  assert.equal(return_value, 'int', error);
});

test('the time of the process is counted, from its start', async () => {
  const code = `import time
start = time.process_time()
for _ in range(100_000): pass
took = time.process_time() - start
[0 < took < 5, 0 <= start < 60, time.thread_time() > start, time.process_time_ns() > 0]`;
  const { return_value, error } = await run(worker.url, code);
  assert.deepEqual(return_value, [true, true, true, true], error);
});

test('shelve keeps values in a file', async () => {
  const code = `import dbm, shelve
with shelve.open('values') as values:
    values['a'] = [1, {'b': 2}]
with shelve.open('values') as values:
    read = dict(values)
with dbm.open('simple', 'n') as simple:
    simple['k'] = 'v'
[read, dbm.whichdb('values'), dbm.open('simple')['k'].decode()]`;
  const { return_value, error } = await run(worker.url, code);
  assert.deepEqual(return_value, [{ a: [1, { b: 2 }] }, 'dbm.sqlite3', 'v'], error);
});

test('keys are derived from passwords', async () => {
  // RFC 7914, sections 11 and 12; RFC 6070. The other values are OpenSSL's: a password longer than a block, a salt and a key of
  // several blocks, and a hash that Python itself handles, with more iterations than it does in one step.
  const code = `import hashlib
[hashlib.pbkdf2_hmac('sha256', b'passwd', b'salt', 1, 64).hex()[:16],
 hashlib.pbkdf2_hmac('sha1', b'passwordPASSWORDpassword', b'saltSALTsaltSALTsaltSALTsaltSALTsalt', 4096, 25).hex(),
 hashlib.pbkdf2_hmac('SHA256', bytearray(b'p' * 100), memoryview(b's'), 1025, 33).hex(),
 hashlib.pbkdf2_hmac('sha224', b'p', b's' * 200, 3).hex()[-16:],
 hashlib.pbkdf2_hmac('sha384', b'p' * 130, b's', 3, 1000).hex()[-16:],
 hashlib.pbkdf2_hmac('sha512', b'', b'', 5000).hex()[-16:],
 hashlib.pbkdf2_hmac('blake2s', b'p' * 100, b's', 1025, 5).hex(),
 hashlib.scrypt(b'', salt=b'', n=16, r=1, p=1).hex()[:16],
 hashlib.scrypt(b'password', salt=b'NaCl', n=1024, r=8, p=16).hex()[:16],
 hashlib.scrypt(password=b'pleaseletmein', salt=b'SodiumChloride', n=16384, r=8, p=1).hex()[:16],
 hashlib.scrypt(b'p' * 100, salt=b's' * 100, n=2**15, r=3, p=2, maxmem=2**26, dklen=100).hex()[-16:]]`;
  const { return_value, error } = await run(worker.url, code);
  const expected = [
    '55ac046e56e3089f',
    '3d2eec4fe41c849b80c8d83662c0e44a8b291a964cf2f07038',
    'c477ea39829f7c65c5b00148d5c14ad6bd8d7b2105c3926b684a6fac9619ef1ac5',
    '24f4f121c5d1e08c',
    '97115293bace8622',
    'd210b9d5f3893bb4',
    'b88626d116',
    '77d6576238657b20',
    'fdbabe1c9d347200',
    '7023bdcb3afd7348',
    '48bdead2c8b02361',
  ];
  assert.deepEqual(return_value, expected, error);
});

test('a key that cannot be derived is refused as by CPython', async () => {
  const code = `import hashlib
def refusal(function, *args, **kwargs):
    try:
        function(*args, **kwargs)
    except Exception as error:
        return type(error).__name__
def scrypt(**kwargs):
    return refusal(hashlib.scrypt, b'p', **{'salt': b's', 'n': 2, 'r': 8, 'p': 1, **kwargs})
def pbkdf2(*args):
    return refusal(hashlib.pbkdf2_hmac, *args)
[[scrypt(**one) for one in ({}, {'n': 3}, {'n': 1}, {'r': 0}, {'p': 0}, {'maxmem': -1}, {'maxmem': 2**31}, {'dklen': 0},
                            {'n': 2**15}, {'n': 2**16, 'r': 1}, {'r': 2**60}, {'n': 2**60}, {'maxmem': 128})],
 [scrypt(**one) for one in ({'n': 2.0}, {'salt': 's'}, {'salt': None}, {'unknown': 1})],
 refusal(hashlib.scrypt, b'p', b's', 2, 8, 1), refusal(hashlib.scrypt, b'p', n=2, r=8, p=1),
 [pbkdf2('sha256', b'p', b's', *numbers) for numbers in ((0,), (2**31,), (1, 0), (1, 2**31), (1.5,))],
 pbkdf2('unknown', b'p', b's', 1), pbkdf2('sha256', 'p', b's', 1)]`;
  const { return_value, error } = await run(worker.url, code);
  const expected = [
    [null, ...Array(12).fill('ValueError')],
    Array(4).fill('TypeError'),
    'TypeError',
    'TypeError',
    ['ValueError', 'OverflowError', 'ValueError', 'OverflowError', 'TypeError'],
    'ValueError',
    'TypeError',
  ];
  assert.deepEqual(return_value, expected, error);
});

test('a derivation is interrupted in its midst, and another begins within it', async () => {
  // A signal handler runs between two lines, which a trace function imitates.
  const code = `import hashlib, sys
def trace(frame, event, arg):
    if frame.f_code.co_name != '_derived':
        return None
    lines.append(frame.f_lineno)
    if len(lines) in (10, 20):
        inner.append(scrypt())
    if len(lines) == end:
        raise InterruptedError
    return trace
def scrypt():
    return hashlib.scrypt(b'', salt=b'', n=16, r=1, p=1).hex()[:16]
def traced(iterations):
    lines.clear()
    sys.settrace(trace)
    try:
        return hashlib.pbkdf2_hmac('sha1', b'password', b'salt', iterations).hex()[-16:]
    except InterruptedError:
        return 'interrupted'
    finally:
        sys.settrace(None)
lines, inner = [], []
end = 100
interrupted = traced(10**9)
end = None
[interrupted, traced(65536), inner]`;
  const { return_value, error } = await run(worker.url, code);
  assert.deepEqual(return_value, ['interrupted', 'bc7ae95b305a8d53', Array(4).fill('77d6576238657b20')], error);
});

test('a derivation for which there is no memory is told so', async () => {
  const code = `import hashlib
def derived(n):
    try:
        return hashlib.scrypt(b'p', salt=b's', n=n, r=8, p=1, maxmem=2**31 - 1).hex()[:16]
    except MemoryError:
        return 'MemoryError'
[derived(2**20), derived(2**4), derived(2**20), derived(2**14)]`;
  const { return_value, error } = await run(worker.url, code);
  assert.deepEqual(return_value, ['MemoryError', '4efe92b5bba5ee18', 'MemoryError', '4329787752e75d1d'], error);
});
