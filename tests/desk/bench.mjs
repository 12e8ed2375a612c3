// Measures the desk, and the original beside it, with the same client at the same time.
//
// usage: DESK=COMMAND [ORIGINAL=COMMAND] [MIRROR=ADDRESS] node bench.mjs [RUNS]
//
// ORIGINAL starts mcp-run-python 0.0.22: it gets the arguments that its own launcher passes to Deno.
import { spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { LegacyClient, median, sleep, timed } from '../edge/worker.mjs';

const runs = Number(process.argv[2] ?? 5);
const PORT = 8951;
const NUMPY = 'import numpy\nnumpy.arange(10).sum()';
// About half a second of work on one core.
const HALF_SECOND = 'sum(n * n for n in range(4_000_000))';
// How long a server may take to save snapshots of packages, in milliseconds.
const KEEPING = 15_000;
// How long many clients send requests, in milliseconds.
const BUSY_TIME = 10_000;
// How long a client thinks between two runs, in milliseconds.
const THINKING = 400;

/** @typedef {{ command: string, stdio: string[], numpy: string[], http: string[] }} Subject */
const mirror = process.env.MIRROR ? ['--set', `PACKAGE_MIRRORS=${process.env.MIRROR}`] : [];
/** @type {Record<string, Subject>} */
const subjects = {
  ours: {
    command: process.env.DESK ?? '',
    stdio: ['stdio'],
    numpy: [...mirror, 'stdio'],
    http: ['--port', `${PORT}`, 'streamable-http-stateless'],
  },
  ...(process.env.ORIGINAL && {
    original: {
      command: process.env.ORIGINAL,
      stdio: ['stdio'],
      numpy: ['stdio', '--deps=numpy'],
      http: ['streamable_http_stateless', `--port=${PORT}`],
    },
  }),
};

/** @type {Record<string, Record<string, string>>} */
const table = {};
/** @param {string} subject @param {string} what @param {string} value */
const note = (subject, what, value) => {
  table[what] ??= {};
  table[what][subject] = value;
};
const ms = (/** @type {number} */ time) => `${time < 10 ? time.toFixed(1) : Math.round(time)} ms`;
const spread = (/** @type {number[]} */ times) =>
  `${ms(median(times))} [${ms(Math.min(...times))}-${ms(Math.max(...times))}]`;

/** A client over stdio. */
class Client {
  #id = 0;
  /** @type {Map<number, (message: any) => void>} */
  #waiting = new Map();

  /** @param {string} command @param {string[]} args */
  constructor(command, args) {
    this.child = spawn(command, args, { stdio: ['pipe', 'pipe', 'ignore'], detached: true });
    this.pid = this.child.pid ?? 0;
    createInterface(this.child.stdout).on('line', (line) => {
      const message = JSON.parse(line);
      this.#waiting.get(message.id)?.(message);
    });
  }

  /** @param {string} method @param {object} params */
  request(method, params) {
    const id = ++this.#id;
    const answer = new Promise((resolve) => this.#waiting.set(id, resolve));
    this.child.stdin.write(`${JSON.stringify({ jsonrpc: '2.0', id, method, params })}\n`);
    return answer;
  }

  async initialize() {
    const params = { protocolVersion: '2025-06-18', capabilities: {}, clientInfo: { name: 'bench', version: '1' } };
    await this.request('initialize', params);
    this.child.stdin.write(`${JSON.stringify({ jsonrpc: '2.0', method: 'notifications/initialized' })}\n`);
  }

  /** @param {string} code */
  async run(code) {
    const params = { name: 'run_python_code', arguments: { python_code: code } };
    const { result } = /** @type {any} */ (await this.request('tools/call', params));
    if (!result.content[0].text.includes('success')) throw new Error(result.content[0].text);
  }

  async end() {
    const ended = new Promise((resolve) => this.child.on('exit', resolve));
    process.kill(-this.pid, 'SIGTERM');
    await ended;
  }
}

for (const [name, subject] of Object.entries(subjects)) {
  /** @type {number[][]} */
  const [initialized, first, numpy] = [[], [], []];
  for (let n = 0; n < runs; n++) {
    const start = performance.now();
    const client = new Client(subject.command, subject.stdio);
    await client.initialize();
    initialized.push(performance.now() - start);
    await client.run('1+1');
    first.push(performance.now() - start);
    await client.end();
  }
  // Warms up: from here on, packages are fetched, compiled and saved.
  const ahead = new Client(subject.command, subject.numpy);
  await ahead.initialize();
  await ahead.run(NUMPY);
  await sleep(KEEPING);
  await ahead.end();
  for (let n = 0; n < runs; n++) {
    const start = performance.now();
    const client = new Client(subject.command, subject.numpy);
    await client.initialize();
    await client.run(NUMPY);
    numpy.push(performance.now() - start);
    if (n === 0) note(name, 'memory after numpy', memory(client.pid));
    await client.end();
  }
  note(name, 'spawn to initialize', spread(initialized));
  note(name, 'spawn to the first 1+1', spread(first));
  note(name, 'spawn to the first numpy result', spread(numpy));

  const client = new Client(subject.command, subject.stdio);
  await client.initialize();
  await sleep(3000);
  note(name, 'memory when ready', memory(client.pid));
  await client.run('1+1');
  note(name, 'memory after 1+1', memory(client.pid));
  for (let n = 0; n < 100; n++) await client.run('1+1');
  const warm = [];
  for (let n = 0; n < 300; n++) warm.push(await timed(() => client.run('1+1')));
  warm.sort((a, b) => a - b);
  note(name, 'warm 1+1, p50 / p99', `${ms(warm[150])} / ${ms(warm[297])}`);
  await client.end();

  const server = spawn(subject.command, subject.http, { stdio: 'ignore', detached: true });
  const url = `http://127.0.0.1:${PORT}/mcp`;
  try {
    while (!(await fetch(url).catch(() => null))) await sleep(50);
    const clients = await Promise.all(Array.from({ length: 4 }, () => LegacyClient.connect(url, '2025-06-18')));
    await asText(clients[0], '1');
    await fresh(name, clients[0]);
    // Warms up: processes start when runs first need them.
    await Promise.all(clients.map((each) => asText(each, '1')));
    const together = await timed(() => Promise.all(clients.map((each) => asText(each, HALF_SECOND))));
    note(name, 'four clients, 0.5 s of CPU each, stateless HTTP', ms(together));
    note(name, 'fresh 1+1, 4 clients', await perSecond(clients));
    const many = await Promise.all(Array.from({ length: 28 }, () => LegacyClient.connect(url, '2025-06-18')));
    note(name, 'fresh 1+1, 32 clients', await perSecond([...clients, ...many]));
  } finally {
    process.kill(-(server.pid ?? 0), 'SIGTERM');
  }
  await new Promise((resolve) => server.on('exit', resolve));
}

for (const [what, values] of Object.entries(table)) {
  console.log(what.padEnd(50), ...Object.entries(values).map(([subject, value]) => `${subject} ${value}`.padEnd(36)));
}

/** Measures fresh runs of one client. @param {string} name @param {LegacyClient} client */
async function fresh(name, client) {
  for (const [what, pause] of /** @type {const} */ ([
    ['fresh 1+1, one after the other', 0],
    ['fresh 1+1, 0.4 s after the last', THINKING],
  ])) {
    const times = [];
    const end = performance.now() + BUSY_TIME;
    while (performance.now() < end) {
      times.push(await timed(() => asText(client, '1+1')));
      await sleep(pause);
    }
    note(name, what, spread(times));
  }
}

/** Measures how many fresh runs a second all clients get together. @param {LegacyClient[]} clients */
async function perSecond(clients) {
  let done = 0;
  const start = performance.now();
  const ask = async (/** @type {LegacyClient} */ client) => {
    while (performance.now() - start < BUSY_TIME) {
      await asText(client, '1+1');
      done++;
    }
  };
  await Promise.all(clients.map(ask));
  return `${((done * 1000) / (performance.now() - start)).toFixed(1)} a second`;
}

/** Runs code and returns the result's text; the original has no structured content. @param {LegacyClient} client @param {string} code */
async function asText(client, code) {
  const params = { name: 'run_python_code', arguments: { python_code: code } };
  const text = await (await client.request('tools/call', params)).text();
  if (!text.includes('success')) throw new Error(text);
}

/** The proportional memory of a process and all its descendants. @param {number} pid */
function memory(pid) {
  /** @type {[number, number][]} */
  const parents = [];
  for (const entry of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      const stat = readFileSync(`/proc/${entry}/stat`, 'utf8');
      parents.push([Number(entry), Number(stat.slice(stat.lastIndexOf(')') + 4).split(' ')[0])]);
    } catch {
      // It has ended meanwhile.
    }
  }
  /** @param {number} of @returns {number[]} */
  const tree = (of) => [of, ...parents.filter(([, parent]) => parent === of).flatMap(([child]) => tree(child))];
  const kilobytes = tree(pid).map((each) => {
    const [, pss] = readFileSync(`/proc/${each}/smaps_rollup`, 'utf8').match(/^Pss: +(\d+)/m) ?? [];
    return Number(pss ?? 0);
  });
  return `${Math.round(kilobytes.reduce((sum, each) => sum + each, 0) / 1000)} MB`;
}
