// Turns the modules of an isolate into modules of the Worker that starts isolates.
import { createHash } from 'node:crypto';
import { cpSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, extname, join, relative } from 'node:path';

/** How a module enters an isolate (the Worker Loader's names), by the ending of its name; the rest are assets. */
const KINDS = /** @type {Record<string, string>} */ ({ '.js': 'js', '.mjs': 'js', '.txt': 'text', '.wasm': 'wasm' });

/**
 * @param {string} isolate folder of an isolate's modules
 * @param {string} target
 * @param {object[]} packages those that are built in
 */
export function packForEdge(isolate, target, packages) {
  /** @type {string[]} */
  const imports = [];
  /** @type {string[]} */
  const modules = [];
  /** @type {string[]} */
  const assets = [];
  const files = readdirSync(isolate, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(isolate, join(entry.parentPath, entry.name)))
    .sort();
  for (const file of files) {
    const kind = KINDS[extname(file)];
    if (!kind) {
      // An address of its own for each content: it may be cached for ever.
      const bytes = readFileSync(join(isolate, file));
      const hash = createHash('sha256').update(bytes).digest('hex').slice(0, 16);
      const parts = [];
      for (let at = 0; at === 0 || at < bytes.length; at += PART) {
        const path = `runtime/${hash}/${file}${at ? `.${at / PART}` : ''}`;
        mkdirSync(dirname(join(target, 'assets', path)), { recursive: true });
        writeFileSync(join(target, 'assets', path), bytes.subarray(at, at + PART));
        parts.push(`/${path}`);
      }
      assets.push(`  ${JSON.stringify(file)}: ${JSON.stringify(parts)},`);
      continue;
    }
    const name = `m${imports.length}`;
    // To the Worker an isolate's JavaScript is text.
    const path = kind === 'js' ? `${file}.txt` : file;
    copy(join(isolate, file), join(target, 'edge', path));
    imports.push(`import ${name} from './${path}';`);
    modules.push(`  ${JSON.stringify(file)}: { ${kind}: ${name} },`);
  }
  writeFileSync(
    join(target, 'edge/modules.js'),
    `// Written by the build: the modules of an isolate. WebAssembly is compiled once, here, and shared.
${imports.join('\n')}
export const modules = {
${modules.join('\n')}
};
/** Modules that are static assets, with the addresses of their parts. */
export const assets = {
${assets.join('\n')}
};
/** Packages that are built in, by the names of their modules. */
export const packages = ${JSON.stringify(packages)};
`,
  );
}

/** The platform takes files of up to 25 MiB as assets. */
const PART = 24 * 1024 * 1024;

/** @param {string} from @param {string} to */
function copy(from, to) {
  mkdirSync(dirname(to), { recursive: true });
  cpSync(from, to);
}
