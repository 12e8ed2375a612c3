// No file of JavaScript imports itself through others; docs/architecture.md says which may use which.
import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { dirname, join, normalize } from 'node:path';
import { test } from 'node:test';
import { circle } from './circles.mjs';

const FOLDERS = ['runtime', 'www/js', 'cli', 'desk/runtime', 'worker', 'xtask/runtime', 'tests'];
const BUILT = /node_modules|\/build\/|cli\/(browser|core|runtime)\/|\.wrangler/;

/** @param {string} text */
function imported(text) {
  const code = text.replace(/^\s*(\/\/|\/?\*).*$/gm, '');
  return [...code.matchAll(/(?:\bfrom|^import|\bimport\()\s*'(\.[^']+)'/gm)].map(([, path = '']) => path);
}

test('no file imports itself over others', async () => {
  /** @type {Map<string, string[]>} */
  const graph = new Map();
  for (const folder of FOLDERS) {
    for (const name of await readdir(folder, { recursive: true })) {
      const file = join(folder, name);
      if (!/\.m?js$/.test(name) || BUILT.test(file)) continue;
      const paths = imported(await readFile(file, 'utf8'));
      graph.set(
        file,
        paths.map((path) => normalize(join(dirname(file), path))),
      );
    }
  }
  assert.ok(graph.size > 100 && graph.get('runtime/js/pulse.js')?.includes('runtime/js/turn.js'), `${graph.size}`);
  assert.equal(circle(graph)?.join(' -> '), undefined);
});

test('a circle is found', () => {
  const graph = new Map([
    ['a', ['b']],
    ['b', ['c']],
    ['c', ['d', 'b']],
  ]);
  assert.deepEqual(circle(graph), ['b', 'c', 'b']);
  assert.deepEqual(
    imported("import './a.js';\nimport { b } from './b.js';\n// from './no.js'\nawait import('./c.js');"),
    ['./a.js', './b.js', './c.js'],
  );
});
