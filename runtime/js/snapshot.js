// A memory snapshot of a booted interpreter, stored sparse: most of the heap is zeros.
//
// Layout, little endian: magic, size of the heap, length of Pyodide's own header, number of runs, length of the libraries
// (4 bytes each); then that header; then for each run its offset and length (4 bytes each); then the JSON of what
// happened to native libraries, padded with spaces to a multiple of 4; then the bytes of the runs, in order.
import { replayLibraries } from './libraries.js';

const MAGIC = 0x50534e32;
const PAGE = 4096;
const FIELDS = 20;

/** Bytes that are read at once. */
const PIECE = 1 << 20;

/**
 * Reads `length` bytes into `buffer`, which is transferred for that, or into a new one.
 * @typedef {(length: number, buffer?: ArrayBuffer) => Promise<Uint8Array<ArrayBuffer>>} Read
 */

/** Reads a snapshot that is in memory. @param {ArrayBuffer} snapshot @returns {Read} */
export function inMemory(snapshot) {
  let at = 0;
  return async (length) => {
    at += length;
    return new Uint8Array(snapshot, at - length, length);
  };
}

/** A snapshot that is read in pieces, so that it is never in memory twice. */
export class Snapshot {
  #read;
  #heap;
  #spans;

  /** @param {Read} read @param {number} heap @param {Uint8Array} header @param {Uint32Array} spans @param {Uint8Array} libraries */
  constructor(read, heap, header, spans, libraries) {
    this.#read = read;
    this.#heap = heap;
    this.#spans = spans;
    /** What happened to native libraries. @type {import('./libraries.js').LibraryEvent[]} */
    this.libraries = JSON.parse(new TextDecoder().decode(libraries));
    /** Pyodide's own: what `loadPyodide` gets as `_loadSnapshot`. */
    this.header = header.slice();
  }

  /** Reads everything before the bytes of the heap. @param {Read} read */
  static async open(read) {
    const [magic, heap, header, runs, libraries] = words(await read(FIELDS));
    if (magic !== MAGIC) throw new Error('not a snapshot of this build');
    return new Snapshot(read, heap, await read(header), words(await read(runs * 8)), await read(libraries));
  }

  /**
   * Reads the rest straight into the memory of a module that was just instantiated, with its libraries.
   * @param {any} module Emscripten's
   */
  async apply(module) {
    const heap = this.#heap;
    if (module.HEAPU8.length < heap && !module.growMemory(heap))
      throw new Error(`no memory for a heap of ${heap} bytes`);
    if (this.libraries.length) await replayLibraries(module, this.libraries);
    const memory = module.HEAPU8;
    const spans = this.#spans;
    let buffer = new ArrayBuffer(PIECE);
    for (let i = 0; i < spans.length; i += 2) {
      const [start, length] = spans.subarray(i, i + 2);
      for (let at = 0; at < length; at += PIECE) {
        const bytes = await this.#read(Math.min(PIECE, length - at), buffer);
        memory.set(bytes, start + at);
        buffer = bytes.buffer;
      }
    }
  }
}

/** @param {Uint8Array<ArrayBuffer>} bytes */
function words({ buffer, byteOffset, length }) {
  return new Uint32Array(buffer, byteOffset, length / 4);
}

/**
 * Packs the result of `makeMemorySnapshot`.
 * @param {Uint8Array} full
 * @param {import('./libraries.js').LibraryEvent[]} events what happened to native libraries
 * @returns {Uint8Array<ArrayBuffer>}
 */
export function packSnapshot(full, events) {
  const start = new Uint32Array(full.buffer, full.byteOffset, 2)[1];
  const heap = full.subarray(start);
  /** @type {[number, number][]} */
  const runs = [];
  for (let page = 0; page < heap.length; page += PAGE) {
    const words = new Uint32Array(full.buffer, full.byteOffset + start + page, Math.min(PAGE, heap.length - page) / 4);
    if (words.every((word) => word === 0)) continue;
    const last = runs.at(-1);
    if (last && last[0] + last[1] === page) last[1] += PAGE;
    else runs.push([page, PAGE]);
  }
  const bytes = runs.reduce((sum, [, length]) => sum + length, 0);
  const json = JSON.stringify(events);
  const libraries = new TextEncoder().encode(json.padEnd(Math.ceil(json.length / 4) * 4));
  const table = FIELDS + start;
  const packed = new Uint8Array(table + runs.length * 8 + libraries.length + bytes);
  new Uint32Array(packed.buffer, 0, FIELDS / 4).set([MAGIC, heap.length, start, runs.length, libraries.length]);
  packed.set(full.subarray(0, start), FIELDS);
  new Uint32Array(packed.buffer, table, runs.length * 2).set(runs.flat());
  packed.set(libraries, table + runs.length * 8);
  let at = table + runs.length * 8 + libraries.length;
  for (const [offset, length] of runs) {
    packed.set(heap.subarray(offset, offset + length), at);
    at += length;
  }
  return packed;
}
