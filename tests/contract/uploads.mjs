// Files of sessions over HTTP, in each home that has it: they go in, programs find them, and they come out unchanged.
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { request as ask } from 'node:http';
import { after, before, describe, test } from 'node:test';
import { answer, LegacyClient, meta, modern, modernHeaders, post, run, sleep } from '../edge/worker.mjs';

const MB = 1_000_000;

/** The size of the large file, and how long its transfer may take on a slow machine, in milliseconds. */
const LARGE = 50 * MB;
const PATIENCE = 120_000;

const sha256 = (/** @type {Uint8Array} */ bytes) => createHash('sha256').update(bytes).digest('hex');

/** The URL of a session's file. @param {string} url of the endpoint @param {string} session @param {string} path encoded */
export const at = (url, session, path) => new URL(`/files/${session}/${path}`, url);

/** @param {URL} file @param {BodyInit} body @param {Record<string, string>} [headers] */
export const put = (file, body, headers) => fetch(file, { method: 'PUT', body, headers });

/** Reads a resource. @param {string} url @param {string} uri @param {Record<string, string>} [headers] */
export async function read(url, uri, headers = {}) {
  const body = { jsonrpc: '2.0', id: 1, method: 'resources/read', params: { uri, _meta: meta() } };
  return answer(await post(url, body, { ...modernHeaders('resources/read', uri), ...headers }));
}

/** Announces an upload of `told` bytes, sends only `bytes`, and disconnects. @param {URL} file @param {Uint8Array} bytes @param {number} told */
export async function breakOff(file, bytes, told, headers = {}) {
  const upload = ask(file, { method: 'PUT', headers: { 'content-length': told, ...headers } });
  const gone = new Promise((resolve) => upload.on('error', resolve).on('response', resolve));
  await new Promise((resolve) => upload.write(bytes, resolve));
  await sleep(1000);
  upload.destroy();
  await gone;
}

/**
 * @typedef {{ url: string, stop: () => unknown, memory?: () => number }} Server `memory`: the peak of its memory since the last call, in bytes
 * @param {string} name @param {() => Promise<Server>} start one with FILES_LIMIT_MB=64
 */
export function uploads(name, start) {
  describe(`files of sessions, on the ${name}`, () => {
    /** @type {Server} */
    let server;
    let session = '';
    before(async () => {
      server = await start();
      ({ session } = await run(server.url, 'kept = 1', { session: 'new' }));
    });
    after(() => server?.stop());

    const file = (/** @type {string} */ path) => at(server.url, session, path);
    const python = (/** @type {string} */ code) => run(server.url, code, { session });

    test('a file goes in, takes the place of one, comes out, and is deleted', async () => {
      const every = Uint8Array.from({ length: 256 }, (_, n) => n);
      const one = file('d/%C3%A4%20b%25.bin');
      assert.equal((await put(one, every)).status, 201);
      const code = `(list(open('d/ä b%.bin', 'rb').read()) == list(range(256)), kept)`;
      assert.deepEqual((await python(code)).return_value, [true, 1]);
      assert.equal((await put(one, 'text')).status, 204);
      const found = await fetch(one);
      const headers = Object.fromEntries(found.headers);
      assert.deepEqual([found.status, await found.text()], [200, 'text']);
      assert.match(headers['content-security-policy'], /^sandbox/);
      assert.equal(headers['content-disposition'], "attachment; filename*=UTF-8''%C3%A4%20b%25.bin");
      assert.equal(headers['x-content-type-options'], 'nosniff');
      assert.equal((await fetch(one, { method: 'DELETE' })).status, 204);
      assert.equal((await fetch(one)).status, 404);
      assert.equal((await put(file('empty'), '')).status, 201);
      assert.equal((await python("import os\n[os.path.getsize('empty'), os.listdir('d')]")).return_value.join(), '0,');
    });

    test('what a run made is read by its URI, and what is large is linked to', async () => {
      const code = "open('small.txt', 'w').write('ä')\nopen('large.bin', 'wb').write(b'\\xff' * 1_500_000)";
      const params = { name: 'run_python_code', arguments: { python_code: code, session } };
      const { result } = await answer(await modern(server.url, 'tools/call', params));
      const [large, small] = result.structuredContent.files;
      assert.equal(large.uri, `sandbox://${session}/large.bin`);
      const link = result.content.find((/** @type {any} */ { type }) => type === 'resource_link');
      assert.deepEqual([link.uri, link.size, link.name], [large.uri, 1_500_000, 'large.bin']);
      const text = await read(server.url, small.uri);
      assert.deepEqual(text.result.contents, [{ uri: small.uri, mimeType: 'text/plain', text: 'ä' }]);
      const { blob } = (await read(server.url, large.uri)).result.contents[0];
      assert.deepEqual(Buffer.from(blob, 'base64'), Buffer.alloc(1_500_000, 255));
      const missing = await read(server.url, `sandbox://${session}/none`);
      assert.equal(missing.error.code, -32602);
    });

    test('a legacy session lists its files, reads them, and hears that there are others', async () => {
      const client = await LegacyClient.connect(server.url);
      const list = async () => {
        const { resources } = (await answer(await client.request('resources/list'))).result;
        // Without the resources of the test fixtures.
        return resources.filter((/** @type {any} */ { uri }) => uri.startsWith('sandbox:'));
      };
      assert.deepEqual(await list(), []);
      const params = { name: 'run_python_code', arguments: { python_code: "open('a.txt', 'w').write('b')" } };
      const { notifications } = await answer(await client.request('tools/call', params));
      assert.ok(notifications.some(({ method }) => method === 'notifications/resources/list_changed'));
      const [{ uri, ...file }] = await list();
      assert.deepEqual(file, { name: 'a.txt', title: 'a.txt', mimeType: 'text/plain', size: 1 });
      const { result } = await answer(await client.request('resources/read', { uri }));
      assert.equal(result.contents[0].text, 'b');
      // Another session cannot read this session's file.
      const other = await LegacyClient.connect(server.url);
      await other.run("open('a.txt', 'w').write('c')");
      const { error } = await answer(await other.request('resources/read', { uri }));
      assert.equal(error.code, -32002);
    });

    test('what is in its way is left as it is, and said', async () => {
      await python(`import os
os.makedirs('folder', exist_ok=True)
open('plain', 'w').write('1')
os.symlink('/etc', 'link')
os.symlink('plain', 'link.txt')`);
      for (const [path, method, status, why] of /** @type {[string, string, number, RegExp][]} */ ([
        ['folder', 'PUT', 409, /in its way/],
        ['plain/below', 'PUT', 409, /in its way/],
        ['link/x', 'PUT', 409, /link/],
        ['link.txt', 'PUT', 409, /link/],
        ['link.txt', 'GET', 409, /link/],
        ['link/hosts', 'GET', 409, /link/],
        ['link.txt', 'DELETE', 409, /link/],
        ['folder', 'GET', 409, /no file/],
        ['folder', 'DELETE', 409, /no file/],
        ['..%2fplain', 'GET', 400, /leads out/],
        ['a%00b', 'PUT', 400, /control character/],
        ['none', 'GET', 404, /no such file/],
      ])) {
        const response = await fetch(file(path), { method, ...(method === 'PUT' && { body: 'x' }) });
        assert.deepEqual([response.status, path], [status, path]);
        assert.match((await response.json()).error, why);
      }
      const left = "[sorted(os.listdir('folder')), open('plain').read(), os.readlink('link.txt')]";
      assert.deepEqual((await python(left)).return_value, [[], '1', 'plain']);
    });

    test('an upload that breaks off leaves what was there', async () => {
      await put(file('whole'), 'before');
      await breakOff(file('whole'), randomBytes(3 * MB), 5 * MB);
      assert.equal(await (await fetch(file('whole'))).text(), 'before');
      assert.deepEqual((await python("[f for f in os.listdir('.') if 'whole' in f]")).return_value, ['whole']);
    });

    test('more than there may be is refused', async () => {
      const refused = () =>
        new Promise((resolve) => {
          const upload = ask(file('more'), { method: 'PUT', headers: { 'content-length': 65 * 1024 * 1024 } });
          upload.on('response', ({ statusCode }) => {
            resolve(statusCode);
            upload.destroy();
          });
          upload.on('error', (/** @type {NodeJS.ErrnoException} */ { code }) => resolve(code));
          // The server reads all of it before it answers, so the response is not lost.
          upload.end(Buffer.alloc(65 * 1024 * 1024));
        });
      for (let again = 0; again < 5; again++) assert.equal(await refused(), 413);
      const half = Buffer.alloc(40 * MB);
      assert.equal((await put(file('half'), half)).status, 201);
      const full = await put(file('more'), half);
      assert.deepEqual(
        [full.status, (await full.json()).error],
        [507, 'Insufficient Storage: there is no room for it (FILES_LIMIT_MB)'],
      );
      // The refused upload gave back the space that it had taken.
      assert.equal((await put(file('fits'), half.subarray(0, 20 * MB))).status, 201);
      for (const path of ['half', 'fits']) assert.equal((await fetch(file(path), { method: 'DELETE' })).status, 204);
    });

    test('a large file goes in and comes out', { timeout: 2 * PATIENCE }, async () => {
      const bytes = randomBytes(LARGE);
      const pieces = new ReadableStream({
        start(controller) {
          for (let from = 0; from < LARGE; from += MB) controller.enqueue(bytes.subarray(from, from + MB));
          controller.close();
        },
      });
      server.memory?.();
      const before = server.memory?.() ?? 0;
      let start = performance.now();
      // A stream, whose length is not announced.
      const init = /** @type {any} */ ({ method: 'PUT', body: pieces, duplex: 'half' });
      assert.equal((await fetch(file('large'), init)).status, 201);
      const up = performance.now() - start;
      const code = "import hashlib\nhashlib.sha256(open('large', 'rb').read()).hexdigest()";
      assert.equal((await python(code)).return_value, sha256(bytes));
      start = performance.now();
      const response = await fetch(file('large'));
      assert.equal(sha256(new Uint8Array(await response.arrayBuffer())), sha256(bytes));
      const down = performance.now() - start;
      const grown = (server.memory?.() ?? 0) - before;
      const held = server.memory ? `, grown by ${Math.round(grown / MB)} MB` : '';
      console.log(`${LARGE / MB} MB on the ${name}: up ${Math.round(up)} ms, down ${Math.round(down)} ms${held}`);
      assert.ok(up < PATIENCE && down < PATIENCE);
      // The server holds some parts of the file at a time, never all of it.
      assert.ok(grown < LARGE / 2, `${grown}`);
      const link = await read(server.url, `sandbox://${session}/large`);
      assert.match(link.error.message, /has 50000000 bytes, and a resource at most .*GET \/files\/HANDLE\/PATH/);
    });

    test('a file that a program changes while it is read is not taken for whole', { timeout: PATIENCE }, async () => {
      const response = await fetch(file('large'));
      const reader = /** @type {ReadableStream<Uint8Array>} */ (response.body).getReader();
      let size = (await reader.read()).value?.length ?? 0;
      await python("open('large', 'r+b').write(b'changed')\n1");
      await assert.rejects(async () => {
        for (let piece = await reader.read(); !piece.done; piece = await reader.read()) size += piece.value.length;
      });
      assert.ok(size < LARGE, `${size}`);
      assert.equal((await fetch(file('large'), { method: 'DELETE' })).status, 204);
    });
  });
}
