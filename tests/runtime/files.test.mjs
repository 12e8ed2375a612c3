// Files of an isolate, on Pyodide's own file system, unpatched, in Node.
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import fc from 'fast-check';
import { loadPyodide } from 'pyodide';
import { FileChanges, packFiles, placeFiles, unpackFiles } from '../../runtime/js/files.js';
import { mountArchives } from '../../runtime/js/packages.js';
import { Storage } from '../../runtime/js/storage.js';

/** @typedef {import('../../runtime/js/protocol.js').Frame} Frame */

const HOME = '/home/pyodide';
const TOLD = { filesTold: 100, embedBytes: 1000, embedAll: 10_000, keptBytes: 0, partBytes: 1000 };

/** @type {any} */
let FS;
/** @type {Storage} */
let storage;
before(async () => {
  ({ FS } = await loadPyodide());
  storage = new Storage(FS);
});

const base64 = (/** @type {string | Uint8Array} */ content) => Buffer.from(content).toString('base64');

/** Empties the folders of a program. */
function clear() {
  const remove = (/** @type {string} */ at) => {
    for (const name of FS.readdir(at)) {
      if (name === '.' || name === '..') continue;
      const path = `${at}/${name}`;
      if (FS.isDir(FS.lstat(path).mode)) {
        remove(path);
        FS.rmdir(path);
      } else FS.unlink(path);
    }
  };
  // `FS.writeFile` leaves a file open that it could not write.
  for (const stream of FS.streams.slice(3)) if (stream) FS.close(stream);
  for (const root of [HOME, '/tmp']) remove(root);
  storage.limit({ files: 10_000, fileBytes: 1e8 });
}

/** Returns the changes that are reported of what `run` does. @param {() => void} run @param {typeof TOLD} [limits] */
function changes(run, limits = TOLD) {
  const watched = new FileChanges(FS, storage);
  run();
  return [...watched.frames(limits)];
}

/** @param {Frame[]} frames */
const names = (frames) =>
  frames.map((frame) => ('file' in frame ? `${frame.file.change} ${frame.file.path}` : 'omitted'));

/** Names that a program may give its files, also misleading ones. */
const name = fc
  .string({ unit: 'grapheme', minLength: 1, maxLength: 12 })
  .map((text) => text.replaceAll(/[/\0]/g, '_').toWellFormed())
  .filter((text) => text !== '.' && text !== '..')
  // Unpatched, Emscripten has a folder's files in a plain object, where this is not a usable key.
  .filter((text) => text !== '__proto__');

test('files are placed where they belong, with folders, and read back', () => {
  fc.assert(
    fc.property(fc.dictionary(name, fc.uint8Array({ maxLength: 200 }), { maxKeys: 5 }), (files) => {
      clear();
      placeFiles(
        FS,
        Object.entries(files).map(([path, content]) => ({ path: `new/${path}`, base64: base64(content) })),
      );
      for (const [path, content] of Object.entries(files))
        assert.deepEqual(FS.readFile(`${HOME}/new/${path}`), content);
    }),
  );
});

test('a file is not placed over a link, a folder, or in a file', () => {
  clear();
  FS.mkdir(`${HOME}/folder`);
  FS.writeFile(`${HOME}/file`, 'x');
  FS.symlink('/tmp', `${HOME}/link`);
  FS.symlink('/tmp/secret', `${HOME}/broken`);
  for (const [path, why] of /** @type {const} */ ([
    ['folder', 'a file or folder is in its way'],
    ['file/inner', 'a file or folder is in its way'],
    ['link/inner', 'a link is in its way'],
    ['broken', 'a link is in its way'],
  ]))
    assert.throws(() => placeFiles(FS, [{ path, base64: base64('y') }]), {
      message: `OSError: the file ${path} could not be placed: ${why}`,
    });
  assert.deepEqual(FS.readdir('/tmp').sort(), ['.', '..']);
});

test('what a run does is told: new, written to, deleted, and nothing else', () => {
  clear();
  for (const file of ['same', 'written', 'replaced', 'deleted']) FS.writeFile(`${HOME}/${file}`, file);
  const frames = changes(() => {
    FS.readFile(`${HOME}/same`);
    // Within the same millisecond, and as long as before.
    FS.writeFile(`${HOME}/written`, 'WRITTEN');
    FS.unlink(`${HOME}/replaced`);
    FS.writeFile(`${HOME}/replaced`, 'replaced');
    FS.unlink(`${HOME}/deleted`);
    FS.mkdir(`${HOME}/folder`);
    FS.writeFile(`${HOME}/folder/new`, Uint8Array.of(0, 255));
    for (const ignored of ['.hidden', '../../tmp/elsewhere']) FS.writeFile(`${HOME}/${ignored}`, 'x');
    FS.symlink('/tmp/elsewhere', `${HOME}/link`);
  });
  assert.deepEqual(frames, [
    { file: { path: 'folder/new', change: 'created', size: 2, base64: 'AP8=' } },
    { file: { path: 'replaced', change: 'changed', size: 8, base64: base64('replaced') } },
    { file: { path: 'written', change: 'changed', size: 7, base64: base64('WRITTEN') } },
    { file: { path: 'deleted', change: 'deleted', size: 0 } },
  ]);
});

test('no more is told, and embedded, than may be', () => {
  clear();
  const write = () => {
    for (let n = 0; n < 6; n++) FS.writeFile(`${HOME}/${n}`, 'x'.repeat(n * 10));
  };
  const frames = changes(write, { ...TOLD, filesTold: 4, embedBytes: 20, embedAll: 25 });
  assert.deepEqual(names(frames), ['created 0', 'created 1', 'created 2', 'created 3', 'omitted']);
  assert.deepEqual(frames.at(-1), { omitted: 2 });
  const embedded = frames.map((frame) => 'file' in frame && frame.file.base64 !== undefined);
  assert.deepEqual(embedded, [true, true, false, false, false], 'the third would be too much together');
});

test('what is too large to embed follows in parts, as much as is kept', () => {
  clear();
  const large = Uint8Array.from({ length: 2500 }, (_, n) => n % 251);
  const write = () => {
    for (const file of ['a', 'b']) FS.writeFile(`${HOME}/${file}`, large);
    FS.writeFile(`${HOME}/c`, 'small');
  };
  const frames = changes(write, { ...TOLD, keptBytes: 4000 });
  const parts = frames.flatMap((frame) => ('part' in frame ? [Buffer.from(frame.part, 'base64')] : []));
  assert.deepEqual(new Uint8Array(Buffer.concat(parts)), large, 'both would be too much');
  assert.ok(parts.length === 3 && parts.every((part) => part.length <= 1000));
  const order = frames.map((frame) => ('file' in frame ? frame.file.path : 'part'));
  assert.deepEqual(order, ['a', 'part', 'part', 'part', 'b', 'c']);
});

test('a name that the host would not take is counted and not told', () => {
  clear();
  const bad = ['new\nline', 'bidi\u202egnp.exe', 'zero\u200bwidth', 'back\\slash', 'x'.repeat(256)];
  const frames = changes(() => {
    for (const file of bad) FS.writeFile(`${HOME}/${file}`, 'x');
    FS.writeFile(`${HOME}/good name.txt`, 'x');
  });
  assert.deepEqual(names(frames), ['created good name.txt', 'omitted']);
  assert.deepEqual(frames.at(-1), { omitted: bad.length });
});

test('files go from one interpreter into the next as they were', () => {
  fc.assert(
    fc.property(fc.dictionary(name, fc.uint8Array({ maxLength: 100 }), { maxKeys: 6 }), (files) => {
      clear();
      FS.mkdir(`${HOME}/deep`);
      for (const [path, content] of Object.entries(files)) {
        FS.writeFile(`${HOME}/deep/${path}`, content);
        FS.writeFile(`/tmp/${path}`, content);
      }
      FS.symlink('/etc', `${HOME}/link`);
      const packed = packFiles(FS);
      clear();
      unpackFiles(FS, packed.slice().buffer);
      for (const [path, content] of Object.entries(files)) {
        assert.deepEqual(FS.readFile(`${HOME}/deep/${path}`), content);
        assert.deepEqual(FS.readFile(`/tmp/${path}`), content);
      }
      assert.ok(!FS.analyzePath(`${HOME}/link`).exists, 'links stay behind');
    }),
  );
});

test('there is room for so many files, and so many bytes', () => {
  clear();
  storage.limit({ files: 3, fileBytes: 1000 });
  const write = (/** @type {string} */ path, /** @type {number} */ size) =>
    FS.writeFile(`${HOME}/${path}`, new Uint8Array(size));
  write('a', 600);
  assert.throws(() => write('b', 600), { errno: 51 });
  // The failed write left an empty file, which counts as one.
  write('b', 300);
  write('c', 0);
  assert.throws(() => write('d', 0), { errno: 51 });
  FS.unlink(`${HOME}/a`);
  write('d', 600);
  assert.throws(() => FS.truncate(`${HOME}/d`, 1e9), { errno: 51 });
});

test('a file that was deleted while it is open counts until it is closed', () => {
  clear();
  storage.limit({ files: 10, fileBytes: 1000 });
  const stream = FS.open(`${HOME}/a`, 'w');
  FS.write(stream, new Uint8Array(800), 0, 800);
  FS.unlink(`${HOME}/a`);
  assert.throws(() => FS.writeFile(`${HOME}/b`, new Uint8Array(400)), { errno: 51 });
  FS.close(stream);
  FS.writeFile(`${HOME}/b`, new Uint8Array(400));
});

test('an archive that is mounted can be read, and not written to', () => {
  clear();
  const header = new TextEncoder().encode(JSON.stringify({ files: [['in/a.txt', 0, 2]] }));
  const archive = new Uint8Array(4 + header.length + 2);
  new DataView(archive.buffer).setUint32(0, header.length, true);
  archive.set(header, 4);
  archive.set([104, 105], 4 + header.length);
  mountArchives(FS, [archive.buffer], '/mounted');
  assert.equal(FS.readFile('/mounted/in/a.txt', { encoding: 'utf8' }), 'hi');
  assert.deepEqual(FS.readdir('/mounted/in'), ['.', '..', 'a.txt']);
  for (const write of [
    () => FS.writeFile('/mounted/in/a.txt', 'x'),
    () => FS.writeFile('/mounted/b.txt', 'x'),
    () => FS.unlink('/mounted/in/a.txt'),
    () => FS.mkdir('/mounted/c'),
  ])
    assert.throws(write, (error) => typeof (/** @type {any} */ (error).errno) === 'number');
  assert.equal(FS.readFile('/mounted/in/a.txt', { encoding: 'utf8' }), 'hi');
});
