// Files of sessions on the desk: over HTTP, and as resources over stdio.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { uploads } from '../contract/uploads.mjs';
import { StdioClient, serve } from './desk.mjs';

uploads('desk', async () => {
  const server = await serve(['streamable-http']);
  const memory = () => {
    const peak = readFileSync(`/proc/${server.pid}/status`, 'utf8').match(/^VmHWM:\s*(\d+) kB/m);
    // Resets the peak: the next call measures from here on.
    writeFileSync(`/proc/${server.pid}/clear_refs`, '5');
    return Number(peak?.[1] ?? 0) * 1024;
  };
  return { ...server, memory };
});

test('a client by stdio lists the files of its interpreter, and reads them', async () => {
  await using client = new StdioClient();
  const { capabilities } = await client.initialize();
  assert.deepEqual(capabilities.resources, { listChanged: true });
  const list = async () => (await client.request('resources/list')).result.resources;
  assert.deepEqual(await list(), []);
  const code =
    "import os\nos.makedirs('d')\nopen('d/ä.txt', 'w').write('b')\nopen('x.bin', 'wb').write(b'\\xff' * 500_000)";
  const { files } = await client.run(code);
  assert.deepEqual(
    client.notifications.map(({ method }) => method),
    ['notifications/resources/list_changed'],
  );
  const listed = await list();
  assert.deepEqual(
    listed.map((/** @type {any} */ { uri }) => uri),
    files.map((/** @type {any} */ { uri }) => uri),
  );
  const [text, large] = listed;
  const read = async (/** @type {string} */ uri) => client.request('resources/read', { uri });
  assert.equal((await read(text.uri)).result.contents[0].text, 'b');
  assert.equal(Buffer.from((await read(large.uri)).result.contents[0].blob, 'base64').length, 500_000);
  await client.run("open('d/ä.txt', 'a').write('c')");
  assert.equal(client.notifications.length, 1, 'the list is the same');
  assert.equal((await read(text.uri)).result.contents[0].text, 'bc');
  assert.equal((await read(text.uri.replace('%C3%A4', 'none'))).error.code, -32002);
  assert.equal(await client.close(), 0);
});
