// Where the runs of a frame happen: in a fresh worker each, or in the worker of a session.
import { Isolate } from './isolates.js';
import { compile } from './packages.js';
import { Snapshots } from './snapshots.js';

/** The most workers at a time, of 80 MB or more each; runs that need a further one wait. */
const MAX_ISOLATES = 10;

/** @typedef {import('./packages.js').PreparedPackage} PreparedPackage */

/** Implements the core's `SandboxHost`, see `www/src/types.d.ts`. */
export class Sessions {
  /** Interpreters that are kept; each starts with its first run. @type {Map<string, Isolate | null>} */
  #kept = new Map();
  /** All that live. @type {Set<Isolate>} */
  #isolates = new Set();
  /** Booted ahead of the run that will need it. @type {Isolate | null} */
  #spare = null;
  /** @type {(() => void)[]} */
  #waiting = [];
  #source;
  #start;
  #snapshots;

  /** An interpreter that runs can get further packages. */
  addsPackages = true;

  /** @typedef {{ accept?: string, maxBytes: number, milliseconds: number }} FetchLimits */
  /** The bytes of a package's file. @type {(url: string, limits: FetchLimits) => Promise<Uint8Array>} */
  fetch;

  /**
   * @param {string} source JavaScript of a worker
   * @param {import('./isolate.js').Start} start
   * @param {(url: string, limits: FetchLimits) => Promise<Uint8Array>} fetch
   * @param {import('./snapshots.js').Store} store
   */
  constructor(source, start, fetch, store) {
    this.#source = source;
    this.#start = start;
    this.fetch = fetch;
    this.lockFile = start.lockFile;
    this.#snapshots = new Snapshots(source, this.#start, store);
  }

  /** Boots an interpreter ahead of the first run, and looks whether it is sound. Resolves when it is there. */
  async prepare() {
    this.#spare ??= this.#spawn();
    if (this.#start.snapshot && !(await this.#spare.isSound())) {
      // Its snapshot was made by an engine with other features: Python boots from scratch, in a few seconds.
      this.#start.snapshot = undefined;
      this.#spare.end('it is not sound');
      this.#gone(this.#spare);
      this.#spare = this.#spawn();
    }
    await this.#spare.booted;
  }

  /**
   * @param {string} request @param {string | undefined} session @param {PreparedPackage[]} packages
   * @returns {Promise<ReadableStream<Uint8Array>>}
   */
  async start(request, session, packages) {
    const kept = session === undefined ? null : this.#kept.get(session);
    if (kept === undefined) throw new Error('its session has ended');
    const compiled = await compile(packages);
    if (kept) return kept.start(request, compiled);
    const isolate = await this.#take(compiled);
    if (session !== undefined) {
      this.#kept.set(session, isolate);
      return isolate.start(request, compiled);
    }
    return ending(await isolate.start(request, compiled), () => {
      isolate.end('its run is over');
      this.#gone(isolate);
      this.#spare ??= this.#spawn();
    });
  }

  async openSession() {
    const session = crypto.getRandomValues(new Uint32Array(4)).join('-');
    this.#kept.set(session, null);
    return session;
  }

  /** @param {string} session */
  async hasSession(session) {
    return this.#kept.get(session)?.alive ?? this.#kept.has(session);
  }

  /** @param {string} session */
  async endSession(session) {
    const isolate = this.#kept.get(session);
    this.#kept.delete(session);
    if (!isolate) return;
    isolate.end('its session has ended');
    this.#gone(isolate);
  }

  /** Asks all runs to stop. @returns {boolean} whether there was one */
  stop() {
    return [...this.#isolates].map((isolate) => isolate.stop()).includes(true);
  }

  /** An interpreter that nobody has had. @param {import('./packages.js').CompiledPackage[]} packages what it is to import */
  async #take(packages) {
    const snapshot = packages.length ? await this.#snapshots.find(packages) : undefined;
    const spare = snapshot ? null : this.#spare;
    if (spare) this.#spare = null;
    if (spare?.alive) return spare;
    while (this.#isolates.size >= MAX_ISOLATES) {
      await new Promise((resolve) => this.#waiting.push(() => resolve(undefined)));
    }
    return this.#spawn(snapshot && { snapshot, packages });
  }

  /** @param {Partial<import('./isolate.js').Start>} [from] if it is not the base snapshot */
  #spawn(from) {
    const isolate = new Isolate(this.#source, { ...this.#start, ...from });
    this.#isolates.add(isolate);
    return isolate;
  }

  /** @param {Isolate} isolate */
  #gone(isolate) {
    this.#isolates.delete(isolate);
    this.#waiting.shift()?.();
  }
}

/** Calls `done` when a stream has ended, or nobody wants it any longer. @param {ReadableStream<Uint8Array>} stream @param {() => void} done */
function ending(stream, done) {
  const reader = stream.getReader();
  return new ReadableStream({
    async pull(controller) {
      const { value, done: over } = await reader.read();
      if (!over) return controller.enqueue(value);
      controller.close();
      done();
    },
    // Nobody gets this worker after its run: there is no need to stop the run first.
    cancel: done,
  });
}
