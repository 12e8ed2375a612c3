// Writes what the desk's program needs beside it: workerd, its configuration, and what isolates are made of.
//
// usage: node home.mjs ISOLATE_FOLDER SOURCES_JS OUTPUT_FOLDER
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cpSync, linkSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { basename, dirname, extname, join, relative } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { roomIn } from './room.mjs';
import { COMPATIBILITY_DATE } from './workerd.mjs';

/** How a module enters an isolate (the Worker Loader's names), by the ending of its name. */
const KINDS = /** @type {Record<string, string>} */ ({
  '.js': 'js',
  '.mjs': 'js',
  '.txt': 'text',
  '.wasm': 'wasm',
});

const [isolate, sources, home] = process.argv.slice(2);
if (!isolate || !sources || !home) throw new Error('usage: node home.mjs ISOLATE_FOLDER SOURCES_JS OUTPUT_FOLDER');
const target = join(home, 'runtime');
rmSync(target, { recursive: true, force: true });
mkdirSync(target, { recursive: true });

const { mirror, index } = await import(pathToFileURL(sources).href);
writeFileSync(join(target, 'room.json'), JSON.stringify(roomIn(isolate)));
writeFileSync(join(target, 'sources.json'), JSON.stringify({ mirror, index }));
cpSync(join(isolate, 'pyodide-lock.txt'), join(target, 'pyodide-lock.json'));

/** The files that an isolate's first request carries (isolate.js), in their order. */
const ORDER = [/zip$/, /^packages/, /^snapshot/];
const rank = (/** @type {string} */ file) => ORDER.findIndex((name) => name.test(file));
const number = (/** @type {string} */ file) => Number.parseInt(basename(file), 10);
/** @param {string} file */
const kindOf = (file) => KINDS[extname(file)] ?? (file === 'snapshot.bin' ? 'snapshot' : 'archive');
const files = readdirSync(isolate, { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile())
  .map((entry) => relative(isolate, join(entry.parentPath, entry.name)))
  .map((file) => ({ file, kind: kindOf(file) }));
const isPart = (/** @type {{ kind: string }} */ { kind }) => kind === 'archive' || kind === 'snapshot';
const assets = [
  // The largest first: it is compiled while the rest arrives.
  ...files
    .filter((file) => !isPart(file))
    .sort((a, b) => Number(b.kind === 'wasm') - Number(a.kind === 'wasm') || (a.file < b.file ? -1 : 1)),
  ...files.filter(isPart).sort((a, b) => rank(a.file) - rank(b.file) || number(a.file) - number(b.file)),
];

// In the format of runtime/js/envelope.js.
const text = Buffer.from(JSON.stringify(assets));
const parts = assets.map(({ file }) => readFileSync(join(isolate, file)));
const lengths = Uint32Array.of(parts.length, text.length, ...parts.map((part) => part.length));
writeFileSync(join(target, 'assets.bin'), Buffer.concat([Buffer.from(lengths.buffer), text, ...parts]));

const root = join(dirname(fileURLToPath(import.meta.url)), '../..');
const workerd = createRequire(import.meta.url)('workerd').default;
const folder = mkdtempSync(join(tmpdir(), 'desk-config-'));
try {
  cpSync(join(root, 'desk/runtime/parent.js'), join(folder, 'parent.js'));
  cpSync(join(isolate, 'envelope.js'), join(folder, 'envelope.js'));
  writeFileSync(
    join(folder, 'config.capnp'),
    `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  # Machine code of wasm stays: the next isolate needs it, too.
  v8Flags = ["--no-flush-liftoff-code"],
  services = [
    (name = "main", worker = .parent),
    # What there is of a network: nothing that may be reached.
    (name = "internet", network = (allow = [])),
  ],
  # Its descriptor is handed over when it is started.
  sockets = [(name = "runs", address = "unix:runs", http = (), service = "main")],
);
const parent :Workerd.Worker = (
  modules = [
    (name = "parent.js", esModule = embed "parent.js"),
    (name = "envelope.js", esModule = embed "envelope.js"),
  ],
  compatibilityDate = "${COMPATIBILITY_DATE}",
  bindings = [
    (name = "LOADER", workerLoader = ()),
    (name = "INTERPRETERS", durableObjectNamespace = "Interpreter"),
    (name = "SECRET", fromEnvironment = "SECRET"),
    # Compiles the WebAssembly that it was sent. Isolates that it loads have no bindings, and may compile nothing.
    (name = "COMPILER", unsafeEval = void),
  ],
  durableObjectNamespaces = [(className = "Interpreter", uniqueKey = "interpreter", preventEviction = true)],
  durableObjectStorage = (inMemory = void),
);
`,
  );
  const compile = ['compile', '--config-only', join(folder, 'config.capnp')];
  writeFileSync(join(target, 'config.bin'), execFileSync(workerd, compile, { maxBuffer: 1 << 26 }));
} finally {
  rmSync(folder, { recursive: true, force: true });
}
/** Hash that the program checks once on each machine. @param {string} file */
const sha256 = (file) => createHash('sha256').update(readFileSync(file)).digest('hex');
writeFileSync(
  join(target, 'hashes.json'),
  JSON.stringify({
    config: sha256(join(target, 'config.bin')),
    assets: sha256(join(target, 'assets.bin')),
    // npm installs other binaries on other machines.
    workerd: { [`${process.platform}-${process.arch}`]: sha256(workerd) },
  }),
);
const place = join(home, 'workerd');
rmSync(place, { force: true });
try {
  linkSync(workerd, place);
} catch {
  cpSync(workerd, place);
}
