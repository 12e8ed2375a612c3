// Starts CPython from a snapshot and runs programs in it, one at a time. Shared by every home: a home provides the
// assets and carries a run's JSON in and its frames out.

import { AskedFiles } from './asked.js';
import { FileChanges, placeFiles } from './files.js';
import * as required from './hooks/required.js';
import * as startup from './hooks/startup.js';
import { KeyDerivation } from './kdf.js';
import { recordLibraries } from './libraries.js';
import { OutputLines } from './output.js';
import { mountPackages } from './packages.js';
import { VERSION } from './protocol.js';
import { Pulse } from './pulse.js';
import { packSnapshot, Snapshot } from './snapshot.js';
import { Storage } from './storage.js';

/**
 * @typedef {object} Assets
 * @property {(options: object) => Promise<any>} loadPyodide Pyodide's own
 * @property {(settings: object) => Promise<any>} createPyodideModule the patched `pyodide.asm.mjs`
 * @property {string} lockFile text of `pyodide-lock.json`
 * @property {string} [symbols] what libraries may link to besides the main module's exports: JSON, see xtask/src/link.rs
 * @property {() => WebAssembly.Module} kdf compiles `runtime/kdf`: called once it is needed
 * @property {ArrayBuffer} stdlib Python's standard library, a zip file
 * @property {import('./snapshot.js').Read} [snapshot] reads a snapshot; without it, Python boots from scratch
 * @property {import('./packages.js').Package[] | Promise<import('./packages.js').Package[]>} packages first the snapshot's
 * @property {Record<string, string>} [pythonSources] our own modules, to be installed when there is no snapshot
 * @property {boolean} [takesSnapshot] whether a snapshot of the interpreter is to be taken, see `Interpreter.snapshot`
 */

/** @typedef {import('./protocol.js').Request | import('./protocol.js').FileRun} Run */
/** @typedef {import('./protocol.js').Limits} Limits */
/** @typedef {import('./protocol.js').Frame} Frame */

/** Sends frames out of the sandbox: JSON objects as text, with newlines between them. @typedef {(frame: string) => void} Emit */

/** Limits for importing the modules of a snapshot. */
const MAKING = { time: 60_000, grace: 1000, fuel: Number.MAX_SAFE_INTEGER };

/** Thrown when importing `module` draws random numbers, so that no snapshot may contain it. */
export class Drawing extends Error {
  /** @param {string} module */
  constructor(module) {
    super(module);
    this.module = module;
  }
}

/** Counts from now on how often random numbers are drawn. @returns {() => number} how often they were */
export function drawsCounted() {
  let drawn = 0;
  const getRandomValues = crypto.getRandomValues.bind(crypto);
  crypto.getRandomValues = (numbers) => {
    drawn++;
    return getRandomValues(numbers);
  };
  return () => drawn;
}

export class Interpreter {
  /**
   * @param {any} pyodide @param {Pulse} pulse @param {import('./libraries.js').LibraryEvent[]} libraries
   * @param {Assets['kdf']} kdf
   */
  constructor(pyodide, pulse, libraries, kdf) {
    this.pyodide = pyodide;
    this.pulse = pulse;
    /** Log of what happened to native libraries, see libraries.js. */
    this.libraries = libraries;
    this.runner = pyodide.pyimport('_sandbox.runner');
    this.storage = new Storage(pyodide.FS);
    this.asked = new AskedFiles(pyodide.FS, this.storage);
    /** @type {Pick<Limits, 'memory' | 'budget'>} */
    this.limits = { memory: Infinity, budget: null };
    const module = pyodide._module;
    const keys = new KeyDerivation(
      kdf,
      () => module.memoryLimit - module.HEAPU8.length,
      (fuel) => pulse.spend(fuel),
    );
    // lacks.py looks it up at each call, as no snapshot contains it.
    module.keyDerivation = keys;
    /** Bytes of the budget that are left for the interpreter's memory and the files. */
    const left = () => (this.limits.budget ?? Infinity) - module.archived - keys.bytes;
    // Read each time the memory is to grow.
    Object.defineProperty(module, 'memoryLimit', {
      get: () => Math.max(Math.min(this.limits.memory - keys.bytes, left() - this.storage.bytes), 0),
    });
    this.storage.room = () => left() - module.HEAPU8.length;
    /** The current run; resolves to whether the interpreter is still usable. @type {Promise<boolean> | null} */
    this.running = null;
    this.fresh = true;
    /** Programs' calls; created for the first run that may make any. @type {import('./calls.js').Calls | undefined} */
    this.calls = undefined;
  }

  /** @param {Assets} assets */
  static async boot(assets) {
    offerFiles(assets.stdlib);
    const pulse = new Pulse();
    const snapshot = assets.snapshot && (await Snapshot.open(assets.snapshot));
    /** @type {import('./libraries.js').LibraryEvent[]} */
    let libraries = [];
    const pyodide = await assets.loadPyodide({
      indexURL: 'http://pyodide/',
      packageBaseUrl: 'http://pyodide/',
      lockFileContents: assets.lockFile,
      env: { HOME: '/home/pyodide', MPLBACKEND: 'module://_sandbox.matplotlib_backend' },
      _makeSnapshot: assets.takesSnapshot,
      _loadSnapshot: snapshot?.header,
      /** @param {object} settings */
      createPyodideModule: async (settings) => {
        libraries = recordLibraries(settings);
        const module = await assets.createPyodideModule(
          Object.assign(settings, {
            pollSignals: pulse.pollSignals,
            waitFor: (/** @type {unknown} */ promise) => pulse.waitFor(promise),
            symbols: assets.symbols,
            hooks: { ...required, ...startup },
          }),
        );
        pulse.attach(module);
        mountPackages(module, await assets.packages);
        await snapshot?.apply(module);
        libraries.push(...(snapshot?.libraries ?? []));
        return module;
      },
    });
    pyodide._api.on_fatal = (/** @type {Error} */ error) => pulse.fatal(error);
    pyodide.setStdin({ stdin: () => null });
    if (assets.pythonSources) install(pyodide, assets.pythonSources);
    return new Interpreter(pyodide, pulse, libraries, assets.kdf);
  }

  /**
   * Runs one program. Resolves when it has ended, one way or the other.
   * @param {Run} run
   * @param {Emit} emit takes each frame; the last is the one with `end`
   * @param {() => Promise<void>} [drained] resolves once what was emitted has left
   * @returns {Promise<boolean>} whether the interpreter lived on
   */
  async run(run, emit, drained = async () => {}) {
    if (this.running) throw new Error('one run at a time');
    this.running = this.#run(run, emit, drained);
    const alive = await this.running;
    // An interpreter that was ended is stuck in its run for good: it stays `running`.
    if (alive) this.running = null;
    return alive;
  }

  /** @param {Run} run @param {Emit} emit @param {() => Promise<void>} drained */
  async #run(run, emit, drained) {
    const { protocol, limits } = run;
    const waiting = [JSON.stringify({ protocol: VERSION })];
    let sending = false;
    const send = (/** @type {string} */ frames) => {
      waiting.push(frames);
      // The program may have replaced the JavaScript that `emit` uses, and write output in it: the queue keeps the order.
      if (sending) return;
      sending = true;
      try {
        while (waiting.length) emit(waiting.splice(0).join('\n'));
      } finally {
        sending = false;
      }
    };
    const tell = (/** @type {Frame} */ frame) => send(JSON.stringify(frame));
    if (protocol !== VERSION) {
      tell({ end: { status: 'run-error', error: `RuntimeError: the run is of version ${protocol} of the protocol` } });
      return true;
    }
    this.limits = limits;
    this.storage.limit(limits);
    if ('file' in run) {
      send(JSON.stringify(this.asked.answer(run.file)));
      return true;
    }
    const { code, globals, keep, files, calls } = run;
    const output = new OutputLines(limits, tell);
    this.pyodide.setStdout({ write: output.writer('stdout') });
    this.pyodide.setStderr({ write: output.writer('stderr') });
    this.pulse.onTurn = () => output.flush();
    if (this.fresh) this.runner.renew();
    this.fresh = false;
    const { FS } = this.pyodide;
    try {
      placeFiles(FS, files);
    } catch (error) {
      tell({ end: { status: 'run-error', error: /** @type {Error} */ (error).message } });
      return true;
    }
    const { Calls } = calls ? await import('./calls.js') : {};
    if (Calls) this.calls ??= new Calls(this.pyodide);
    this.pulse.calls = (calls && this.calls) ?? null;
    const changes = new FileChanges(FS, this.storage);
    const show = (/** @type {string} */ frame) => {
      output.flush();
      send(frame);
    };
    const start = () => this.#promising(this.runner.run, code, globals, keep, JSON.stringify(limits), show);
    const callOut = (/** @type {Frame} */ frame) => {
      output.flush();
      tell(frame);
    };
    const ended = await this.pulse.watch(limits, calls?.wait ?? 0, this.runner, () =>
      calls && this.calls ? this.calls.during(calls, callOut, start, () => output.unfinished) : start(),
    );
    output.end();
    if (ended.lost === undefined) {
      try {
        for (const frame of changes.frames(limits)) {
          tell(frame);
          if ('part' in frame) await drained();
        }
      } catch {
        // The program may have broken its files, or this JavaScript: it still gets its result.
      }
      send(ended.frames);
    } else tell({ end: { status: 'run-error', error: ended.lost } });
    return ended.lost === undefined;
  }

  /**
   * Calls a Python function, on a stack of its own where the engine has JSPI, so that it can be suspended.
   * @param {any} python @param {...unknown} args
   * @returns {Promise<any>}
   */
  async #promising(python, ...args) {
    return 'Suspending' in WebAssembly ? python.callPromising(...args) : python(...args);
  }

  /**
   * Asks the current run, if any, to stop: raises `KeyboardInterrupt`, and ends the run after the grace period.
   * @returns {Promise<boolean>} whether the interpreter lived on
   */
  async stop() {
    this.pulse.stop();
    return (await this.running) ?? true;
  }

  /** Takes the answer to a call of the run: JSON. @param {string} text */
  answer(text) {
    this.calls?.answer(text);
  }

  /**
   * Imports modules and returns a snapshot of the interpreter, with all that it was started from. It must have run nothing
   * before, and takes no runs afterwards.
   * @param {string} modules JSON: their names
   * @param {() => number} [drawn] how often random numbers were drawn
   * @returns {Promise<Uint8Array<ArrayBuffer>>}
   * @throws {Drawing} if a module draws random numbers that `renew` (runner.py) does not draw anew
   */
  async snapshot(modules, drawn) {
    const { preload } = this.runner;
    // Its packages differ from those of the snapshot that it started from.
    this.runner.renew();
    // Watched like a run, so that it yields to others.
    const ended = await this.pulse.watch(MAKING, 0, this.runner, () => preload.callPromising(modules, drawn));
    preload.destroy();
    if (ended.lost !== undefined) throw new Error(ended.lost);
    if (ended.frames) throw new Drawing(ended.frames);
    // A proxy cannot be in a snapshot, and garbage need not be.
    this.runner.destroy();
    this.#wipeFreeMemory();
    return packSnapshot(this.pyodide.makeMemorySnapshot(), this.libraries);
  }

  /** Zeroes free memory: garbage would make a snapshot larger, and zeros are left out of it. */
  #wipeFreeMemory() {
    const { _malloc, _free, HEAPU8 } = this.pyodide._module;
    // Without growth, all free memory is allocated, from the largest blocks to the smallest, and then freed.
    this.limits = { memory: 0, budget: null };
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
}

/** Replaces `fetch`, by which Pyodide loads its files from its own address. @param {ArrayBuffer} stdlib */
function offerFiles(stdlib) {
  Object.assign(globalThis, {
    /** @param {unknown} url */
    fetch: async (url) => {
      if (String(url).endsWith('python_stdlib.zip')) return { ok: true, arrayBuffer: async () => stdlib };
      if (String(url).endsWith('pyodide.asm.wasm')) return new Response();
      // Not a safeguard: there is no network here. This only gives a clear error.
      throw new TypeError('the sandbox has no network');
    },
  });
}

/** @param {any} pyodide @param {Record<string, string>} sources */
function install({ FS, _api }, sources) {
  const folder = `${_api.sitepackages}/_sandbox`;
  FS.mkdirTree(folder);
  for (const [name, source] of Object.entries(sources)) FS.writeFile(`${folder}/${name}.py`, source);
}
