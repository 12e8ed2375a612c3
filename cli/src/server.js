// The core with its processes: what every way of being reached has in common.
import { availableParallelism, totalmem } from 'node:os';
import { index, mirror } from '../core/sources.js';
import { loadCore } from './core.js';
import { Host } from './host.js';
import { Pool } from './pool.js';
import { Wheels } from './wheels.js';

/** How often idle sessions are looked for, in milliseconds. */
const SWEEP = 10_000;

/** Most memory of a workerd process, in bytes: ten interpreters, or one large one. */
const PROCESS_MEMORY = 4 * 1024 ** 3;

/**
 * @typedef {object} ServerOptions
 * @property {import('../core/core.js').CoreOptions} settings
 * @property {number} [processes] workerd processes at most
 * @property {import('./log.js').Log} log
 */

export class Server {
  #timer;

  /** @param {ServerOptions} options */
  constructor({ settings, processes, log }) {
    const pool = new Pool({
      processes: processes ?? Math.max(2, availableParallelism()),
      memory: Math.min(PROCESS_MEMORY, totalmem()),
      log,
    });
    this.pool = pool;
    this.log = log;
    /** @type {import('../core/core.js').CoreOptions} */
    this.settings = { packages: 'pypi', packageMirrors: mirror, packageIndex: index, ...settings };
    this.host = new Host(pool, new Wheels(log));
    this.core = loadCore(this.host, this.settings);
    this.#timer = setInterval(() => this.core.endIdle(), SWEEP);
    this.#timer.unref();
  }

  /** Ends all sessions, and begins anew. */
  reset() {
    this.core.close();
    this.core = loadCore(this.host, this.settings);
  }

  /** Ends everything. Resolves when no process is left. */
  async close() {
    clearInterval(this.#timer);
    this.core.close();
    await this.pool.close();
  }
}
