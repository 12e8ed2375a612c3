// Library use in Node: `import { codeSandbox } from 'mcp-run-python'`, the same as in a page. Types: index.d.ts.
import { Sandbox } from '../core/sandbox.js';
import { Silence } from './log.js';
import { Server } from './server.js';

/** @type {typeof import('../core/index.js').codeSandbox} */
export async function codeSandbox(options = {}) {
  const { dependencies, limits, packageIndex, packageMirrors, persistent = false, numbers } = options;
  const settings = {
    ...limits,
    ...(dependencies?.length && { dependencies }),
    ...(packageMirrors && { packageMirrors: packageMirrors.map(String) }),
    ...(packageIndex !== undefined && (packageIndex ? { packageIndex } : { packages: 'lock' })),
  };
  const server = new Server({ settings, processes: 1, log: new Silence() });
  try {
    await server.pool.warm();
  } catch (error) {
    await server.close();
    throw error;
  }
  return new Sandbox(new Backend(server, persistent, numbers), options);
}

/** What the sandbox asks of this home: see `Backend` in sandbox.js. */
class Backend {
  /** The session that keeps variables, once there is one. @type {string | undefined} */
  #session;
  /** Ends what has not begun to run. @type {AbortController | undefined} */
  #evaluating;

  /** @param {Server} server @param {boolean} persistent @param {'exact'} [numbers] */
  constructor(server, persistent, numbers) {
    this.server = server;
    this.persistent = persistent;
    this.numbers = numbers;
  }

  /**
   * @param {string} code
   * @param {object} globals
   * @param {import('../core/sandbox.js').Listeners} listeners
   * @param {import('../core/sandbox.js').PlacedFiles} [files]
   */
  async eval(code, globals, { output, progress }, files) {
    this.#evaluating = new AbortController();
    const { session, ...result } = await this.server.core.eval(code, /** @type {any} */ (globals), {
      ...(this.persistent && { session: this.#session ?? 'new' }),
      numbers: this.numbers,
      files,
      onOutput: (stream, text) => output({ stream, text }),
      onInstall: (message) => progress({ phase: 'packages', message, loaded: 0, total: 0 }),
      signal: this.#evaluating.signal,
    });
    this.#session = session;
    return result;
  }

  interrupt() {
    // What has not begun to run, as its packages are on their way, is not run at all.
    if (!this.server.host.interrupt()) this.#evaluating?.abort(new Error('the run was stopped before it began'));
  }

  async reset() {
    this.#session = undefined;
    this.server.reset();
  }

  close() {
    this.server.close();
  }
}
