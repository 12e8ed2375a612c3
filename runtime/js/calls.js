// Calls from a running program to the host, in runs that may make them: sends their frames and takes the answers.
//
// **Boundary.** Nothing here protects anybody: the program may do with it what it likes, and `src/run/calls.rs` checks
// what leaves. An honest program gets precise errors from it.

/** @typedef {import('./protocol.js').Callable} Callable */

/** The answer to calls that are still open when the run ends. */
const OVER = JSON.stringify({ error: { type: 'RuntimeError', message: 'the run is over' } });

export class Calls {
  /** Resolvers of the calls that wait for an answer, by id. @type {Map<number, (answer: string) => void>} */
  #waiting = new Map();
  /** Answers that Python does not await yet, by id; one may arrive before it does. @type {Map<number, Promise<string>>} */
  #answers = new Map();
  /** Ids are not reused by later runs, so that a late answer matches no call. */
  #lastId = 0;
  #made = 0;
  /** What the current run may call. @type {Callable} */
  #may = { names: [], atOnce: 0, inAll: 0, argumentBytes: 0, wait: 0 };
  /** @type {(frame: import('./protocol.js').Frame) => void} */
  #emit = () => {};
  /** `runtime/python/calls.py` */
  #python;

  /** @param {any} pyodide */
  constructor(pyodide) {
    this.#python = pyodide.pyimport('_sandbox.calls');
  }

  /**
   * Runs `run` with calls allowed.
   * @param {Callable} may @param {(frame: import('./protocol.js').Frame) => void} emit @param {() => Promise<string>} run
   * @param {() => string} unfinished what the program has written since its last newline
   */
  async during(may, emit, run, unfinished) {
    this.#may = may;
    this.#emit = emit;
    this.#made = 0;
    const host = {
      begin: (/** @type {string} */ name, /** @type {string} */ args) => this.#begin(name, args),
      answered: (/** @type {number} */ id) => this.#answered(id),
      unfinished,
      cancel: (/** @type {number} */ id) => {
        this.#answers.delete(id);
        if (this.#waiting.delete(id)) this.#emit({ cancel: id });
      },
    };
    this.#python.offer(host, JSON.stringify(may.names));
    try {
      return await run();
    } finally {
      this.stop();
      this.#answers.clear();
      this.#python.withdraw();
      this.#emit = () => {};
    }
  }

  /** Ends all open calls: a stack that waits for one goes on. */
  stop() {
    for (const [id, resolve] of this.#waiting) {
      this.#emit({ cancel: id });
      resolve(OVER);
    }
    this.#waiting.clear();
  }

  /** Whether any call waits for an answer. */
  get waiting() {
    return this.#waiting.size > 0;
  }

  /** Takes an answer from the host: JSON. @param {string} text */
  answer(text) {
    const { id } = /** @type {import('./protocol.js').Answer} */ (JSON.parse(text));
    this.#waiting.get(id)?.(text);
    this.#waiting.delete(id);
  }

  /** @param {string} name @param {string} args JSON @returns {number | string} its id, or why it cannot be made */
  #begin(name, args) {
    const { inAll, atOnce, argumentBytes } = this.#may;
    if (this.#made >= inAll) return `a run may make at most ${inAll} calls`;
    if (this.#waiting.size >= atOnce) return `at most ${atOnce} calls may wait for their answers`;
    if (args.length > argumentBytes) {
      return `the arguments are ${args.length} bytes long, and at most ${argumentBytes} are allowed`;
    }
    this.#made += 1;
    const id = ++this.#lastId;
    this.#answers.set(id, new Promise((resolve) => this.#waiting.set(id, resolve)));
    this.#emit({ call: { id, name, arguments: args } });
    return id;
  }

  /** The answer to a call. It never rejects. @param {number} id @returns {Promise<string>} */
  async #answered(id) {
    const promise = this.#answers.get(id);
    this.#answers.delete(id);
    const answer = (await promise) ?? OVER;
    // Resolves by a timer, which waits for the end of a turn: during one, Python is in the middle of a statement. The timer
    // is set here, in the run's request, as a timer dies with the request that set it.
    return new Promise((resolve) => setTimeout(() => resolve(answer), 0));
  }
}
