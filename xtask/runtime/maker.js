// The main module of the isolate that makes the snapshot: boots CPython, imports what every run needs and what the
// packages of the build are for, and answers with its memory.
import './shim.js';
import { Interpreter } from './boot.js';
import calls from './calls.txt';
import display from './display.txt';
import { Envelope } from './envelope.js';
import errors from './errors.txt';
import images from './images.txt';
import ipython from './ipython.txt';
import kdf from './kdf.wasm';
import lacks from './lacks.txt';
import matplotlibBackend from './matplotlib_backend.txt';
import network from './network.txt';
import packages from './packages/index.js';
import program from './program.txt';
import createPyodideModule from './pyodide.asm.mjs';
import { loadPyodide } from './pyodide.mjs';
import lockFile from './pyodide-lock.txt';
import runner from './runner.txt';
import library from './stdlib.txt';
import table from './table.txt';
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
      kdf: () => kdf,
      takesSnapshot: true,
      stdlib,
      pythonSources: {
        __init__: '',
        calls,
        display,
        errors,
        images,
        ipython,
        lacks,
        matplotlib_backend: matplotlibBackend,
        network,
        program,
        runner,
        stdlib: library,
        table,
        to_json: toJson,
      },
      packages: packages.map((found, i) => ({ ...found, archive: archives[i] })),
    });
    return new Response(await interpreter.snapshot(sent.text));
  },
};
