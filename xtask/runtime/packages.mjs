// Packages that are built in: their files and libraries become modules of the isolate.
import { cpSync, existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/**
 * A package's entry in `packages.json`: files in its folder, and `imports`, the modules that it is for.
 * @typedef {object} Prepared
 * @property {string} name
 * @property {string} version
 * @property {string} sha256
 * @property {string} file_name
 * @property {string | null} url
 * @property {string} archive
 * @property {[path: string, file: string][]} modules
 * @property {string[]} imports empty for one that is only needed by another
 */

/** Further modules that people import from these packages: in the snapshot, too, as importing them takes seconds. */
const BESIDES = /** @type {Record<string, string[]>} */ ({
  matplotlib: ['matplotlib.pyplot', 'matplotlib.backends.backend_agg'],
  scipy: ['scipy.stats'],
});

/**
 * Adds the packages of a folder, in which `packages.json` is, to an isolate.
 * @param {string} isolate @param {string | undefined} folder
 */
export function addPackages(isolate, folder) {
  const file = folder && join(folder, 'packages.json');
  /** @type {Prepared[]} */
  const prepared = file && existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : [];
  /** @type {string[]} */
  const imports = [];
  const packages = prepared.map(({ name, version, sha256, file_name, url, archive, modules }, n) => {
    mkdirSync(join(isolate, `packages/${n}`), { recursive: true });
    cpSync(join(folder ?? '', archive), join(isolate, `packages/${n}.bin`));
    const placed = modules.map(([path, library], k) => {
      cpSync(join(folder ?? '', library), join(isolate, `packages/${n}/${k}.wasm`));
      imports.push(`import m${n}_${k} from './${n}/${k}.wasm';`);
      return /** @type {[string, string]} */ ([path, `packages/${n}/${k}.wasm`]);
    });
    const sizeOf = (/** @type {string} */ file) => statSync(join(folder ?? '', file)).size;
    const code = modules.reduce((sum, [, library]) => sum + sizeOf(library), 0);
    const wheel = { name, version, sha256, file_name, url };
    return { wheel, code, data: sizeOf(archive), archive: `packages/${n}.bin`, modules: placed };
  });
  const entries = packages.map(({ wheel: { name, version }, modules }, n) => {
    const libraries = modules.map(([path], k) => `[${JSON.stringify(path)}, m${n}_${k}]`);
    return `  { name: '${name}', version: '${version}', modules: [${libraries.join(', ')}] },`;
  });
  mkdirSync(join(isolate, 'packages'), { recursive: true });
  writeFileSync(
    join(isolate, 'packages/index.js'),
    `// Written by the build.\n${imports.join('\n')}\nexport default [\n${entries.join('\n')}\n];\n`,
  );
  const archives = packages.map(({ archive }) => new Uint8Array(readFileSync(join(isolate, archive))).buffer);
  return {
    packages,
    archives,
    modules: prepared.flatMap(({ name, imports }) => [...imports, ...((imports.length && BESIDES[name]) || [])]),
  };
}
