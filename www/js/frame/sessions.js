// Where the runs of a frame happen: in a fresh worker each, or in the worker of a session.
import { Isolate } from './isolates.js';
import { compile } from './packages.js';
import { Snapshots } from './snapshots.js';

/** The most workers at a time, of 80 MB or more each. */
const MAX_ISOLATES = 10;

/** The most that one client's sessions keep: a further one takes the place of the one that has been idle for the longest. */
const MAX_EACH = 8;

/** How long a run may wait for a worker, in milliseconds. */
const MAX_WAIT = 10_000;

/** How long a session's worker is its own when others need one, in milliseconds since its last run. */
const MAX_IDLE = 300_000;

/** @typedef {import('./packages.js').PreparedPackage} PreparedPackage */
/** @typedef {{ owner: number, isolate: Isolate | null, usedAt: number }} Kept */

/** Implements the core's `SandboxHost`, see `www/src/types.d.ts`. */
export class Sessions {
  /** Interpreters that are kept; each starts with its first run. @type {Map<string, Kept>} */
  #kept = new Map();
  /** All that live. @type {Set<Isolate>} */
  #isolates = new Set();
  /** Booted ahead of the run that will need it. @type {Isolate | null} */
  #spare = null;
  /** Who waits for a worker, in that order. @type {Set<() => void>} */
  #waiting = new Set();
  #source;
  #start;
  #snapshots;

  /** An interpreter that runs can get further packages. */
  addsPackages = true;

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
   * @param {string} request @param {string | undefined} session @param {PreparedPackage[]} packages
   * @returns {Promise<ReadableStream<Uint8Array>>}
   */
  async start(request, session, packages) {
    const kept = session === undefined ? null : this.#kept.get(session);
    if (kept === undefined) throw new Error('its session has ended');
    const compiled = await compile(packages);
    if (kept === null) {
      const isolate = await this.#take(compiled);
      return ending(await isolate.start(request, compiled), () => {
        isolate.end('its run is over');
        if (this.#isolates.size < MAX_ISOLATES) this.#spare ??= this.#spawn();
      });
    }
    if (!kept.isolate) {
      const isolate = await this.#take(compiled, kept.owner);
      if (!this.#kept.has(session ?? '')) {
        isolate.end('its session has ended');
        throw new Error('its session has ended');
      }
      kept.isolate = isolate;
    }
    kept.usedAt = Date.now();
    return kept.isolate.start(request, compiled);
  }

  /** @param {number} owner the connection whose session it is */
  async openSession(owner) {
    const session = crypto.getRandomValues(new Uint32Array(4)).join('-');
    this.#kept.set(session, { owner, isolate: null, usedAt: Date.now() });
    return session;
  }

  /** @param {string} session */
  async hasSession(session) {
    const kept = this.#kept.get(session);
    return kept !== undefined && (kept.isolate?.alive ?? true);
  }

  /** @param {string} session */
  async endSession(session) {
    const kept = this.#kept.get(session);
    this.#kept.delete(session);
    kept?.isolate?.end('its session has ended');
  }

  /** Asks all runs to stop. @returns {boolean} whether there was one */
  stop() {
    return [...this.#isolates].map((isolate) => isolate.stop()).includes(true);
  }

  /**
   * An interpreter that nobody has had.
   * @param {import('./packages.js').CompiledPackage[]} packages what it is to import
   * @param {number} [owner] the connection in whose session it is kept
   */
  async #take(packages, owner) {
    const snapshot = packages.length ? await this.#snapshots.find(packages) : undefined;
    if (owner !== undefined) {
      const own = [...this.#kept.values()].filter((kept) => kept.owner === owner && kept.isolate?.alive);
      if (own.length >= MAX_EACH) giveWay(own, 'a further session of its client took its place');
    }
    const spare = this.#spare;
    if (spare?.alive && !snapshot) {
      this.#spare = null;
      return spare;
    }
    const deadline = Date.now() + MAX_WAIT;
    while (this.#isolates.size >= MAX_ISOLATES) {
      if (this.#spare) {
        this.#spare.end('another was needed');
        this.#spare = null;
        continue;
      }
      const live = [...this.#kept.values()].filter(({ isolate }) => isolate?.alive);
      const idle = live.filter(({ usedAt }) => Date.now() - usedAt >= MAX_IDLE);
      if (giveWay(idle, 'it was idle, and another was needed')) continue;
      if (giveWay(hoarded(live, owner), 'another client needed it')) continue;
      await this.#wait(deadline - Date.now());
    }
    return this.#spawn(snapshot && { snapshot, packages });
  }

  /** Waits until a worker is gone. @param {number} left milliseconds */
  #wait(left) {
    return new Promise((resolve, reject) => {
      const go = () => {
        clearTimeout(timer);
        this.#waiting.delete(go);
        resolve(undefined);
      };
      const timer = setTimeout(
        () => {
          this.#waiting.delete(go);
          const why = `all ${MAX_ISOLATES} interpreters of this page are in use; end a session, or try again in a while`;
          reject(new Error(why));
        },
        Math.max(left, 0),
      );
      this.#waiting.add(go);
    });
  }

  /** @param {Partial<import('./isolate.js').Start>} [from] if it is not the base snapshot */
  #spawn(from) {
    const isolate = new Isolate(this.#source, { ...this.#start, ...from }, () => {
      this.#isolates.delete(isolate);
      const [first] = this.#waiting;
      first?.();
    });
    this.#isolates.add(isolate);
    return isolate;
  }
}

/**
 * Interpreters of the client that keeps the most, if it would still have as many as the one that asks.
 * @param {Kept[]} live @param {number} [asking]
 */
function hoarded(live, asking) {
  const byOwner = Map.groupBy(live, ({ owner }) => owner);
  const own = asking === undefined ? 0 : (byOwner.get(asking)?.length ?? 0);
  const [most = []] = [...byOwner.values()].sort((one, other) => other.length - one.length);
  return most.length > own + 1 ? most : [];
}

/** Ends the interpreter that has been idle for the longest. @param {Kept[]} kept @param {string} why @returns {boolean} whether there was one */
function giveWay(kept, why) {
  const idle = kept.filter(({ isolate }) => isolate?.alive && !isolate.busy);
  const [oldest] = idle.sort((one, other) => one.usedAt - other.usedAt);
  oldest?.isolate?.end(why);
  return oldest !== undefined;
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
