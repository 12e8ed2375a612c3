// The page's side of a frame: makes it, talks to it by a port, and notices when it is no more.
import sources from '#sources';
import { folderOf, frameAddress, loadAssets } from './assets.js';
import { refuseStrangers } from './embedders.js';
import { fetchFile, nameOf } from './fetch-file.js';
import { fromFrame, MAX_ANSWER } from './messages.js';
import { findSnapshot, keepSnapshot, keptSnapshots } from './snapshot-store.js';

/** How long a frame may take to load, in milliseconds. */
const LOAD_LIMIT = 30_000;

/** How long a frame that was loaded may take to send its port, in milliseconds. */
const HELLO_LIMIT = 5000;

/** How long Python may take to start, in milliseconds: twice what the frame gives it, as a snapshot may be of no use. */
const BOOT_LIMIT = 150_000;

/** How often a frame that has something to do is asked whether it is there, in milliseconds. */
const PING_EVERY = 2000;

/** How long it may take to answer, in milliseconds: it decodes what a run sends, on a busy machine. */
const PING_LIMIT = 8000;

/** How much longer that is once more, in milliseconds: this page may have been asleep, and the answer be waiting. */
const SECOND_CHANCE = 1000;

/** How much longer a call may take while a person is asked, in milliseconds: longer than the frame waits. */
const INPUT_LIMIT = 670_000;

/** How often one call may have the page do something. */
const MAX_ASKED = 4096;

/** @typedef {import('./index.js').Progress} Progress */
/** Asks a person. @typedef {NonNullable<import('./index.js').EvalOptions['onInput']>} Input */
/**
 * @typedef {object} Call
 * @property {string} method
 * @property {(value: any) => void} resolve
 * @property {(error: Error) => void} reject
 * @property {(event: any) => void} onEvent
 * @property {Input} [onInput]
 * @property {number} limit milliseconds
 * @property {any} timer
 */

/** A frame of its own for each sandbox: an origin that nothing else has. */
export class FrameLink {
  #element;
  /** @type {MessagePort | null} */
  #port = null;
  #lastId = 0;
  /** @type {Map<number, Call>} */
  #calls = new Map();
  /** Clients that talk to the frame by ports of their own. */
  #connected = false;
  #asked = 0;
  /** What a person is asked now, one thing at a time; aborted when nobody waits for the answer. @type {{ id: number, over: AbortController } | null} */
  #question = null;
  #onProgress;
  #places;
  /** @type {any} */
  #pinging = null;
  /** Why it is no more. @type {Error | null} */
  #over = null;
  #ended = /** @type {PromiseWithResolvers<never>} */ (Promise.withResolvers());

  /**
   * @param {HTMLIFrameElement} element
   * @param {string[]} places where the frame may have files fetched from
   * @param {(progress: Progress) => void} [onProgress]
   */
  constructor(element, places, onProgress) {
    this.#element = element;
    this.#places = places;
    this.#onProgress = onProgress;
    this.#ended.promise.catch(() => {});
  }

  /**
   * @param {import('./index.js').SandboxOptions & import('./index.js').ServerOptions} options
   * @returns {Promise<FrameLink>} once Python has started
   */
  static async open(options) {
    const { assets, onProgress, signal, dependencies, packageMirrors, returnMode, persistent, limits } = options;
    signal?.throwIfAborted();
    refuseStrangers(options.embedders);
    const folder = folderOf(assets);
    const files = loadAssets(folder, onProgress);
    const mirrors = [new URL('../packages/', folder), ...(packageMirrors ?? [])].map((mirror) =>
      String(new URL(mirror, document.baseURI)),
    );
    const element = document.createElement('iframe');
    // **Boundary.** Without `allow-same-origin` the frame has an origin of its own: it has nothing of this page's, and
    // cannot reach into it. Its document brings the policy that cuts its network.
    element.setAttribute('sandbox', 'allow-scripts');
    element.allow = 'cross-origin-isolated';
    element.referrerPolicy = 'no-referrer';
    element.title = 'Python sandbox';
    element.hidden = true;
    const index = options.packageIndex ?? sources.index;
    const packageIndex = index && new URL(index.replace(/\/*$/, '/'), document.baseURI).href;
    const packages = packageIndex ? 'pypi' : 'lock';
    const places = packageIndex ? [...mirrors, packageIndex] : mirrors;
    const link = new FrameLink(element, places, onProgress);
    // Before the frame is given up for want of them, say.
    files.catch((error) => link.#end(error));
    const abort = () => link.#end(signal?.reason);
    signal?.addEventListener('abort', abort, { once: true });
    try {
      const address = frameAddress(folder);
      const kept = keptSnapshots(new URL('.', address).href).catch(() => []);
      await link.#load(address);
      // While the frame boots; what the storage has not told by then is looked for when it is needed.
      kept.then((keys) => link.call('knowKept', [keys], { limit: BOOT_LIMIT })).catch(() => {});
      const loaded = await Promise.race([files, link.#ended.promise]);
      const from = { packages, packageIndex, packageMirrors: mirrors };
      const settings = { dependencies, ...from, returnMode, persistent, numbers: options.numbers, ...limits };
      await link.call('boot', [loaded, settings], { limit: BOOT_LIMIT });
      signal?.throwIfAborted();
    } catch (error) {
      link.close();
      throw error;
    } finally {
      signal?.removeEventListener('abort', abort);
    }
    return link;
  }

  /** Whether it can be used no longer: it was closed, or its frame was lost. */
  get closed() {
    return this.#over !== null;
  }

  /** Where its document is from. */
  get #folder() {
    return new URL('.', this.#element.src).href;
  }

  /** Loads the frame, and waits for its port. @param {string} address */
  async #load(address) {
    // **Boundary.** Whoever frames this page can navigate the frame, at any time, and so can whoever has a handle of
    // this window. So nothing is sent into the frame before it has shown that its document is the one that was asked
    // for: it alone knows the nonce, which stands in the fragment of its address, as nobody of another origin can read that
    // and no server is sent it. What comes later into the same frame has no port.
    const nonce = [...crypto.getRandomValues(new Uint8Array(16))]
      .map((byte) => byte.toString(16).padStart(2, '0'))
      .join('');
    const { promise, resolve, reject } = /** @type {PromiseWithResolvers<MessagePort>} */ (Promise.withResolvers());
    /** @param {MessageEvent} event */
    const hear = ({ source, origin, data, ports }) => {
      const isFrame = source !== null && source === this.#element.contentWindow && origin === 'null';
      if (isFrame && data?.sandbox === nonce && ports.length === 1) resolve(ports[0]);
    };
    const late = `the sandbox's frame does not answer: is ${address} served, without a content security policy of the page's, and has nobody navigated it?`;
    let timer = setTimeout(() => reject(new Error(`the sandbox's frame did not load: ${address}`)), LOAD_LIMIT);
    const arrived = () => {
      clearTimeout(timer);
      timer = setTimeout(() => reject(new Error(late)), HELLO_LIMIT);
    };
    // Once: whoever navigates the frame must not begin the time anew.
    this.#element.addEventListener('load', arrived, { once: true });
    addEventListener('message', hear);
    this.#element.src = `${address}#${nonce}`;
    (document.body ?? document.documentElement).append(this.#element);
    try {
      this.#port = await Promise.race([promise, this.#ended.promise]);
    } finally {
      clearTimeout(timer);
      removeEventListener('message', hear);
    }
    this.#port.onmessage = ({ data }) => this.#message(data);
    // Not every browser tells this; the others are asked (`#ping`).
    this.#port.addEventListener('close', () => this.lose('its frame is gone'));
  }

  /**
   * Calls a function of frame.js.
   * @param {string} method @param {unknown[]} args
   * @param {{ limit: number, onEvent?: (event: any) => void, onInput?: Input }} options `limit`: how long it may take, in
   *   milliseconds, from now or from when it last had something fetched, or somebody asked; then the frame counts as lost
   * @returns {Promise<any>} rejects within the limit, whatever becomes of the frame
   */
  call(method, args, { limit, onEvent = () => {}, onInput }) {
    const port = this.#port;
    if (this.#over || !port) return Promise.reject(new Error('the sandbox is closed'));
    const id = ++this.#lastId;
    this.#asked = 0;
    return new Promise((resolve, reject) => {
      // What cannot be cloned is refused here.
      port.postMessage({ type: 'call', id, method, args });
      this.#calls.set(id, { method, resolve, reject, onEvent, onInput, limit, timer: undefined });
      this.#extend();
      this.#ping();
    });
  }

  /** A run that is being waited for has to be over soon. @param {number} milliseconds */
  hurry(milliseconds) {
    this.#question?.over.abort();
    this.#question = null;
    for (const call of this.#calls.values()) {
      if (call.method === 'eval') call.limit = Math.min(call.limit, milliseconds);
    }
    this.#extend();
  }

  /** Begins the time of all calls anew. */
  #extend() {
    const more = this.#question ? INPUT_LIMIT : 0;
    for (const call of this.#calls.values()) {
      clearTimeout(call.timer);
      call.timer = setTimeout(() => this.lose(`it has not answered for ${call.limit / 1000} s`), call.limit + more);
    }
  }

  /** The client's end of a new connection to the MCP server: JSON texts. */
  connect() {
    if (this.#over) throw new Error('the sandbox is closed');
    const { port1, port2 } = new MessageChannel();
    this.#port?.postMessage({ type: 'connect', port: port2 }, [port2]);
    this.#connected = true;
    this.#ping();
    return port1;
  }

  /** Calls `then` with the reason once the link is over. @param {(why: Error) => void} then */
  onOver(then) {
    this.#ended.promise.catch(then);
  }

  /** Ends everything in the frame, and gives its memory back. */
  close() {
    this.#end(new Error('the sandbox was closed'));
  }

  /** Gives a frame up that does not do what it should. @param {string} why */
  lose(why) {
    this.#end(new Error(`the sandbox was lost: ${why}`));
  }

  /** @param {Error} why */
  #end(why) {
    if (this.#over) return;
    this.#over = why;
    this.#question?.over.abort();
    this.#ended.reject(why);
    clearTimeout(this.#pinging);
    this.#port?.close();
    this.#element.remove();
    for (const { reject, timer } of this.#calls.values()) {
      clearTimeout(timer);
      reject(why);
    }
    this.#calls.clear();
  }

  /**
   * Asks the frame now and then whether it is there, as long as somebody waits for it. Frames share a process, which one
   * of them can bring down by its memory: then nothing is heard of any.
   */
  #ping() {
    if (this.#pinging !== null || this.#over || (!this.#connected && this.#calls.size === 0)) return;
    this.#port?.postMessage({ type: 'ping' });
    const lost = () => this.lose('its frame does not answer');
    this.#pinging = setTimeout(() => {
      this.#pinging = setTimeout(lost, SECOND_CHANCE);
    }, PING_LIMIT);
  }

  #pong() {
    clearTimeout(this.#pinging);
    this.#pinging = setTimeout(() => {
      this.#pinging = null;
      this.#ping();
    }, PING_EVERY);
  }

  /** @param {unknown} data */
  #message(data) {
    const message = fromFrame(data);
    if (!message) return this.lose('its frame sent what no frame sends');
    if (message.type === 'pong') return this.#pong();
    if (message.type === 'ask') return void this.#answer(message);
    if (message.type === 'cancel') {
      if (this.#question?.id === message.id) this.#question.over.abort();
      return;
    }
    const call = this.#calls.get(message.id);
    if (!call) return;
    if (message.type === 'event') return call.onEvent(message.event);
    clearTimeout(call.timer);
    this.#calls.delete(message.id);
    if (call.onInput) this.#question?.over.abort();
    if (message.type === 'result') call.resolve(message.value);
    else call.reject(new Error(message.message));
  }

  /** Does for the frame what it cannot. @param {import('./messages.js').FromFrame & { type: 'ask' }} message */
  async #answer(message) {
    const { id } = message;
    try {
      this.#asked += 1;
      if (this.#asked > MAX_ASKED) throw new RangeError(`one call may ask for ${MAX_ASKED} things`);
      const value = await this.#task(message);
      this.#port?.postMessage({ type: 'answer', id, value }, value instanceof Uint8Array ? [value.buffer] : []);
    } catch (error) {
      const { message, name, status } = /** @type {any} */ (error);
      this.#port?.postMessage({ type: 'answer', id, error: { message: String(message), name, status } });
    }
  }

  /** @param {import('./messages.js').FromFrame & { type: 'ask' }} message @returns {Promise<unknown>} */
  async #task({ id, method, args }) {
    if (method === 'input') return await this.#input(id, args[0]);
    if (method === 'findSnapshot') return findSnapshot(args[0], this.#folder);
    if (method === 'keepSnapshot') return keepSnapshot(...args, this.#folder);
    const [url, limits] = args;
    this.#extend();
    return fetchFile(url, this.#places, limits, (loaded, total) =>
      this.#onProgress?.({ phase: 'packages', message: `Loading ${nameOf(url)}`, loaded, total }),
    );
  }

  /**
   * Has a person asked what the program wants to read, by whoever has it run.
   *
   * **Boundary.** The prompt is the program's, and the line that is given is all that it gets.
   * @param {number} id of the question @param {string} prompt
   */
  async #input(id, prompt) {
    const onInput = [...this.#calls.values()].find((call) => call.onInput)?.onInput;
    if (!onInput || this.#question) throw new Error('nobody can be asked');
    const over = new AbortController();
    const question = { id, over };
    this.#question = question;
    this.#extend();
    const isOver = new Promise((_, reject) => over.signal.addEventListener('abort', () => reject(over.signal.reason)));
    try {
      const line = await Promise.race([onInput(prompt, over.signal), isOver]);
      return typeof line === 'string' ? line.slice(0, MAX_ANSWER) : null;
    } finally {
      if (this.#question === question) this.#question = null;
      this.#extend();
    }
  }
}
