// Limits the number and the size of a sandbox's files: they are in JavaScript's memory, which nothing else limits.

const ENOSPC = 51;

/** @typedef {{ mode: number, contents?: any, usedBytes?: number, mtime?: number }} Node a node of Emscripten's memory file system */

export class Storage {
  #fs;
  #files = Infinity;
  #bytes = Infinity;
  /** Bytes that the memory budget leaves for files, those from the start included. */
  room = () => Infinity;
  /** Upper bound; recounted when the limit is hit, as deletions are not noticed before. */
  #used = { files: 0, bytes: 0 };
  /** Files that were there at the start. */
  #own;
  /** Bytes of unfinished uploads. */
  held = () => 0;
  /** How many writes there were, and how many when each file was last written. */
  #writes = 0;
  /** @type {WeakMap<Node, number>} */
  #versions = new WeakMap();
  /** Files that were written to since this was last replaced by an empty set. @type {WeakSet<Node>} */
  written = new WeakSet();

  /** @param {any} fs Emscripten's FS */
  constructor(fs) {
    this.#fs = fs;
    this.#own = this.#count();
    this.#used = { ...this.#own };
    const { MEMFS } = fs.filesystems;
    const { createNode, resizeFileStorage } = MEMFS;
    MEMFS.createNode = (/** @type {any[]} */ ...args) => {
      this.#take(1, 0);
      return createNode(...args);
    };
    MEMFS.resizeFileStorage = (/** @type {Node} */ node, /** @type {number} */ size) => {
      this.#take(0, size - (node.usedBytes ?? 0));
      this.note(node);
      return resizeFileStorage(node, size);
    };
    // The nodes of all files share this object, and `write` is looked up in it.
    const stream = MEMFS.ops_table.file.stream;
    const { write } = stream;
    stream.write = (
      /** @type {{ node: Node }} */ file,
      /** @type {any} */ buffer,
      /** @type {number} */ offset,
      /** @type {number} */ length,
      /** @type {number} */ position,
      /** @type {boolean} */ canOwn,
    ) => {
      this.#take(0, position + length - (file.node.usedBytes ?? 0));
      this.note(file.node);
      return write(file, buffer, offset, length, position, canOwn);
    };
  }

  /** @param {{ files: number, fileBytes: number }} limits on top of what was there at the start */
  limit({ files, fileBytes }) {
    this.#files = files + this.#own.files;
    this.#bytes = fileBytes + this.#own.bytes;
  }

  /** Notes that a file was written to. @param {Node} node */
  note(node) {
    this.written.add(node);
    this.#writes += 1;
    this.#versions.set(node, this.#writes);
  }

  /** A number that differs after each change of a file. @param {Node} node */
  version(node) {
    return this.#versions.get(node) ?? 0;
  }

  /** Counts bytes of an unfinished upload. @param {number} bytes @throws if there is no room for them */
  hold(bytes) {
    this.#take(0, bytes);
  }

  /** At least the bytes of all files. */
  get bytes() {
    return this.#used.bytes;
  }

  /** @param {number} files @param {number} bytes */
  #take(files, bytes) {
    if (bytes < 0) return;
    const fits = () =>
      this.#used.files + files <= this.#files && this.#used.bytes + bytes <= Math.min(this.#bytes, this.room());
    if (!fits()) this.#used = this.#count();
    if (!fits()) throw new this.#fs.ErrnoError(ENOSPC);
    this.#used.files += files;
    this.#used.bytes += bytes;
  }

  #count() {
    const used = { files: 0, bytes: this.held() };
    /** @type {Set<Node>} */
    const open = new Set();
    for (const stream of this.#fs.streams) if (stream?.node?.usedBytes) open.add(stream.node);
    /** @type {Node[]} */
    const nodes = [this.#fs.root];
    for (let node = nodes.pop(); node; node = nodes.pop()) {
      used.files += 1;
      open.delete(node);
      used.bytes += node.usedBytes ?? 0;
      if (this.#fs.isDir(node.mode)) nodes.push(...Object.values(node.contents ?? {}));
    }
    // Files that were deleted while they were open.
    for (const node of open) used.bytes += node.usedBytes ?? 0;
    return used;
  }
}
