// Snapshots of interpreters that have imported their packages: each is made once, in the background after the first run
// with these packages, and kept by the page. No code but that of the packages runs in the worker that makes one.
import { Isolate } from './isolates.js';

/** How long after a run has begun one is made, in milliseconds: it takes the processor for seconds. */
const LATER = 3000;

/** What people import of these besides. */
const BESIDES = /** @type {Record<string, string[]>} */ ({
  matplotlib: ['matplotlib.pyplot', 'matplotlib.backends.backend_agg'],
  scipy: ['scipy.stats'],
});

/** @typedef {import('./packages.js').PreparedPackage} PreparedPackage */
/** @typedef {import('./packages.js').CompiledPackage} CompiledPackage */
/** @typedef {{ find: (key: string) => Promise<Blob | undefined>, keep: (key: string, snapshot: Blob) => Promise<void> }} Store */

export class Snapshots {
  #source;
  #start;
  #store;
  /** By their packages; `null`: there is none, and none can be made. @type {Map<string, Blob | null>} */
  #known = new Map();
  /** What was looked for last, and not asked for yet. @type {{ key: string, kept: Promise<Blob | undefined> } | null} */
  #looked = null;
  /** One is made at a time. @type {Promise<void>} */
  #making = Promise.resolve();

  /** @param {string} source JavaScript of a worker @param {import('./isolate.js').Start} start @param {Store} store */
  constructor(source, start, store) {
    this.#source = source;
    this.#start = start;
    this.#store = store;
  }

  /** Looks for what is kept, ahead of the run that needs it. @param {string[]} wheels their sha256 */
  look(wheels) {
    const key = keyOf(wheels);
    if (this.#known.has(key) || this.#looked?.key === key) return;
    this.#looked = { key, kept: this.#store.find(key).catch(() => undefined) };
  }

  /**
   * What an interpreter with these packages starts from, if there may be such. If there is none yet, it is made later.
   * @param {PreparedPackage[]} packages
   * @param {Promise<CompiledPackage[]>} compiled the same
   * @returns {Promise<Blob | undefined> | undefined} nothing, if there is certainly none
   */
  find(packages, compiled) {
    const wheels = packages.map(({ sha256 }) => sha256);
    const key = keyOf(wheels);
    const known = this.#known.get(key);
    if (known !== undefined) return known ? Promise.resolve(known) : undefined;
    this.look(wheels);
    this.#known.set(key, null);
    const kept = this.#looked?.kept;
    this.#looked = null;
    return kept?.then((snapshot) => {
      if (snapshot) this.#known.set(key, snapshot);
      else setTimeout(() => this.#makeNext(key, compiled), LATER);
      return snapshot;
    });
  }

  /** @param {string} key @param {Promise<CompiledPackage[]>} compiled */
  #makeNext(key, compiled) {
    this.#making = this.#making.then(async () => {
      const snapshot = await compiled.then((packages) => this.#make(packages)).catch(() => undefined);
      if (!snapshot) return;
      this.#known.set(key, snapshot);
      // A page that may keep nothing makes it anew the next time.
      await this.#store.keep(key, snapshot).catch(() => {});
    });
  }

  /** @param {CompiledPackage[]} packages */
  async #make(packages) {
    const locked = JSON.parse(this.#start.lockFile).packages;
    const modules = packages.flatMap(({ name }) => [...(locked[name]?.imports ?? []), ...(BESIDES[name] ?? [])]);
    const start = { ...this.#start, packages, preload: JSON.stringify(modules) };
    const maker = new Isolate(this.#source, start);
    try {
      await maker.booted;
      const snapshot = maker.snapshot ?? null;
      if (!snapshot) return undefined;
      const restored = new Isolate(this.#source, { ...this.#start, packages, snapshot });
      const sound = await restored.isSound(modules);
      restored.end('it was only looked at');
      return sound ? snapshot : undefined;
    } finally {
      maker.end('it has done what it was for');
    }
  }
}

/**
 * Each wheel is what its hash says, native modules and all; their order decides where they lie in memory.
 * @param {string[]} wheels
 */
const keyOf = (wheels) => wheels.join(' ');
