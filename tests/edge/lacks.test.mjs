// What a sandbox does not have is told in one line, and what can be made up for is there.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { run, startWorker } from './worker.mjs';

/** @type {Awaited<ReturnType<typeof startWorker>>} */
let worker;
before(async () => {
  worker = await startWorker();
});
after(() => worker?.stop());

const THREADS = /\nThe sandbox has no threads: .*\n$/;
const SCRYPT = /\nThe sandbox has no hashlib\.scrypt, .*pbkdf2_hmac\.\n$/;
const PROCESSES = /\nThe sandbox has no processes: .*\n$/;

/** Code that needs what is not there, and the end of its error. @type {[string, RegExp][]} */
const PROGRAMS = [
  ['import threading\nthreading.Thread(target=print).start()', THREADS],
  [
    'from concurrent.futures import ThreadPoolExecutor\nwith ThreadPoolExecutor() as pool:\n    pool.submit(print).result()',
    THREADS,
  ],
  ['import subprocess\nsubprocess.run(["ls"])', PROCESSES],
  ['import multiprocessing\nmultiprocessing.Pool(2).map(abs, [1])', PROCESSES],
  ['from concurrent.futures import ProcessPoolExecutor\nProcessPoolExecutor().submit(abs, 1).result()', PROCESSES],
  ['import hashlib\nhashlib.scrypt(b"p", salt=b"s", n=2, r=8, p=1)', SCRYPT],
  ['from hashlib import scrypt', SCRYPT],
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

test('there is a user, and not the first of the machine', async () => {
  const { return_value, error } = await run(
    worker.url,
    'import os\n[os.getuid(), os.geteuid(), os.getgid(), os.getegid(), os.getgroups()]',
  );
  assert.deepEqual(return_value, [1000, 1000, 1000, 1000, [1000]], error);
});

test('keys are derived from passwords', async () => {
  // RFC 7914, section 11; RFC 6070. The others as OpenSSL has them: a key longer than a block, more iterations than are
  // put together at once, a hash without a MAC in C of its own.
  const code = `import hashlib
[hashlib.pbkdf2_hmac('sha256', b'passwd', b'salt', 1, 64).hex()[:16],
 hashlib.pbkdf2_hmac('sha1', b'passwordPASSWORDpassword', b'saltSALTsaltSALTsaltSALTsaltSALTsalt', 4096, 25).hex(),
 hashlib.pbkdf2_hmac('sha256', b'p' * 100, b's', 1025, 33).hex(),
 hashlib.pbkdf2_hmac('blake2s', b'p', b's', 3, 5).hex()]`;
  const { return_value, error } = await run(worker.url, code);
  const expected = [
    '55ac046e56e3089f',
    '3d2eec4fe41c849b80c8d83662c0e44a8b291a964cf2f07038',
    'c477ea39829f7c65c5b00148d5c14ad6bd8d7b2105c3926b684a6fac9619ef1ac5',
    '79dc064f74',
  ];
  assert.deepEqual(return_value, expected, error);
});

test('a key takes no longer than as many hashes, one by one', async () => {
  // Compared on the same machine at the same time: two hashes of two blocks are what an iteration consists of.
  const code = `import hashlib, time
def hashes():
    message = bytes(32)
    for _ in range(100_000):
        message = hashlib.sha256(pad + hashlib.sha256(pad + message).digest()).digest()
def timed(work):
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
pad = bytes(64)
sorted(timed(lambda: hashlib.pbkdf2_hmac("sha256", b"p", b"s", 100_000)) / timed(hashes) for _ in range(5))[2]`;
  const { return_value, error } = await run(worker.url, code);
  assert.ok(return_value < 1, `${return_value} ${error}`);
});
