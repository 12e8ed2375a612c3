// The output of `cargo xtask build` in dist/: it is complete, small enough, and without the tools of tests.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';

const DIST = new URL('../../dist/', import.meta.url).pathname;
/** Text that only the tests' worker contains: names of fixture tools, and the route that panics. */
const FIXTURES = ['test_simple_text', 'test_image_content', 'json_schema_2020_12_tool', 'asked for by a test'];
/** In bytes after gzip; the platform's limit is 10 MB. */
const MAX_WORKER = 9_500_000;

/** @param {string} folder @returns {string[]} */
const files = (folder) =>
  readdirSync(join(DIST, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && !/\.(map|md)$/.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name));

test('the worker and its assets are there', () => {
  const worker = files('worker').join('\n');
  assert.match(worker, /index\.js/);
  assert.match(worker, /\.wasm/);
  assert.equal(files('assets').filter((file) => file.endsWith('snapshot.bin')).length, 1);
});

test('the worker is small enough', () => {
  const size = files('worker').reduce((sum, file) => sum + gzipSync(readFileSync(file)).length, 0);
  assert.ok(size < MAX_WORKER, `${size} bytes gzip`);
});

test('nothing of the tests is in it', () => {
  for (const file of files('worker')) {
    const bytes = readFileSync(file);
    for (const fixture of FIXTURES) assert.ok(!bytes.includes(fixture), `${fixture} is in ${file}`);
  }
});
