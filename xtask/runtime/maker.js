// The main module of the isolate that makes the snapshot: boots CPython, imports what every run needs and the modules of
// the packages that are built in, and answers with its memory.
import './shim.js';
import { Interpreter } from './boot.js';
import { Envelope } from './envelope.js';
import kdf from './kdf.wasm';
import packages from './packages/index.js';
import createPyodideModule from './pyodide.asm.mjs';
import { loadPyodide } from './pyodide.mjs';
import lockFile from './pyodide-lock.txt';
import pythonSources from './python.js';

export default {
  /** @param {Request} request an envelope: JSON of the modules to be imported; the standard library, the packages' archives */
  async fetch(request) {
    const sent = await Envelope.open(request.body);
    const [stdlib, ...archives] = await sent.parts();
    const interpreter = await Interpreter.boot({
      loadPyodide,
      createPyodideModule,
      lockFile,
      kdf: () => kdf,
      takesSnapshot: true,
      stdlib,
      pythonSources,
      packages: packages.map((found, i) => ({ ...found, archive: archives[i] })),
    });
    return new Response(await interpreter.snapshot(sent.text));
  },
};
