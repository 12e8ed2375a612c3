// A memory snapshot of a booted interpreter, stored sparse: most of the heap is zeros.
//
// Layout, little endian: magic, size of the heap, length of Pyodide's own header, number of runs (4 bytes each);
// then that header; then for each run its offset and length (4 bytes each); then the bytes of the runs, in order.

const MAGIC = 0x50534e31;
const PAGE = 4096;

/** @param {ArrayBuffer} snapshot */
function open(snapshot) {
  const [magic, heap, header, runs] = new Uint32Array(snapshot, 0, 4);
  if (magic !== MAGIC) throw new Error('not a snapshot of this build');
  return { heap, header: new Uint8Array(snapshot, 16, header), runs, table: 16 + header };
}

/** Pyodide's header alone: what `loadPyodide` gets as `_loadSnapshot`. @param {ArrayBuffer} snapshot */
export function snapshotHeader(snapshot) {
  return open(snapshot).header.slice();
}

/**
 * Writes the snapshot straight into the memory of a module that was just instantiated.
 * @param {any} module Emscripten's @param {ArrayBuffer} snapshot
 */
export function applySnapshot(module, snapshot) {
  const { heap, runs, table } = open(snapshot);
  if (module.HEAPU8.length < heap && !module.growMemory(heap)) throw new Error(`no memory for a heap of ${heap} bytes`);
  const spans = new Uint32Array(snapshot, table, runs * 2);
  const memory = module.HEAPU8;
  let at = table + runs * 8;
  for (let i = 0; i < spans.length; i += 2) {
    memory.set(new Uint8Array(snapshot, at, spans[i + 1]), spans[i]);
    at += spans[i + 1];
  }
}

/**
 * Packs what `makeMemorySnapshot` gave.
 * @param {Uint8Array} full @returns {Uint8Array}
 */
export function packSnapshot(full) {
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
  const packed = new Uint8Array(16 + start + runs.length * 8 + bytes);
  new Uint32Array(packed.buffer, 0, 4).set([MAGIC, heap.length, start, runs.length]);
  packed.set(full.subarray(0, start), 16);
  new Uint32Array(packed.buffer, 16 + start, runs.length * 2).set(runs.flat());
  let at = 16 + start + runs.length * 8;
  for (const [offset, length] of runs) {
    packed.set(heap.subarray(offset, offset + length), at);
    at += length;
  }
  return packed;
}
