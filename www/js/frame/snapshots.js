// Snapshots of interpreters that have imported their packages: each is made once, in the background after the first run
// with these packages, and kept by the page. No code but that of the packages runs in the worker that makes one.
import { Isolate } from './isolates.js';

/** How long after a run has begun one is made, in milliseconds: it takes the processor for seconds. */
const LATER = 3000;

/** The most sets of packages whose snapshots are looked for ahead: those of runs that are being prepared. */
const MOST_LOOKED = 8;

/** The most attempts to make a snapshot; each one leaves out one more module. */
const TRIES = 8;

/** @typedef {import('./packages.js').PreparedPackage} PreparedPackage */
/** @typedef {import('./packages.js').CompiledPackage} CompiledPackage */
/** @typedef {{ modules: string[], kept: Promise<Blob | undefined> }} Looked */
/** @typedef {{ modules: string[], snapshot?: Blob }} Known */
/** `isKept`: whether it was kept when the page was loaded. @typedef {{ isKept: (key: string) => boolean, find: (key: string) => Promise<Blob | undefined>, keep: (key: string, snapshot: Blob) => Promise<void> }} Store */

export class Snapshots {
  #source;
  #start;
  #store;
  /** By packages, with the modules that each has imported; no `snapshot`: there is none (yet). @type {Map<string, Known>} */
  #known = new Map();
  /** Snapshots that were looked for ahead and are not needed yet, by packages. @type {Map<string, Looked>} */
  #looked = new Map();
  /** One is made at a time. @type {Promise<void>} */
  #making = Promise.resolve();

  /** @param {string} source JavaScript of a worker @param {import('./isolate.js').Start} start @param {Store} store */
  constructor(source, start, store) {
    this.#source = source;
    this.#start = start;
    this.#store = store;
  }

  /**
   * Looks for a kept snapshot ahead of the run that needs it.
   * @param {string[]} wheels their sha256 @param {string[]} modules what a snapshot with them has imported
   * @returns {Promise<Blob | undefined> | undefined} nothing, if it was looked for before
   */
  look(wheels, modules) {
    const key = keyOf(wheels);
    if (this.#known.has(key) || this.#looked.has(key)) return undefined;
    for (const old of this.#looked.keys()) if (this.#looked.size >= MOST_LOOKED) this.#looked.delete(old);
    const kept = this.#store.find(key).catch(() => undefined);
    this.#looked.set(key, { modules, kept });
    return kept;
  }

  /** Whether one with these packages was kept when the page was loaded. @param {string[]} wheels */
  isKept(wheels) {
    return this.#store.isKept(keyOf(wheels));
  }

  /**
   * The snapshot for an interpreter with these packages. If none is kept, one is made later.
   * @param {PreparedPackage[]} packages
   * @param {Promise<CompiledPackage[]>} compiled the same
   * @returns {Promise<Blob | undefined> | undefined} nothing, if there is certainly none
   */
  find(packages, compiled) {
    const key = keyOf(packages.map(({ sha256 }) => sha256));
    const looked = this.#looked.get(key);
    if (!looked) {
      const snapshot = this.#known.get(key)?.snapshot;
      return snapshot && Promise.resolve(snapshot);
    }
    this.#looked.delete(key);
    /** @type {Known} */
    const known = { modules: looked.modules };
    this.#known.set(key, known);
    return looked.kept.then((snapshot) => {
      known.snapshot = snapshot;
      if (!snapshot) this.#makeLater(key, known, compiled);
      return snapshot;
    });
  }

  /**
   * Replaces a snapshot that was found but cannot be restored.
   * @param {PreparedPackage[]} packages
   * @param {Promise<CompiledPackage[]>} compiled the same
   */
  replace(packages, compiled) {
    const key = keyOf(packages.map(({ sha256 }) => sha256));
    const known = this.#known.get(key);
    if (!known?.snapshot) return;
    known.snapshot = undefined;
    this.#makeLater(key, known, compiled);
  }

  /** @param {string} key @param {Known} known @param {Promise<CompiledPackage[]>} compiled */
  #makeLater(key, known, compiled) {
    const make = async () => {
      const snapshot = await compiled.then((packages) => this.#make(packages, known.modules)).catch(() => undefined);
      if (!snapshot) return;
      known.snapshot = snapshot;
      // A page that cannot keep it makes it anew the next time.
      await this.#store.keep(key, snapshot).catch(() => {});
    };
    setTimeout(() => {
      this.#making = this.#making.then(make);
    }, LATER);
  }

  /** @param {CompiledPackage[]} packages @param {string[]} modules */
  async #make(packages, modules) {
    let rest = modules;
    for (let tries = 0; tries < TRIES; tries += 1) {
      const maker = new Isolate(this.#source, { ...this.#start, preload: JSON.stringify(rest) }, packages);
      try {
        await maker.booted;
        const { snapshot, drawing } = maker;
        if (snapshot) return (await this.#isSound(packages, snapshot, rest)) ? snapshot : undefined;
        // The random numbers that it draws when imported would be the same in every interpreter.
        const others = rest.filter((module) => module !== drawing);
        if (others.length === rest.length) return undefined;
        rest = others;
      } finally {
        maker.end('it has done what it was for');
      }
    }
    return undefined;
  }

  /** @param {CompiledPackage[]} packages @param {Blob} snapshot @param {string[]} modules */
  async #isSound(packages, snapshot, modules) {
    const restored = new Isolate(this.#source, { ...this.#start, snapshot }, packages);
    const sound = await restored.isSound(modules);
    restored.end('it was only looked at');
    return sound;
  }
}

/**
 * The hashes stand for all of each wheel, with its native modules; the order decides where these lie in memory.
 * @param {string[]} wheels
 */
export const keyOf = (wheels) => wheels.join(' ');
