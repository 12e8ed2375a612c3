// The files of a program: placed before a run, reported after it, and carried over into another interpreter of the same
// session.
import { filesOf, mountArchives } from './packages.js';

/** The program's folder, its working directory at the start; reported paths are relative to it. */
export const HOME = '/home/pyodide';

/** The folder of read-only files, as in src/files.rs. */
const DATA = `${HOME}/data`;

/** The longest path, its longest part, and the most parts, as in src/files.rs. */
const LONGEST = 512;
const LONGEST_PART = 255;
const DEEPEST = 32;

/** Characters that make a name look like another one, as in src/files.rs, and lone surrogates. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what it looks for
const HIDDEN = /[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\\\p{Cs}]/u;

/** Emscripten's errno numbers: no space; `EACCES` and `EPERM`. */
const ENOSPC = 51;
const READ_ONLY = new Set([2, 63]);

const WHY = {
  full: 'there is no room for it',
  readonly: 'nothing can be written there',
  obstructed: 'a file or folder is in its way',
};

/** Bytes that are converted to text at once. */
const CHUNK = 1 << 15;

/** @typedef {import('./protocol.js').PlacedFile} PlacedFile */
/** @typedef {import('./storage.js').Node} Node */

/** Writes files into the program's folder. @param {any} FS Emscripten's @param {PlacedFile[]} files */
export function placeFiles(FS, files) {
  for (const { path, base64 } of files) {
    const place = `${HOME}/${path}`;
    if (linkIn(FS, place)) throw new Error(`OSError: the file ${path} could not be placed: a link is in its way`);
    try {
      FS.mkdirTree(place.slice(0, place.lastIndexOf('/')));
      FS.writeFile(place, fromBase64(base64));
    } catch (error) {
      throw new Error(`OSError: the file ${path} could not be placed: ${WHY[whyNot(error)]}`);
    }
  }
}

/** Why a file cannot be written. @param {unknown} error */
export function whyNot(error) {
  const { errno } = /** @type {any} */ (error) ?? {};
  return errno === ENOSPC ? 'full' : READ_ONLY.has(errno) ? 'readonly' : 'obstructed';
}

/** Whether a part of a path below the program's folder is a link. @param {any} FS @param {string} place */
export function linkIn(FS, place) {
  const parts = place.split('/');
  const isLink = (/** @type {string} */ at) => FS.isLink(FS.analyzePath(at, true).object?.mode ?? 0);
  return parts.some((_, n) => n > 2 && isLink(parts.slice(0, n + 1).join('/')));
}

/**
 * Mounts read-only files without copying them. They are not the program's own: they are not reported, and not carried over
 * into another interpreter.
 * @param {any} module Emscripten's @param {ArrayBuffer} archive
 */
export function mountData(module, archive) {
  mountArchives(module.FS, [archive], DATA);
  module.archived += archive.byteLength;
}

/** Finds what a run changes in the program's folder. */
export class FileChanges {
  #fs;
  #storage;
  #before;

  /** Starts to watch. @param {any} FS Emscripten's @param {import('./storage.js').Storage} storage */
  constructor(FS, storage) {
    this.#fs = FS;
    this.#storage = storage;
    storage.written = new WeakSet();
    this.#before = new Map([...filesIn(FS)].map(([path, node]) => [path, { node, when: node.mtime }]));
  }

  /**
   * Yields frames that report the changes, within the host's limits.
   * @returns {Generator<import('./protocol.js').Frame>}
   * @param {Pick<import('./protocol.js').Limits, 'filesTold' | 'embedBytes' | 'embedAll' | 'keptBytes' | 'partBytes'>} limits
   */
  *frames({ filesTold, embedBytes, embedAll, keptBytes, partBytes }) {
    const after = filesIn(this.#fs);
    let told = 0;
    let embedded = 0;
    let kept = 0;
    let omitted = 0;
    for (const [path, node] of after) {
      const before = this.#before.get(path);
      if (before?.node === node && before.when === node.mtime && !this.#storage.written.has(node)) continue;
      if (told === filesTold || !isPlain(path)) {
        omitted += 1;
        continue;
      }
      told += 1;
      const size = node.usedBytes ?? 0;
      /** @type {import('./protocol.js').FileFrame} */
      const file = { path, change: before ? 'changed' : 'created', size };
      if (size > embedBytes || embedded + size > embedAll) {
        yield { file };
        if (kept + size > keptBytes) continue;
        kept += size;
        yield* this.#parts(path, size, partBytes);
      } else {
        embedded += size;
        yield { file: { ...file, base64: toBase64(this.#fs.readFile(`${HOME}/${path}`)) } };
      }
    }
    for (const path of this.#before.keys()) {
      if (after.has(path)) continue;
      if (told === filesTold || !isPlain(path)) omitted += 1;
      else {
        told += 1;
        yield { file: { path, change: 'deleted', size: 0 } };
      }
    }
    if (omitted) yield { omitted };
  }

  /**
   * @returns {Generator<import('./protocol.js').Frame>}
   * @param {string} path @param {number} size @param {number} partBytes
   */
  *#parts(path, size, partBytes) {
    const file = this.#fs.open(`${HOME}/${path}`, 'r');
    try {
      const part = new Uint8Array(Math.min(partBytes, size));
      for (let at = 0; at < size; at += part.length) {
        const read = this.#fs.read(file, part, 0, Math.min(part.length, size - at), at);
        yield { part: toBase64(part.subarray(0, read)) };
      }
    } finally {
      this.#fs.close(file);
    }
  }
}

/** Files in the program's folder, except hidden ones at its top and those in `__pycache__`. @param {any} FS */
export function filesIn(FS) {
  /** @type {Map<string, Node>} */
  const files = new Map();
  const home = FS.analyzePath(HOME, true).object;
  /** @type {[string, Node][]} */
  const folders = home ? [['', home]] : [];
  for (let folder = folders.pop(); folder; folder = folders.pop()) {
    const [prefix, { contents }] = folder;
    for (const [name, node] of Object.entries(contents ?? {})) {
      const path = prefix + name;
      if ((prefix === '' && name.startsWith('.')) || name === '__pycache__' || path.length > LONGEST) continue;
      if (FS.isDir(node.mode)) folders.push([`${path}/`, node]);
      else if (FS.isFile(node.mode)) files.set(path, node);
    }
  }
  return new Map([...files].sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** Whether the host accepts such a path. @param {string} path */
export function isPlain(path) {
  const parts = path.split('/');
  const bytes = (/** @type {string} */ text) => new TextEncoder().encode(text).length;
  return (
    !HIDDEN.test(path) &&
    bytes(path) <= LONGEST &&
    parts.length <= DEEPEST &&
    parts.every((part) => bytes(part) <= LONGEST_PART)
  );
}

/** @param {string} base64 @returns {Uint8Array} */
export function fromBase64(base64) {
  const { fromBase64: native } = /** @type {any} */ (Uint8Array);
  return native ? native.call(Uint8Array, base64) : Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
}

/** @param {Uint8Array} bytes @returns {string} */
export function toBase64(bytes) {
  // Ten times as fast, where the engine has it.
  const { toBase64: native } = /** @type {any} */ (bytes);
  if (native) return native.call(bytes);
  let text = '';
  for (let at = 0; at < bytes.length; at += CHUNK) text += String.fromCharCode(...bytes.subarray(at, at + CHUNK));
  return btoa(text);
}

// Carrying files over, in the format of a package's archive (packages.js).

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
    if (FS.isDir(mode) && !FS.isRoot(FS.lookupPath(path).node)) {
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

/** Writes packed files to their paths. @param {any} FS @param {ArrayBuffer} packed */
export function unpackFiles(FS, packed) {
  for (const [path, bytes] of filesOf(packed)) {
    FS.mkdirTree(path.slice(0, path.lastIndexOf('/')));
    FS.writeFile(path, bytes);
  }
}
