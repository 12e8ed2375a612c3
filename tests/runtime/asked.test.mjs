// Requests about a session's files, on Pyodide's own file system: listing them, reading bytes of one, uploads in parts.
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import fc from 'fast-check';
import { loadPyodide } from 'pyodide';
import { AskedFiles } from '../../runtime/js/asked.js';
import { Storage } from '../../runtime/js/storage.js';

const HOME = '/home/pyodide';

/** @type {any} */
let FS;
/** @type {Storage} */
let storage;
/** @type {AskedFiles} */
let files;
before(async () => {
  ({ FS } = await loadPyodide());
  storage = new Storage(FS);
  storage.limit({ files: 100, fileBytes: 100_000 });
  files = new AskedFiles(FS, storage);
});

const base64 = (/** @type {Uint8Array | string} */ bytes) => Buffer.from(bytes).toString('base64');

/** Sends a file in parts. @param {string} path @param {Uint8Array} content @param {number} size of a part */
function upload(path, content, size) {
  const name = `upload of ${path}`;
  for (let at = 0; ; at += size) {
    const last = at + size >= content.length;
    const part = base64(content.subarray(at, at + size));
    const answer = files.answer({ write: { upload: name, path, at, base64: part, last } });
    if (last || !('done' in answer) || answer.done !== 'taken') return answer;
  }
}

/** Reads a whole file in parts. @param {string} path @param {number} bytes */
function read(path, bytes) {
  const parts = [];
  for (let at = 0, size = Infinity; at < size; ) {
    const answer = files.answer({ read: { path, at, bytes } });
    if (!('read' in answer)) return answer;
    const part = Buffer.from(answer.read.base64, 'base64');
    parts.push(part);
    at += part.length;
    size = answer.read.size;
  }
  return new Uint8Array(Buffer.concat(parts));
}

test('a file comes back as it was uploaded, in parts of any size', () => {
  const sizes = fc.integer({ min: 1, max: 50 });
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), sizes, sizes, (content, up, down) => {
      const exists = FS.analyzePath(`${HOME}/in/a.bin`).exists;
      assert.deepEqual(upload('in/a.bin', content, up), { done: exists ? 'replaced' : 'created' });
      assert.deepEqual(read('in/a.bin', down), content);
      assert.deepEqual(FS.readFile(`${HOME}/in/a.bin`), content);
    }),
  );
});

test('an upload that breaks off leaves what was there', () => {
  FS.writeFile(`${HOME}/kept`, 'before');
  const write = (/** @type {number} */ at, /** @type {string} */ text, last = false) =>
    files.answer({ write: { upload: 'one', path: 'kept', at, base64: base64(text), last } });
  assert.deepEqual(write(0, 'after'), { done: 'taken' });
  assert.deepEqual(write(3, 'elsewhere'), { refused: 'broken' });
  assert.deepEqual(write(5, 'the end', true), { refused: 'broken' }, 'it was forgotten');
  assert.deepEqual(write(0, 'after'), { done: 'taken' });
  assert.deepEqual(files.answer({ abandon: { upload: 'one' } }), { done: 'taken' });
  assert.equal(FS.readFile(`${HOME}/kept`, { encoding: 'utf8' }), 'before');
});

test('nothing goes over a link, a folder, or through a file', () => {
  FS.mkdirTree(`${HOME}/folder`);
  FS.writeFile(`${HOME}/file`, 'x');
  FS.symlink('/etc', `${HOME}/link`);
  const content = Uint8Array.of(1);
  assert.deepEqual(upload('folder', content, 9), { refused: 'obstructed' });
  assert.deepEqual(upload('file/in', content, 9), { refused: 'obstructed' });
  assert.deepEqual(upload('link/passwd', content, 9), { refused: 'link' });
  assert.deepEqual(read('link', 9), { refused: 'link' });
  assert.deepEqual(read('folder', 9), { refused: 'nofile' });
  assert.deepEqual(read('missing', 9), { refused: 'missing' });
  assert.deepEqual(files.answer({ delete: { path: 'link' } }), { refused: 'link' });
  assert.deepEqual(files.answer({ delete: { path: 'file' } }), { done: 'deleted' });
  assert.ok(!FS.analyzePath(`${HOME}/file`).exists);
});

test('uploads that go on count as files do', () => {
  const write = (/** @type {string} */ name, /** @type {number} */ at, /** @type {number} */ size) =>
    files.answer({ write: { upload: name, path: name, at, base64: base64(new Uint8Array(size)), last: false } });
  assert.deepEqual(write('u0', 0, 60_000), { done: 'taken' });
  assert.deepEqual(write('u1', 0, 60_000), { refused: 'full' });
  assert.throws(() => FS.writeFile(`${HOME}/more`, new Uint8Array(60_000)), { errno: 51 });
  files.answer({ abandon: { upload: 'u0' } });
  for (let n = 0; n < 8; n++) assert.deepEqual(write(`u${n}`, 0, 10), { done: 'taken' });
  assert.deepEqual(write('u8', 0, 10), { refused: 'busy' });
  for (let n = 0; n < 8; n++) files.answer({ abandon: { upload: `u${n}` } });
});

test('files are listed in order, so many at a time', () => {
  for (const name of ['l1', 'l2', 'l3']) FS.writeFile(`${HOME}/${name}`, name);
  FS.writeFile(`${HOME}/l2\u202egnp`, 'hidden');
  const first = files.answer({ list: { after: 'l', most: 2 } });
  assert.deepEqual(first, { listed: { files: ['l1', 'l2'].map((path) => ({ path, size: 2 })), more: true } });
  const rest = files.answer({ list: { after: 'l2', most: 9 } });
  assert.ok('listed' in rest);
  assert.equal(rest.listed.more, false);
  assert.equal(rest.listed.files[0]?.path, 'l3');
  assert.ok(rest.listed.files.every(({ path }) => !path.includes('\u202e')));
});

test('a file that was changed has another version', () => {
  FS.writeFile(`${HOME}/v`, 'one');
  const version = () => {
    const answer = files.answer({ read: { path: 'v', at: 0, bytes: 1 } });
    return 'read' in answer ? answer.read.version : assert.fail();
  };
  const before = version();
  assert.equal(version(), before);
  FS.writeFile(`${HOME}/v`, 'two');
  assert.notEqual(version(), before);
});
