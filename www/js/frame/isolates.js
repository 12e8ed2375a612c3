// The workers of a frame, each with one interpreter.
//
// **Boundary.** What a worker sends was written by the code that was run. Its type and its size are checked, and it is
// passed on as bytes to the core, which decodes it as an attacker's; it is never evaluated here.

import { LIMITS } from '../../../runtime/js/limits.js';
import { VERSION } from '../../../runtime/js/protocol.js';

/** How long a worker may take to boot, in milliseconds. */
const START_LIMIT = 60_000;

/** Slack over a run's own limits, in milliseconds; then its worker is ended. */
const MARGIN = 1500;

/** How often a run whose time is over is checked to be still waiting for answers, in milliseconds. */
const LOOK_EVERY = 2000;

/** How long a run may take to end after it gave its result, in milliseconds. */
const LAST_MESSAGE = 50;

/** The times between checks that a worker is idle after a run, in milliseconds; the last one repeats. */
const IDLE_CHECKS = [1000, 2000, 5000, 15_000, 60_000];

/** How long a worker that has nothing to do may take to answer, in milliseconds. */
const IDLE_LIMIT = 3000;

/** The most messages that a worker may send between two runs: late callbacks of an honest program send some. */
const MAX_IDLE_MESSAGES = 64;

/** The longest frame, in characters; the core's own limits are tighter. */
const MAX_FRAME = 32 * 1024 * 1024;

/** A worker with an interpreter, for one run at a time. */
export class Isolate {
  #worker;
  #port;
  /** The run that is going on. @type {Run | null} */
  #run = null;
  #ended = false;
  #stop;
  /** Messages since the last run. */
  #idleMessages = 0;
  /** @type {any} */
  #idleTimer;
  /** Callbacks of pings that have no answer yet. @type {(() => void)[]} */
  #unanswered = [];
  #used = false;
  /** Whether the current run is that of `isSound`, and not a program's. */
  #looking = false;
  /** How many runs have been given to it, and have not begun. */
  #starting = 0;
  /** @type {(why: Error) => void} */
  #notBooted = () => {};
  #onEnd;
  /** @type {Set<import('./packages.js').CompiledPackage>} */
  #packages = new Set();
  /** Rejects when the interpreter cannot be started. @type {Promise<void>} */
  booted;
  /** Whether it has booted. */
  hasBooted = false;
  /** The snapshot, once a worker that was to make one has booted. @type {Blob | undefined} */
  snapshot;
  /** The module at which it gave up instead, as that draws random numbers. @type {string | undefined} */
  drawing;

  /**
   * @param {string} source JavaScript of the worker
   * @param {import('./isolate.js').Start | Promise<import('./isolate.js').Start>} start what it is made of; the worker
   *   parses its JavaScript meanwhile
   * @param {import('./packages.js').CompiledPackage[] | Promise<import('./packages.js').CompiledPackage[]>} [packages] what can
   *   be imported, the packages of its snapshot; Pyodide starts meanwhile
   * @param {() => void} [onEnd] called once, when it has ended
   */
  constructor(source, start, packages = [], onEnd = () => {}) {
    this.#onEnd = onEnd;
    // Each worker has an address of its own: it could revoke one that others use.
    const url = URL.createObjectURL(new Blob([source], { type: 'text/javascript' }));
    this.#worker = new Worker(url, { name: 'python' });
    const { port1, port2 } = new MessageChannel();
    this.#port = port1;
    this.#stop = globalThis.crossOriginIsolated ? new Int32Array(new SharedArrayBuffer(4)) : undefined;
    this.booted = new Promise((resolve, reject) => {
      this.#notBooted = reject;
      const failed = (/** @type {string} */ why) => this.end(why);
      /** @type {any} */
      let timer;
      const begin = async () => {
        const parts = await start;
        if (this.#ended) return;
        this.#worker.postMessage({ ...parts, stop: this.#stop }, [port2]);
        const given = await packages;
        if (this.#ended) return;
        timer = setTimeout(() => failed(`Python did not start in ${START_LIMIT / 1000} s`), START_LIMIT);
        for (const one of given) this.#packages.add(one);
        this.#port.postMessage({ packages: given });
      };
      begin().catch((error) => failed(error.message));
      this.#worker.onerror = (event) => {
        event.preventDefault();
        failed(`the worker failed: ${event.message}`);
      };
      this.#port.onmessage = ({ data }) => {
        clearTimeout(timer);
        URL.revokeObjectURL(url);
        if (data?.snapshot instanceof Blob) this.snapshot = data.snapshot;
        if (typeof data?.drawing === 'string') this.drawing = data.drawing;
        if (data?.booted !== true) return failed(typeof data?.failed === 'string' ? data.failed : 'it did not start');
        this.#port.onmessage = (event) => this.#message(event.data);
        // Uncaught errors in a program's callbacks are its own matter.
        this.#worker.onerror = (event) => event.preventDefault();
        this.hasBooted = true;
        resolve();
      };
    });
    this.booted.catch(() => {});
  }

  /** Resolves to whether it has booted, once it has, or cannot. */
  boots() {
    return this.booted.then(
      () => true,
      () => false,
    );
  }

  /** Whether it can take runs. */
  get alive() {
    return !this.#ended;
  }

  /** Whether a run is going on, or about to. */
  get busy() {
    return this.#run !== null || this.#starting > 0;
  }

  /**
   * Starts a run.
   * @param {string} request the core's JSON
   * @param {import('./packages.js').CompiledPackage[]} packages what it can import; what this has already stays
   * @param {string} [stdin] what it reads
   * @returns {Promise<ReadableStream<Uint8Array<ArrayBuffer>>>} its frames; cancelling the stream stops the run, and
   *   resolves when the interpreter is ready for the next, or gone
   */
  async start(request, packages, stdin = '') {
    this.#starting += 1;
    try {
      await this.booted;
      // Notices a program that goes on after its run, before the next run is given to it.
      if (this.#used) await this.#askIdle();
    } finally {
      this.#starting -= 1;
    }
    if (this.#ended) throw new Error('the interpreter was ended');
    if (this.#run) throw new Error('one run at a time');
    this.#used = true;
    if (this.#stop) Atomics.store(this.#stop, 0, 0);
    const run = new Run(JSON.parse(request), {
      stop: () => {
        if (this.#stop) Atomics.store(this.#stop, 0, 1);
        this.#port.postMessage({ stop: true });
      },
      end: (why) => this.end(why),
      answers: (within) => this.#answers(within),
    });
    this.#run = run;
    void run.over.then(() => {
      this.#run = null;
      this.#idleMessages = 0;
      this.#watchIdle(0);
    });
    const add = packages.filter((one) => !this.#packages.has(one));
    if (add.length) this.#port.postMessage({ add });
    for (const one of add) this.#packages.add(one);
    this.#port.postMessage({ run: request, stdin });
    return run.frames;
  }

  /** Passes the answer to a call to the current run: JSON. @param {string} answer */
  answer(answer) {
    if (this.#run) this.#port.postMessage({ answer });
  }

  /**
   * Whether an interpreter that has run nothing was restored correctly: it computes, has its modules, and suspends if the
   * engine can.
   * @param {string[]} [modules] that it has imported
   */
  async isSound(modules = []) {
    const suspends = 'Suspending' in WebAssembly ? 'True' : 'False';
    const code = `import sys
from pyodide.ffi import can_run_sync
1 + 1 == 2 and can_run_sync() == ${suspends} and all(name in sys.modules for name in modules)`;
    const limits = { ...LIMITS, time: 5000 };
    this.#looking = true;
    try {
      /** @type {import('../../../runtime/js/protocol.js').Request} */
      const run = { protocol: VERSION, code, globals: JSON.stringify({ modules }), keep: false, files: [], limits };
      const frames = await this.start(JSON.stringify(run), [...this.#packages]);
      return (await new Response(frames).text()).includes('"json": "true"');
    } catch {
      return false;
    } finally {
      this.#looking = false;
    }
  }

  /**
   * Asks the program's current run to stop: `KeyboardInterrupt`. If it does not, the interpreter is ended.
   * @returns {boolean} whether there is one
   */
  stop() {
    if (this.#looking) return false;
    if (this.#run) this.#run.stop();
    else if (this.#used) void this.#askIdle();
    return this.#run !== null;
  }

  /** Checks now and then that it is idle, and ends it if it goes on after its run. @param {number} checks that were done */
  #watchIdle(checks) {
    clearTimeout(this.#idleTimer);
    if (this.#ended) return;
    const check = async () => {
      if (this.#run) return;
      await this.#askIdle();
      if (!this.#run) this.#watchIdle(checks + 1);
    };
    this.#idleTimer = setTimeout(check, IDLE_CHECKS[Math.min(checks, IDLE_CHECKS.length - 1)]);
  }

  /** Pings the worker, and ends it if it does not answer. @returns {Promise<void>} */
  async #askIdle() {
    if (this.#ended || this.#run) return;
    if (!(await this.#answers(IDLE_LIMIT))) this.end('it went on after its run');
  }

  /** Whether its event loop turns: it answers in time, or was ended. @param {number} within milliseconds @returns {Promise<boolean>} */
  #answers(within) {
    return new Promise((resolve) => {
      const timer = setTimeout(() => resolve(false), within);
      this.#unanswered.push(() => {
        clearTimeout(timer);
        resolve(true);
      });
      this.#port.postMessage({ ping: true });
    });
  }

  /** @param {unknown} message */
  #message(message) {
    const run = this.#run;
    if (this.#unanswered.length > 0 && typeof message === 'object' && message !== null && 'pong' in message) {
      this.#unanswered.shift()?.();
      return;
    }
    if (!run) {
      this.#idleMessages += 1;
      if (this.#idleMessages > MAX_IDLE_MESSAGES) this.end('it sends after its run');
      return;
    }
    if (typeof message === 'object' && message !== null) {
      if ('frame' in message && typeof message.frame === 'string' && message.frame.length <= MAX_FRAME) {
        return run.frame(message.frame);
      }
      if ('ended' in message && message.ended === true) return run.ended();
    }
    this.end('the program ended the interpreter');
  }

  /** Ends the interpreter, and with it the current run. @param {string} why */
  end(why) {
    if (this.#ended) return;
    this.#ended = true;
    clearTimeout(this.#idleTimer);
    this.#worker.terminate();
    this.#port.close();
    this.#notBooted(new Error(why));
    this.#run?.lost(why);
    for (const answered of this.#unanswered.splice(0)) answered();
    this.#onEnd();
  }
}

/** One run, with the stream of its frames. */
class Run {
  /** @type {ReadableStreamDefaultController<Uint8Array<ArrayBuffer>>} */
  #controller = /** @type {any} */ (undefined);
  #encoder = new TextEncoder();
  #worker;
  #grace;
  #ended = false;
  /** Whether anything has come: the isolate's first frame names its version. */
  #begun = false;
  /** Whether nobody reads its frames any longer. */
  #dropped = false;
  #stopping = false;
  #end = () => {};
  #timer;

  /**
   * @param {import('../../../runtime/js/protocol.js').Request} request
   * @param {{ stop: () => void, end: (why: string) => void, answers: (within: number) => Promise<boolean> }} worker
   */
  constructor({ limits: { time, grace }, calls }, worker) {
    this.#grace = grace;
    this.#worker = worker;
    /** Resolves when it has ended. @type {Promise<void>} */
    this.over = new Promise((resolve) => {
      this.#end = resolve;
    });
    this.frames = new ReadableStream({
      start: (controller) => {
        this.#controller = controller;
      },
      cancel: () => this.#drop(),
    });
    const late = () =>
      worker.end(`TimeoutError: the run took longer than ${time / 1000} s and did not end when it was told to`);
    // While the program waits for answers, its clock stands still and its event loop turns, which it does not in a loop of C.
    // The core ends a program that only pretends to wait.
    const look = async (/** @type {number} */ left) => {
      const isWaiting = left > 0 && (await worker.answers(MARGIN));
      if (this.#ended) return;
      if (isWaiting) this.#timer = setTimeout(look, LOOK_EVERY, left - LOOK_EVERY);
      else late();
    };
    const { wait = 0 } = calls ?? {};
    this.#timer = wait ? setTimeout(look, time + grace, wait) : setTimeout(late, time + grace + MARGIN);
  }

  /** @param {string} text */
  frame(text) {
    this.#begun = true;
    if (!this.#ended && !this.#dropped) this.#controller.enqueue(this.#encoder.encode(`${text}\n`));
  }

  /** It ended by itself. */
  ended() {
    if (this.#ended) return;
    this.#ended = true;
    clearTimeout(this.#timer);
    if (!this.#dropped) this.#controller.close();
    this.#end();
  }

  /** Its interpreter is gone. @param {string} why */
  lost(why) {
    if (!this.#begun) this.frame(JSON.stringify({ protocol: VERSION }));
    this.frame(JSON.stringify({ end: { status: 'run-error', error: why } }));
    this.ended();
  }

  stop() {
    if (this.#ended || this.#stopping) return;
    this.#stopping = true;
    this.#worker.stop();
    const late = () =>
      this.#worker.end('KeyboardInterrupt: the run did not end when it was told to, and its interpreter was ended');
    const timer = setTimeout(late, this.#grace + MARGIN);
    void this.over.then(() => clearTimeout(timer));
  }

  #drop() {
    this.#dropped = true;
    // The reader stops after the result: in that case the run is about to end by itself.
    setTimeout(() => this.stop(), LAST_MESSAGE);
    return this.over;
  }
}
