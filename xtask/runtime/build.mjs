// Builds what runs inside a sandbox, into the folder given: Pyodide, patched; the modules that it would generate;
// our own code; and a memory snapshot, made and checked in workerd itself, so that what the engine can do (JSPI) is
// in it.
//
// usage: node build.mjs [--plain] OUTPUT_FOLDER KDF_WASM [PACKAGES_FOLDER]
//
// --plain leaves out what only makes a start quicker: this shows whether a change in Pyodide affects only that.
// The environment's XTASK names the program that changes Pyodide's main module (xtask/src/stack.rs, xtask/src/link.rs).
// KDF_WASM is `runtime/kdf`, compiled.
// PACKAGES_FOLDER has `packages.json` and the files that it names, see packages.mjs. The snapshot has imported these packages.
//
// OUTPUT_FOLDER gets: isolate/, the modules of an isolate as they are; edge/, the same as modules of the Worker that starts
// isolates (`modules.js`); assets/, the files that are too large for a Worker's script.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { envelope } from '../../runtime/js/envelope.js';
import { POLL_WASM } from '../../runtime/js/poll_wasm.js';
import { patch } from '../../runtime/pyodide/patches/patch.js';
import { required } from '../../runtime/pyodide/patches/required.js';
import { loaderStartup, startup } from '../../runtime/pyodide/patches/startup.js';
import { check } from './check.mjs';
import { packForEdge } from './edge.mjs';
import { addPackages } from './packages.mjs';
import { PYTHON } from './python.mjs';
import { compileEagerly, shake, trimExports, wordsOf } from './shake.mjs';
import { complete } from './stdlib.mjs';
import { withWorkerd } from './workerd.mjs';

const here = dirname(fileURLToPath(import.meta.url));
const source = join(here, '../../runtime');
const pyodide = dirname(createRequire(import.meta.url).resolve('pyodide/package.json'));

const OWN = [
  'shim.js',
  'turn.js',
  'boot.js',
  'pulse.js',
  'poll_wasm.js',
  'output.js',
  'protocol.js',
  'calls.js',
  'snapshot.js',
  'packages.js',
  'libraries.js',
  'files.js',
  'hooks/required.js',
  'hooks/startup.js',
  'asked.js',
  'envelope.js',
  'storage.js',
  'kdf.js',
  'isolate.js',
];

const {
  values: { plain },
  positionals: [target, kdf, packagesFolder],
} = parseArgs({ options: { plain: { type: 'boolean', default: false } }, allowPositionals: true });
if (!target || !kdf) throw new Error('usage: node build.mjs [--plain] OUTPUT_FOLDER KDF_WASM [PACKAGES_FOLDER]');
const out = join(target, 'isolate');
/** The Pyodide that the patches and the lock file are for. */
const made = JSON.parse(readFileSync(join(source, 'pyodide/version.json'), 'utf8'));
const { version } = JSON.parse(readFileSync(join(pyodide, 'package.json'), 'utf8'));
if (version !== made.pyodide)
  throw new Error(`the runtime is made for pyodide ${made.pyodide}, and ${version} is installed`);

// Refuses files that differ from those that the patches were written for.
for (const [file, expected] of Object.entries(made.assets)) {
  const sha256 = createHash('sha256')
    .update(readFileSync(join(pyodide, file)))
    .digest('hex');
  if (sha256 !== expected) throw new Error(`${file} has the sha256 ${sha256} instead of ${expected}`);
}

rmSync(target, { recursive: true, force: true });
mkdirSync(join(out, 'generated'), { recursive: true });
for (const file of OWN) {
  mkdirSync(dirname(join(out, file)), { recursive: true });
  cpSync(join(source, 'js', file), join(out, file));
}
cpSync(join(pyodide, 'pyodide-lock.json'), join(out, 'pyodide-lock.txt'));
cpSync(kdf, join(out, 'kdf.wasm'));
const text = (/** @type {string} */ file) => readFileSync(file, 'utf8');
const loader = patch(text(join(pyodide, 'pyodide.mjs')), plain ? [] : loaderStartup);
writeFileSync(join(out, 'pyodide.mjs'), loader);
/** All other code that may name something in Pyodide's module. */
const others = [loader, ...OWN.map((file) => text(join(source, 'js', file)))].join('\n');
const able = patch(text(join(pyodide, 'pyodide.asm.mjs')), required);
const lean = plain ? able : trimExports(shake(patch(able, startup), others), others);
writeFileSync(join(out, 'pyodide.asm.mjs'), plain ? able : compileEagerly(lean));
/** The main module, in which Python sees the engine's stack end. */
const main = join(target, 'main.wasm');
xtask('stack', [join(pyodide, 'pyodide.asm.wasm'), main]);
/** The main module with all its exports, and without those that only libraries ask for. */
const linked = plain ? undefined : link(main, wordsOf(`${lean}\n${others}`));
cpSync(linked?.placed ?? main, join(out, 'pyodide.asm.wasm'));

console.log('recording the modules that Pyodide generates');
const recorded = execFileSync(process.execPath, ['--experimental-wasm-jspi', join(here, 'record.mjs')], {
  encoding: 'utf8',
});
/** @type {string[]} */
const generated = [Buffer.from(POLL_WASM).toString('hex'), ...JSON.parse(recorded.trim().split('\n').at(-1) ?? '')];
for (const [i, hex] of generated.entries()) writeFileSync(join(out, `generated/${i}.wasm`), Buffer.from(hex, 'hex'));
writeFileSync(
  join(out, 'generated.js'),
  `${generated.map((_, i) => `import m${i} from './generated/${i}.wasm';`).join('\n')}
export default [${generated.map((hex, i) => `['${hex}', m${i}]`).join(',\n')}];
`,
);

console.log("completing Python's standard library, and compiling what packages import of it");
const stdlib = new Uint8Array(await complete(readFileSync(join(pyodide, 'python_stdlib.zip')), PYTHON)).buffer;
writeFileSync(join(out, 'python_stdlib.zip'), new Uint8Array(stdlib));

const { packages, archives, modules } = addPackages(out, packagesFolder);
console.log(`making the snapshot${modules.length ? `, with ${modules.join(', ')}` : ''}`);
const making = [join(out, 'maker.js'), join(out, 'python.js')];
cpSync(join(here, 'maker.js'), making[0]);
writeFileSync(making[1], `export default ${JSON.stringify(PYTHON)};\n`);
const snapshot = await withWorkerd(out, 'maker.js', async (url) => {
  const sent = envelope(JSON.stringify(modules), [stdlib, ...archives]);
  const response = await fetch(url, { method: 'POST', body: new Blob(sent) });
  if (!response.ok) throw new Error(`the snapshot failed: ${await response.text()}`);
  return response.arrayBuffer();
});
for (const file of making) rmSync(file);
if (linked) cpSync(linked.hidden, join(out, 'pyodide.asm.wasm'));
writeFileSync(join(out, 'symbols.txt'), linked ? readFileSync(linked.symbols) : '');
if (linked) rmSync(linked.folder, { recursive: true });
rmSync(main);
writeFileSync(join(out, 'snapshot.bin'), new Uint8Array(snapshot));

console.log('checking the snapshot');
await check((use) => withWorkerd(out, 'isolate.js', use), [stdlib, ...archives, snapshot], modules);
packForEdge(out, target, packages);
console.log(
  `runtime built: snapshot ${(snapshot.byteLength / 1e6).toFixed(1)} MB, ${generated.length} generated modules`,
);

/** @param {string} command @param {string[]} args @param {string} [input] */
function xtask(command, args, input = '') {
  if (!process.env.XTASK) throw new Error('XTASK does not name the program of `cargo xtask`');
  execFileSync(process.env.XTASK, [command, ...args], { input });
}

/** @param {string} module @param {Set<string>} names that JavaScript knows */
function link(module, names) {
  const folder = join(target, 'linked');
  mkdirSync(folder);
  xtask('link', [module, folder], [...names].join(' '));
  const [placed, hidden, symbols] = ['placed.wasm', 'hidden.wasm', 'symbols.txt'].map((file) => join(folder, file));
  return { folder, placed, hidden, symbols };
}
