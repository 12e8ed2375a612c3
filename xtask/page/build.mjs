// Builds the page and the library for pages, as static files that may be served from any folder.
//
// usage: node build.mjs RUNTIME CORE OUTPUT_FOLDER
//
// RUNTIME is what xtask/runtime/build.mjs made, CORE the folder of core.js, core_bg.wasm and sources.js. OUTPUT_FOLDER gets:
// code-sandbox.js, python-sandbox.js and index.html, whose addresses stay; _headers, for servers that read it; assets/, with
// files that have a hash of their content in their name and so may be cached for ever.
import { createHash } from 'node:crypto';
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, dirname, extname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';
import { PYTHON } from '../runtime/python.mjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '../..');
const source = join(root, 'www/js');

const [runtime, core, out] = process.argv.slice(2).map((path) => resolve(path));
if (!out) throw new Error('usage: node build.mjs RUNTIME CORE OUTPUT_FOLDER');
const { index } = await import(join(core, 'sources.js'));
const assets = join(out, 'assets');
rmSync(out, { recursive: true, force: true });
mkdirSync(assets, { recursive: true });

/** @type {import('esbuild').BuildOptions} */
const COMMON = {
  bundle: true,
  write: false,
  minify: true,
  legalComments: 'none',
  platform: 'browser',
  target: ['chrome137', 'firefox140', 'safari18'],
  logOverride: {
    // Pyodide has branches for Node, and evaluates what a library asks for; the frame's policy lets it do neither.
    'direct-eval': 'silent',
    'commonjs-variable-in-esm': 'silent',
  },
};

/** Writes a file under a name with its hash, and gives the name. @param {string} name @param {string | Uint8Array} content */
function write(name, content) {
  const hash = createHash('sha256').update(content).digest('hex').slice(0, 10);
  const hashed = `${basename(name, extname(name))}-${hash}${extname(name)}`;
  writeFileSync(join(assets, hashed), content);
  return hashed;
}

/** KaTeX's style, with its fonts in it. */
async function katexStyle() {
  const path = fileURLToPath(import.meta.resolve('katex/dist/katex.min.css'));
  // Every browser has woff2.
  const contents = readFileSync(path, 'utf8').replaceAll(/,url\([^)]*\.(?:woff|ttf)\) format\("\w+"\)/g, '');
  const stdin = { contents, loader: /** @type {const} */ ('css'), resolveDir: dirname(path) };
  const { outputFiles } = await build({ ...COMMON, stdin, loader: { '.woff2': 'dataurl' } });
  return outputFiles?.[0]?.text ?? '';
}

/** @param {string} entry @param {Record<string, string>} alias @returns {Promise<string>} one classic script */
async function script(entry, alias) {
  const { outputFiles } = await build({
    ...COMMON,
    entryPoints: [join(source, entry)],
    format: 'iife',
    alias,
    external: ['node:*', 'ws'],
    define: { 'import.meta.url': '"http://pyodide/pyodide.mjs"' },
    plugins: [given({ '#kdf': kdf, '#python-sources': PYTHON, '#symbols': symbols, '#katex.css': style })],
  });
  return outputFiles?.[0]?.text ?? '';
}

/** Modules whose value is made here. @param {Record<string, unknown>} modules @returns {import('esbuild').Plugin} */
function given(modules) {
  return {
    name: 'given',
    setup(build) {
      build.onResolve({ filter: /^#/ }, ({ path }) => (path in modules ? { path, namespace: 'given' } : undefined));
      build.onLoad({ filter: /.*/, namespace: 'given' }, ({ path }) => ({
        contents: JSON.stringify(modules[path]),
        loader: 'json',
      }));
    },
  };
}

/** The symbols that libraries link to. */
const symbols = readFileSync(join(runtime, 'symbols.txt'), 'utf8');

/** WebAssembly for key derivation, compiled where it is needed. */
const kdf = readFileSync(join(runtime, 'kdf.wasm'), 'base64');

const style = await katexStyle();

const isolate = await script('frame/isolate.js', {
  '#runtime/pyodide.mjs': join(runtime, 'pyodide.mjs'),
  '#runtime/pyodide.asm.mjs': join(runtime, 'pyodide.asm.mjs'),
});
const frame = await script('frame/frame.js', { '#core': join(core, 'core.js') });

// Compressed here, so that they are compressed on every server, and their sizes, which progress needs, are known.
/** @param {string} name @param {string | Uint8Array} content */
function pack(name, content) {
  const packed = gzipSync(content, { level: 9 });
  const sha256 = createHash('sha256').update(packed).digest('hex');
  return { name, path: write(`${name}.bin`, packed), bytes: packed.length, sha256, unpacked: content.length };
}
const files = Object.entries({
  'isolate.js': isolate,
  'core.wasm': readFileSync(join(core, 'core_bg.wasm')),
  'pyodide.asm.wasm': readFileSync(join(runtime, 'pyodide.asm.wasm')),
  'pyodide-lock.json': readFileSync(join(runtime, 'pyodide-lock.txt')),
  'python_stdlib.zip': readFileSync(join(runtime, 'python_stdlib.zip')),
  'snapshot.bin': readFileSync(join(runtime, 'snapshot.bin')),
}).map(([name, content]) => pack(name, content));

/** Scripts that draw values: each is loaded when the first value of its kind is shown. */
const drawing = await Promise.all(
  ['texts', 'vega', 'plotly'].map(async (name) => pack(`draw-${name}.js`, await script(`drawing/${name}.js`, {}))),
);

// **Boundary.** This policy keeps the code in the frame from the network: nothing may be loaded, not even from the server that
// the frame comes from, and no script runs but the one below and the workers that it makes, which inherit the policy.
const policy = [
  "default-src 'none'",
  `script-src 'sha256-${createHash('sha256').update(frame).digest('base64')}' 'wasm-unsafe-eval'`,
  'worker-src blob:',
  "form-action 'none'",
  "base-uri 'none'",
].join('; ');
const document = `<!doctype html><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="${policy}"><title>Python sandbox</title><script>${frame}</script>\n`;
// Not `.html`: some servers, Cloudflare's among them, redirect that to an address without it.
const manifest = {
  frame: write('frame.htm', document),
  files: files.map(({ unpacked: _, ...file }) => file),
  drawing: Object.fromEntries(
    drawing.map(({ name, path, bytes, sha256 }) => [
      name.slice('draw-'.length, -'.js'.length),
      { path, bytes, sha256 },
    ]),
  ),
};

const { metafile, outputFiles } = await build({
  ...COMMON,
  entryPoints: ['code-sandbox.js', 'python-sandbox.js', 'page.js'].map((file) => join(source, file)),
  format: 'esm',
  splitting: true,
  metafile: true,
  outdir: assets,
  entryNames: '[name]-[hash]',
  chunkNames: '[name]-[hash]',
  loader: { '.css': 'text' },
  plugins: [given({ '#manifest': manifest, '#sources': { index } })],
});
for (const { path, contents } of outputFiles ?? []) writeFileSync(path, contents);

/** The hashed name of an entry. @param {string} entry */
function built(entry) {
  const found = Object.entries(metafile?.outputs ?? {}).find(([, { entryPoint }]) =>
    entryPoint?.endsWith(`www/js/${entry}`),
  );
  if (!found) throw new Error(`${entry} was not built`);
  return { name: basename(found[0]), imports: found[1].imports.filter(({ kind }) => kind === 'import-statement') };
}

writeFileSync(join(out, 'code-sandbox.js'), `export * from './assets/${built('code-sandbox.js').name}';\n`);
writeFileSync(join(out, 'python-sandbox.js'), `export * from './assets/${built('python-sandbox.js').name}';\n`);

cpSync(join(root, 'www/page/_headers'), join(out, '_headers'));

// All manifests take their addresses from there.
const repository = /^repository = "(https:[^"]+)"$/m.exec(readFileSync(join(root, 'Cargo.toml'), 'utf8'))?.[1];
if (!repository) throw new Error('Cargo.toml names no repository');

const { outputFiles: styles } = await build({ ...COMMON, entryPoints: [join(root, 'www/page/page.css')] });
const page = built('page.js');
const preloads = [page.name, ...page.imports.map(({ path }) => basename(path))]
  .map((name) => `<link rel="modulepreload" href="assets/${name}">`)
  .join('\n  ');
writeFileSync(
  join(out, 'index.html'),
  readFileSync(join(root, 'www/page/index.html'), 'utf8')
    .replaceAll('REPOSITORY', repository)
    .replace('<!-- preloads -->', preloads)
    .replace('page.css', `assets/${write('page.css', styles?.[0]?.contents ?? '')}`)
    .replace('page.js', `assets/${page.name}`),
);

const kb = (/** @type {number} */ bytes) => (bytes / 1000).toFixed(0).padStart(8);
const row = (/** @type {string} */ name, /** @type {number} */ raw, /** @type {number} */ wire) =>
  console.log(`${name.padStart(30)} ${kb(raw)} ${kb(wire)}`);
console.log(`${''.padStart(30)}  disk kB  wire kB`);
for (const { path, contents } of outputFiles ?? []) row(basename(path), contents.length, gzipSync(contents).length);
for (const { name, bytes, unpacked } of [...files, ...drawing]) row(name, unpacked, bytes);
