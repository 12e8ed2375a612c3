// Files and output that are too large for results, which the desk keeps on its disk for a limited time.
import assert from 'node:assert/strict';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { call, KEPT, kept, read } from '../contract/kept.mjs';
import { run, sleep } from '../edge/worker.mjs';
import { StdioClient, serve, Temporary } from './desk.mjs';

const SETTINGS = Object.entries(KEPT).flatMap(([name, value]) => ['--set', `${name}=${value}`]);

/** Code that writes a file of `size` bytes. @param {number} size */
const file = (size) => `open('a.bin', 'wb').write(bytes(range(256)) * ${size >> 8})`;

kept('desk', () => serve([...SETTINGS, 'streamable-http']));

test('its folder is its own, appears with the first file, and goes with it', async () => {
  const cache = new Temporary();
  const environment = { MCP_RUN_PYTHON_CACHE: cache.path };
  const all = join(cache.path, 'kept');
  const folders = () => (existsSync(all) ? readdirSync(all).filter((name) => name !== 'lock') : []);
  const server = await serve([...SETTINGS, 'streamable-http'], environment);
  try {
    await call(server.url, 'ann', '1 + 1');
    assert.deepEqual(folders(), []);
    const { structuredContent } = await call(server.url, 'ann', file(1 << 20));
    assert.equal(folders().length, 1);
    const folder = join(all, folders()[0]);
    const [{ uri }] = structuredContent.files;
    const [, id] = uri.split(/\/+/);
    assert.deepEqual(readdirSync(folder).sort(), [id, 'lock'].sort(), 'its name is of our making');
    assert.deepEqual(
      [folder, join(folder, id)].map((path) => statSync(path).mode & 0o777),
      [0o700, 0o600],
    );
    assert.equal((await read(server.url, 'ann', uri)).length, 1 << 20);
    // The next server removes what a killed one left.
    process.kill(server.pid, 'SIGKILL');
    await sleep(500);
    assert.equal(folders().length, 1);
    const next = await serve([...SETTINGS, 'streamable-http'], environment);
    await call(next.url, 'ann', file(1 << 20));
    assert.equal(folders().length, 1);
    assert.ok(!existsSync(folder));
    await next.stop();
    assert.deepEqual(folders(), []);
  } finally {
    await server.stop();
    cache.remove();
  }
});

test('over stdio, too; and not where it is turned off', async () => {
  await using client = new StdioClient();
  await client.initialize();
  // The connection's own interpreter keeps its files.
  const own = await client.run(file(1 << 20));
  assert.equal(own.status, 'success', own.error);
  const server = await serve(['--set', 'KEPT_FILES_LIMIT_MB=0', 'streamable-http']);
  try {
    const { files } = await run(server.url, file(1 << 20));
    const told = { path: 'a.bin', change: 'created', size: 1 << 20, media_type: 'application/octet-stream' };
    assert.deepEqual(files, [told]);
    const { output } = await run(server.url, 'for n in range(20000): print(n)');
    assert.ok(
      output.some((/** @type {string} */ line) =>
        /^\[output cut: \d+ bytes left out here, by RESULT_LIMIT_KB\]$/.test(line),
      ),
    );
  } finally {
    await server.stop();
  }
});
