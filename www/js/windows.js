// Serves MCP to other windows by `postMessage`, and limits their origins, their number, and the calls of each origin.
import { idOfCall, isRpc, parseError, refusal, text } from './rpc.js';

/** The most windows that are served at a time. */
const MAX_WINDOWS = 32;

/** The most calls of one origin that may wait for answers: half of the runs that a page has (`RUNS_LIMIT_EACH`). */
const MAX_WAITING = 16;

/** Returns the frame, or a new one if that was lost. @typedef {import('./mcp.js').Links} Links */

/** @param {Links} links @param {string[]} origins */
export function listenToWindows(links, origins) {
  if (!origins?.length || !origins.every(isOrigin)) {
    throw new TypeError('listenToWindows: name the origins that are served, such as https://example.com');
  }
  /** Clients by window; the one that has been silent for the longest is the first. @type {Map<MessageEventSource, Client>} */
  const clients = new Map();
  /** @param {MessageEvent} event */
  const receive = ({ source, origin, data }) => {
    // **Boundary.** Anyone who has a handle of this window can send it messages: only those of the named origins are
    // heard, and an answer goes only to a document of the same origin.
    if (!source || !origins.includes(origin) || !isRpc(data)) return;
    let client = clients.get(source);
    if (client?.origin !== origin) {
      client?.end();
      clients.delete(source);
      if (clients.size >= MAX_WINDOWS) makeRoom(clients);
      client = new Client(links, source, origin);
    }
    clients.delete(source);
    clients.set(source, client);
    const waiting = [...clients.values()].reduce((sum, one) => sum + (one.origin === origin ? one.waiting.size : 0), 0);
    const id = idOfCall(data);
    if (id !== undefined && waiting >= MAX_WAITING) {
      const why = `busy: ${waiting} calls of ${origin} wait for their answers, and at most ${MAX_WAITING} may`;
      return client.answer(refusal(id, why));
    }
    client.say(data, id);
  };
  addEventListener('message', receive);
  return () => {
    removeEventListener('message', receive);
    for (const client of clients.values()) client.end('the server has stopped');
    clients.clear();
  };
}

/**
 * Ends the connection of one window: of a closed one, or else, of the origin with the most windows, the one that has been
 * silent for the longest. So many windows of one origin do not crowd out the others.
 * @param {Map<MessageEventSource, Client>} clients
 */
function makeRoom(clients) {
  /** @type {Map<string, number>} */
  const counts = new Map();
  for (const { origin } of clients.values()) counts.set(origin, (counts.get(origin) ?? 0) + 1);
  const most = Math.max(...counts.values());
  const all = [...clients];
  const [source, client] =
    all.find(([source]) => /** @type {Window} */ (source).closed) ??
    /** @type {[MessageEventSource, Client]} */ (all.find(([, { origin }]) => counts.get(origin) === most));
  client.end(`too many windows: at most ${MAX_WINDOWS} are served at a time`);
  clients.delete(source);
}

/** A connection for one window. If its frame was lost, its next message opens a new one. */
class Client {
  #links;
  #source;
  /** @type {MessagePort | null} */
  #server = null;
  #ended = false;
  /** Messages keep their order while a frame is being made. */
  #before = Promise.resolve();
  /** The ids of calls without an answer. @type {Set<string | number>} */
  waiting = new Set();
  origin;

  /** @param {Links} links @param {MessageEventSource} source @param {string} origin */
  constructor(links, source, origin) {
    this.#links = links;
    this.#source = source;
    this.origin = origin;
  }

  /** @param {unknown} message */
  answer(message) {
    this.#source.postMessage(message, { targetOrigin: this.origin });
  }

  /** @param {unknown} message @param {string | number} [id] of a call */
  say(message, id) {
    let json = '';
    try {
      json = text(message);
    } catch (error) {
      return this.answer(parseError(error, id));
    }
    if (id !== undefined) this.waiting.add(id);
    this.#before = this.#before.then(async () => {
      if (this.#ended) return;
      try {
        this.#server ??= await this.#connect();
        this.#server.postMessage(json);
      } catch (error) {
        this.#refuse(String(/** @type {any} */ (error)?.message ?? error));
      }
    });
  }

  /** Ends it. @param {string} [why] what calls that wait are told; without it, the window is no longer theirs */
  end(why) {
    this.#ended = true;
    if (why) this.#refuse(why);
    void this.#before.then(() => this.#server?.postMessage(null));
  }

  async #connect() {
    const link = await this.#links();
    const port = link.connect();
    port.onmessage = ({ data }) => {
      if (data === null || this.#ended) return;
      const answer = JSON.parse(data);
      this.answer(answer);
      if (answer.method) return;
      if ((answer.id ?? null) !== null) return void this.waiting.delete(answer.id);
      // A message could not be read, and which waiting call it was is not known: the window gets a new connection.
      port.postMessage(null);
      lost('the connection was ended, as it carried what could not be read');
    };
    const lost = (/** @type {string} */ why) => {
      port.close();
      if (this.#server !== port) return;
      this.#server = null;
      this.#refuse(why);
    };
    link.onOver((why) => lost(why.message));
    return port;
  }

  /** Tells all waiting calls that there will be no answer. @param {string} why */
  #refuse(why) {
    for (const id of this.waiting) this.answer(refusal(id, why));
    this.waiting.clear();
  }
}

/** Whether it is an origin as a browser writes it, and not an opaque one, which many share. @param {unknown} origin */
function isOrigin(origin) {
  return typeof origin === 'string' && URL.canParse(origin) && new URL(origin).origin === origin;
}
