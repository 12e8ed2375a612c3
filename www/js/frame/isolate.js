// The worker of a sandbox in a page: runs Python, and whatever JavaScript it becomes.
//
// **Boundary.** Everything in this worker belongs to the Python code that runs in it, this file included. Nothing here
// protects anybody else; what does is around it: an opaque origin, the frame's content security policy, which a
// worker made of a blob inherits with every worker that it makes, and a frame that takes nothing from here but text.
import './shim.js';
import kdf from '#kdf';
import createPyodideModule from '#runtime/pyodide.asm.mjs';
import { loadPyodide } from '#runtime/pyodide.mjs';
import symbols from '#symbols';
import { Drawing, drawsCounted, Interpreter } from '../../../runtime/js/boot.js';
import { remountPackages } from '../../../runtime/js/packages.js';
import { inMemory } from '../../../runtime/js/snapshot.js';
import { turnByMessages } from '../../../runtime/js/turn.js';

/**
 * The parts that a sandbox is made of, see assets.js.
 * @typedef {object} Start
 * @property {WebAssembly.Module} wasm Pyodide
 * @property {Blob} stdlib Python's standard library, a zip file
 * @property {Blob} [snapshot] see runtime/js/snapshot.js; without one Python boots from scratch
 * @property {Record<string, string>} pythonSources our own modules, for a start without a snapshot
 * @property {string} lockFile
 * @property {string} [preload] JSON: names of modules, to make a snapshot with them
 * @property {Int32Array} [stop] shared, if the page is cross-origin isolated; not 0: stop a run that cannot be suspended
 */

/** @typedef {import('./packages.js').CompiledPackage} CompiledPackage */

turnByMessages();
addEventListener('message', ({ data, ports: [port] }) => void serve(data, port), { once: true });

/** @param {Start} start @param {MessagePort} port its first message has the packages that can be imported */
async function serve(start, port) {
  /** @type {Promise<CompiledPackage[]>} */
  const given = new Promise((resolve) => {
    port.onmessage = ({ data }) => resolve(data.packages);
  });
  /** @type {CompiledPackage[]} */
  let packages;
  /** @type {Interpreter} */
  let interpreter;
  /** The lines of stdin that are to be read. @type {string[]} */
  let lines = [];
  let reads = false;
  try {
    if (start.preload !== undefined) {
      port.postMessage({ booted: true, ...(await takeSnapshot(start, given, start.preload)) });
      return;
    }
    interpreter = await boot(start, given);
    packages = await given;
  } catch (error) {
    port.postMessage({ failed: String(error) });
    return;
  }
  port.onmessage = async ({ data }) => {
    if (data.ping) {
      port.postMessage({ pong: true });
      return;
    }
    if (data.stop) {
      interpreter.stop();
      return;
    }
    if (data.answer) {
      interpreter.answer(data.answer);
      return;
    }
    if (data.add) {
      packages = [...packages, ...data.add];
      remountPackages(interpreter.pyodide._module, packages);
      // Python caches what it did not find.
      interpreter.pyodide.pyimport('importlib').invalidate_caches();
      return;
    }
    // stdin has a line for each question, and then its end.
    lines = data.stdin ? data.stdin.replace(/\n$/, '').split('\n') : [];
    if (data.stdin && !reads) {
      interpreter.pyodide.setStdin({ stdin: () => lines.shift() ?? null, autoEOF: true });
      reads = true;
    }
    try {
      const alive = await interpreter.run(JSON.parse(data.run), (frame) => port.postMessage({ frame }));
      port.postMessage({ ended: alive });
    } catch (error) {
      port.postMessage({ failed: String(error) });
    }
  };
  port.postMessage({ booted: true });
}

/** @param {Start} start @param {Promise<CompiledPackage[]>} packages @param {string} modules JSON */
async function takeSnapshot(start, packages, modules) {
  const draws = drawsCounted();
  const interpreter = await boot(start, packages);
  try {
    return { snapshot: new Blob([await interpreter.snapshot(modules, draws)]) };
  } catch (error) {
    if (error instanceof Drawing) return { drawing: error.module };
    throw error;
  }
}

/** @param {Start} start @param {Promise<CompiledPackage[]>} packages */
async function boot({ wasm, stdlib, snapshot, pythonSources, lockFile, preload, stop }, packages) {
  const { instantiateStreaming } = WebAssembly;
  WebAssembly.instantiateStreaming = async (_, imports) => ({
    module: wasm,
    instance: await WebAssembly.instantiate(wasm, imports),
  });
  const interpreter = await Interpreter.boot({
    loadPyodide,
    createPyodideModule,
    lockFile,
    symbols,
    kdf: () => new WebAssembly.Module(Uint8Array.from(atob(kdf), (byte) => byte.charCodeAt(0))),
    stdlib: await stdlib.arrayBuffer(),
    packages,
    takesSnapshot: preload !== undefined,
    ...(snapshot ? { snapshot: inMemory(await snapshot.arrayBuffer()) } : { pythonSources }),
  });
  WebAssembly.instantiateStreaming = instantiateStreaming;
  if (stop) interpreter.pulse.stopWanted = () => Atomics.exchange(stop, 0, 0) !== 0;
  return interpreter;
}
