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

  /** Boots an interpreter ahead of the first run, and looks whether it is sound. Resolves when it is there. */
  async prepare() {
    this.#spare ??= this.#spawn();
    if (this.#start.snapshot && !(await this.#spare.isSound())) {
      // Its snapshot was made by an engine with other features: Python boots from scratch, in a few seconds.
      this.#start.snapshot = undefined;
      this.#spare.end('it is not sound');
      this.#spare = this.#spawn();
    }
    await this.#spare.booted;
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
    const taken = compiled.then(async (all) => {
      const found = await this.#find(all);
      if (ended) throw new Error('the interpreter was ended');
      isolate = this.#take(found);
      return isolate;
    });
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
        isolate?.end(kept ? 'its session has ended' : 'its run is over');
        if (!kept && this.#isolates.size < MAX_ISOLATES) this.#spare ??= this.#spawn();
      },
    };
  }

  /** Asks all runs to stop. @returns {boolean} whether there was one */
  stop() {
    return [...this.#isolates].map((isolate) => isolate.stop()).includes(true);
  }

  /**
   * What an interpreter with these packages starts from, if it is not the base snapshot.
   * @param {import('./packages.js').CompiledPackage[]} packages
   */
  async #find(packages) {
    const snapshot = packages.length ? await this.#snapshots.find(packages) : undefined;
    return snapshot && { snapshot, packages };
  }

  /** An interpreter that nobody has had. @param {Partial<import('./isolate.js').Start>} [from] */
  #take(from) {
    const spare = this.#spare;
    if (spare?.alive && !from) {
      this.#spare = null;
      return spare;
    }
    // The core counts those that are in use, and not the one that is kept ready.
    if (spare && this.#isolates.size >= MAX_ISOLATES) {
      spare.end('another was needed');
      this.#spare = null;
    }
    return this.#spawn(from);
  }

  /** @param {Partial<import('./isolate.js').Start>} [from] if it is not the base snapshot */
  #spawn(from) {
    const isolate = new Isolate(this.#source, { ...this.#start, ...from }, () => this.#isolates.delete(isolate));
    this.#isolates.add(isolate);
    return isolate;
  }
}
