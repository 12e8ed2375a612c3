// The MCP server of a page, and the transports to it. A connection is a port of the frame that carries JSON texts.
import { FrameLink } from './frame-link.js';

/** The most windows that are served at a time. */
const MAX_WINDOWS = 32;

/** @typedef {import('./index.js').Transport} Transport */

/** @type {typeof import('./index.js').pythonServer} */
export async function pythonServer(options = {}) {
  const link = await FrameLink.open(options);
  const close = () => link.close();
  options.signal?.addEventListener('abort', close, { once: true });
  return {
    transport: () => new PortTransport(link.connect()),
    listen: (port) => bridge(port, link.connect()),
    listenToWindows: ({ origins }) => listenToWindows(link, origins),
    close,
    [Symbol.dispose]: close,
  };
}

/** The client's side of a connection. @implements {Transport} */
class PortTransport {
  #port;
  /** @type {Transport['onmessage']} */
  onmessage;
  /** @type {Transport['onclose']} */
  onclose;
  /** @type {Transport['onerror']} */
  onerror;

  /** @param {MessagePort} port */
  constructor(port) {
    this.#port = port;
  }

  async start() {
    this.#port.onmessage = ({ data }) => {
      if (data === null) return void this.#closed();
      try {
        this.onmessage?.(JSON.parse(data));
      } catch (error) {
        this.onerror?.(/** @type {Error} */ (error));
      }
    };
  }

  /** @param {object} message */
  async send(message) {
    this.#port.postMessage(JSON.stringify(message));
  }

  async close() {
    // A port that is closed is not told of at its other end by every browser.
    this.#port.postMessage(null);
    this.#closed();
  }

  #closed() {
    this.#port.close();
    this.onclose?.();
  }
}

/** Joins a client's port to one of the frame. @param {MessagePort} client @param {MessagePort} server */
function bridge(client, server) {
  client.onmessage = ({ data }) => server.postMessage(text(data));
  server.onmessage = ({ data }) => {
    if (data !== null) client.postMessage(JSON.parse(data));
  };
  client.addEventListener('close', () => server.postMessage(null));
}

/** A message as JSON: clients send either that, or the object. @param {unknown} data */
function text(data) {
  return typeof data === 'string' ? data : JSON.stringify(data);
}

/** @param {FrameLink} link @param {string[]} origins */
function listenToWindows(link, origins) {
  if (!origins?.length || origins.includes('*') || origins.includes('null')) {
    throw new TypeError('listenToWindows: name the origins that are served, such as https://example.com');
  }
  /** @type {Map<MessageEventSource, { origin: string, server: MessagePort }>} */
  const clients = new Map();
  /** @param {MessageEvent} event */
  const receive = ({ source, origin, data }) => {
    // **Boundary.** Whoever has this window's name can send it messages: only those of the origins named are heard,
    // and an answer goes to no document but that of the same origin.
    if (!source || !origins.includes(origin) || !isRpc(data)) return;
    let client = clients.get(source);
    if (!client || client.origin !== origin) {
      client?.server.postMessage(null);
      if (clients.size >= MAX_WINDOWS) {
        // The one that has been silent for the longest has had its time.
        const [oldest] = clients;
        oldest[1].server.postMessage(null);
        clients.delete(oldest[0]);
      }
      const server = link.connect();
      server.onmessage = ({ data: answer }) => {
        if (answer !== null) source.postMessage(JSON.parse(answer), { targetOrigin: origin });
      };
      client = { origin, server };
    }
    clients.delete(source);
    clients.set(source, client);
    client.server.postMessage(text(data));
  };
  addEventListener('message', receive);
  return () => {
    removeEventListener('message', receive);
    for (const { server } of clients.values()) server.postMessage(null);
    clients.clear();
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
