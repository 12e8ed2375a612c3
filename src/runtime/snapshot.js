// A memory snapshot of a booted interpreter, stored sparse: most of the heap is zeros.
//
// Layout, little endian: magic, size of the heap, length of Pyodide's own header, number of runs, length of the libraries
// (4 bytes each); then that header; then for each run its offset and length (4 bytes each); then the JSON of what
// happened to native libraries, padded with spaces to a multiple of 4; then the bytes of the runs, in order.
import { replayLibraries } from './libraries.js';

const MAGIC = 0x50534e32;
const PAGE = 4096;
const FIELDS = 20;

/** @param {ArrayBuffer} snapshot */
function open(snapshot) {
  const [magic, heap, header, runs, libraries] = new Uint32Array(snapshot, 0, FIELDS / 4);
  if (magic !== MAGIC) throw new Error('not a snapshot of this build');
  const table = FIELDS + header;
  const events = table + runs * 8;
  return {
    heap,
    header: new Uint8Array(snapshot, FIELDS, header),
    spans: new Uint32Array(snapshot, table, runs * 2),
    libraries: JSON.parse(new TextDecoder().decode(new Uint8Array(snapshot, events, libraries))),
    bytes: events + libraries,
  };
}

/** Pyodide's header alone: what `loadPyodide` gets as `_loadSnapshot`. @param {ArrayBuffer} snapshot */
export function snapshotHeader(snapshot) {
  return open(snapshot).header.slice();
}

/**
 * Writes the snapshot straight into the memory of a module that was just instantiated, with its libraries.
 * @param {any} module Emscripten's @param {ArrayBuffer} snapshot
 */
export async function applySnapshot(module, snapshot) {
  const { heap, spans, libraries, bytes } = open(snapshot);
  if (module.HEAPU8.length < heap && !module.growMemory(heap)) throw new Error(`no memory for a heap of ${heap} bytes`);
  if (libraries.length) await replayLibraries(module, libraries);
  const memory = module.HEAPU8;
  let at = bytes;
  for (let i = 0; i < spans.length; i += 2) {
    memory.set(new Uint8Array(snapshot, at, spans[i + 1]), spans[i]);
    at += spans[i + 1];
  }
}

/**
 * Packs what `makeMemorySnapshot` gave.
 * @param {Uint8Array} full
 * @param {import('./libraries.js').LibraryEvent[]} events what happened to native libraries
 * @returns {Uint8Array}
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
