// The main module of the isolate that makes the snapshot: boots CPython, imports what every run needs and what the
// packages of the build are for, and answers with its memory.
import './shim.js';
import { Interpreter } from './boot.js';
import { Envelope } from './envelope.js';
import images from './images.txt';
import lacks from './lacks.txt';
import packages from './packages/index.js';
import createPyodideModule from './pyodide.asm.mjs';
import { loadPyodide } from './pyodide.mjs';
import lockFile from './pyodide-lock.txt';
import runner from './runner.txt';
import { packSnapshot } from './snapshot.js';
import library from './stdlib.txt';
import toJson from './to_json.txt';

export default {
  /** @param {Request} request an envelope: JSON of the modules to be imported; the standard library, the packages' archives */
  async fetch(request) {
    const sent = await Envelope.open(request.body);
    const [stdlib, ...archives] = await sent.parts();
    const interpreter = await Interpreter.boot({
      loadPyodide,
      createPyodideModule,
      lockFile,
      stdlib,
      pythonSources: { __init__: '', images, lacks, runner, stdlib: library, to_json: toJson },
      packages: packages.map((found, i) => ({ ...found, archive: archives[i] })),
    });
    interpreter.runner.preload(sent.text);
    interpreter.rest();
    wipeFreeMemory(interpreter);
    return new Response(packSnapshot(interpreter.pyodide.makeMemorySnapshot(), interpreter.libraries));
  },
};

/**
 * Leaves no garbage in what is free: it would be in the snapshot, a tenth of it when that is packed.
 * @param {Interpreter} interpreter
 */
function wipeFreeMemory(interpreter) {
  const { _malloc, _free, HEAPU8 } = interpreter.pyodide._module;
  // It grows no more: all of it is taken, from the largest pieces to the smallest, and given back.
  interpreter.limits = { memory: 0 };
  /** @type {number[]} */
  const taken = [];
  for (let size = 1 << 20; size >= 64; size >>= 1) {
    for (let place = _malloc(size); place; place = _malloc(size)) {
      HEAPU8.fill(0, place, place + size);
      taken.push(place);
    }
  }
  for (const place of taken) _free(place);
}
