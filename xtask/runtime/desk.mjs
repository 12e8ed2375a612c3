// Writes the folder that the desk's workerd serves: the modules of an isolate, the worker that starts isolates
// (cli/src/parent.js), and workerd's configuration.
//
// usage: node desk.mjs ISOLATE_FOLDER OUTPUT_FOLDER
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, dirname, extname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { roomIn } from './room.mjs';
import { COMPATIBILITY_DATE } from './workerd.mjs';

/** How a module enters an isolate (the Worker Loader's names), by the ending of its name. */
const KINDS = /** @type {Record<string, string>} */ ({
  '.js': 'js',
  '.mjs': 'js',
  '.txt': 'text',
  '.wasm': 'wasm',
});

const [isolate, target] = process.argv.slice(2);
if (!isolate || !target) throw new Error('usage: node desk.mjs ISOLATE_FOLDER OUTPUT_FOLDER');
rmSync(target, { recursive: true, force: true });
mkdirSync(target, { recursive: true });
cpSync(isolate, join(target, 'isolate'), { recursive: true });
writeFileSync(join(target, 'room.json'), JSON.stringify(roomIn(isolate)));
const source = join(dirname(fileURLToPath(import.meta.url)), '../../cli/src/parent.js');
writeFileSync(join(target, 'parent.js'), readFileSync(source));

const files = readdirSync(join(target, 'isolate'), { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile())
  .map((entry) => relative(join(target, 'isolate'), join(entry.parentPath, entry.name)))
  .sort()
  .map((file) => ({ file, kind: KINDS[extname(file)] ?? 'part' }));
/** What an isolate's first request brings along (isolate.js), in their order. */
const ORDER = [/zip$/, /^packages/, /^snapshot/];
const rank = (/** @type {string} */ file) => ORDER.findIndex((name) => name.test(file));
const number = (/** @type {string} */ file) => Number.parseInt(basename(file), 10);
const parts = files
  .filter(({ kind }) => kind === 'part')
  .sort((a, b) => rank(a.file) - rank(b.file) || number(a.file) - number(b.file))
  .map((part) => `m${files.indexOf(part)}`);

writeFileSync(
  join(target, 'modules.js'),
  `// Written by the build: the modules of an isolate. WebAssembly is compiled once, here, and shared.
${files.map(({ file }, i) => `import m${i} from './isolate/${file}';`).join('\n')}
export const modules = {
${files.map(({ file, kind }, i) => (kind === 'part' ? '' : `  ${JSON.stringify(file)}: { ${kind}: m${i} },`)).join('\n')}
};
export const archives = [${parts.slice(0, -1).join(', ')}];
export const snapshot = ${parts.at(-1)};
`,
);

/** To the parent an isolate's JavaScript is text. @param {string} kind */
const entersAs = (kind) => (kind === 'js' ? 'text' : kind === 'part' ? 'data' : kind);
const modules = [
  '(name = "parent.js", esModule = embed "parent.js")',
  '(name = "modules.js", esModule = embed "modules.js")',
  '(name = "envelope.js", esModule = embed "isolate/envelope.js")',
  ...files.map(({ file, kind }) => `(name = "isolate/${file}", ${entersAs(kind)} = embed "isolate/${file}")`),
];
writeFileSync(
  join(target, 'config.capnp'),
  `# Written by the build.
using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  # Machine code of wasm stays: the next isolate needs it, too.
  v8Flags = ["--no-flush-liftoff-code"],
  services = [
    (name = "main", worker = .parent),
    # What there is of a network: nothing that may be reached.
    (name = "internet", network = (allow = [])),
  ],
  sockets = [(name = "runs", address = "unix:runs", http = (), service = "main")],
);
const parent :Workerd.Worker = (
  modules = [
    ${modules.join(',\n    ')}
  ],
  compatibilityDate = "${COMPATIBILITY_DATE}",
  bindings = [
    (name = "LOADER", workerLoader = ()),
    (name = "INTERPRETERS", durableObjectNamespace = "Interpreter"),
    (name = "SECRET", fromEnvironment = "SECRET"),
  ],
  durableObjectNamespaces = [(className = "Interpreter", uniqueKey = "interpreter", preventEviction = true)],
  durableObjectStorage = (inMemory = void),
);
`,
);
