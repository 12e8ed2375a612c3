// Provides workers for the runs of a frame: a fresh one for each run, or that of a session.
import { Isolate } from './isolates.js';
import { compile } from './packages.js';
import { keyOf, Snapshots } from './snapshots.js';

/** The most workers at a time, of 80 MB or more each. */
const MAX_ISOLATES = 10;

/** How long an interpreter whose packages are on their way waits for them, in milliseconds: their run may have been given up. */
const EXPECTED_LIMIT = 30_000;

/** @typedef {import('./packages.js').PreparedPackage} PreparedPackage */
/** @typedef {import('./packages.js').CompiledPackage} CompiledPackage */
/** @typedef {{ key: string, isolate: Isolate, give: (packages: Promise<CompiledPackage[]>) => void }} Expected */

/** Implements the core's `SandboxHost`, see `www/src/types.d.ts`. */
export class Sessions {
  /** All live workers. @type {Set<Isolate>} */
  #isolates = new Set();
  /** Booted ahead of the run that will need it. @type {Isolate | null} */
  #spare = null;
  /** Starts from a snapshot while its packages are fetched. @type {Expected | null} */
  #expected = null;
  /** Whether interpreters that start from the base snapshot are known to be sound. */
  #sound = false;
  #source;
  #start;
  #snapshots;
  /** Resolves when the first interpreter is there, or is known not to start. @type {Promise<void>} */
  #prepared = Promise.resolve();

  keepsInterpreters = true;

  /** An interpreter that runs can get further packages. */
  addsPackages = true;

  places = MAX_ISOLATES;

  /** One client's sessions leave some to others. */
  placesEach = MAX_ISOLATES - 2;

  /** The bytes of a package's file. @type {(url: string, limits: import('../messages.js').FetchLimits) => Promise<Uint8Array>} */
  fetch;

  /**
   * @param {string} source JavaScript of a worker
   * @param {import('./isolate.js').Start} start
   * @param {(url: string, limits: import('../messages.js').FetchLimits) => Promise<Uint8Array>} fetch
   * @param {import('./snapshots.js').Store} store
   */
  constructor(source, start, fetch, store) {
    this.#source = source;
    this.#start = start;
    this.fetch = fetch;
    this.lockFile = start.lockFile;
    this.#snapshots = new Snapshots(source, this.#start, store);
  }

  /** What the next run of `codeSandbox()` reads from its stdin. */
  stdin = '';

  /** In a page that was loaded without TLS it throws. @param {Uint8Array<ArrayBuffer>} bytes */
  digest(bytes) {
    return crypto.subtle.digest('SHA-256', bytes);
  }

  /**
   * Looks ahead for a snapshot with these packages, and starts from it if there is one.
   * @param {string[]} wheels their sha256 @param {string[]} modules what it has imported
   */
  expect(wheels, modules) {
    const found = wheels.length ? this.#snapshots.look(wheels, modules) : undefined;
    if (!found || !this.#snapshots.isKept(wheels) || !this.#hasRoom()) return;
    // Ends a spare that still boots, as the expected one is needed first.
    if (this.#spare && !this.#spare.hasBooted) {
      this.#spare.end('another is needed first');
      this.#spare = null;
    }
    this.#expected?.isolate.end('another is expected');
    const expected = this.#restore(wheels, found);
    this.#expected = expected;
    setTimeout(() => {
      if (this.#expected !== expected) return;
      this.#expected = null;
      expected.isolate.end('nobody came for it');
    }, EXPECTED_LIMIT);
  }

  /** Compiled once for each frame: `spawn` gets the same modules. @param {PreparedPackage} prepared */
  compileModules(prepared) {
    compile([prepared]).catch(() => {});
  }

  /** Boots an interpreter ahead of the first run that needs no packages. */
  prepare() {
    // A failure here also fails the run that needs the interpreter.
    this.#prepared = this.#prepared.then(() => this.#boot()).catch(() => {});
  }

  /** Resolves when a sound interpreter is there. */
  async #boot() {
    this.#spare ??= this.#spawn();
    const spare = this.#spare;
    if (this.#start.snapshot && !this.#sound) {
      this.#sound = await spare.isSound();
      // The spare may have been ended to make room for another.
      if (!this.#sound && this.#spare === spare) {
        // Its snapshot was made by an engine with other features: Python boots from scratch, in a few seconds.
        this.#start.snapshot = undefined;
        spare.end('it is not sound');
        this.#spare = this.#spawn();
      }
    }
    await this.#spare?.booted;
  }

  /**
   * An interpreter; implements `HostInterpreter`.
   * @param {PreparedPackage[]} packages @param {boolean} kept
   */
  spawn(packages, kept) {
    let compiled = compile(packages);
    let ended = false;
    /** @type {Isolate | null} */
    let isolate = null;
    const found = packages.length ? this.#snapshots.find(packages, compiled) : undefined;
    const restored = found && this.#restored(packages, found, compiled);
    const take = async () => {
      await compiled;
      // A snapshot that cannot be restored counts as none.
      const isRestored = restored && (await found) && (await restored.boots());
      if (!isRestored && !ended) this.#snapshots.replace(packages, compiled);
      if (!isRestored && !this.#sound) this.prepare();
      if (!isRestored) await this.#prepared;
      if (ended) throw new Error('the interpreter was ended');
      isolate = isRestored ? restored : this.#takeSpare();
      return isolate;
    };
    const taken = take();
    taken.catch(() => {});
    return {
      run: async (/** @type {string} */ request) => (await taken).start(request, await compiled, this.stdin),
      answer: (/** @type {string} */ answer) => isolate?.answer(answer),
      get alive() {
        return !ended && (isolate?.alive ?? true);
      },
      add: (/** @type {PreparedPackage[]} */ more) => {
        compiled = compile(more);
        compiled.catch(() => {});
      },
      end: () => {
        ended = true;
        (isolate ?? restored)?.end(kept ? 'its session has ended' : 'its run is over');
        if (!kept && this.#hasRoom()) this.prepare();
      },
    };
  }

  /** Asks all runs to stop. @returns {boolean} whether there was one */
  stop() {
    return [...this.#isolates].map((isolate) => isolate.stop()).includes(true);
  }

  /**
   * An interpreter that starts from a snapshot, once that is found: the expected one, if it has these packages.
   * @param {PreparedPackage[]} packages @param {Promise<Blob | undefined>} found @param {Promise<CompiledPackage[]>} compiled
   */
  #restored(packages, found, compiled) {
    const wheels = packages.map(({ sha256 }) => sha256);
    const expected = this.#expected?.key === keyOf(wheels) ? this.#expected : null;
    if (expected) this.#expected = null;
    const { isolate, give } = expected ?? this.#restore(wheels, found);
    give(compiled);
    return isolate;
  }

  /**
   * Starts from a snapshot, once that is found, while its packages are on their way.
   * @param {string[]} wheels @param {Promise<Blob | undefined>} found @returns {Expected}
   */
  #restore(wheels, found) {
    const start = async () => {
      const snapshot = await found;
      if (!snapshot) throw new Error('there is no such snapshot');
      return { ...this.#start, snapshot };
    };
    /** @type {Expected['give']} */
    let give = () => {};
    /** @type {Promise<CompiledPackage[]>} */
    const packages = new Promise((resolve) => {
      give = resolve;
    });
    return { key: keyOf(wheels), isolate: this.#spawn(start(), packages), give };
  }

  /** A fresh interpreter: the spare, if it lives. */
  #takeSpare() {
    const spare = this.#spare;
    this.#spare = null;
    return spare?.alive ? spare : this.#spawn();
  }

  /** Whether there is room for one more worker that the core does not count. */
  #hasRoom() {
    return this.#isolates.size < MAX_ISOLATES;
  }

  /**
   * @param {import('./isolate.js').Start | Promise<import('./isolate.js').Start>} [start] if not from the base snapshot
   * @param {Promise<CompiledPackage[]>} [packages]
   */
  #spawn(start = this.#start, packages) {
    // The core counts interpreters in use, but not those that are kept ready.
    if (this.#spare && !this.#hasRoom()) {
      this.#spare.end('another was needed');
      this.#spare = null;
    }
    if (this.#expected && !this.#hasRoom()) {
      this.#expected.isolate.end('another was needed');
      this.#expected = null;
    }
    const isolate = new Isolate(this.#source, start, packages, () => this.#isolates.delete(isolate));
    this.#isolates.add(isolate);
    return isolate;
  }
}
