// What the core asks for: interpreters, for one run or kept, in the pool's processes.

/** @typedef {Awaited<ReturnType<import('./pool.js').Pool['take']>>} Taken */

export class Host {
  #pool;
  /** @type {Map<string, Taken>} */
  #sessions = new Map();
  #last = 0;

  /** @param {import('./pool.js').Pool} pool */
  constructor(pool) {
    this.#pool = pool;
  }

  /**
   * @param {string} request
   * @param {string | undefined} session
   */
  async start(request, session) {
    if (session !== undefined) {
      const taken = this.#sessions.get(session);
      if (!taken) throw new Error('its interpreter is gone');
      return taken.interpreter.run(request, () => {});
    }
    for (let attempt = 0; ; attempt++) {
      const { interpreter, release } = await this.#pool.take(false);
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

  async openSession() {
    const taken = await this.#pool.take(true);
    const session = String(++this.#last);
    this.#sessions.set(session, taken);
    return session;
  }

  /** Stops all runs of sessions: each gives its result. */
  interrupt() {
    for (const { interpreter } of this.#sessions.values()) interpreter.stop();
  }

  /** @param {string} session */
  async hasSession(session) {
    return this.#sessions.get(session)?.interpreter.alive ?? false;
  }

  /** @param {string} session */
  async endSession(session) {
    this.#sessions.get(session)?.release();
    this.#sessions.delete(session);
  }
}
