// The MCP server of a page, and the transports to it. A connection is a port of the frame that carries JSON texts.
import { FrameLink } from './frame-link.js';

/** The most windows that are served at a time. */
const MAX_WINDOWS = 32;

/** @typedef {import('./index.js').Transport} Transport */

/** Gives a frame, a new one if that before was lost. @typedef {() => Promise<FrameLink>} Links */

/** @type {typeof import('./index.js').pythonServer} */
export async function pythonServer(options = {}) {
  const closing = new AbortController();
  const signal = AbortSignal.any([closing.signal, ...(options.signal ? [options.signal] : [])]);
  const open = () => FrameLink.open({ ...options, signal });
  let link = await open();
  let opening = Promise.resolve(link);
  const close = () => {
    closing.abort(new Error('the sandbox was closed'));
    link.close();
  };
  options.signal?.addEventListener('abort', close, { once: true });
  const links = async () => {
    link = await opening;
    if (!link.closed) return link;
    signal.throwIfAborted();
    const next = open();
    // What failed is tried again by the next who asks.
    next.catch(() => {
      opening = Promise.resolve(link);
    });
    opening = next;
    link = await next;
    return link;
  };
  return {
    transport: () => new PortTransport(links),
    listen: (port) => bridge(port, links),
    listenToWindows: ({ origins }) => listenToWindows(links, origins),
    close,
    [Symbol.dispose]: close,
  };
}

/** The client's side of a connection. @implements {Transport} */
class PortTransport {
  #links;
  /** @type {MessagePort | undefined} */
  #port;
  #closedAlready = false;
  /** @type {Transport['onmessage']} */
  onmessage;
  /** @type {Transport['onclose']} */
  onclose;
  /** @type {Transport['onerror']} */
  onerror;

  /** @param {Links} links */
  constructor(links) {
    this.#links = links;
  }

  async start() {
    const link = await this.#links();
    const port = link.connect();
    this.#port = port;
    port.onmessage = ({ data }) => {
      if (data === null) return void this.#closed();
      try {
        this.onmessage?.(JSON.parse(data));
      } catch (error) {
        this.onerror?.(/** @type {Error} */ (error));
      }
    };
    // Whoever waits for an answer is told that there will be none.
    link.onOver((why) => {
      if (!this.#closedAlready) this.onerror?.(why);
      this.#closed();
    });
  }

  /** @param {object} message */
  async send(message) {
    if (!this.#port || this.#closedAlready) throw new Error('the connection is closed');
    this.#port.postMessage(JSON.stringify(message));
  }

  async close() {
    // A port that is closed is not told of at its other end by every browser.
    this.#port?.postMessage(null);
    this.#closed();
  }

  #closed() {
    if (this.#closedAlready) return;
    this.#closedAlready = true;
    this.#port?.close();
    this.onclose?.();
  }
}

/** What is said to a message that is no JSON (JSON-RPC 2.0, section 5.1). @param {unknown} error */
function parseError(error) {
  const message = `Parse error: ${error instanceof Error ? error.message : 'it is no message'}`;
  return { jsonrpc: '2.0', id: null, error: { code: -32700, message } };
}

/** Joins a client's port to one of the frame. @param {MessagePort} client @param {Links} links */
async function bridge(client, links) {
  try {
    const link = await links();
    const server = link.connect();
    server.onmessage = ({ data }) => {
      if (data !== null) client.postMessage(JSON.parse(data));
    };
    client.onmessage = ({ data }) => {
      try {
        server.postMessage(text(data));
      } catch (error) {
        client.postMessage(parseError(error));
      }
    };
    client.addEventListener('close', () => server.postMessage(null));
    link.onOver(() => client.close());
  } catch {
    // There is no frame to be had: the client sees its port close.
    client.close();
  }
}

/**
 * A message as JSON: clients send either that, or the object.
 *
 * **Boundary.** What a client sends may be anything that can be cloned: what JSON cannot carry throws here, and is
 * answered; what it says is decoded, and bounded, in the frame.
 * @param {unknown} data
 * @returns {string}
 */
function text(data) {
  const json = typeof data === 'string' ? data : JSON.stringify(data);
  if (json === undefined) throw new TypeError('it is no message');
  return json;
}

/** @param {Links} links @param {string[]} origins */
function listenToWindows(links, origins) {
  if (!origins?.length || origins.includes('*') || origins.includes('null')) {
    throw new TypeError('listenToWindows: name the origins that are served, such as https://example.com');
  }
  /** @typedef {{ origin: string, end: () => void, say: (message: unknown) => void }} Client */
  /** @type {Map<MessageEventSource, Client>} */
  const clients = new Map();
  /** @param {MessageEvent} event */
  const receive = ({ source, origin, data }) => {
    // **Boundary.** Whoever has this window's name can send it messages: only those of the origins named are heard,
    // and an answer goes to no document but that of the same origin.
    if (!source || !origins.includes(origin) || !isRpc(data)) return;
    let client = clients.get(source);
    if (client?.origin !== origin) {
      client?.end();
      if (!client && clients.size >= MAX_WINDOWS) {
        // The one that has been silent for the longest has had its time.
        const [[oldest, silent]] = clients;
        silent.end();
        clients.delete(oldest);
      }
      client = serveWindow(links, (answer) => source.postMessage(answer, { targetOrigin: origin }), origin);
    }
    clients.delete(source);
    clients.set(source, client);
    client.say(data);
  };
  addEventListener('message', receive);
  return () => {
    removeEventListener('message', receive);
    for (const { end } of clients.values()) end();
    clients.clear();
  };
}

/**
 * A connection for one window. A frame that was lost is replaced by its next message.
 * @param {Links} links @param {(answer: unknown) => void} answer @param {string} origin
 */
function serveWindow(links, answer, origin) {
  /** @type {MessagePort | null} */
  let server = null;
  let ended = false;
  // Messages keep their order while a frame is being made.
  let before = Promise.resolve();
  const connect = async () => {
    const link = await links();
    const port = link.connect();
    port.onmessage = ({ data }) => {
      if (data !== null) answer(JSON.parse(data));
    };
    link.onOver(() => {
      port.close();
      if (server === port) server = null;
    });
    return port;
  };
  return {
    origin,
    /** @param {unknown} message */
    say(message) {
      before = before.then(async () => {
        if (ended) return;
        try {
          const json = text(message);
          server ??= await connect();
          server.postMessage(json);
        } catch (error) {
          answer(parseError(error));
        }
      });
    },
    end() {
      ended = true;
      void before.then(() => server?.postMessage(null));
    },
  };
}

/** Windows hear much that is not for them. @param {any} data */
function isRpc(data) {
  return typeof data === 'object' && data !== null && data.jsonrpc === '2.0';
}

/** @type {typeof import('./index.js').windowTransport} */
export function windowTransport(target, origin) {
  if (!origin || origin === '*') throw new TypeError('windowTransport: name the origin of the window that serves');
  /** @type {Transport} */
  const transport = {
    async start() {
      addEventListener('message', receive);
    },
    async send(message) {
      target.postMessage(message, origin);
    },
    async close() {
      removeEventListener('message', receive);
      transport.onclose?.();
    },
  };
  /** @param {MessageEvent} event */
  const receive = ({ source, origin: from, data }) => {
    if (source === target && from === origin && isRpc(data)) transport.onmessage?.(data);
  };
  return transport;
}
