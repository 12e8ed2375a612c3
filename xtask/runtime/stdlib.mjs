// Python's standard library as it is shipped: with modules that Pyodide leaves out, and bytecode of those that take a program
// long to compile.
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { loadPyodide } from 'pyodide';

const here = dirname(fileURLToPath(import.meta.url));

/** See its README. */
const LEFT_OUT = join(here, '../../runtime/stdlib');

/**
 * @param {Uint8Array} archive Pyodide's own
 * @param {Record<string, string>} sources our modules in the snapshot: what they import needs no bytecode
 * @returns {Promise<Uint8Array>}
 */
export async function complete(archive, sources) {
  /** @type {any} */
  const pyodide = await loadPyodide({ env: { HOME: '/home/pyodide', PYTHONHASHSEED: '0' } });
  const { FS, _api } = pyodide;
  const folder = `${_api.sitepackages}/_sandbox`;
  FS.mkdirTree(folder);
  for (const [name, source] of Object.entries(sources)) FS.writeFile(`${folder}/${name}.py`, source);
  pyodide.pyimport('_sandbox.runner');
  FS.writeFile('/home/pyodide/bytecode.py', readFileSync(join(here, 'bytecode.py')));
  FS.writeFile('/tmp/in.zip', archive);
  for (const file of readdirSync(LEFT_OUT, { recursive: true, encoding: 'utf8' })) {
    if (!file.endsWith('.py')) continue;
    FS.mkdirTree(dirname(`/tmp/left_out/${file}`));
    FS.writeFile(`/tmp/left_out/${file}`, readFileSync(join(LEFT_OUT, file)));
  }
  pyodide.pyimport('bytecode').add_bytecode('/tmp/in.zip', '/tmp/left_out', '/tmp/out.zip');
  return FS.readFile('/tmp/out.zip');
}
