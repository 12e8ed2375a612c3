// Drives the program over its stdin and stdout: an MCP client with only what the library needs.
import { spawn } from 'node:child_process';
import { program } from './program.js';
import { parse, stringify } from './values.js';

/** Begins the URIs of files in results. */
const PLACE = 'sandbox:///';

/** The request to stop all runs of this client; its answer tells whether there was one. */
const INTERRUPT = { jsonrpc: '2.0', id: 'interrupt', method: 'interrupt' };

/** @typedef {import('../core/sandbox.js').Listeners} Listeners */
/** @typedef {{ resolve: (message: any) => void, reject: (error: Error) => void, listeners?: Listeners, exact?: boolean }} Waiting */

export class Client {
  #child;
  #id = 0;
  /** @type {Map<number | string, Waiting>} */
  #waiting = new Map();
  #said = '';
  #closed = false;

  /** @param {string[]} args */
  constructor(args) {
    const { file, env } = program();
    this.#child = spawn(file, [...args, 'stdio'], {
      stdio: ['pipe', 'pipe', 'pipe'],
      env: { ...process.env, ...env, MCP_RUN_PYTHON_LIBRARY: '1' },
    });
    this.#child.stdin.on('error', () => {});
    this.#child.stderr.on('data', (data) => {
      this.#said = (this.#said + data).slice(-4000);
    });
    this.#lines();
    this.#child.on('error', (error) => this.#end(error.message));
    this.#child.on('close', () => {
      const why = this.#said.match(/error: (.*)\s*$/s)?.[1].trim();
      this.#end(this.#closed ? 'the sandbox is closed' : (why ?? 'mcp-run-python ended'));
    });
  }

  async #lines() {
    /** @type {Buffer[]} */
    let held = [];
    try {
      for await (const chunk of this.#child.stdout) {
        let start = 0;
        for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, start)) {
          held.push(chunk.subarray(start, end));
          this.#hear(String(Buffer.concat(held)));
          held = [];
          start = end + 1;
        }
        held.push(chunk.subarray(start));
      }
    } catch {
      // The event `close` reports the end.
    }
  }

  /** @param {string} text */
  #hear(text) {
    const exact = [...this.#waiting.values()].some((waiting) => waiting.exact);
    const message = parse(text, exact);
    if (message.id !== undefined) {
      this.#waiting.get(message.id)?.resolve(message);
      this.#waiting.delete(message.id);
      return;
    }
    const { level, logger, data } = message.params ?? {};
    if (message.method !== 'notifications/message' || typeof data !== 'string') return;
    for (const { listeners } of this.#waiting.values()) {
      // A message with a logger is not output: it reports the installation of packages.
      if (logger !== undefined) listeners?.progress({ phase: 'packages', message: data, loaded: 0, total: 0 });
      else if (level === 'info') listeners?.output({ stream: 'stdout', text: data });
      else if (level === 'warning') listeners?.output({ stream: 'stderr', text: data });
    }
  }

  /** @param {string} why */
  #end(why) {
    for (const { reject } of this.#waiting.values()) reject(new Error(why));
    this.#waiting.clear();
    this.#closed = true;
  }

  /** @param {object} message */
  #send(message) {
    this.#child.stdin.write(`${stringify(message)}\n`);
  }

  /**
   * @param {string} method @param {object} params
   * @param {{ listeners?: Listeners, exact?: boolean, signal?: AbortSignal }} [options]
   * @returns {Promise<any>} the result
   */
  async request(method, params, { signal, ...options } = {}) {
    if (this.#closed) throw new Error('the sandbox is closed');
    signal?.throwIfAborted();
    const id = ++this.#id;
    const message = stringify({ jsonrpc: '2.0', id, method, params });
    const answered = new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject, ...options });
      signal?.addEventListener('abort', () => {
        this.#waiting.delete(id);
        this.#send({ jsonrpc: '2.0', method: 'notifications/cancelled', params: { requestId: id } });
        reject(signal.reason);
      });
    });
    this.#child.stdin.write(`${message}\n`);
    const { result, error } = await answered;
    if (error) throw new Error(error.message);
    return result;
  }

  /** Stops the current runs: each gives its result. @returns {Promise<boolean>} whether there was one */
  async interrupt() {
    const answered = new Promise((resolve, reject) => this.#waiting.set(INTERRUPT.id, { resolve, reject }));
    this.#send(INTERRUPT);
    return (await answered).result.interrupted;
  }

  /**
   * Runs code; see `EvalResult`.
   * @param {Record<string, unknown>} args of the tool
   * @param {{ listeners: Listeners, exact: boolean, signal: AbortSignal }} options
   */
  async run(args, options) {
    const { structuredContent, content } = await this.request(
      'tools/call',
      // No model reads the result: it comes whole.
      { name: 'run_python_code', arguments: args, _meta: { 'mcp-run-python/whole-result': true } },
      options,
    );
    for (const file of structuredContent.files ?? []) Object.assign(file, contentOf(file, content));
    // Images that are files have `_meta`.
    const figures = content.filter((/** @type {any} */ { type, _meta }) => type === 'image' && _meta === undefined);
    const images = figures.map((/** @type {any} */ { mimeType, data }) => ({ mimeType, data }));
    return { ...structuredContent, images };
  }

  /** Some bytes of a file; see `Backend.read`. @param {string} uri @param {number} at */
  async read(uri, at) {
    const { contents } = await this.request('resources/read', { uri, _meta: { 'mcp-run-python/at': at } });
    return { base64: contents[0].blob, size: contents[0]._meta['mcp-run-python/size'] };
  }

  close() {
    this.#closed = true;
    this.#child.stdin.destroy();
    this.#child.kill('SIGTERM');
    this.#end('the sandbox is closed');
  }
}

/**
 * The content of a file, if one of these blocks has it.
 * @param {{ path: string }} file @param {any[]} content
 */
function contentOf({ path }, content) {
  for (const { type, data, resource, _meta } of content) {
    if (type === 'image' && _meta?.path === path) return { base64: data };
    if (resource?.uri.startsWith(PLACE) && decodeURIComponent(resource.uri.slice(PLACE.length)) === path)
      return resource.text === undefined ? { base64: resource.blob } : { content: resource.text };
  }
  return {};
}
