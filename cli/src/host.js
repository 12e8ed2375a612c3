// What the core asks for: interpreters, for one run or kept, in the pool's processes; and packages.

/** @typedef {Awaited<ReturnType<import('./pool.js').Pool['take']>>} Taken */
/** @typedef {import('../core/core.js').PreparedPackage} PreparedPackage */

export class Host {
  #pool;
  #wheels;
  /** An interpreter is taken by its first run. @type {Map<string, { taken?: Taken, files?: Uint8Array }>} */
  #sessions = new Map();
  #last = 0;

  /** @param {import('./pool.js').Pool} pool @param {import('./wheels.js').Wheels} wheels */
  constructor(pool, wheels) {
    this.#pool = pool;
    this.#wheels = wheels;
    this.lockFile = wheels.lockFile;
    this.room = wheels.room;
  }

  /**
   * @param {string} request
   * @param {string | undefined} session
   * @param {PreparedPackage[]} packages
   */
  async start(request, session, packages) {
    if (session !== undefined) return (await this.#take(session, packages)).run(request, () => {});
    for (let attempt = 0; ; attempt++) {
      const { interpreter, release } = await this.#pool.take(false, packages);
      const started = Date.now();
      try {
        return await interpreter.run(request, release);
      } catch (error) {
        // A run that its process took down with it while another was at fault is begun anew: nothing of it was seen.
        const timeUp = Date.now() - started >= JSON.parse(request).limits.time;
        if (attempt || timeUp) throw error;
      }
    }
  }

  /** @param {string} session @param {PreparedPackage[]} packages */
  async #take(session, packages) {
    const kept = this.#sessions.get(session);
    if (!kept) throw new Error('its interpreter is gone');
    if (kept.taken) return kept.taken.interpreter;
    const taken = await this.#pool.take(true, packages);
    // Ended meanwhile.
    if (this.#sessions.get(session) !== kept) {
      taken.release();
      throw new Error('its interpreter is gone');
    }
    kept.taken = taken;
    if (kept.files) await taken.interpreter.putFiles(kept.files);
    kept.files = undefined;
    return taken.interpreter;
  }

  /** Stops all runs of sessions: each gives its result. */
  interrupt() {
    for (const { taken } of this.#sessions.values()) taken?.interpreter.stop();
  }

  async openSession() {
    const session = String(++this.#last);
    this.#sessions.set(session, {});
    return session;
  }

  /** @param {string} session */
  async hasSession(session) {
    const kept = this.#sessions.get(session);
    return kept !== undefined && (kept.taken?.interpreter.alive ?? true);
  }

  /** @param {string} session */
  async endSession(session) {
    this.#sessions.get(session)?.taken?.release();
    this.#sessions.delete(session);
  }

  /** @param {string} from @param {string} to */
  async carryFiles(from, to) {
    const files = await this.#sessions.get(from)?.taken?.interpreter.files();
    const session = this.#sessions.get(to);
    if (!files || !session) return false;
    session.files = files;
    return true;
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
