// One workerd process: started, asked, watched, and ended.
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { manifest } from './manifest.js';

const CONFIG = fileURLToPath(new URL('../runtime/config.capnp', import.meta.url));

/** How long a process may take to listen, in milliseconds: a cold disk and a busy machine are in it. */
const START_LIMIT = 30_000;

/** How long after its connections it may be known that a process has ended, in milliseconds. */
const END_KNOWN = 500;

/** How long an answer to a small request may take before the process is taken for blocked, in milliseconds. */
const ANSWER_LIMIT = 1000;

/**
 * Runs workerd ($3 and so on) as its own child, and outlives it: what ends when the supervisor does, however it ends,
 * is the pipe that is `stdin` here. $1 is the folder with its socket, $2 its limit of memory in KiB.
 */
const GUARD = `
trap '' HUP INT TERM
dir=$1 memory=$2
shift 2
cd "$dir" || exit 1
ulimit -c 0
ulimit -d "$memory" 2>/dev/null
if setpriv --no-new-privs --pdeathsig KILL true 2>/dev/null; then
  set -- setpriv --no-new-privs --pdeathsig KILL "$@"
fi
"$@" </dev/null &
child=$!
exec 3>&-
read -r _
exec >/dev/null 2>&1
kill -9 $child
wait $child
code=$?
rm -f "$dir/runs"
rmdir "$dir"
exit $code
`;

/** Why no process can be started at all. */
export class MissingWorkerd extends Error {}

/** The path of workerd's binary. @returns {string} */
export function workerdBinary() {
  const require = createRequire(import.meta.url);
  const wanted = manifest.dependencies.workerd;
  let workerd;
  try {
    workerd = require('workerd');
  } catch (error) {
    throw new MissingWorkerd(
      `workerd is missing for ${process.platform} ${process.arch}: install mcp-run-python anew, with its optional ` +
        `dependencies (${error instanceof Error ? error.message.split('\n')[0] : error})`,
    );
  }
  const found = require('workerd/package.json').version;
  if (found !== wanted) throw new MissingWorkerd(`workerd ${found} is installed, and ${wanted} is needed`);
  return workerd.default;
}

export class Workerd {
  /** Set once it has ended: why. @type {string | null} */
  ended = null;
  /** Called when it ends. @type {(why: string) => void} */
  onEnd = () => {};
  #child;
  #folder;
  #secret = randomBytes(24).toString('hex');
  #agent = new Agent({ keepAlive: true, maxSockets: Infinity });

  /** @param {{ memory: number, log: import('./log.js').Log }} options `memory`: its limit in bytes */
  constructor({ memory, log }) {
    const binary = workerdBinary();
    this.#folder = mkdtempSync(join(tmpdir(), 'mcp-run-python-'));
    const args = ['serve', '--experimental', CONFIG, '--control-fd=3'];
    this.#child = spawn(
      '/bin/sh',
      ['-c', GUARD, 'workerd', this.#folder, String(Math.floor(memory / 1024)), binary, ...args],
      {
        // A process group of its own: what the terminal sends to ours does not end it before we do.
        detached: true,
        env: { PATH: '/usr/bin:/bin', SECRET: this.#secret },
        stdio: ['pipe', 'pipe', 'pipe', 'pipe'],
      },
    );
    const [stdin, stdout, stderr, control] = this.#child.stdio;
    stdin?.on('error', () => {});
    for (const output of [stdout, stderr])
      output?.on('data', (data) => log.debug(`workerd: ${String(data).trimEnd()}`));
    this.#child.on('error', (error) => this.#end(error.message));
    this.#child.on('exit', (code) => {
      // The guard removes it, unless it was ended itself.
      rmSync(this.#folder, { recursive: true, force: true });
      this.#end(`workerd ended (${describe(code)})`);
    });
    // Only workerd holds the other end: it is closed when workerd is no more, and the guard waits for us.
    control?.on('close', () => stdin?.destroy());
    /** Resolves when it listens. */
    this.ready = this.#listen(/** @type {import('node:stream').Readable} */ (control));
    this.ready.catch(() => this.kill('it did not start'));
  }

  /** @param {import('node:stream').Readable} control */
  async #listen(control) {
    let timer;
    const late = new Promise((_, reject) => {
      timer = setTimeout(() => reject(new Error('workerd did not start in time')), START_LIMIT);
    });
    const listening = new Promise((resolve, reject) => {
      control.on('data', (data) => String(data).includes('"listen"') && resolve(undefined));
      control.on('close', () => reject(new Error('workerd did not start; --verbose shows what it says')));
    });
    try {
      await Promise.race([listening, late]);
    } finally {
      clearTimeout(timer);
    }
  }

  /** @param {string} why */
  #end(why) {
    if (this.ended !== null) return;
    this.ended = why;
    this.#agent.destroy();
    this.#child.stdin?.destroy();
    this.onEnd(why);
  }

  /**
   * Asks the parent worker. Resolves with the response when its headers have come.
   * @param {string} path
   * @param {Uint8Array[]} [body] in pieces
   * @param {string} [method]
   * @returns {Promise<import('node:http').IncomingMessage>}
   */
  ask(path, body = [], method = 'POST') {
    const length = body.reduce((sum, piece) => sum + piece.length, 0);
    return new Promise((resolve, reject) => {
      const sent = request(
        {
          socketPath: join(this.#folder, 'runs'),
          agent: this.#agent,
          method,
          path,
          headers: { authorization: this.#secret, 'content-length': length },
        },
        resolve,
      );
      sent.on('error', (error) => reject(new Error(this.ended ?? error.message)));
      for (const piece of body) sent.write(piece);
      sent.end();
    });
  }

  /**
   * Asks, and gives the status once the whole response has come.
   * @param {string} path @param {number} limit ms @param {Uint8Array[]} [body]
   */
  async status(path, limit, body) {
    let timer;
    const late = new Promise((_, reject) => {
      timer = setTimeout(() => reject(new Error('no answer in time')), limit);
    });
    const answered = this.ask(path, body).then((response) => {
      response.on('error', () => {});
      response.resume();
      return response.statusCode;
    });
    answered.catch(() => {});
    try {
      return await Promise.race([answered, late]);
    } finally {
      clearTimeout(timer);
    }
  }

  /** Whether it answers: a loop in C, in any of its isolates, blocks them all. */
  async answers() {
    return this.status('/', ANSWER_LIMIT).then(
      (status) => status === 204,
      () => false,
    );
  }

  /**
   * What to say about an error: the reason of its end, if that is what it comes from, which may be known a moment later.
   * @param {unknown} error
   */
  async why(error) {
    for (let waited = 0; this.ended === null && waited < END_KNOWN; waited += 20) await sleep(20);
    return this.ended ?? (error instanceof Error ? error.message : String(error));
  }

  /** Ends it at once. @param {string} why what is said to whoever has a run in it */
  kill(why) {
    this.#end(why);
  }

  /** Resolves when nothing is left of it. @returns {Promise<void>} */
  get gone() {
    const child = this.#child;
    if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return Promise.resolve();
    return new Promise((resolve) => child.once('exit', () => resolve()));
  }
}

/** @param {number | null} code */
function describe(code) {
  return code !== null && code > 128 ? `signal ${code - 128}` : `status ${code}`;
}
