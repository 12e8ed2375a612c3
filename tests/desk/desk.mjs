// The installed package for tests: starts its command as clients do, and inspects its processes.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { sleep } from '../edge/worker.mjs';

/** The command in the folder where the package was installed. */
export const COMMAND = process.env.DESK ?? '';

/** How long a slow machine may take for work without a limit of its own, in milliseconds. */
export const PATIENCE = 60_000;

/** A folder for a command's temporary files, to see which of them are left. */
export class Temporary {
  path = mkdtempSync(join(tmpdir(), 'desk-test-'));

  /** The names of the files that a command left in it. */
  get left() {
    return readdirSync(this.path);
  }

  remove() {
    rmSync(this.path, { recursive: true, force: true });
  }
}

/**
 * Starts the command.
 * @param {string[]} args
 * @param {Record<string, string>} [env]
 * @param {string[]} [command] another one, with arguments of its own
 */
export function start(args, env = {}, [command, ...first] = [COMMAND]) {
  return spawn(command, [...first, ...args], { stdio: ['pipe', 'pipe', 'pipe'], env: { ...process.env, ...env } });
}

/**
 * Runs the command to its end.
 * @param {string[]} args @param {string} [input] @param {Record<string, string>} [env] @param {string[]} [command]
 * @returns {Promise<{ code: number | null, stdout: string, stderr: string }>}
 */
export async function run(args, input = '', env, command) {
  const child = start(args, env, command);
  const result = { stdout: '', stderr: '' };
  child.stdout.on('data', (data) => {
    result.stdout += data;
  });
  child.stderr.on('data', (data) => {
    result.stderr += data;
  });
  child.stdin.on('error', () => {});
  child.stdin.end(input);
  const code = await new Promise((resolve) => child.on('close', resolve));
  return { code, ...result };
}

/** A client over stdio that sees every byte. */
export class StdioClient {
  #id = 0;
  /** @type {Map<number | string, (message: any) => void>} */
  #waiting = new Map();
  /** Messages that are not answers. @type {any[]} */
  notifications = [];
  stderr = '';

  /** @param {string[]} [args] @param {Record<string, string>} [env] @param {string[]} [command] */
  constructor(args = [], env = {}, command) {
    this.child = start([...args, 'stdio'], env, command);
    this.child.stderr.on('data', (data) => {
      this.stderr += data;
    });
    this.child.stdin.on('error', () => {});
    this.ended = new Promise((resolve) => this.child.on('exit', (code, signal) => resolve(code ?? signal)));
    createInterface(this.child.stdout).on('line', (line) => {
      const message = JSON.parse(line);
      assert.equal(message.jsonrpc, '2.0', line);
      const answered = this.#waiting.get(message.id);
      this.#waiting.delete(message.id);
      if (answered) answered(message);
      else this.notifications.push(message);
    });
    this.ended.then(() => {
      for (const answered of this.#waiting.values()) answered({ error: { code: 0, message: 'it ended' } });
    });
  }

  /** @param {object} message */
  send(message) {
    this.child.stdin.write(`${JSON.stringify({ jsonrpc: '2.0', ...message })}\n`);
  }

  /** The answer to the request with this id. @param {number | string} id @returns {Promise<any>} */
  answered(id) {
    return new Promise((resolve) => this.#waiting.set(id, resolve));
  }

  /** @param {string} method @param {object} [params] @returns {Promise<any>} the response */
  request(method, params = {}) {
    const id = ++this.#id;
    const answer = this.answered(id);
    this.send({ id, method, params });
    return answer;
  }

  async initialize() {
    const params = { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'tests', version: '1' } };
    const { result } = await this.request('initialize', params);
    this.send({ method: 'notifications/initialized' });
    return result;
  }

  /** @param {string} code @param {object} [args] @param {object} [meta] @returns {Promise<any>} the structured content */
  async run(code, args = {}, meta) {
    const params = { name: 'run_python_code', arguments: { python_code: code, ...args }, ...(meta && { _meta: meta }) };
    const { result, error } = await this.request('tools/call', params);
    assert.ok(result, error?.message);
    return result.structuredContent;
  }

  /** Closes stdin, as clients do. @returns {Promise<unknown>} its exit code */
  async close() {
    this.child.stdin.end();
    return this.ended;
  }

  async [Symbol.asyncDispose]() {
    if (this.child.exitCode === null) this.child.kill('SIGKILL');
    await this.ended;
  }
}

/**
 * Starts the HTTP server on a free port.
 * @param {string[]} args @param {Record<string, string>} [env] @param {string[]} [command]
 */
export async function serve(args, env, command) {
  const child = start(['--port', '0', ...args], env, command);
  let said = '';
  const url = await new Promise((resolve, reject) => {
    child.stderr.on('data', (data) => {
      said += data;
      const ready = said.match(/ on (http:\S+)/);
      if (ready) resolve(ready[1]);
    });
    child.on('exit', () => reject(new Error(said)));
  });
  const ended = new Promise((resolve) => child.on('exit', resolve));
  return {
    url,
    pid: child.pid ?? 0,
    said: () => said,
    async stop() {
      child.kill('SIGTERM');
      return ended;
    },
  };
}

/** The pids of the workerd processes under a process. @param {number} pid @returns {number[]} */
export function workerds(pid) {
  /** @type {Map<number, number[]>} */
  const children = new Map();
  /** @type {Map<number, string>} */
  const names = new Map();
  for (const entry of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      const stat = readFileSync(`/proc/${entry}/stat`, 'utf8');
      const [, name, rest] = stat.match(/^\d+ \((.*)\) (.*)$/s) ?? [];
      const parent = Number(rest.split(' ')[1]);
      names.set(Number(entry), name);
      children.set(parent, [...(children.get(parent) ?? []), Number(entry)]);
    } catch {
      // It has ended meanwhile.
    }
  }
  /** @param {number} parent @returns {number[]} */
  const under = (parent) => (children.get(parent) ?? []).flatMap((child) => [child, ...under(child)]);
  return under(pid).filter((child) => names.get(child) === 'workerd');
}

/** Whether a process is running. @param {number} pid */
export function exists(pid) {
  try {
    return !/^\d+ \(.*\) Z/s.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false;
  }
}

/** Waits until a condition holds. @param {() => boolean} holds @param {string} what */
export async function until(holds, what) {
  for (const end = Date.now() + PATIENCE; !holds(); await sleep(20)) assert.ok(Date.now() < end, `in vain: ${what}`);
}
