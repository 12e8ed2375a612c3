// Turns the modules of an isolate into modules of the Worker that starts isolates.
import { createHash } from 'node:crypto';
import { cpSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, extname, join, relative } from 'node:path';
import { roomIn } from './room.mjs';

/** How a module enters an isolate (the Worker Loader's names), by the ending of its name. */
const KINDS = /** @type {Record<string, string>} */ ({ '.js': 'js', '.mjs': 'js', '.txt': 'text', '.wasm': 'wasm' });

/**
 * @param {string} isolate folder of an isolate's modules
 * @param {string} target
 * @param {{ archive: string }[]} packages those that are built in
 */
export function packForEdge(isolate, target, packages) {
  /** @type {string[]} */
  const imports = [];
  /** @type {string[]} */
  const modules = [];
  /** Addresses of the other files. @type {Map<string, string[]>} */
  const assets = new Map();
  const files = readdirSync(isolate, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(isolate, join(entry.parentPath, entry.name)))
    .sort();
  for (const file of files) {
    const kind = KINDS[extname(file)];
    if (!kind) {
      assets.set(file, asset(join(isolate, file), file, target));
      continue;
    }
    const name = `m${imports.length}`;
    // To the Worker, an isolate's JavaScript is text.
    const path = kind === 'js' ? `${file}.txt` : file;
    copy(join(isolate, file), join(target, 'edge', path));
    imports.push(`import ${name} from './${path}';`);
    modules.push(`  ${JSON.stringify(file)}: { ${kind}: ${name} },`);
  }
  // The Worker uses it, too.
  copy(join(isolate, 'envelope.js'), join(target, 'edge/envelope.js'));
  writeFileSync(
    join(target, 'edge/modules.js'),
    `// Written by the build: the modules of an isolate. WebAssembly is compiled once, here, and shared.
${imports.join('\n')}
export const modules = {
${modules.join('\n')}
};
/** What an isolate is sent first (isolate.js): pieces of the standard library, each package's archive, the snapshot. */
export const archives = ${JSON.stringify(['python_stdlib.zip', ...packages.map(({ archive }) => archive)].map((file) => assets.get(file)))};
export const snapshot = ${JSON.stringify(assets.get('snapshot.bin'))};
/** Names all of it. */
export const build = ${JSON.stringify(hashOf(isolate, files))};
/** Packages that are built in, by the names of their modules. */
export const packages = ${JSON.stringify(packages)};
/** What an isolate has room for besides Python, see xtask/runtime/room.mjs. */
export const room = ${JSON.stringify(roomIn(isolate))};
`,
  );
}

/** @param {string} folder @param {string[]} files */
function hashOf(folder, files) {
  const hash = createHash('sha256');
  for (const file of files)
    hash
      .update(file)
      .update('\0')
      .update(readFileSync(join(folder, file)));
  return hash.digest('hex');
}

/** The platform takes files of up to 25 MiB as assets. */
const PIECE = 24 * 1024 * 1024;

/**
 * Copies a file to an address of its own for each content, so that it may be cached for ever.
 * @param {string} from @param {string} name @param {string} target
 * @returns {string[]} the addresses of its pieces
 */
function asset(from, name, target) {
  const bytes = readFileSync(from);
  const hash = createHash('sha256').update(bytes).digest('hex').slice(0, 16);
  const pieces = [];
  for (let at = 0; at === 0 || at < bytes.length; at += PIECE) {
    const path = `runtime/${hash}/${name}${at ? `.${at / PIECE}` : ''}`;
    mkdirSync(dirname(join(target, 'assets', path)), { recursive: true });
    writeFileSync(join(target, 'assets', path), bytes.subarray(at, at + PIECE));
    pieces.push(`/${path}`);
  }
  return pieces;
}

/** @param {string} from @param {string} to */
function copy(from, to) {
  mkdirSync(dirname(to), { recursive: true });
  cpSync(from, to);
}
