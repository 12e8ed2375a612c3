// The sandbox as its users see it, in every home: runs one after the other, events, abort signals.

/** @typedef {import('./index.js').Result} Result */
/** @typedef {import('./index.js').EvalOptions} EvalOptions */
/** @typedef {import('./index.js').OutputLine} OutputLine */
/** @typedef {import('./index.js').Progress} Progress */

/**
 * Who hears what goes on while a program runs.
 * @typedef {{ output: (line: OutputLine) => void, progress: (progress: Progress) => void }} Listeners
 */

/**
 * One interpreter, as a home has it. It is asked for one run at a time.
 * @typedef {object} Backend
 * @property {(code: string, globals: object, listeners: Listeners) => Promise<Result>} eval runs a program
 * @property {() => void} interrupt stops the run, which gives its result then
 * @property {() => Promise<void>} reset begins anew
 * @property {() => void} close rejects whatever is going on
 */

/** @typedef {import('./index.js').Sandbox} SandboxInterface */

/** @implements {SandboxInterface} */
export class Sandbox extends EventTarget {
  #backend;
  /** Resolves, and never rejects, when the run before has ended. @type {Promise<unknown>} */
  #turn = Promise.resolve();
  #closed = false;

  /** @param {Backend} backend @param {import('./index.js').SandboxOptions} [options] */
  constructor(backend, { onLog, onProgress, signal } = {}) {
    super();
    this.#backend = backend;
    if (onLog) this.addEventListener('output', (event) => onLog(/** @type {CustomEvent<OutputLine>} */ (event).detail));
    if (onProgress) {
      this.addEventListener('progress', (event) => onProgress(/** @type {CustomEvent<Progress>} */ (event).detail));
    }
    signal?.addEventListener('abort', () => this.close(), { once: true });
  }

  /** @param {string} code @param {object} [globals] @param {EvalOptions} [options] @returns {Promise<Result>} */
  eval(code, globals = {}, { signal } = {}) {
    if (typeof code !== 'string') return Promise.reject(new TypeError('eval: `code` must be a string'));
    const result = this.#turn.then(() => this.#eval(code, globals, signal));
    this.#turn = result.catch(() => {});
    return signal ? Promise.race([result, aborted(signal, result)]) : result;
  }

  /** @param {string} code @param {object} globals @param {AbortSignal} [signal] */
  async #eval(code, globals, signal) {
    signal?.throwIfAborted();
    this.#check();
    const stop = () => this.#backend.interrupt();
    signal?.addEventListener('abort', stop);
    try {
      return await this.#backend.eval(code, globals, {
        output: (detail) => this.dispatchEvent(new CustomEvent('output', { detail })),
        progress: (detail) => this.dispatchEvent(new CustomEvent('progress', { detail })),
      });
    } finally {
      signal?.removeEventListener('abort', stop);
    }
  }

  interrupt() {
    this.#backend.interrupt();
  }

  async reset() {
    this.#check();
    this.#backend.interrupt();
    const done = this.#turn.then(() => this.#backend.reset());
    this.#turn = done.catch(() => {});
    await done;
  }

  close() {
    if (this.#closed) return;
    this.#closed = true;
    this.#backend.close();
  }

  [Symbol.dispose]() {
    this.close();
  }

  #check() {
    if (this.#closed) throw new Error('the sandbox is closed');
  }
}

/** Rejects when the signal aborts before `result` is there. @param {AbortSignal} signal @param {Promise<unknown>} result */
function aborted(signal, result) {
  return new Promise((_, reject) => {
    const abort = () => reject(signal.reason);
    if (signal.aborted) return abort();
    signal.addEventListener('abort', abort, { once: true });
    const done = () => signal.removeEventListener('abort', abort);
    result.then(done, done);
  });
}
