// Python's standard library as it is shipped: with bytecode of the modules that take a program long to compile.
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { loadPyodide } from 'pyodide';

const here = dirname(fileURLToPath(import.meta.url));

/**
 * @param {Uint8Array} archive Pyodide's own
 * @param {Record<string, string>} sources our modules in the snapshot: what they import needs no bytecode
 * @returns {Promise<Uint8Array>}
 */
export async function withBytecode(archive, sources) {
  /** @type {any} */
  const pyodide = await loadPyodide({ env: { HOME: '/home/pyodide', PYTHONHASHSEED: '0' } });
  const { FS, _api } = pyodide;
  const folder = `${_api.sitepackages}/_sandbox`;
  FS.mkdirTree(folder);
  for (const [name, source] of Object.entries(sources)) FS.writeFile(`${folder}/${name}.py`, source);
  pyodide.pyimport('_sandbox.runner');
  FS.writeFile('/home/pyodide/bytecode.py', readFileSync(join(here, 'bytecode.py')));
  FS.writeFile('/tmp/in.zip', archive);
  pyodide.pyimport('bytecode').add_bytecode('/tmp/in.zip', '/tmp/out.zip');
  return FS.readFile('/tmp/out.zip');
}
