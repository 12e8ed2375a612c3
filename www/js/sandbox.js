// The sandbox as its users see it, in every home: runs one after the other, events, abort signals.

/** @typedef {import('./index.js').Result} Result */
/** @typedef {import('./index.js').EvalOptions} EvalOptions */
/** @typedef {import('./index.js').OutputLine} OutputLine */
/** @typedef {import('./index.js').Progress} Progress */

/**
 * Callbacks for output and progress while a program runs, and for its input.
 * @typedef {{ output: (line: OutputLine) => void, progress: (progress: Progress) => void, input?: EvalOptions['onInput'] }} Listeners
 */

/**
 * One interpreter of a home. It gets one run at a time.
 * @typedef {object} Backend
 * @property {(code: string, globals: object, listeners: Listeners, files?: PlacedFiles, stdin?: string) => Promise<any>} eval runs a
 *   program; gives an `EvalResult` of the core
 * @property {(uri: string, at: number) => Promise<Piece>} read reads bytes of a file, from `at` on
 * @property {() => void} interrupt stops the run, which gives its result then
 * @property {() => Promise<void>} reset makes a new interpreter
 * @property {() => void} close rejects whatever is going on
 */

/** @typedef {{ base64: string, size: number }} Piece some bytes, and how many the file has */

/** @typedef {import('./index.js').Sandbox} SandboxInterface */

/** @typedef {Record<string, string | { base64: string }>} PlacedFiles what the core takes */

/** How long the files of a run may take to be read, in milliseconds: others wait for that run. */
const READ_LIMIT = 10_000;

/** Bytes that are converted to text at once. */
const CHUNK = 1 << 15;

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
  eval(code, globals = {}, { signal, files, stdin, onInput } = {}) {
    if (typeof code !== 'string') return Promise.reject(new TypeError('eval: `code` must be a string'));
    if (stdin !== undefined && typeof stdin !== 'string')
      return Promise.reject(new TypeError('eval: `stdin` must be a string'));
    if (onInput !== undefined && typeof onInput !== 'function')
      return Promise.reject(new TypeError('eval: `onInput` must be a function'));
    const result = this.#turn.then(() => this.#eval(code, globals, { signal, files, stdin, onInput }));
    this.#turn = result.catch(() => {});
    return signal ? Promise.race([result, aborted(signal, result)]) : result;
  }

  /** @param {string} code @param {object} globals @param {EvalOptions} options */
  async #eval(code, globals, { signal, files, stdin, onInput }) {
    const placed = files && (await placedFiles(files));
    signal?.throwIfAborted();
    this.#check();
    const stop = () => this.#backend.interrupt();
    signal?.addEventListener('abort', stop);
    try {
      const listeners = {
        output: (/** @type {OutputLine} */ detail) => this.dispatchEvent(new CustomEvent('output', { detail })),
        progress: (/** @type {Progress} */ detail) => this.dispatchEvent(new CustomEvent('progress', { detail })),
        input: onInput,
      };
      return withBytes(await this.#backend.eval(code, globals, listeners, placed, stdin));
    } finally {
      signal?.removeEventListener('abort', stop);
    }
  }

  /** @param {import('./index.js').ChangedFile} file */
  async read({ path, size = 0, content, uri }) {
    if (content !== undefined)
      return new Uint8Array(typeof content === 'string' ? new TextEncoder().encode(content) : content);
    if (uri === undefined) throw new Error(`read: the bytes of ${path} are nowhere`);
    this.#check();
    const bytes = new Uint8Array(size);
    for (let at = 0; at < size; ) {
      const piece = await this.#backend.read(uri, at);
      const part = fromBase64(piece.base64);
      // The file has changed, or its pieces do not fit its size.
      if (piece.size !== size || !part.length || part.length > size - at) throw new Error(`read: ${path} was changed`);
      bytes.set(part, at);
      at += part.length;
    }
    return bytes;
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

/** @param {NonNullable<EvalOptions['files']>} files @returns {Promise<PlacedFiles>} */
async function placedFiles(files) {
  const placed = Object.entries(files).map(async ([path, content]) => {
    if (typeof content === 'string') return [path, content];
    const isBytes = content instanceof Blob || content instanceof ArrayBuffer || content instanceof Uint8Array;
    if (!isBytes)
      throw new TypeError(`eval: the file ${path} must be a string, a Blob, an ArrayBuffer or a Uint8Array`);
    const bytes = new Uint8Array(content instanceof Blob ? await content.arrayBuffer() : content);
    let text = '';
    for (let at = 0; at < bytes.length; at += CHUNK) text += String.fromCharCode(...bytes.subarray(at, at + CHUNK));
    return [path, { base64: btoa(text) }];
  });
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error('eval: the files could not be read in time')), READ_LIMIT);
  });
  try {
    return Object.fromEntries(await Promise.race([Promise.all(placed), late]));
  } finally {
    clearTimeout(timer);
  }
}

/** @param {string} base64 */
function fromBase64(base64) {
  return Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
}

/** The result, with the bytes of its files decoded. @param {any} result @returns {Result} */
function withBytes(result) {
  if (!result.files) return result;
  // A file whose content is here needs no `uri`.
  const files = result.files.map((/** @type {any} */ { base64, uri, ...file }) => {
    if (base64 !== undefined) return { ...file, content: fromBase64(base64) };
    return file.content === undefined && uri !== undefined ? { ...file, uri } : file;
  });
  return { ...result, files };
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
