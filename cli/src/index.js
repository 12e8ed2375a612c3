// Library use in Node: `import { codeSandbox } from 'mcp-run-python'`, the same as in a page. Types: index.d.ts.
import { Sandbox } from '../core/sandbox.js';
import { Client } from './client.js';

/** @type {typeof import('../core/index.js').codeSandbox} */
export async function codeSandbox(options = {}) {
  const { dependencies, limits, packageIndex, packageMirrors, persistent = false, numbers } = options;
  const settings = {
    ...limits,
    ...(dependencies?.length && { dependencies: dependencies.join() }),
    ...(packageMirrors && { packageMirrors: packageMirrors.map(String).join() }),
    ...(packageIndex !== undefined && (packageIndex ? { packageIndex } : { packages: 'lock' })),
  };
  const args = Object.entries(settings).flatMap(([name, value]) => ['--set', `${upperCase(name)}=${value}`]);
  const backend = new Backend(['--processes', '1', ...args], persistent, numbers);
  await backend.begin();
  return new Sandbox(backend, options);
}

/** `returnMode` as `RETURN_MODE`. @param {string} name */
function upperCase(name) {
  return name.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase();
}

/** Implements `Backend` of sandbox.js for Node. */
class Backend {
  /** The session that keeps variables, once there is one. @type {string | undefined} */
  #session;
  /** Ends a run that has not begun. @type {AbortController | undefined} */
  #evaluating;
  /** @type {Client} */
  #client;

  /** @param {string[]} args @param {boolean} persistent @param {'exact'} [numbers] */
  constructor(args, persistent, numbers) {
    this.args = args;
    this.persistent = persistent;
    this.numbers = numbers;
    this.#client = new Client(args);
  }

  /** Resolves when the program answers. */
  async begin() {
    await this.#client.request('logging/setLevel', { level: 'info' });
  }

  /**
   * @param {string} code
   * @param {object} globals
   * @param {import('../core/sandbox.js').Listeners} listeners
   * @param {import('../core/sandbox.js').PlacedFiles} [files]
   */
  async eval(code, globals, listeners, files) {
    if (this.numbers !== undefined && this.numbers !== 'exact')
      throw new Error("`numbers` must be 'exact', if it is given");
    this.#evaluating = new AbortController();
    const args = {
      python_code: code,
      global_variables: globals,
      ...(files && { files }),
      ...(this.persistent && { session: this.#session ?? 'new' }),
    };
    const options = { listeners, exact: this.numbers === 'exact', signal: this.#evaluating.signal };
    const { session, ...result } = await this.#client.run(args, options);
    this.#session = session;
    return result;
  }

  /** @param {string} uri @param {number} at */
  read(uri, at) {
    return this.#client.read(uri, at);
  }

  interrupt() {
    const evaluating = this.#evaluating;
    this.#client.interrupt().then(
      (interrupted) => {
        // A run that has not begun, as its packages are on their way, is not run at all.
        if (!interrupted) evaluating?.abort(new Error('the run was stopped before it began'));
      },
      // The program has ended: its open requests were rejected.
      () => {},
    );
  }

  async reset() {
    this.#session = undefined;
    this.#client.close();
    this.#client = new Client(this.args);
    await this.begin();
  }

  close() {
    this.#client.close();
  }
}
