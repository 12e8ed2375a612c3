// Starts a worker for a test file; clients so thin that a test sees every byte of the protocol.
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

const START = 180_000;
export const MODERN = '2026-07-28';
export const LEGACY = '2025-11-25';

/** @returns {Promise<number>} */
function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer().on('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      const port = typeof address === 'object' && address ? address.port : 0;
      server.close(() => resolve(port));
    });
  });
}

/**
 * Starts the worker with the tools of tests.
 * @param {Record<string, string>} [vars] settings of wrangler.jsonc
 * @param {string} [state] the folder where sessions are kept; by default a new one, without another worker's sessions
 */
export async function startWorker(vars = {}, state) {
  const settings = Object.entries(vars).flatMap(([name, value]) => ['--var', `${name}=${value}`]);
  const port = await freePort();
  const folder = state ?? mkdtempSync(join(tmpdir(), 'worker-'));
  const args = ['dev', '--testing', '--port', String(port), ...settings, '--state', folder];
  const child = spawn(process.env.XTASK ?? '', args, { stdio: ['ignore', 'pipe', 'pipe'] });
  const ended = new Promise((resolve) => child.on('exit', resolve));
  let said = '';
  child.stderr.on('data', (data) => {
    said += data;
  });
  /** @type {string} */
  const url = await new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`not ready in time:\n${said}`)), START);
    ended.then(() => {
      clearTimeout(timer);
      reject(new Error(`it ended:\n${said}`));
    });
    createInterface(child.stdout).on('line', (line) => {
      const ready = line.match(/^Ready on (\S+)/);
      if (!ready) return;
      clearTimeout(timer);
      resolve(ready[1]);
    });
  });
  return {
    url,
    pid: child.pid,
    /** Everything that it has written to stderr. */
    said: () => said,
    async stop() {
      child.kill('SIGTERM');
      await ended;
      if (!state) rmSync(folder, { recursive: true, force: true });
    },
  };
}

/**
 * A worker with default settings, for tests that leave it unchanged: the suite's own, or else a new one.
 * @returns {Promise<{ url: string, stop: () => Promise<void> }>}
 */
export async function sharedWorker() {
  const url = process.env.WORKER_URL;
  return url ? { url, stop: async () => {} } : startWorker();
}

/** @typedef {{ code: number, message: string, data?: any }} RpcError */
/** @typedef {{ method: string, params: any }} Notification */
/**
 * @typedef {object} Answer
 * @property {number} status
 * @property {Headers} headers
 * @property {any} result
 * @property {RpcError} error
 * @property {Notification[]} notifications
 * @property {string} text the whole body
 */

/**
 * Posts a body.
 * @param {string} url
 * @param {unknown} body sent as it is if it is text or bytes, else as JSON
 * @param {Record<string, string | undefined>} [headers] `undefined`: without that header
 * @param {AbortSignal} [signal]
 */
export function post(url, body, headers = {}, signal) {
  /** @type {Record<string, string | undefined>} */
  const all = { 'content-type': 'application/json', accept: 'application/json, text/event-stream', ...headers };
  for (const [name, value] of Object.entries(all)) if (value === undefined) delete all[name];
  const sent = typeof body === 'string' || body instanceof Uint8Array ? body : JSON.stringify(body);
  return fetch(url, { method: 'POST', headers: /** @type {any} */ (all), body: /** @type {any} */ (sent), signal });
}

/**
 * Yields the messages of a response as they arrive.
 * @param {Response} response
 */
export async function* messages(response) {
  const stream = response.headers.get('content-type')?.startsWith('text/event-stream');
  if (!stream) {
    const text = await response.text();
    if (text) yield JSON.parse(text);
    return;
  }
  let rest = '';
  const decoder = new TextDecoder();
  for await (const chunk of response.body ?? []) {
    rest += decoder.decode(chunk, { stream: true });
    const events = rest.split('\n\n');
    rest = events.pop() ?? '';
    for (const event of events) {
      const data = event
        .split('\n')
        .filter((line) => line.startsWith('data:'))
        .map((line) => line.slice(5).trim())
        .join('\n');
      if (data) yield JSON.parse(data);
    }
  }
}

/** @param {Response} response @returns {Promise<Answer>} */
export async function answer(response) {
  const copy = response.clone();
  /** @type {any} */
  const found = { status: response.status, headers: response.headers, text: '', notifications: [] };
  if (/json|event-stream/.test(response.headers.get('content-type') ?? '')) {
    for await (const message of messages(response)) {
      if (message.method) found.notifications.push(message);
      else Object.assign(found, { result: message.result, error: message.error });
    }
  }
  return { ...found, text: await copy.text() };
}

/** `_meta` of a modern request. @param {Record<string, unknown>} [more] */
export const meta = (more) => ({
  'io.modelcontextprotocol/protocolVersion': MODERN,
  'io.modelcontextprotocol/clientInfo': { name: 'tests', version: '1' },
  'io.modelcontextprotocol/clientCapabilities': {},
  ...more,
});

/** Headers of a modern request. @param {string} method @param {string} [name] */
export const modernHeaders = (method, name) => ({
  'mcp-protocol-version': MODERN,
  'mcp-method': method,
  ...(name && { 'mcp-name': name }),
});

/**
 * Makes a modern request.
 * @param {string} url
 * @param {string} method
 * @param {Record<string, any>} [params]
 * @param {AbortSignal} [signal]
 */
export function modern(url, method, params = {}, signal) {
  const body = { jsonrpc: '2.0', id: 1, method, params: { _meta: meta(), ...params } };
  return post(url, body, modernHeaders(method, params.name), signal);
}

/**
 * Runs code in a modern request; returns its structured content.
 * @param {string} url
 * @param {string} code
 * @param {Record<string, unknown>} [args] more arguments
 * @returns {Promise<any>}
 */
export async function run(url, code, args = {}) {
  const response = await modern(url, 'tools/call', {
    name: 'run_python_code',
    arguments: { python_code: code, ...args },
  });
  const { result, error, text } = await answer(response);
  assert.ok(result, error?.message ?? text);
  return result.structuredContent;
}

/** A session of the legacy eras. */
export class LegacyClient {
  #id = 1;

  /** @param {string} url @param {string | null} session @param {string} version @param {Record<string, string>} [more] headers */
  constructor(url, session, version, more = {}) {
    this.url = url;
    this.session = session;
    this.version = version;
    this.more = more;
  }

  /** @param {string} url @param {string} [version] @param {Record<string, string>} [more] headers */
  static async connect(url, version = LEGACY, more = {}) {
    const params = { protocolVersion: version, capabilities: {}, clientInfo: { name: 'tests', version: '1' } };
    const response = await post(url, { jsonrpc: '2.0', id: 0, method: 'initialize', params }, more);
    const { result, text } = await answer(response);
    assert.equal(result?.protocolVersion, version, text);
    const client = new LegacyClient(url, response.headers.get('mcp-session-id'), version, more);
    await client.send({ method: 'notifications/initialized' });
    return client;
  }

  get headers() {
    return {
      'mcp-protocol-version': this.version,
      ...(this.session && { 'mcp-session-id': this.session }),
      ...this.more,
    };
  }

  /** @param {object} message @param {AbortSignal} [signal] */
  send(message, signal) {
    return post(this.url, { jsonrpc: '2.0', ...message }, this.headers, signal);
  }

  /** @param {string} method @param {object} [params] @param {AbortSignal} [signal] */
  request(method, params = {}, signal) {
    return this.send({ id: ++this.#id, method, params }, signal);
  }

  /** @param {string} code @param {Record<string, unknown>} [args] @returns {Promise<any>} */
  async run(code, args = {}) {
    const params = { name: 'run_python_code', arguments: { python_code: code, ...args } };
    const { result, error, text } = await answer(await this.request('tools/call', params));
    assert.ok(result, error?.message ?? text);
    return result.structuredContent;
  }
}

/** @param {number} ms */
export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** How long `work` takes, in milliseconds. @param {() => Promise<unknown>} work */
export async function timed(work) {
  const start = performance.now();
  await work();
  return performance.now() - start;
}

/** @param {number[]} times */
export const median = (times) => times.toSorted((a, b) => a - b)[times.length >> 1];

/** Memory of the largest workerd below a process, in MB. @param {number | undefined} pid */
export function residentMemory(pid) {
  const lines = execFileSync('ps', ['-A', '-o', 'pid=,ppid=,rss=,comm=']).toString().trim().split('\n');
  const all = lines.map((line) => line.trim().split(/\s+/));
  const below = new Set([String(pid)]);
  // Repeated, as a child may be listed before its parent.
  for (let n = 0; n < 5; n++) for (const [child, parent] of all) if (below.has(parent)) below.add(child);
  const sizes = all.filter(([child, , , name]) => below.has(child) && name.includes('workerd'));
  return Math.max(...sizes.map(([, , rss]) => Number(rss) / 1000));
}
