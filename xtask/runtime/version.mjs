// Writes runtime/pyodide/version.json for the Pyodide that is installed: see docs/upgrading-pyodide.md.
//
// usage: node version.mjs
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

const pyodide = dirname(createRequire(import.meta.url).resolve('pyodide/package.json'));
const file = join(import.meta.dirname, '../../runtime/pyodide/version.json');
const json = (/** @type {string} */ path) => JSON.parse(readFileSync(path, 'utf8'));

const { assets } = json(file);
for (const name of Object.keys(assets))
  assets[name] = createHash('sha256')
    .update(readFileSync(join(pyodide, name)))
    .digest('hex');
const [major, minor] = json(join(pyodide, 'pyodide-lock.json')).info.python.split('.');
const version = { pyodide: json(join(pyodide, 'package.json')).version, python: `${major}.${minor}`, assets };
writeFileSync(file, `${JSON.stringify(version, null, 2)}\n`);
console.log(`Pyodide ${version.pyodide}, Python ${version.python}`);
