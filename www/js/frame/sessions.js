// Where the runs of a frame happen: in a fresh worker each, or in the worker of a session.
import { Isolate } from './isolates.js';
import { compile } from './packages.js';
import { Snapshots } from './snapshots.js';

/** The most workers at a time, of 80 MB or more each. */
const MAX_ISOLATES = 10;

/** @typedef {import('./packages.js').PreparedPackage} PreparedPackage */

/** Implements the core's `SandboxHost`, see `www/src/types.d.ts`. */
export class Sessions {
  /** All that live. @type {Set<Isolate>} */
  #isolates = new Set();
  /** Booted ahead of the run that will need it. @type {Isolate | null} */
  #spare = null;
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
   * Looks ahead for a snapshot with these packages.
   * @param {string[]} wheels their sha256 @param {string[]} modules what it has imported
   */
  expect(wheels, modules) {
    if (wheels.length) this.#snapshots.look(wheels, modules);
  }

  /** Boots an interpreter ahead of the first run that needs no packages. */
  prepare() {
    // What fails at it fails the run that needs it.
    this.#prepared = this.#prepared.then(() => this.#boot()).catch(() => {});
  }

  /** Resolves when one is there that is sound. */
  async #boot() {
    this.#spare ??= this.#spawn();
    const spare = this.#spare;
    // It may have had to make room for another.
    if (this.#start.snapshot && !(await spare.isSound()) && this.#spare === spare) {
      // Its snapshot was made by an engine with other features: Python boots from scratch, in a few seconds.
      this.#start.snapshot = undefined;
      spare.end('it is not sound');
      this.#spare = this.#spawn();
    }
    await this.#spare?.booted;
  }

  /**
   * An interpreter: `HostInterpreter`, see there.
   * @param {PreparedPackage[]} packages @param {boolean} kept
   */
  spawn(packages, kept) {
    let compiled = compile(packages);
    let ended = false;
    /** @type {Isolate | null} */
    let isolate = null;
    const found = packages.length ? this.#snapshots.find(packages, compiled) : undefined;
    // Its worker reads its JavaScript while the snapshot is read.
    const restored = found && this.#spawn(this.#from(found, compiled));
    const take = async () => {
      const isRestored = await found;
      await compiled;
      if (!isRestored) await this.#prepared;
      if (ended) throw new Error('the interpreter was ended');
      isolate = isRestored && restored ? restored : this.#takeSpare();
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
        if (!kept && this.#isolates.size < MAX_ISOLATES) this.#spare ??= this.#spawn();
      },
    };
  }

  /** Asks all runs to stop. @returns {boolean} whether there was one */
  stop() {
    return [...this.#isolates].map((isolate) => isolate.stop()).includes(true);
  }

  /**
   * What an interpreter is made of that starts from a snapshot with its packages, once that is found.
   * @param {Promise<Blob | undefined>} kept @param {Promise<import('./packages.js').CompiledPackage[]>} compiled
   */
  async #from(kept, compiled) {
    const snapshot = await kept;
    if (!snapshot) throw new Error('there is no such snapshot');
    return { ...this.#start, snapshot, packages: await compiled };
  }

  /** An interpreter that nobody has had. */
  #takeSpare() {
    const spare = this.#spare;
    this.#spare = null;
    return spare?.alive ? spare : this.#spawn();
  }

  /** @param {import('./isolate.js').Start | Promise<import('./isolate.js').Start>} [start] if it is not the base snapshot */
  #spawn(start = this.#start) {
    // The core counts those that are in use, and not the one that is kept ready.
    if (this.#spare && this.#isolates.size >= MAX_ISOLATES) {
      this.#spare.end('another was needed');
      this.#spare = null;
    }
    const isolate = new Isolate(this.#source, start, () => this.#isolates.delete(isolate));
    this.#isolates.add(isolate);
    return isolate;
  }
}
