// The versions are in runtime/pyodide/version.json, and every other file that repeats one has the same.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { PACKAGES } from '../../runtime/js/packages.js';

const json = async (/** @type {string} */ file) => JSON.parse(await readFile(file, 'utf8'));

test('the Pyodide that is installed, and its Python, are those that all of this is made for', async () => {
  const { pyodide, python, assets } = await json('runtime/pyodide/version.json');
  assert.equal((await json('package.json')).devDependencies.pyodide, pyodide);
  assert.equal(PACKAGES, `/lib/python${python}/packages`);
  const { info } = await json('node_modules/pyodide/pyodide-lock.json');
  assert.equal(info.python.split('.').slice(0, 2).join('.'), python);
  assert.deepEqual(Object.keys(assets).sort(), [
    'pyodide-lock.json',
    'pyodide.asm.mjs',
    'pyodide.asm.wasm',
    'pyodide.mjs',
    'python_stdlib.zip',
  ]);
});
