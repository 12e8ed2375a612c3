// One interpreter in a workerd process: booted, given runs one at a time, stopped, ended.
import { randomUUID } from 'node:crypto';
import { envelope } from '../runtime/isolate/envelope.js';

/** How long an interpreter may take to boot, in milliseconds. */
const BOOT_LIMIT = 30_000;

/** How long a run may take, beyond its time and its grace, to end by itself, in milliseconds. */
const MARGIN = 1500;

/**
 * How long a process may take to drop an interpreter that runs something, in milliseconds: one that boots others is busy for
 * a while, one that does not get to it is stuck in a loop in C.
 */
const END_LIMIT = 5000;

/** How long the files of a session may take to be carried over, in milliseconds, and how many bytes they may be. */
const FILES_LIMIT = 5000;
const MAX_FILES = 32 * 1024 * 1024;

/** @typedef {import('../core/core.js').PreparedPackage} PreparedPackage */

const BYSTANDER = 'another run in its process could not be stopped, and the process was ended';

export class Interpreter {
  #name = randomUUID();
  #workerd;
  #packages;
  #ended = false;
  /** Whether anything has run in it. */
  #used = false;
  /** How long a run that is stopped may take to end, in milliseconds. */
  #patience = MARGIN;
  /** Tells who waits for an answer that there is none to come. */
  #giveUp = (/** @type {Error} */ _why) => {};

  /** @param {import('./workerd.js').Workerd} workerd @param {PreparedPackage[]} [packages] */
  constructor(workerd, packages = []) {
    this.#workerd = workerd;
    this.#packages = packages;
    /** Resolves when it can take a run at once. */
    this.booted = this.#boot();
    this.booted.catch(() => {});
  }

  async #boot() {
    await this.#workerd.ready;
    const names = this.#packages.map(({ name, version, modules }) => {
      return { name, version, modules: modules.map(([path]) => path) };
    });
    const parts = this.#packages.flatMap(({ archive, modules }) => [
      archive,
      ...modules.map(([, bytes]) => /** @type {ArrayBuffer} */ (bytes.buffer)),
    ]);
    this.#packages = [];
    const status = await this.#workerd.status(
      `/${this.#name}/boot`,
      BOOT_LIMIT,
      envelope(JSON.stringify(names), parts),
    );
    if (status !== 204) throw new Error(`an interpreter did not boot (${status})`);
  }

  /** Whether a run was given to it that has not ended. */
  busy = false;

  get alive() {
    return !this.#ended && this.#workerd.ended === null;
  }

  /**
   * Starts a run. Resolves with its frames once it has begun; rejects if it has not: an isolate answers before it runs
   * anything.
   * @param {string} request JSON
   * @returns {Promise<ReadableStream<Uint8Array>>}
   */
  async run(request) {
    const { limits } = JSON.parse(request);
    this.#patience = limits.grace + MARGIN;
    let reason = BYSTANDER;
    const watchdog = setTimeout(
      () => {
        reason = `TimeoutError: the run took longer than ${limits.time / 1000} s, could not be stopped, and was ended`;
        this.#workerd.kill(BYSTANDER);
      },
      limits.time + limits.grace + MARGIN,
    );
    const done = () => {
      this.busy = false;
      clearTimeout(watchdog);
    };
    this.busy = true;
    const lost = async (/** @type {unknown} */ error) => {
      const why = await this.#workerd.why(error);
      return new Error(why === BYSTANDER ? reason : why);
    };
    const asked = this.#workerd.ask(`/${this.#name}/run`, [Buffer.from(request)]);
    try {
      // What is ended before it has answered may never do so.
      const ended = new Promise((_, reject) => {
        this.#giveUp = reject;
      });
      const response = await Promise.race([asked, ended]);
      this.#used = true;
      if (response.statusCode !== 200) throw new Error(`an interpreter answered ${response.statusCode}`);
      return this.#frames(response, lost, done);
    } catch (error) {
      if (this.#ended) {
        done();
        asked.then(
          (late) => late.destroy(),
          () => {},
        );
        throw error;
      }
      this.#ended = true;
      done();
      const why = await lost(error);
      if (reason === BYSTANDER) throw why;
      // It was at fault itself, and is not to be tried elsewhere.
      return new ReadableStream({ start: (controller) => controller.error(why) });
    }
  }

  /**
   * @param {import('node:http').IncomingMessage} response
   * @param {(error: unknown) => Promise<Error>} lost
   * @param {() => void} done
   */
  #frames(response, lost, done) {
    const chunks = response[Symbol.asyncIterator]();
    /** @type {ReadableStream<Uint8Array>} */
    return new ReadableStream(
      {
        async pull(controller) {
          try {
            const { done: over, value } = await chunks.next();
            if (!over) return controller.enqueue(value);
            controller.close();
          } catch (error) {
            controller.error(await lost(error));
          }
          done();
        },
        cancel: async () => {
          // An error here is that of a process that is no more.
          await this.#settle(response).catch(() => {});
          done();
        },
      },
      { highWaterMark: 0 },
    );
  }

  /**
   * Stops a run that nobody follows any longer, or gives the interpreter up.
   * @param {import('node:http').IncomingMessage} response
   */
  async #settle(response) {
    response.on('error', () => {});
    response.resume();
    if (!response.complete && !(await this.stop())) await this.end();
  }

  /**
   * Stops the run, if there is one: it gives its result. A process that does not do so is ended.
   * @returns {Promise<boolean>} whether the interpreter lives on
   */
  async stop() {
    // **Boundary.** Whether it lives is the isolate's own word. One that lies harms whose code runs in it.
    if (this.#ended) return false;
    const status = await this.#workerd.status(`/${this.#name}/stop`, this.#patience).catch(() => 0);
    if (status === 0 && !this.#ended) this.#workerd.kill(BYSTANDER);
    return status === 204;
  }

  /**
   * What the session has written, packed; `undefined` if it does not give it, or it is too much.
   * @returns {Promise<Uint8Array | undefined>}
   */
  async files() {
    const response = await this.#workerd.ask(`/${this.#name}/files`, [], 'GET');
    const late = setTimeout(() => response.destroy(), FILES_LIMIT);
    try {
      const chunks = [];
      let size = 0;
      // **Boundary.** It goes back into an isolate of the same session, and nowhere else.
      for await (const chunk of response) {
        size += chunk.length;
        if (size > MAX_FILES) return undefined;
        chunks.push(chunk);
      }
      return response.statusCode === 200 ? Buffer.concat(chunks) : undefined;
    } finally {
      clearTimeout(late);
      response.destroy();
    }
  }

  /** Takes the files of the interpreter before. @param {Uint8Array} files */
  async putFiles(files) {
    const status = await this.#workerd.status(`/${this.#name}/files`, FILES_LIMIT, [files]);
    if (status !== 204) throw new Error(`the session's files could not be carried over (${status})`);
  }

  /** Ends it for good. A process that does not do so is ended, with all that is in it. */
  async end() {
    if (!this.alive) return;
    this.#ended = true;
    this.#giveUp(new Error('the interpreter was ended'));
    // What has run nothing is not what keeps a process from answering.
    const limit = this.#used ? END_LIMIT : BOOT_LIMIT;
    await this.#workerd.status(`/${this.#name}/end`, limit).catch(() => this.#workerd.kill(BYSTANDER));
  }
}
