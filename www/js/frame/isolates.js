// The workers of a frame, each with one interpreter.
//
// **Boundary.** What a worker sends was written by the code that was run. It is looked at for its type and its size,
// and passed on as bytes to the core, which decodes it as an attacker's; it is never evaluated here.

/** How long a worker may take to boot, in milliseconds. */
const START_LIMIT = 60_000;

/** How much longer than its own limits a run may take, in milliseconds: then its worker is ended. */
const MARGIN = 1500;

/** How long the end of a run that gave its result may take, in milliseconds. */
const LAST_MESSAGE = 50;

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
  /** @type {Set<import('./packages.js').CompiledPackage>} */
  #packages = new Set();
  /** Rejects when the interpreter cannot be started. @type {Promise<void>} */
  booted;
  /** What a worker that was to make one has made, once it has booted. @type {Blob | undefined} */
  snapshot;

  /**
   * @param {string} source JavaScript of the worker
   * @param {import('./isolate.js').Start} start what it is made of
   */
  constructor(source, start) {
    // An address of its own for each: a worker could revoke one that it knows.
    const url = URL.createObjectURL(new Blob([source], { type: 'text/javascript' }));
    this.#worker = new Worker(url, { name: 'python' });
    const { port1, port2 } = new MessageChannel();
    this.#port = port1;
    this.#stop = globalThis.crossOriginIsolated ? new Int32Array(new SharedArrayBuffer(4)) : undefined;
    for (const one of start.packages ?? []) this.#packages.add(one);
    this.#worker.postMessage({ ...start, stop: this.#stop }, [port2]);
    this.booted = new Promise((resolve, reject) => {
      const failed = (/** @type {string} */ why) => {
        this.end(why);
        reject(new Error(why));
      };
      const timer = setTimeout(() => failed(`Python did not start in ${START_LIMIT / 1000} s`), START_LIMIT);
      this.#worker.onerror = (event) => {
        event.preventDefault();
        failed(`the worker failed: ${event.message}`);
      };
      this.#port.onmessage = ({ data }) => {
        clearTimeout(timer);
        URL.revokeObjectURL(url);
        if (data?.snapshot instanceof Blob) this.snapshot = data.snapshot;
        if (data?.booted !== true) return failed(typeof data?.failed === 'string' ? data.failed : 'it did not start');
        this.#port.onmessage = (event) => this.#message(event.data);
        // What a program leaves uncaught in its callbacks is its own.
        this.#worker.onerror = (event) => event.preventDefault();
        resolve();
      };
    });
    this.booted.catch(() => {});
  }

  /** Whether it can take runs. */
  get alive() {
    return !this.#ended;
  }

  /**
   * Starts a run.
   * @param {string} request the core's JSON
   * @param {import('./packages.js').CompiledPackage[]} packages what it can import; what this has already stays
   * @returns {Promise<ReadableStream<Uint8Array<ArrayBuffer>>>} its frames; to cancel it stops the run, and resolves
   *   when the interpreter is ready for the next, or gone
   */
  async start(request, packages) {
    await this.booted;
    if (this.#ended) throw new Error('the interpreter was ended');
    if (this.#run) throw new Error('one run at a time');
    if (this.#stop) Atomics.store(this.#stop, 0, 0);
    const run = new Run(JSON.parse(request).limits, {
      stop: () => {
        if (this.#stop) Atomics.store(this.#stop, 0, 1);
        this.#port.postMessage({ stop: true });
      },
      end: (why) => this.end(why),
    });
    this.#run = run;
    void run.over.then(() => {
      this.#run = null;
    });
    const add = packages.filter((one) => !this.#packages.has(one));
    if (add.length) this.#port.postMessage({ add });
    for (const one of add) this.#packages.add(one);
    this.#port.postMessage({ run: request });
    return run.frames;
  }

  /**
   * Whether an interpreter that has run nothing was restored as it was made: it computes, has its modules, and suspends
   * if the engine can.
   * @param {string[]} [modules] that it has imported
   */
  async isSound(modules = []) {
    const suspends = 'Suspending' in WebAssembly ? 'True' : 'False';
    const code = `import sys
from pyodide.ffi import can_run_sync
1 + 1 == 2 and can_run_sync() == ${suspends} and all(name in sys.modules for name in modules)`;
    const limits = {
      time: 5000,
      grace: 1000,
      fuel: 1e7,
      memory: 2 ** 30,
      output: 1000,
      lines: 10,
      line: 1000,
      value: 1000,
      depth: 10,
      images: 0,
      imageBytes: 0,
      files: 100,
      fileBytes: 1e6,
    };
    try {
      const run = { code, globals: JSON.stringify({ modules }), keep: false, limits };
      const frames = await this.start(JSON.stringify(run), [...this.#packages]);
      return (await new Response(frames).text()).includes('"json": "true"');
    } catch {
      return false;
    }
  }

  /**
   * Asks the run that is going on to stop: `KeyboardInterrupt`. If it does not, the interpreter is ended.
   * @returns {boolean} whether there is one
   */
  stop() {
    this.#run?.stop();
    return this.#run !== null;
  }

  /** @param {unknown} message */
  #message(message) {
    const run = this.#run;
    if (!run) return;
    if (typeof message === 'object' && message !== null) {
      if ('frame' in message && typeof message.frame === 'string' && message.frame.length <= MAX_FRAME) {
        return run.frame(message.frame);
      }
      if ('ended' in message && message.ended === true) return run.ended();
    }
    this.end('the program ended the interpreter');
  }

  /** Ends the interpreter, and the run that is going on with it. @param {string} why */
  end(why) {
    if (this.#ended) return;
    this.#ended = true;
    this.#worker.terminate();
    this.#port.close();
    this.#run?.lost(why);
  }
}

/** One run, as its frames come. */
class Run {
  /** @type {ReadableStreamDefaultController<Uint8Array<ArrayBuffer>>} */
  #controller = /** @type {any} */ (undefined);
  #encoder = new TextEncoder();
  #worker;
  #grace;
  #ended = false;
  /** Nobody reads any longer. */
  #dropped = false;
  #stopping = false;
  #end = () => {};
  #timer;

  /**
   * @param {{ time: number, grace: number }} limits milliseconds
   * @param {{ stop: () => void, end: (why: string) => void }} worker
   */
  constructor({ time, grace }, worker) {
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
    this.#timer = setTimeout(
      () => worker.end(`TimeoutError: the run took longer than ${time / 1000} s and did not end when it was told to`),
      time + grace + MARGIN,
    );
  }

  /** @param {string} text */
  frame(text) {
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

  /** Its interpreter is no more. @param {string} why */
  lost(why) {
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
    // Who has read the result reads no further: then the run is about to end by itself.
    setTimeout(() => this.stop(), LAST_MESSAGE);
    return this.over;
  }
}
