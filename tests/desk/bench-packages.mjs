// Measures how long programs with packages take on the desk, beside Python on this machine and the original.
//
// usage: DESK=COMMAND NATIVE=PYTHON [ORIGINAL=COMMAND] [MIRROR=ADDRESS] node bench-packages.mjs [RUNS]
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LegacyClient, median, sleep, timed } from '../edge/worker.mjs';

const runs = Number(process.argv[2] ?? 5);
const PORT = 8953;
// How long there is nothing to do before a run that starts from what was booted ahead, in milliseconds.
const THINKING = 2000;
// How long nothing new is kept before everything is taken for made: snapshot and bytecode, in milliseconds.
const SETTLED = 10_000;
// How long that may take, in milliseconds.
const MADE_WITHIN = 180_000;

/** Modules, and what the original calls their packages. */
const SETS = [
  ['numpy', 'numpy'],
  ['pandas', 'pandas'],
  ['matplotlib.pyplot', 'matplotlib'],
  ['sympy', 'sympy'],
  ['pandas, matplotlib.pyplot, sklearn.linear_model', 'pandas,matplotlib,scikit-learn'],
];

const seconds = (/** @type {number[]} */ times) =>
  `${(median(times) / 1000).toFixed(2)} [${(Math.min(...times) / 1000).toFixed(2)}-${(Math.max(...times) / 1000).toFixed(2)}]`;

/**
 * Runs a server without sessions, for as long as `use` does.
 * @param {string} command @param {string[]} args @param {Record<string, string>} env @param {(client: LegacyClient) => Promise<void>} use
 */
async function serving(command, args, env, use) {
  const server = spawn(command, args, { stdio: 'ignore', detached: true, env: { ...process.env, ...env } });
  const ended = new Promise((resolve) => server.on('exit', resolve));
  const url = `http://127.0.0.1:${PORT}/mcp`;
  try {
    while (!(await fetch(url).catch(() => null))) await sleep(50);
    await use(await LegacyClient.connect(url, '2025-06-18'));
  } finally {
    process.kill(-(server.pid ?? 0), 'SIGTERM');
    await ended;
  }
}

/** @param {LegacyClient} client @param {string} code */
async function run(client, code) {
  const params = { name: 'run_python_code', arguments: { python_code: code } };
  const text = await (await client.request('tools/call', params)).text();
  if (!text.includes('success')) throw new Error(text);
}

/** Waits until nothing new comes into a folder. @param {string} folder */
async function settled(folder) {
  const end = Date.now() + MADE_WITHIN;
  for (let [kept, since] = [0, Date.now()]; Date.now() < Math.min(since + SETTLED, end); await sleep(100)) {
    const now = readdirSync(folder).length;
    if (now !== kept) [kept, since] = [now, Date.now()];
  }
}

/** @param {() => Promise<unknown>} once @param {number} [pause] before each */
async function several(once, pause = 0) {
  const times = [];
  for (let n = 0; n < runs; n++) {
    await sleep(pause);
    times.push(await timed(once));
  }
  return seconds(times);
}

for (const [modules, packages] of SETS) {
  const code = `import ${modules}\n1`;
  const row = [modules.padEnd(50)];
  const native = async () => execFileSync(process.env.NATIVE ?? '', ['-c', code]);
  await native();
  row.push(`native ${await several(native)}`);

  const cache = mkdtempSync(join(tmpdir(), 'desk-bench-'));
  const mirror = process.env.MIRROR ? ['--set', `PACKAGE_MIRRORS=${process.env.MIRROR}`] : [];
  const args = ['--port', `${PORT}`, ...mirror, 'streamable-http-stateless'];
  await serving(process.env.DESK ?? '', args, { MCP_RUN_PYTHON_CACHE: cache }, async (client) => {
    row.push(`first ${seconds([await timed(() => run(client, code))])}`);
    await settled(cache);
    // One after the other: none was booted ahead.
    row.push(`again ${await several(() => run(client, code))}`);
    row.push(`booted ahead ${await several(() => run(client, code), THINKING)}`);
  });
  rmSync(cache, { recursive: true });

  if (process.env.ORIGINAL) {
    const args = ['streamable_http_stateless', `--port=${PORT}`, `--deps=${packages}`];
    await serving(process.env.ORIGINAL, args, {}, async (client) => {
      await run(client, code);
      row.push(`original ${await several(() => run(client, code))}`);
    });
  }
  console.log(row.join('  '));
}
