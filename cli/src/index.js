// Library use: `import { codeSandbox } from 'mcp-run-python'`.
import { Log, Silence } from './log.js';
import { Server } from './server.js';

/** @typedef {import('../core/core.js').EvalResult} EvalResult */
/** @typedef {import('../core/core.js').EvalOptions} EvalOptions */

/**
 * What a sandbox may be told; every other setting of the README's table may be given too, in camel case.
 * @typedef {object} SandboxOptions
 * @property {string[]} [dependencies] packages to install
 * @property {number} [timeLimitSeconds] wall-clock limit of a run, 60 by default
 * @property {number} [processes] workerd processes at most, 2 by default
 * @property {boolean} [verbose] says on stderr what happens
 */

/** Runs Python code in an isolate that reaches nothing. */
export class CodeSandbox {
  #server;

  /** @param {Server} server */
  constructor(server) {
    this.#server = server;
  }

  /**
   * Runs code. Files and imported modules stay for the next run, variables do not.
   * @param {string} code Python; the value of its last expression is returned, and it may `await`
   * @param {Record<string, unknown>} [globals] global variables
   * @param {EvalOptions} [options]
   * @returns {Promise<EvalResult>} a Python error is a result too: its `status` says so
   */
  async eval(code, globals, options) {
    return this.#server.core.eval(code, globals, options);
  }

  /** Ends it, with all its processes. */
  async close() {
    await this.#server.close();
  }

  async [Symbol.asyncDispose]() {
    await this.close();
  }
}

/**
 * Opens a sandbox. Its processes live until it is closed: `await using sandbox = await codeSandbox()`, or `close()`.
 * @param {SandboxOptions & import('../core/core.js').CoreOptions} [options]
 * @returns {Promise<CodeSandbox>}
 */
export async function codeSandbox({ processes = 2, verbose = false, ...settings } = {}) {
  const log = verbose ? new Log({ verbose }) : new Silence();
  const server = new Server({ settings, processes, log });
  try {
    await server.pool.warm();
  } catch (error) {
    await server.close();
    throw error;
  }
  return new CodeSandbox(server);
}
