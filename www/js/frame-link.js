// The page's side of a frame: makes it, and talks to it by a port.
import { folderOf, frameAddress, loadAssets } from './assets.js';
import { findSnapshot, keepSnapshot } from './snapshot-store.js';

/** How long a frame may take to load, in milliseconds. */
const LOAD_LIMIT = 30_000;

/** How long a frame that was loaded may take to answer, in milliseconds. */
const HELLO_LIMIT = 5000;

/** The call that the frame answers when it gets its port. */
const HELLO = 0;

/** @typedef {{ accept?: string, maxBytes: number, milliseconds: number }} Limits */
/** @typedef {import('./index.js').Progress} Progress */
/** @typedef {{ resolve: (value: any) => void, reject: (error: Error) => void, onEvent: (event: any) => void }} Call */

/** A frame of its own for each sandbox: an origin that nothing else has. */
export class FrameLink {
  #element;
  #port;
  #lastId = 0;
  /** @type {Map<number, Call>} */
  #calls = new Map();
  #closed = false;
  #onProgress;

  /**
   * @param {HTMLIFrameElement} element @param {MessagePort} port
   * @param {(progress: Progress) => void} [onProgress]
   */
  constructor(element, port, onProgress) {
    this.#element = element;
    this.#port = port;
    this.#onProgress = onProgress;
    port.onmessage = ({ data }) => this.#message(data);
  }

  /**
   * @param {import('./index.js').SandboxOptions & import('./index.js').ServerOptions} options
   * @returns {Promise<FrameLink>} once Python has started
   */
  static async open({ assets, onProgress, signal, dependencies, packageMirrors, returnMode, persistent, limits }) {
    signal?.throwIfAborted();
    const folder = folderOf(assets);
    const files = loadAssets(folder, onProgress);
    files.catch(() => {});
    const element = document.createElement('iframe');
    // **Boundary.** Without `allow-same-origin` the frame has an origin of its own: it has nothing of this page's, and
    // cannot reach into it. Its document brings the policy that cuts its network.
    element.setAttribute('sandbox', 'allow-scripts');
    element.allow = 'cross-origin-isolated';
    element.referrerPolicy = 'no-referrer';
    element.title = 'Python sandbox';
    element.hidden = true;
    element.src = frameAddress(folder);
    const { port1, port2 } = new MessageChannel();
    const link = new FrameLink(element, port1, onProgress);
    try {
      await loaded(element);
      await link.#hello(port2);
      await link.call('boot', [
        await files,
        { dependencies, packageMirrors: mirrors(packageMirrors, folder), returnMode, persistent, ...limits },
      ]);
      signal?.throwIfAborted();
    } catch (error) {
      link.close();
      throw error;
    }
    return link;
  }

  /** Hands the frame its end of the port. @param {MessagePort} port */
  async #hello(port) {
    const { src, contentWindow } = this.#element;
    const why = `the sandbox's frame does not answer: is ${src} served, and without a content security policy of the page's?`;
    const timer = setTimeout(() => this.#calls.get(HELLO)?.reject(new Error(why)), HELLO_LIMIT);
    try {
      await new Promise((resolve, reject) => {
        this.#calls.set(HELLO, { resolve, reject, onEvent: () => {} });
        // An opaque origin has no name that could be given here. The document is the one that was just loaded.
        contentWindow?.postMessage('python-sandbox', '*', [port]);
      });
    } finally {
      clearTimeout(timer);
    }
  }

  /**
   * Calls a function of frame.js.
   * @param {string} method @param {unknown[]} args @param {(event: any) => void} [onEvent]
   * @returns {Promise<any>}
   */
  call(method, args = [], onEvent = () => {}) {
    if (this.#closed) return Promise.reject(new Error('the sandbox is closed'));
    const id = ++this.#lastId;
    return new Promise((resolve, reject) => {
      this.#calls.set(id, { resolve, reject, onEvent });
      this.#port.postMessage({ type: 'call', id, method, args });
    });
  }

  /** The client's end of a new connection to the MCP server: JSON texts. */
  connect() {
    const { port1, port2 } = new MessageChannel();
    this.#port.postMessage({ type: 'connect', port: port2 }, [port2]);
    return port1;
  }

  /** Ends everything in the frame, and gives its memory back. */
  close() {
    if (this.#closed) return;
    this.#closed = true;
    this.#port.close();
    this.#element.remove();
    for (const { reject } of this.#calls.values()) reject(new Error('the sandbox was closed'));
    this.#calls.clear();
  }

  /** @param {any} message */
  #message(message) {
    const call = this.#calls.get(message?.id);
    switch (message?.type) {
      case 'event':
        call?.onEvent(message.event);
        return;
      case 'result':
        this.#calls.delete(message.id);
        call?.resolve(message.value);
        return;
      case 'error':
        this.#calls.delete(message.id);
        call?.reject(new Error(String(message.message)));
        return;
      case 'ask':
        void this.#answer(message);
    }
  }

  /** Does for the frame what it cannot. @param {{ id: number, method: string, args: any[] }} message */
  async #answer({ id, method, args }) {
    const tasks = /** @type {Record<string, (...args: any[]) => Promise<unknown>>} */ ({
      fetch: (/** @type {string} */ url, /** @type {Limits} */ limits) =>
        fetchFile(url, limits, (loaded, total) =>
          this.#onProgress?.({ phase: 'packages', message: `Loading ${nameOf(url)}`, loaded, total }),
        ),
      findSnapshot,
      keepSnapshot,
    });
    try {
      const value = await tasks[method](...args);
      this.#port.postMessage({ type: 'answer', id, value }, value instanceof Uint8Array ? [value.buffer] : []);
    } catch (error) {
      const { message, name, status } = /** @type {any} */ (error);
      this.#port.postMessage({ type: 'answer', id, error: { message, name, status } });
    }
  }
}

/**
 * The folders where wheels are looked for: that of the page's own server first.
 * @param {string[] | undefined} further @param {URL} folder where the page's files are
 */
function mirrors(further = [], folder) {
  return [new URL('../packages/', folder), ...further.map((mirror) => new URL(mirror, document.baseURI))].map(String);
}

/** @param {HTMLIFrameElement} element */
function loaded(element) {
  return new Promise((resolve, reject) => {
    const late = () => reject(new Error(`the sandbox's frame did not load: ${element.src}`));
    const timer = setTimeout(late, LOAD_LIMIT);
    element.onload = () => {
      clearTimeout(timer);
      resolve(undefined);
    };
    (document.body ?? document.documentElement).append(element);
  });
}

/** @param {string} url */
function nameOf(url) {
  return decodeURIComponent(new URL(url, document.baseURI).pathname.split('/').filter(Boolean).at(-1) ?? url);
}

/**
 * A file of a package, without anything of the user's. The core, which knows its sha256, checks it.
 * @param {string} url @param {Limits} limits @param {(loaded: number, total: number) => void} onProgress
 * @returns {Promise<Uint8Array<ArrayBuffer>>}
 */
async function fetchFile(url, { accept, maxBytes, milliseconds }, onProgress) {
  const response = await fetch(url, {
    credentials: 'omit',
    referrerPolicy: 'no-referrer',
    headers: accept ? { accept } : {},
    signal: AbortSignal.timeout(milliseconds),
  });
  if (!response.ok || !response.body)
    throw Object.assign(new Error(`HTTP ${response.status}`), { status: response.status });
  const total = Number(response.headers.get('content-length') ?? 0);
  const reader = response.body.getReader();
  /** @type {Uint8Array[]} */
  const parts = [];
  let size = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    size += value.length;
    if (size > maxBytes) {
      void reader.cancel();
      throw new RangeError(`it has more than ${maxBytes} bytes`);
    }
    parts.push(value);
    onProgress(size, total);
  }
  const bytes = new Uint8Array(size);
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}
