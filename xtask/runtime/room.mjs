// Computes from the built files how much of workerd's limits for an isolate Python takes.
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { extname, join, relative } from 'node:path';

/** How much code workerd takes for a dynamic isolate, WebAssembly included, in bytes (`worker-loader.c++`). */
const MAX_CODE = 64 * 1024 * 1024;

/** Room for the module that lists the packages and their libraries (`packages/index.js`), in bytes. */
const LIST = 512 * 1024;

/** The files that workerd counts as code. */
const CODE = ['.js', '.mjs', '.txt', '.wasm'];

/**
 * Returns how much room an isolate has besides Python: `code` bytes of libraries; and the `heap`, in bytes, of an
 * interpreter that has run nothing.
 * @param {string} isolate folder of an isolate's modules
 */
export function roomIn(isolate) {
  const own = readdirSync(isolate, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && CODE.includes(extname(entry.name)))
    .map((entry) => join(entry.parentPath, entry.name))
    // Packages that are built in count as packages.
    .filter((file) => !relative(isolate, file).startsWith('packages'));
  const python = own.reduce((sum, file) => sum + statSync(file).size, 0);
  // See runtime/js/snapshot.js.
  const heap = readFileSync(join(isolate, 'snapshot.bin')).readUInt32LE(4);
  return { code: MAX_CODE - LIST - python, heap };
}
