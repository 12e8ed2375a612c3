// What the core asks for: interpreters, for one run or kept, in the pool's processes; and packages.

/** @typedef {Awaited<ReturnType<import('./pool.js').Pool['take']>>} Taken */
/** @typedef {import('../core/core.js').PreparedPackage} PreparedPackage */

export class Host {
  keepsInterpreters = true;
  compilesPackages = true;
  #pool;
  #wheels;
  /** @type {Set<Spawned>} */
  #kept = new Set();

  /** @param {import('./pool.js').Pool} pool @param {import('./wheels.js').Wheels} wheels */
  constructor(pool, wheels) {
    this.#pool = pool;
    this.#wheels = wheels;
    this.lockFile = wheels.lockFile;
    this.room = wheels.room;
  }

  /** @param {PreparedPackage[]} packages @param {boolean} kept */
  spawn(packages, kept) {
    const spawned = new Spawned(this.#pool.take(kept, packages), () => this.#kept.delete(spawned));
    if (kept) this.#kept.add(spawned);
    return spawned;
  }

  /** Stops all runs of sessions: each gives its result. @returns {boolean} whether there was one */
  interrupt() {
    return [...this.#kept].map((spawned) => spawned.stop()).includes(true);
  }

  /** @param {string} url @param {import('./wheels.js').FetchLimits} limits */
  fetch(url, limits) {
    return this.#wheels.fetch(url, limits);
  }

  /** @param {string} sha256 */
  cached(sha256) {
    return this.#wheels.cached(sha256);
  }

  /** @param {string} sha256 @param {Uint8Array} wheel */
  cache(sha256, wheel) {
    return this.#wheels.cache(sha256, wheel);
  }
}

/** An interpreter that the pool gives, or will. */
class Spawned {
  #taken;
  #ended = false;
  #onEnd;
  /** @type {import('./interpreter.js').Interpreter | null} */
  #interpreter = null;
  /** What the interpreter before has written. @type {Uint8Array | undefined} */
  #files;

  /** @param {Promise<Taken>} taken @param {() => void} onEnd */
  constructor(taken, onEnd) {
    this.#onEnd = onEnd;
    this.#taken = taken.then((taken) => {
      this.#interpreter = taken.interpreter;
      if (this.#ended) taken.release();
      return taken;
    });
    this.#taken.catch(() => {});
  }

  /** @param {string} request */
  async run(request) {
    const { interpreter } = await this.#taken;
    if (this.#ended) throw new Error('its interpreter is gone');
    if (this.#files) await interpreter.putFiles(this.#files);
    this.#files = undefined;
    return interpreter.run(request);
  }

  get alive() {
    return !this.#ended && (this.#interpreter?.alive ?? true);
  }

  /** @returns {boolean} whether there is a run to be stopped */
  stop() {
    const busy = this.#interpreter?.busy ?? false;
    if (busy) void this.#interpreter?.stop();
    return busy;
  }

  async files() {
    return this.#interpreter?.files();
  }

  /** @param {object} files */
  putFiles(files) {
    this.#files = /** @type {Uint8Array} */ (files);
  }

  end() {
    if (this.#ended) return;
    this.#ended = true;
    this.#onEnd();
    this.#taken.then(
      ({ release }) => release(),
      () => {},
    );
  }
}
