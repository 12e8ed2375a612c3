// The main module of the isolate that makes the snapshot: boots CPython, imports what every run needs, and answers
// with its memory.
import './shim.js';
import lockFile from './pyodide-lock.txt';
import createPyodideModule from './pyodide.asm.mjs';
import { loadPyodide } from './pyodide.mjs';
import runner from './runner.txt';
import toJson from './to_json.txt';
import { Interpreter } from './boot.js';
import { packSnapshot } from './snapshot.js';

export default {
  async fetch() {
    const pythonSources = { __init__: '', runner, to_json: toJson };
    const interpreter = await Interpreter.boot({ loadPyodide, createPyodideModule, lockFile, pythonSources });
    interpreter.rest();
    return new Response(packSnapshot(interpreter.pyodide.makeMemorySnapshot()));
  },
};
