// Starts CPython from a snapshot and runs programs in it, one at a time. The same in every home: a home gives the
// assets, carries a run's JSON in and the frames out.

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
 * @property {import('./snapshot.js').Read} [snapshot] reads one; without, Python boots from scratch
 * @property {import('./packages.js').Package[] | Promise<import('./packages.js').Package[]>} packages those of the snapshot first
 * @property {Record<string, string>} [pythonSources] our own modules, to be installed when there is no snapshot
 * @property {boolean} [takesSnapshot] whether a snapshot is to be taken of it, see `Interpreter.snapshot`
 */

/** @typedef {import('./protocol.js').Request | import('./protocol.js').FileRun} Run */
/** @typedef {import('./protocol.js').Limits} Limits */
/** @typedef {import('./protocol.js').Frame} Frame */

/** Takes a frame, the text of one JSON object, or several with a newline between them, out of the sandbox. @typedef {(frame: string) => void} Emit */

/** What importing the modules of a snapshot may take. */
const MAKING = { time: 60_000, grace: 1000, fuel: Number.MAX_SAFE_INTEGER };

/** The module of this name draws random numbers when it is imported. */
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
    /** What happened to native libraries since the start. */
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
    // lacks.py looks it up when it is called: a snapshot has none of it.
    module.keyDerivation = keys;
    /** What is left of the budget for the memory and the files. */
    const left = () => (this.limits.budget ?? Infinity) - module.archived - keys.bytes;
    // Asked when it is to grow.
    Object.defineProperty(module, 'memoryLimit', {
      get: () => Math.max(Math.min(this.limits.memory - keys.bytes, left() - this.storage.bytes), 0),
    });
    this.storage.room = () => left() - module.HEAPU8.length;
    /** The run that is going on; resolves to whether the interpreter lives on. @type {Promise<boolean> | null} */
    this.running = null;
    this.fresh = true;
    /** Those of programs, once a run may make any. @type {import('./calls.js').Calls | undefined} */
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
      // What carries them out may be the program's own by now, and write while it does so: one after the other.
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
        // What the program has made of its files, or of this JavaScript, does not cost it its result.
      }
      send(ended.frames);
    } else tell({ end: { status: 'run-error', error: ended.lost } });
    return ended.lost === undefined;
  }

  /**
   * Calls a function of Python's, on a stack of its own where the engine has such: it may be suspended.
   * @param {any} python @param {...unknown} args
   * @returns {Promise<any>}
   */
  async #promising(python, ...args) {
    return 'Suspending' in WebAssembly ? python.callPromising(...args) : python(...args);
  }

  /**
   * Asks the run, if there is one, to stop: `KeyboardInterrupt`, and after the grace period its end.
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
   * Imports modules, and gives a snapshot of what has imported them: of all that it started from, too. It has run nothing,
   * and takes no more runs.
   * @param {string} modules JSON: their names
   * @param {() => number} [drawn] how often random numbers were drawn
   * @returns {Promise<Uint8Array<ArrayBuffer>>}
   * @throws {Drawing} if a module draws some that no interpreter would draw anew
   */
  async snapshot(modules, drawn) {
    const { preload } = this.runner;
    // Its packages are other than those of the snapshot that it started from.
    this.runner.renew();
    // As a run is, so that it gives way to others.
    const ended = await this.pulse.watch(MAKING, 0, this.runner, () => preload.callPromising(modules, drawn));
    preload.destroy();
    if (ended.lost !== undefined) throw new Error(ended.lost);
    if (ended.frames) throw new Drawing(ended.frames);
    // What cannot be in a snapshot, or need not be.
    this.runner.destroy();
    this.#wipeFreeMemory();
    return packSnapshot(this.pyodide.makeMemorySnapshot(), this.libraries);
  }

  /** Garbage would make a snapshot larger: zeros are left out of it. */
  #wipeFreeMemory() {
    const { _malloc, _free, HEAPU8 } = this.pyodide._module;
    // It grows no more: all of it is taken, from the largest pieces to the smallest, and given back.
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

/** Pyodide fetches its files from beside its own address: it gets them from here. @param {ArrayBuffer} stdlib */
function offerFiles(stdlib) {
  Object.assign(globalThis, {
    /** @param {unknown} url */
    fetch: async (url) => {
      if (String(url).endsWith('python_stdlib.zip')) return { ok: true, arrayBuffer: async () => stdlib };
      if (String(url).endsWith('pyodide.asm.wasm')) return new Response();
      // There is no network to lose here; this only says so in plain words.
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
