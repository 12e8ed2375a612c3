// A home as attackers and bystanders use it, here the running worker, and a listener that records everything that reaches it.
//
// The attacks (`attacks/`), and the suites that run them (`suites.mjs`), only use the interface `Home`: the desk has its own.
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { dirname, join } from 'node:path';
import { after, before } from 'node:test';
import { fileURLToPath } from 'node:url';
import { answer, meta, modernHeaders, post, startWorker } from '../edge/worker.mjs';

/**
 * The interface of a home that the attacks use.
 * @typedef {object} Home
 * @property {string} name
 * @property {string} own the address of the server itself
 * @property {{ ann: string, bob: string }} tokens of two principals
 * @property {() => string} said everything that it has logged
 * @property {(code: string, options?: RunOptions) => Promise<Ran>} run as ann, unless another token is given
 * @property {(method: string, params: object, token?: string) => Promise<{ result?: any, error?: any }>} ask sends any other request, as
 *   ann, unless another token is given
 */

/** @typedef {{ session?: string, token?: string, headers?: Record<string, string>, tool?: string, files?: object }} RunOptions */

/** @typedef {{ structured: any, text: string, messages: any[] }} Ran */

/**
 * Fills the addresses into an attack's code.
 * @param {string} code @param {{ url: string, host: string, port: number }} listener @param {string} own of the home
 */
export const aimed = (code, listener, own) =>
  code
    .replaceAll('{target}', listener.url)
    .replaceAll('{host}', listener.host)
    .replaceAll('{port}', String(listener.port))
    .replaceAll('{own}', own)
    .replaceAll('{mark}', [...'CANARY-'].reverse().join(''));

/** Makes a bearer token, and its form in the settings. @param {string} name */
export function makeToken(name) {
  const token = `CANARY-${randomBytes(16).toString('hex')}`;
  return { token, stored: `${name}:${createHash('sha256').update(token).digest('hex')}` };
}

/**
 * Starts the worker, with tokens for two principals.
 * @param {Record<string, string>} [vars]
 */
export async function startHome(vars = {}) {
  const [ann, bob] = [makeToken('ann'), makeToken('bob')];
  const worker = await startWorker({ ...withTokens(ann, bob), TIME_LIMIT_SECONDS: '4', ...vars });
  return { ...homeAt('edge', worker, { ann: ann.token, bob: bob.token }), stop: worker.stop };
}

/**
 * Starts a home before the tests of a `describe`, and stops it after them.
 * @template {{ stop: () => unknown }} T @param {() => Promise<T>} start @returns {() => T}
 */
export function during(start) {
  /** @type {T} */
  let home;
  before(async () => {
    home = await start();
  });
  after(() => home?.stop());
  return () => home;
}

/** @typedef {ReturnType<typeof makeToken>} Token */

/** Settings that admit clients with one of these tokens. @param {Token[]} tokens */
export const withTokens = (...tokens) => ({
  ACCESS: 'token',
  ACCESS_TOKENS: tokens.map(({ stored }) => stored).join(','),
});

/**
 * A home that answers over HTTP.
 * @param {string} name
 * @param {{ url: string, said: () => string }} server
 * @param {{ ann: string, bob: string }} tokens
 * @returns {Home}
 */
export function homeAt(name, { url, said }, tokens) {
  return {
    name,
    own: url,
    tokens,
    said,
    async ask(method, params, token = tokens.ann) {
      const { name, uri } = /** @type {{ name?: string, uri?: string }} */ (params);
      const headers = { ...modernHeaders(method, name ?? uri), authorization: `Bearer ${token}` };
      return answer(await post(url, { jsonrpc: '2.0', id: 1, method, params: { ...params, _meta: meta() } }, headers));
    },
    async run(code, { session, token = tokens.ann, headers: more, tool = 'run_python_code', files } = {}) {
      const params = {
        name: tool,
        arguments: { python_code: code, ...(session && { session }), ...(files && { files }) },
        _meta: meta({ 'io.modelcontextprotocol/logLevel': 'debug' }),
      };
      const body = { jsonrpc: '2.0', id: 1, method: 'tools/call', params };
      const headers = { ...modernHeaders('tools/call', tool), authorization: `Bearer ${token}`, ...more };
      const found = await answer(await post(url, body, headers));
      if (!found.result) throw new Error(found.error?.message ?? found.text);
      const finals = found.text.match(/"id":1,"result"/g) ?? [];
      assert.equal(finals.length, 1, 'one response');
      return {
        structured: found.result.structuredContent,
        text: found.result.content[0].text,
        messages: found.notifications,
      };
    },
  };
}

/** Reads a file. @param {Home} home @param {string} uri @param {string} [token] */
export const readFile = (home, uri, token) => home.ask('resources/read', { uri }, token);

/** Opens a session, calls `act` with it, and ends it. @param {Home} home @param {(session: string) => Promise<void>} act */
export async function inSession(home, act) {
  const session = await openSession(home);
  await act(session);
  await home.ask('tools/call', { name: 'end_python_session', arguments: { session } });
}

/** Opens a session. @param {Home} home @param {string} [token] @returns {Promise<string>} */
export async function openSession(home, token) {
  const { structured } = await home.run('1', { session: 'new', ...(token && { token }) });
  return structured.session;
}

/** Listens on loopback, and records what arrives. */
export async function listen() {
  /** @type {string[]} */
  const arrived = [];
  const server = createServer((socket) => {
    arrived.push('a connection');
    socket.on('error', () => {});
    socket.on('data', (data) => {
      arrived.push(String(data).split('\r\n')[0]);
      socket.end('HTTP/1.1 200 OK\r\ncontent-length: 7\r\nconnection: close\r\n\r\nREACHED');
    });
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(undefined)));
  const address = server.address();
  const port = typeof address === 'object' && address ? address.port : 0;
  return { arrived, host: '127.0.0.1', port, url: `http://127.0.0.1:${port}/`, close: () => server.close() };
}

const REPORT = join(dirname(fileURLToPath(import.meta.url)), '../../target/security.json');

/**
 * Adds a line to the report from which `table.mjs` makes the tables, next to the results of other homes.
 * @param {'attacks' | 'limits'} table @param {string} key @param {Record<string, number | string>} line by home
 */
export function report(table, key, line) {
  /** @type {Record<string, Record<string, Record<string, number | string>>>} */
  let all = {};
  try {
    all = JSON.parse(readFileSync(REPORT, 'utf8'));
  } catch {
    // There is no report yet.
  }
  all[table] = { ...all[table], [key]: { ...all[table]?.[key], ...line } };
  mkdirSync(dirname(REPORT), { recursive: true });
  writeFileSync(REPORT, JSON.stringify(all, null, 2));
}

/**
 * Counts the attacks with one goal that were repelled, and reports them at the end of the `describe` that it is called in.
 * @param {string} goal @param {() => { name: string }} home
 */
export function counted(goal, home) {
  let held = 0;
  after(() => report('attacks', goal, { [home().name]: held }));
  return (more = 1) => {
    held += more;
  };
}
