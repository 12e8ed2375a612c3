// The MCP server of a page, and the transports to it. A connection is a port of the frame that carries JSON texts.
import { FrameLink } from './frame-link.js';
import { idOfCall, isRpc, parseError, text } from './rpc.js';
import { listenToWindows } from './windows.js';

/** @typedef {import('./index.js').Transport} Transport */

/** Returns the frame, or a new one if that was lost. @typedef {() => Promise<FrameLink>} Links */

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
    // A failed start is tried again by the next request.
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
    // Tells requests that wait for an answer that there will be none.
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
    // Not every browser tells the other end of a port that it was closed.
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
        client.postMessage(parseError(error, isRpc(data) ? idOfCall(data) : null));
      }
    };
    client.addEventListener('close', () => server.postMessage(null));
    link.onOver(() => client.close());
  } catch {
    // No frame can be opened: the client sees its port close.
    client.close();
  }
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
