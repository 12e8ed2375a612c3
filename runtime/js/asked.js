// Answers requests for a session's files without running anything: lists, reads and deletes files, and takes uploads, which
// come in parts and are written with the last one. docs/protocol.md has the requests and their answers.
import { filesIn, fromBase64, HOME, isPlain, linkIn, toBase64, whyNot } from './files.js';

/** The most uploads to one session at once, and how long one may go without a part before it is dropped, in milliseconds. */
const UPLOADS = 8;
const STALE = 30_000;

/** @typedef {import('./protocol.js').FileAnswer} FileAnswer */
/** @typedef {import('./protocol.js').FileRequest} FileRequest */
/** @typedef {import('./protocol.js').Refusal} Refusal */
/** @typedef {{ path: string, parts: Uint8Array[], bytes: number, when: number }} Upload */
/** @template {string} Kind @typedef {Extract<FileRequest, Record<Kind, unknown>>} Of */

/** A request that is refused, and why. */
class Refused extends Error {
  /** @param {Refusal} why */
  constructor(why) {
    super(why);
    this.why = why;
  }
}

export class AskedFiles {
  #fs;
  #storage;
  /** Unfinished uploads by name. @type {Map<string, Upload>} */
  #uploads = new Map();

  /** @param {any} FS Emscripten's @param {import('./storage.js').Storage} storage */
  constructor(FS, storage) {
    this.#fs = FS;
    this.#storage = storage;
    storage.held = () => this.#held();
  }

  /** @param {FileRequest} request @returns {FileAnswer} */
  answer(request) {
    try {
      if ('list' in request) return { listed: this.#list(request.list) };
      if ('read' in request) return { read: this.#read(request.read) };
      if ('write' in request) return { done: this.#write(request.write) };
      if ('delete' in request) return { done: this.#delete(request.delete) };
      this.#uploads.delete(request.abandon.upload);
      return { done: 'taken' };
    } catch (error) {
      if (error instanceof Refused) return { refused: error.why };
      return { refused: whyNot(error) };
    }
  }

  /** @param {Of<'list'>['list']} request */
  #list({ after, most }) {
    const files = [];
    for (const [path, node] of filesIn(this.#fs)) {
      if (path <= after || !isPlain(path)) continue;
      if (files.length === most) return { files, more: true };
      files.push({ path, size: node.usedBytes ?? 0 });
    }
    return { files, more: false };
  }

  /** @param {Of<'read'>['read']} request */
  #read({ path, at, bytes }) {
    const FS = this.#fs;
    const node = this.#file(path);
    const stream = FS.open(`${HOME}/${path}`, 'r');
    try {
      const { size } = FS.stat(`${HOME}/${path}`);
      const buffer = new Uint8Array(Math.max(Math.min(bytes, size - at), 0));
      const read = buffer.length && FS.read(stream, buffer, 0, buffer.length, at);
      if (read !== buffer.length) throw new Refused('missing');
      return { size, version: this.#storage.version(node), base64: toBase64(buffer) };
    } finally {
      FS.close(stream);
    }
  }

  /** @param {Of<'write'>['write']} request @returns {import('./protocol.js').Done} */
  #write({ upload: name, path, at, base64, last }) {
    let upload = this.#uploads.get(name);
    if (!upload && at === 0) {
      if (this.#uploads.size >= UPLOADS) this.#forget();
      if (this.#uploads.size >= UPLOADS) throw new Refused('busy');
      // Refuses a bad path before the client sends the rest.
      this.#place(path);
      upload = { path, parts: [], bytes: 0, when: Date.now() };
      this.#uploads.set(name, upload);
    }
    if (!upload || upload.bytes !== at || upload.path !== path) {
      this.#uploads.delete(name);
      throw new Refused('broken');
    }
    try {
      const part = fromBase64(base64);
      this.#storage.hold(part.length);
      upload.parts.push(part);
      upload.bytes += part.length;
      upload.when = Date.now();
      if (!last) return 'taken';
      const done = this.#put(upload);
      this.#uploads.delete(name);
      return done;
    } catch (error) {
      this.#uploads.delete(name);
      throw error;
    }
  }

  /**
   * Writes a finished upload to its path, atomically: nothing runs meanwhile.
   * @param {Upload} upload @returns {import('./protocol.js').Done}
   */
  #put({ path, parts, bytes }) {
    const FS = this.#fs;
    const { place, exists } = this.#place(path);
    const whole = parts.length === 1 ? /** @type {Uint8Array} */ (parts[0]) : new Uint8Array(bytes);
    if (parts.length > 1) {
      let at = 0;
      for (const part of parts.splice(0)) {
        whole.set(part, at);
        at += part.length;
      }
    }
    FS.mkdirTree(place.slice(0, place.lastIndexOf('/')));
    // Checks that the file can be written, and creates a missing one. It is not truncated: its new bytes replace the old below.
    const stream = FS.open(place, FS_WRITE);
    const { node } = stream;
    FS.close(stream);
    node.contents = whole;
    node.usedBytes = whole.length;
    node.mtime = node.ctime = Date.now();
    this.#storage.note(node);
    return exists ? 'replaced' : 'created';
  }

  /** @param {Of<'delete'>['delete']} request @returns {'deleted'} */
  #delete({ path }) {
    this.#file(path);
    this.#fs.unlink(`${HOME}/${path}`);
    return 'deleted';
  }

  /** The node of the file at this path. @param {string} path @returns {import('./storage.js').Node} */
  #file(path) {
    const place = `${HOME}/${path}`;
    if (linkIn(this.#fs, place)) throw new Refused('link');
    const node = this.#fs.analyzePath(place, true).object;
    if (!node) throw new Refused('missing');
    if (!this.#fs.isFile(node.mode)) throw new Refused('nofile');
    return node;
  }

  /** Where a file of this path goes, and whether it is there; refuses what is in its way. @param {string} path */
  #place(path) {
    const FS = this.#fs;
    const place = `${HOME}/${path}`;
    if (linkIn(FS, place)) throw new Refused('link');
    const node = FS.analyzePath(place, true).object;
    if (node && !FS.isFile(node.mode)) throw new Refused('obstructed');
    for (let at = place.lastIndexOf('/'); at > HOME.length; at = place.lastIndexOf('/', at - 1)) {
      const folder = FS.analyzePath(place.slice(0, at), true).object;
      if (folder && !FS.isDir(folder.mode)) throw new Refused('obstructed');
    }
    return { place, exists: Boolean(node) };
  }

  /** Drops stalled uploads. */
  #forget() {
    for (const [name, { when }] of this.#uploads) if (Date.now() - when > STALE) this.#uploads.delete(name);
  }

  /** Bytes of unfinished uploads. */
  #held() {
    this.#forget();
    let bytes = 0;
    for (const upload of this.#uploads.values()) bytes += upload.bytes;
    return bytes;
  }
}

/** `O_WRONLY | O_CREAT`, as Emscripten has them. */
const FS_WRITE = 0o1 | 0o100;
