// Measures how long programs with packages take in each home, beside Python on this machine and the original. Prints a
// table, and writes target/bench-packages.json.
//
// usage: DESK=COMMAND XTASK=COMMAND NATIVE=PYTHON [ORIGINAL=COMMAND] [MIRROR=ADDRESS] node bench.mjs [RUNS]
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { LegacyClient, median, residentMemory, run, sleep, timed } from '../edge/worker.mjs';
import { openChromium } from '../page/browser.mjs';
import { serveSite } from '../page/site.mjs';
import { firstResult } from '../page/visit.mjs';

const runs = Number(process.argv[2] ?? 5);
const PORT = 8953;
// The pause before a run that is to get an isolate booted ahead, in milliseconds.
const THINKING = 2000;
// How long it may take to make bytecode and a snapshot, in milliseconds.
const MADE_WITHIN = 180_000;
// How long a process may take to free unused memory, in milliseconds.
const SETTLE = 5000;

/** Modules, and the original's names of their packages. */
const SETS = [
  ['numpy', 'numpy'],
  ['pandas', 'pandas'],
  ['matplotlib.pyplot', 'matplotlib'],
  ['sympy', 'sympy'],
  ['pandas, matplotlib.pyplot, sklearn.linear_model', 'pandas,matplotlib,scikit-learn'],
];

/**
 * The measurements: every time in seconds; memory and files in MB.
 * @typedef {{ first?: number[], compiled?: number[], again?: number[], ahead?: number[], memory?: number, kept?: number }} Figures
 */

/** @param {() => Promise<unknown>} once @param {number} [pause] before each @param {number} [count] */
async function several(once, pause = 0, count = runs) {
  const times = [];
  for (let n = 0; n < count; n++) {
    await sleep(pause);
    times.push((await timed(once)) / 1000);
  }
  return times;
}

/**
 * Runs a server until `use` has finished.
 * @param {string} command @param {string[]} args @param {Record<string, string>} env
 * @param {(url: string, pid: number | undefined) => Promise<Figures>} use
 */
async function serving(command, args, env, use) {
  const server = spawn(command, args, { stdio: 'ignore', detached: true, env: { ...process.env, ...env } });
  const ended = new Promise((resolve) => server.on('exit', resolve));
  const url = `http://127.0.0.1:${PORT}/mcp`;
  try {
    while (!(await fetch(url).catch(() => null))) await sleep(50);
    return await use(url, server.pid);
  } finally {
    process.kill(-(server.pid ?? 0), 'SIGTERM');
    await ended;
  }
}

/** @param {string} url @param {string} code @returns {Promise<any>} */
async function value(url, code) {
  const { status, error, return_value } = await run(url, code);
  if (status !== 'success') throw new Error(error);
  return return_value;
}

/** Measures a set on a server that has none of its packages yet. @param {string} modules @param {string} url @param {number | undefined} pid @returns {Promise<Figures>} */
async function onServer(modules, url, pid) {
  const once = () => value(url, `import ${modules}\n1`);
  await value(url, '1');
  await sleep(SETTLE);
  const before = residentMemory(pid);
  const first = await several(once, 0, 1);
  // Once runs start from the snapshot, they find these modules already imported.
  const names = JSON.stringify(modules.split(', '));
  const found = `import sys\nfound = all(name in sys.modules for name in ${names})\nimport ${modules}\nfound`;
  for (const end = Date.now() + MADE_WITHIN; !(await value(url, found)); await sleep(1000))
    if (Date.now() > end) throw new Error(`no snapshot of ${modules} was made in time`);
  await sleep(SETTLE);
  // Without a pause: for most of these runs, no isolate was booted ahead.
  const again = await several(once);
  const ahead = await several(once, THINKING);
  await sleep(SETTLE);
  return { first, again, ahead, memory: residentMemory(pid) - before };
}

/** Measures a set whose bytecode is kept, on a server without snapshots. @param {string} modules @param {string} url @returns {Promise<Figures>} */
async function withoutSnapshots(modules, url) {
  const compiled = [];
  for (let n = 0; n <= runs; n++) {
    // So that no interpreter with these packages is booted ahead.
    await value(url, '1');
    const time = await timed(() => value(url, `import ${modules}\n1`));
    // The first one reads what is kept from the disk.
    if (n > 0) compiled.push(time / 1000);
  }
  return { compiled };
}

/** @param {string} modules @returns {Promise<Figures>} */
async function native(modules) {
  const once = async () => execFileSync(process.env.NATIVE ?? '', ['-c', `import ${modules}\n1`]);
  await once();
  return { again: await several(once) };
}

/** @param {string} modules @returns {Promise<Figures>} */
async function desk(modules) {
  const cache = mkdtempSync(join(tmpdir(), 'desk-bench-'));
  const mirror = process.env.MIRROR ? ['--set', `PACKAGE_MIRRORS=${process.env.MIRROR}`] : [];
  const args = ['--port', `${PORT}`, ...mirror, 'streamable-http-stateless'];
  const command = process.env.DESK ?? '';
  try {
    const env = { MCP_RUN_PYTHON_CACHE: cache };
    const figures = await serving(command, args, env, (url, pid) => onServer(modules, url, pid));
    const sizes = readdirSync(cache).map((file) => statSync(join(cache, file)).size);
    const plain = ['--set', 'SNAPSHOTS_LIMIT_MB=0', ...args];
    const { compiled } = await serving(command, plain, env, (url) => withoutSnapshots(modules, url));
    return { ...figures, compiled, kept: sizes.reduce((sum, size) => sum + size, 0) / 1e6 };
  } finally {
    rmSync(cache, { recursive: true });
  }
}

/** @param {string} modules @returns {Promise<Figures>} */
async function edge(modules) {
  const state = mkdtempSync(join(tmpdir(), 'edge-bench-'));
  const args = ['dev', '--port', `${PORT}`, '--state', state];
  const command = process.env.XTASK ?? '';
  try {
    const figures = await serving(command, args, {}, (url, pid) => onServer(modules, url, pid));
    const plain = [...args, '--var', 'SNAPSHOTS_LIMIT_MB=0', '--var', 'INTERPRETERS_BOOTED_AHEAD=0'];
    return { ...figures, ...(await serving(command, plain, {}, (url) => withoutSnapshots(modules, url))) };
  } finally {
    rmSync(state, { recursive: true });
  }
}

/** Measures the time from a page's start to its result: on the first visit, and on later ones. @param {string} modules @returns {Promise<Figures>} */
async function page(modules) {
  const site = await serveSite({ '/plain': { body: '<!doctype html><html lang="en"><title>A page</title>' } });
  const browser = await openChromium();
  const context = await browser.newContext();
  const code = `import ${modules}\n1`;
  try {
    const first = [(await firstResult(context, `${site.url}/plain`, code, true)) / 1000];
    const again = await several(async () => firstResult(context, `${site.url}/plain`, code));
    return { first, again };
  } finally {
    await browser.close();
    site.close();
  }
}

/** @param {string} modules @param {string} packages @returns {Promise<Figures>} */
async function original(modules, packages) {
  const args = ['streamable_http_stateless', `--port=${PORT}`, `--deps=${packages}`];
  return serving(process.env.ORIGINAL ?? '', args, {}, async (url) => {
    const client = await LegacyClient.connect(url, '2025-06-18');
    const once = () => client.run(`import ${modules}\n1`);
    const first = await several(once, 0, 1);
    return { first, again: await several(once) };
  });
}

const shown = (/** @type {number[] | undefined} */ times) =>
  times ? `${median(times).toFixed(2)} [${Math.min(...times).toFixed(2)}-${Math.max(...times).toFixed(2)}]` : '';

const report = [];
console.log(
  `${'seconds, as a client sees them'.padEnd(50)} ${''.padEnd(9)} ${'first'.padEnd(20)} ${'bytecode alone'.padEnd(20)} ${'again'.padEnd(20)} ${'booted ahead'.padEnd(20)} MB of memory, of files`,
);
for (const [modules, packages] of SETS) {
  for (const [home, measure] of Object.entries({ native, desk, edge, page, original })) {
    if (home === 'original' && !process.env.ORIGINAL) continue;
    const figures = await measure(modules, packages);
    report.push({ modules, home, ...figures });
    const { first, compiled, again, ahead, memory, kept } = figures;
    const cells = [first, compiled, again, ahead].map((times) => shown(times).padEnd(20));
    console.log(modules.padEnd(50), home.padEnd(9), ...cells, memory?.toFixed(0) ?? '', kept?.toFixed(0) ?? '');
  }
}
const file = fileURLToPath(new URL('../../target/bench-packages.json', import.meta.url));
writeFileSync(file, JSON.stringify(report, null, 2));
