// The window of the sandbox's frame: the core runs here, and starts the workers in which Python runs.
//
// **Boundary.** This window has an opaque origin and a content security policy that reaches nothing. No code but this
// file's own ever runs in it. It makes the port by which it talks to its embedder, and hears nothing but that port and its
// workers'; what comes by them is checked in `messages.js` and `isolates.js`.
import init, { Core } from '#core';
import pythonSources from '#python-sources';
import { fromPage } from '../messages.js';
import { draw } from './drawings.js';
import { Sessions } from './sessions.js';

/** Slack over the time that the page has for a request, in milliseconds. */
const ANSWER_MARGIN = 10_000;

/** How long a person may take to answer, in milliseconds: longer than the core waits (`CallLimits::INPUT`). */
const INPUT_LIMIT = 660_000;

/** How long the page may take to look into its storage, in milliseconds. */
const STORE_LIMIT = 45_000;

/** The port to the page: calls come in, results and events go out. */
const { port1: page, port2: ofPage } = new MessageChannel();

/** @type {Core} */
let core;

/** @type {Sessions} */
let sessions;

/** Keys of snapshots that were kept when the page was loaded. @type {Set<string>} */
let kept = new Set();

/** The page's settings, see README. @type {{ persistent?: boolean, numbers?: 'exact' }} */
let settings;

/** Ends the current evaluation of `codeSandbox()`. @type {AbortController | undefined} */
let evaluating;

/** The session of `codeSandbox()`, if it is to keep variables. @type {string | undefined} */
let session;

page.onmessage = (/** @type {MessageEvent} */ { data }) => {
  const message = fromPage(data);
  switch (message?.type) {
    case 'ping':
      return page.postMessage({ type: 'pong' });
    case 'call':
      return void answer(message);
    case 'connect':
      return connect(message.port);
    case 'answer':
      asked.get(message.id)?.(message);
  }
};

// The embedder knows this document by the nonce that it put into its address. If the page was navigated, another document
// may get this port instead, but it belongs to a sandbox that nobody has given anything.
parent.postMessage({ sandbox: location.hash.slice(1) }, '*', [ofPage]);

/** @param {{ id: number, method: string, args: any[] }} call */
async function answer({ id, method, args }) {
  try {
    if (!Object.hasOwn(calls, method)) throw new TypeError(`the frame has no ${method}`);
    const onEvent = (/** @type {object} */ event) => page.postMessage({ type: 'event', id, event });
    const value = await /** @type {any} */ (calls)[method](...args, onEvent);
    page.postMessage({ type: 'result', id, value });
  } catch (error) {
    page.postMessage({ type: 'error', id, message: String(/** @type {any} */ (error)?.message ?? error) });
  }
}

const calls = {
  /** @param {string[]} keys of the snapshots that the page keeps */
  knowKept(keys) {
    kept = new Set(keys);
  },

  /** Starts the core. @param {Record<string, Blob>} assets as they were fetched, compressed @param {typeof settings} options */
  async boot(assets, options) {
    const [wasm, pyodide, isolate, lockFile, stdlib, snapshot] = await Promise.all([
      WebAssembly.compileStreaming(unpacked(assets['core.wasm'], 'application/wasm')),
      WebAssembly.compileStreaming(unpacked(assets['pyodide.asm.wasm'], 'application/wasm')),
      unpacked(assets['isolate.js']).text(),
      unpacked(assets['pyodide-lock.json']).text(),
      unpacked(assets['python_stdlib.zip']).blob(),
      unpacked(assets['snapshot.bin']).blob(),
    ]);
    await init({ module_or_path: wasm });
    sessions = new Sessions(
      isolate,
      { wasm: pyodide, stdlib, snapshot, pythonSources, lockFile },
      (url, limits) => askPage(limits.milliseconds + ANSWER_MARGIN, 'fetch', url, limits),
      {
        isKept: (key) => kept.has(key),
        find: (key) => askPage(STORE_LIMIT, 'findSnapshot', key),
        keep: (key, made) => askPage(STORE_LIMIT, 'keepSnapshot', key, made),
      },
    );
    settings = options;
    begin();
    sessions.prepare();
  },

  /**
   * Runs a program for `codeSandbox()`.
   * @param {string} code @param {object} globals @param {object | undefined} files @param {string | undefined} stdin
   * @param {boolean} asks whether somebody can be asked for input @param {(event: object) => void} onEvent
   */
  async eval(code, globals, files, stdin, asks, onEvent) {
    /** @param {string} stream @param {string} text */
    const onOutput = (stream, text) => onEvent({ output: { stream, text } });
    const onInstall = (/** @type {string} */ message) =>
      onEvent({ progress: { phase: 'packages', message, loaded: 0, total: 0 } });
    sessions.stdin = stdin ?? '';
    evaluating = new AbortController();
    const { signal } = evaluating;
    const { numbers } = settings;
    // Where nothing can be suspended, nobody can be asked while a program runs: it reads `stdin`.
    const onInput = asks && 'Suspending' in WebAssembly ? askPerson : undefined;
    const options = { session, numbers, files, onOutput, onInstall, onInput, signal };
    const { session: handle, ...result } = await core.eval(code, globals, options);
    session = handle;
    return result;
  },

  /** Reads some bytes of a file. @param {string} uri @param {number} at */
  read(uri, at) {
    return core.read(uri, at);
  },

  /** Draws a value. @param {Blob} drawer JavaScript, compressed @param {string} type @param {string} text */
  async draw(drawer, type, text) {
    return draw(await unpacked(drawer).text(), type, text);
  },

  interrupt() {
    // A run that has not begun, as its packages are on their way, is not run at all.
    if (!sessions.stop()) evaluating?.abort(new Error('the run was stopped before it began'));
  },

  async reset() {
    core.close();
    core.free();
    begin();
    sessions.prepare();
  },
};

function begin() {
  const { persistent, numbers: _, ...options } = settings;
  core = new Core(sessions, options);
  session = persistent ? 'new' : undefined;
}

/** Serves MCP over a port: texts, and `null` for the end. @param {MessagePort} port */
function connect(port) {
  const connection = core.connect((message) => port.postMessage(message));
  port.onmessage = ({ data }) => {
    if (typeof data === 'string') return connection.receive(data);
    connection.close();
    port.close();
  };
}

/** @typedef {{ value?: any, error?: import('../messages.js').PlainError }} Answer */
/** Open requests to the page, by id. @type {Map<number, (answer: Answer) => void>} */
const asked = new Map();
let lastAsked = 0;

/** Asks a person for a line. @param {string} prompt @param {AbortSignal} signal takes the question back */
function askPerson(prompt, signal) {
  const answer = askPage(INPUT_LIMIT, 'input', prompt);
  const id = lastAsked;
  signal.addEventListener('abort', () => {
    if (asked.has(id)) page.postMessage({ type: 'cancel', id });
    asked.get(id)?.({ error: { message: 'nobody waits for it any longer' } });
  });
  return answer;
}

/**
 * Asks the page to do something that the frame cannot.
 * @param {number} limit how long it may take, in milliseconds
 * @param {'fetch' | 'findSnapshot' | 'keepSnapshot' | 'input'} method @param {unknown[]} args
 * @returns {Promise<any>}
 */
function askPage(limit, method, ...args) {
  const id = ++lastAsked;
  page.postMessage({ type: 'ask', id, method, args });
  return new Promise((resolve, reject) => {
    const late = () => {
      asked.delete(id);
      reject(Object.assign(new Error('the page does not answer'), { name: 'TimeoutError' }));
    };
    const timer = setTimeout(late, limit);
    asked.set(id, ({ value, error }) => {
      clearTimeout(timer);
      asked.delete(id);
      if (error) reject(Object.assign(new Error(), error));
      else resolve(value);
    });
  });
}

/** @param {Blob} blob gzip @param {string} [type] */
function unpacked(blob, type = 'application/octet-stream') {
  const stream = blob.stream().pipeThrough(new DecompressionStream('gzip'));
  return new Response(stream, { headers: { 'content-type': type } });
}
