// Builds what runs inside a sandbox, into the folder given: Pyodide, patched; the modules that it would generate;
// our own code; and a memory snapshot, made and checked in workerd itself, so that what the engine can do (JSPI) is
// in it.
//
// usage: node build.mjs OUTPUT_FOLDER KDF_WASM [PACKAGES_FOLDER]
//
// KDF_WASM is `runtime/kdf`, compiled.
// PACKAGES_FOLDER has `packages.json` and what it names, see packages.mjs: they are in the snapshot, imported.
//
// It gets: isolate/, the modules of an isolate as they are; edge/, the same as modules of the Worker that starts
// isolates (`modules.js`); assets/, what is too large for a Worker's script.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { envelope } from '../../runtime/js/envelope.js';
import { POLL_WASM } from '../../runtime/js/poll_wasm.js';
import { loaderPatches, patch, patches } from '../../runtime/pyodide/patches.js';
import { check } from './check.mjs';
import { packForEdge } from './edge.mjs';
import { hideExports, placeExports } from './link.mjs';
import { addPackages } from './packages.mjs';
import { compileEagerly, shake, trimExports, wordsOf } from './shake.mjs';
import { withBytecode } from './stdlib.mjs';
import { withWorkerd } from './workerd.mjs';

const here = dirname(fileURLToPath(import.meta.url));
const source = join(here, '../../runtime');
const pyodide = dirname(createRequire(import.meta.url).resolve('pyodide/package.json'));

/** The Pyodide that the patches and the lock file are for. */
const PYODIDE = '314.0.3';

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
  'asked.js',
  'envelope.js',
  'storage.js',
  'kdf.js',
  'isolate.js',
];

const PYTHON = [
  'calls',
  'display',
  'errors',
  'images',
  'ipython',
  'lacks',
  'matplotlib_backend',
  'network',
  'program',
  'runner',
  'stdlib',
  'table',
  'to_json',
];

const [target, kdf, packagesFolder] = process.argv.slice(2);
if (!target || !kdf) throw new Error('usage: node build.mjs OUTPUT_FOLDER KDF_WASM [PACKAGES_FOLDER]');
const out = join(target, 'isolate');
const { version } = JSON.parse(readFileSync(join(pyodide, 'package.json'), 'utf8'));
if (version !== PYODIDE) throw new Error(`the runtime is made for pyodide ${PYODIDE}, and ${version} is installed`);

// What is not what it was when it was read is not built.
for (const [file, expected] of Object.entries(JSON.parse(readFileSync(join(source, 'pyodide/assets.json'), 'utf8')))) {
  const sha256 = createHash('sha256')
    .update(readFileSync(join(pyodide, file)))
    .digest('hex');
  if (sha256 !== expected) throw new Error(`${file} has the sha256 ${sha256} instead of ${expected}`);
}

rmSync(target, { recursive: true, force: true });
mkdirSync(join(out, 'generated'), { recursive: true });
for (const file of OWN) cpSync(join(source, 'js', file), join(out, file));
cpSync(join(pyodide, 'pyodide-lock.json'), join(out, 'pyodide-lock.txt'));
cpSync(kdf, join(out, 'kdf.wasm'));
const text = (/** @type {string} */ file) => readFileSync(file, 'utf8');
const loader = patch(text(join(pyodide, 'pyodide.mjs')), loaderPatches);
writeFileSync(join(out, 'pyodide.mjs'), loader);
/** What may name something in Pyodide's module. */
const others = [loader, ...OWN.map((file) => text(join(source, 'js', file)))].join('\n');
const lean = trimExports(shake(patch(text(join(pyodide, 'pyodide.asm.mjs')), patches), others), others);
writeFileSync(join(out, 'pyodide.asm.mjs'), compileEagerly(lean));
const whole = placeExports(readFileSync(join(pyodide, 'pyodide.asm.wasm')));
writeFileSync(join(out, 'pyodide.asm.wasm'), whole);

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

/** Our own modules in the snapshot. */
const python = Object.fromEntries(PYTHON.map((name) => [name, text(join(source, 'python', `${name}.py`))]));
console.log("compiling what packages import of Python's standard library");
const stdlib = new Uint8Array(await withBytecode(readFileSync(join(pyodide, 'python_stdlib.zip')), python)).buffer;
writeFileSync(join(out, 'python_stdlib.zip'), new Uint8Array(stdlib));

const { packages, archives, modules } = addPackages(out, packagesFolder);
console.log(`making the snapshot${modules.length ? `, with ${modules.join(', ')}` : ''}`);
const making = [join(out, 'maker.js')];
cpSync(join(here, 'maker.js'), making[0]);
for (const [name, code] of Object.entries(python)) {
  making.push(join(out, `${name}.txt`));
  writeFileSync(join(out, `${name}.txt`), code);
}
const snapshot = await withWorkerd(out, 'maker.js', async (url) => {
  const sent = envelope(JSON.stringify(modules), [stdlib, ...archives]);
  const response = await fetch(url, { method: 'POST', body: new Blob(sent) });
  if (!response.ok) throw new Error(`the snapshot failed: ${await response.text()}`);
  return response.arrayBuffer();
});
for (const file of making) rmSync(file);
const { wasm, symbols } = hideExports(whole, wordsOf(`${lean}\n${others}`));
writeFileSync(join(out, 'pyodide.asm.wasm'), wasm);
writeFileSync(join(out, 'symbols.txt'), JSON.stringify(symbols));
writeFileSync(join(out, 'snapshot.bin'), new Uint8Array(snapshot));

console.log('checking the snapshot');
await check((use) => withWorkerd(out, 'isolate.js', use), [stdlib, ...archives, snapshot], modules);
packForEdge(out, target, packages);
console.log(
  `runtime built: snapshot ${(snapshot.byteLength / 1e6).toFixed(1)} MB, ${generated.length} generated modules`,
);
