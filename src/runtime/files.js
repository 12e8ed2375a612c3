// The files of a program, to be carried over into another interpreter of the same session. The format is that of a
// package's archive (packages.js).
import { filesOf } from './packages.js';

/** Where programs write: the working directory, and what `tempfile` uses. */
const ROOTS = ['/home', '/tmp'];

/** @param {any} FS Emscripten's @returns {Uint8Array} every regular file and its path */
export function packFiles(FS) {
  /** @type {[path: string, offset: number, length: number][]} */
  const files = [];
  /** @type {Uint8Array[]} */
  const contents = [];
  let size = 0;
  /** @param {string} path */
  const visit = (path) => {
    const { mode } = FS.lstat(path);
    if (FS.isDir(mode)) {
      for (const name of FS.readdir(path)) if (name !== '.' && name !== '..') visit(`${path}/${name}`);
    } else if (FS.isFile(mode)) {
      const bytes = FS.readFile(path);
      files.push([path, size, bytes.length]);
      contents.push(bytes);
      size += bytes.length;
    }
  };
  for (const root of ROOTS) visit(root);
  const header = new TextEncoder().encode(JSON.stringify({ files }));
  const packed = new Uint8Array(4 + header.length + size);
  new DataView(packed.buffer).setUint32(0, header.length, true);
  packed.set(header, 4);
  let at = 4 + header.length;
  for (const bytes of contents) {
    packed.set(bytes, at);
    at += bytes.length;
  }
  return packed;
}

/** Writes them where they were. @param {any} FS @param {ArrayBuffer} packed */
export function unpackFiles(FS, packed) {
  for (const [path, bytes] of filesOf(packed)) {
    FS.mkdirTree(path.slice(0, path.lastIndexOf('/')));
    FS.writeFile(path, bytes);
  }
}
