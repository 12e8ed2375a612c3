// Files of a program: placed before it runs, and reported after it.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { answer, LegacyClient, modern, run, startWorker } from './worker.mjs';

/** @type {Awaited<ReturnType<typeof startWorker>>} */
let worker;
before(async () => {
  worker = await startWorker({ RESULT_FILES_LIMIT: '20', RESULT_FILE_LIMIT_KB: '16', FILES_LIMIT_MB: '4' });
});
after(() => worker?.stop());

/** Runs code and returns the whole answer. @param {string} code @param {Record<string, unknown>} [args] */
async function call(code, args = {}) {
  const params = { name: 'run_python_code', arguments: { python_code: code, ...args } };
  return answer(await modern(worker.url, 'tools/call', params));
}

const base64 = (/** @type {Uint8Array | string} */ bytes) => Buffer.from(bytes).toString('base64');

test('text and bytes go in', async () => {
  const every = Uint8Array.from({ length: 256 }, (_, n) => n);
  const files = {
    'data/käse.csv': 'a,b\n1,2\n',
    'raw.bin': { base64: base64(every), media_type: 'application/octet-stream' },
    empty: '',
  };
  const code = `import csv
rows = list(csv.reader(open('data/käse.csv')))
[rows, list(open('raw.bin', 'rb').read()) == list(range(256)), open('empty').read()]`;
  const { return_value, error, files: changed } = await run(worker.url, code, { files });
  assert.deepEqual(
    return_value,
    [
      [
        ['a', 'b'],
        ['1', '2'],
      ],
      true,
      '',
    ],
    error,
  );
  assert.equal(changed, undefined, 'what is only read has not changed');
});

test('what was made, changed and deleted comes out', async () => {
  const code = `import os
open('in.txt', 'a').write('more')
open('same.txt').read()
os.remove('old.txt')
os.makedirs('out/deep')
open('out/deep/ä b.json', 'w').write('{"a": 1}')
open('raw.bin', 'wb').write(bytes([255, 0]))
open('.hidden', 'w').write('no')
open('/tmp/x', 'w').write('no')
os.rename('moved.txt', 'to.txt')`;
  const files = { 'in.txt': 'text ', 'same.txt': '1', 'old.txt': '2', 'moved.txt': '3' };
  const { result } = await call(code, { files });
  const [{ text }, ...blocks] = result.content;
  assert.deepEqual(result.structuredContent.files, [
    { path: 'in.txt', change: 'changed', size: 9, media_type: 'text/plain' },
    { path: 'out/deep/ä b.json', change: 'created', size: 8, media_type: 'application/json' },
    { path: 'raw.bin', change: 'created', size: 2, media_type: 'application/octet-stream' },
    { path: 'to.txt', change: 'created', size: 1, media_type: 'text/plain' },
    { path: 'moved.txt', change: 'deleted' },
    { path: 'old.txt', change: 'deleted' },
  ]);
  assert.match(
    text,
    /<status>success<\/status>\n<files>\nchanged in.txt \(text\/plain, 9 bytes\)\ncreated out\/deep\/ä b.json/,
  );
  const contents = blocks.map((/** @type {any} */ { resource }) => [resource.uri, resource.text ?? resource.blob]);
  assert.deepEqual(contents, [
    ['sandbox:///in.txt', 'text more'],
    ['sandbox:///out/deep/%C3%A4%20b.json', '{"a": 1}'],
    ['sandbox:///raw.bin', '/wA='],
    ['sandbox:///to.txt', '3'],
  ]);
});

test('images are shown, also of a run that fails', async () => {
  const png = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==';
  const code = `import base64\nopen('a.png', 'wb').write(base64.b64decode('${png}'))\n1 / 0`;
  const { result } = await call(code);
  assert.equal(result.structuredContent.status, 'run-error');
  assert.deepEqual(result.content[1], { type: 'image', data: png, mimeType: 'image/png', _meta: { path: 'a.png' } });
});

test('without files a result is as it was', async () => {
  const { result } = await call('1');
  assert.deepEqual(result.structuredContent, { status: 'success', output: [], return_value: 1 });
  assert.equal(result.content.length, 1);
});

test('in a session files stay, and each run tells of its own', async () => {
  const first = await run(worker.url, "open('a.txt', 'w').write('1')", { session: 'new' });
  const { session } = first;
  assert.deepEqual(
    first.files.map((/** @type {any} */ { path }) => path),
    ['a.txt'],
  );
  const read = await run(worker.url, "open('a.txt').read()", { session });
  assert.deepEqual([read.return_value, read.files], ['1', undefined]);
  // A change is noticed even at nearly the same time, with the same size.
  const again = await run(worker.url, "open('a.txt', 'w').write('2')", { session });
  const uri = `sandbox://${session}/a.txt`;
  assert.deepEqual(again.files, [{ path: 'a.txt', change: 'changed', size: 1, media_type: 'text/plain', uri }]);
  const placed = await run(worker.url, "open('a.txt').read()", { session, files: { 'a.txt': '3' } });
  assert.deepEqual([placed.return_value, placed.files], ['3', undefined]);
  const legacy = await LegacyClient.connect(worker.url);
  assert.equal((await legacy.run("open('b.txt').read()", { files: { 'b.txt': 'x' } })).return_value, 'x');
  assert.equal((await legacy.run("open('b.txt').read()")).return_value, 'x');
});

test('many files and large ones are told of, as far as a result goes', async () => {
  const { files, files_omitted: more } = await run(
    worker.url,
    "for n in range(50): open(f'{n:02}.txt', 'w').write('x')\nopen('00.big', 'wb').write(bytes(16 * 1024 + 1))",
  );
  assert.equal(files.length, 20);
  assert.equal(more, 31);
  const [{ uri, ...big }] = files;
  assert.deepEqual(big, {
    path: '00.big',
    change: 'created',
    size: 16385,
    media_type: 'application/octet-stream',
  });
  assert.match(uri, /^sandbox:\/\/\w{26}\/00\.big$/);
  const { result } = await call(
    "open('a.bin', 'wb').write(bytes(16 * 1024 + 1))\nopen('b.bin', 'wb').write(bytes(16 * 1024))",
  );
  const types = result.content.map((/** @type {{ type: string }} */ { type }) => type);
  assert.deepEqual(
    types.sort(),
    ['resource', 'resource_link', 'text'],
    'the smaller file, and a link to the larger one',
  );
  assert.match(
    result.content[0].text,
    /created a.bin \(application\/octet-stream, 16385 bytes: too large to be attached, read it as sandbox:\/\/\w{26}\/a\.bin\)/,
  );
});

test('names that are no names, links and deep folders', async () => {
  const code = `import os
for name in ['a\\nb', 'a\\u202egpj', 'back\\\\slash', 'x' * 250]:
    open(name, 'w').write('1')
os.symlink('/etc', 'link')
os.makedirs('/'.join('d' * 40))
open('/'.join('d' * 40) + '/f', 'w').write('1')
os.chdir('/')
1`;
  const { status, files, files_omitted: more, error } = await run(worker.url, code);
  assert.equal(status, 'success', error);
  assert.deepEqual(
    files.map((/** @type {any} */ { path }) => path.length),
    [250],
  );
  assert.equal(more, 4);
});

test('what cannot be placed is named, and nothing runs', async () => {
  for (const [files, part] of /** @type {[unknown, string][]} */ ([
    [{ '../a': 'x' }, '`../a` leads out of the folder'],
    [{ '/etc/passwd': 'x' }, '`/etc/passwd` must be relative'],
    [{ a: { base64: '!' } }, '`a` is not in base64'],
    [['a'], 'must be an object, not an array'],
  ])) {
    const { error } = await call('1', { files });
    assert.equal(error?.code, -32602);
    assert.ok(error.message.includes(part), error.message);
  }
  const { session } = await run(worker.url, "import os\nos.symlink('/lib', 'lib')\nos.mkdir('folder')", {
    session: 'new',
  });
  for (const [path, why] of [
    ['lib/x', 'a link is in its way'],
    ['lib', 'a link is in its way'],
    ['folder', 'a file or folder is in its way'],
  ]) {
    const { status, error } = await run(worker.url, 'print("ran")', { session, files: { [path]: 'x' } });
    assert.deepEqual([status, error], ['run-error', `OSError: the file ${path} could not be placed: ${why}`]);
  }
  const full = { 'a.bin': { base64: base64(Buffer.alloc(3_000_000)) } };
  const { error } = await run(worker.url, "open('b.bin', 'wb').write(bytes(2_000_000))", { files: full });
  assert.match(error, /No space left on device/);
});

test('a program that makes its folder unreadable still gets its result', async () => {
  const code =
    "import os, shutil\nos.chdir('/')\nshutil.rmtree('/home/pyodide')\nos.symlink('/lib', '/home/pyodide')\n1";
  const { return_value, error } = await run(worker.url, code, { files: { a: '1' } });
  assert.equal(return_value, 1, error);
});
