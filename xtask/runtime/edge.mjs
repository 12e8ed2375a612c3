// Turns the modules of an isolate into modules of the Worker that starts isolates.
import { createHash } from 'node:crypto';
import { cpSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, extname, join, relative } from 'node:path';

/** How a module enters an isolate (the Worker Loader's names), by the ending of its name; the rest are assets. */
const KINDS = /** @type {Record<string, string>} */ ({ '.js': 'js', '.mjs': 'js', '.txt': 'text', '.wasm': 'wasm' });

/** @param {string} isolate folder of an isolate's modules @param {string} target */
export function packForEdge(isolate, target) {
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
      const hash = createHash('sha256')
        .update(readFileSync(join(isolate, file)))
        .digest('hex')
        .slice(0, 16);
      const path = `runtime/${hash}/${file}`;
      copy(join(isolate, file), join(target, 'assets', path));
      assets.push(`  ${JSON.stringify(file)}: ${JSON.stringify(`/${path}`)},`);
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
/** Modules that are static assets, with their addresses. */
export const assets = {
${assets.join('\n')}
};
`,
  );
}

/** @param {string} from @param {string} to */
function copy(from, to) {
  mkdirSync(dirname(to), { recursive: true });
  cpSync(from, to);
}
