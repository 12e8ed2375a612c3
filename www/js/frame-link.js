// The page's side of a frame: makes it, talks to it by a port, and notices when it is gone.
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

/** How long Python may take to start, in milliseconds: twice what the frame allows, as a snapshot may turn out useless. */
const BOOT_LIMIT = 150_000;

/** How often a frame that has something to do is asked whether it is there, in milliseconds. */
const PING_EVERY = 2000;

/** How long it may take to answer, in milliseconds: it may be decoding a run's output on a busy machine. */
const PING_LIMIT = 8000;

/** Extra time after that, in milliseconds: this page may have been asleep, and the answer may be waiting. */
const SECOND_CHANCE = 1000;

/** How much longer a call may take while a person is asked, in milliseconds: longer than the frame waits. */
const INPUT_LIMIT = 670_000;

/** The most requests to the page during one call. */
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

/** The link to a frame. Each sandbox has a frame of its own, with an origin that nothing else has. */
export class FrameLink {
  #element;
  /** @type {MessagePort | null} */
  #port = null;
  #lastId = 0;
  /** @type {Map<number, Call>} */
  #calls = new Map();
  /** Whether clients talk to the frame by ports of their own. */
  #connected = false;
  #asked = 0;
  /** The open question to a person; aborted when nobody waits for the answer. @type {{ id: number, over: AbortController } | null} */
  #question = null;
  #onProgress;
  #places;
  /** @type {any} */
  #pinging = null;
  /** Why the link is closed. @type {Error | null} */
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
    // Tells why before the frame is given up for lack of the files.
    files.catch((error) => link.#end(error));
    const abort = () => link.#end(signal?.reason);
    signal?.addEventListener('abort', abort, { once: true });
    try {
      const address = frameAddress(folder);
      const kept = keptSnapshots(new URL('.', address).href).catch(() => []);
      await link.#load(address);
      // While the frame boots; snapshots that are not known by then are looked for when they are needed.
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

  /** Whether the link was closed, or its frame was lost. */
  get closed() {
    return this.#over !== null;
  }

  /** The folder of the frame's document. */
  get #folder() {
    return new URL('.', this.#element.src).href;
  }

  /** Loads the frame, and waits for its port. @param {string} address */
  async #load(address) {
    // **Boundary.** Any page that frames this one, or has a handle of this window, can navigate the frame at any time. So
    // nothing is sent into the frame before its document has shown that it is the one that was asked for: it alone knows the
    // nonce, which is in the fragment of its address, as no other origin can read that and no server is sent it. A document
    // that is loaded later into the same frame has no port.
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
    let arrived = false;
    this.#element.addEventListener('load', () => {
      clearTimeout(timer);
      if (arrived) {
        // Somebody navigated the frame: what ran in it is gone.
        reject(new Error(late));
        return this.lose('another document was loaded into its frame');
      }
      arrived = true;
      timer = setTimeout(() => reject(new Error(late)), HELLO_LIMIT);
    });
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
    // Not every browser has this event; `#ping` covers the others.
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
      // Throws if something cannot be cloned.
      port.postMessage({ type: 'call', id, method, args });
      this.#calls.set(id, { method, resolve, reject, onEvent, onInput, limit, timer: undefined });
      this.#extend();
      this.#ping();
    });
  }

  /** Shortens the time that is left for a pending run. @param {number} milliseconds */
  hurry(milliseconds) {
    this.#question?.over.abort();
    this.#question = null;
    for (const call of this.#calls.values()) {
      if (call.method === 'eval') call.limit = Math.min(call.limit, milliseconds);
    }
    this.#extend();
  }

  /** Restarts the time of all calls. */
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

  /** Gives up a frame that does not do what it should. @param {string} why */
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
   * Pings the frame now and then, as long as somebody waits for it. Frames share a process, which one of them can bring
   * down by its memory: then none of them answers.
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

  /** Does what the frame asks for, as it cannot do it itself. @param {import('./messages.js').FromFrame & { type: 'ask' }} message */
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
   * Asks a person for a line that the program reads, by `onInput` of the call that runs it.
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
