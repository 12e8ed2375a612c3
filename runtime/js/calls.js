// Calls out of a running program, for a run that may make any: their frames, and the answers that come back.
//
// **Boundary.** Nothing here protects anybody: the program may do with it what it likes, and `src/run/calls.rs` checks
// what leaves. An honest program gets precise errors from it.

/** @typedef {import('./protocol.js').Callable} Callable */

/** What is answered to a call that nobody will answer any longer. */
const OVER = JSON.stringify({ error: { type: 'RuntimeError', message: 'the run is over' } });

export class Calls {
  /** Takes the answers of those that wait for one, by their ids. @type {Map<number, (answer: string) => void>} */
  #waiting = new Map();
  /** The answers that Python has not asked for yet: one may be there before it does. @type {Map<number, Promise<string>>} */
  #answers = new Map();
  /** Ids go on from run to run, so that an answer that comes too late finds nobody. */
  #lastId = 0;
  #made = 0;
  /** What the run that goes on may do. @type {Callable} */
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
   * What a run is done in that may call.
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

  /** Lets go of all calls: a stack that waits for one goes on. */
  stop() {
    for (const [id, resolve] of this.#waiting) {
      this.#emit({ cancel: id });
      resolve(OVER);
    }
    this.#waiting.clear();
  }

  /** Whether any wait for an answer. */
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
    // In a turn it would run Python in the middle of a statement: timers wait for its end. It is set here, where the run
    // waits, for a timer dies with the request that has set it.
    return new Promise((resolve) => setTimeout(() => resolve(answer), 0));
  }
}
