// Files and output of runs without a session that are too large for their results, in a home that is reached by HTTP.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { answer, meta, modernHeaders, post, sleep } from '../edge/worker.mjs';

/** Settings of such a home: tokens for `ann` and `bob` (sha256 of `secret-of-ann` and `secret-of-bob`), and a short lifetime. */
export const KEPT = {
  ACCESS: 'token',
  ACCESS_TOKENS:
    'ann:70b418541da77d413246ec0d700eebb8b23852493cfaa4ab4f39009cd68360f0,' +
    'bob:f6dbcfeb957b327b63c0705f1348f75715f09f5020903b696c43e66a53d0f189',
  KEPT_FILES_LIMIT_MB: '24',
  KEPT_MINUTES: '0.25',
};

/** How long kept files live, in milliseconds. */
const TIME = 15_000;

/** Defines `big(path, megabytes, seed)`, which writes bytes that depend on their offset, and returns their sha256. */
const BIG = `
import hashlib, os
def big(path, megabytes, seed=1):
    os.makedirs(os.path.dirname(path) or '.', exist_ok=True)
    whole = hashlib.sha256()
    with open(path, 'wb') as file:
        for n in range(megabytes * 16):
            piece = hashlib.shake_256(b'%d %d' % (seed, n)).digest(65536)
            whole.update(piece)
            file.write(piece)
    return whole.hexdigest()
`;

/** @param {string} url @param {string} who @param {string} method @param {any} params @param {Record<string, unknown>} [more] of `_meta` */
export async function ask(url, who, method, params, more) {
  const body = { jsonrpc: '2.0', id: 1, method, params: { _meta: meta(more), ...params } };
  const headers = { ...modernHeaders(method, params.name ?? params.uri), authorization: `Bearer secret-of-${who}` };
  return answer(await post(url, body, headers));
}

/** @param {string} url @param {string} who @param {string} code @param {any} [args] @returns {Promise<any>} the result */
export async function call(url, who, code, args = {}) {
  const params = { name: 'run_python_code', arguments: { python_code: code, ...args } };
  const { result, error, text } = await ask(url, who, 'tools/call', params);
  assert.ok(result, error?.message ?? text);
  return result;
}

/** Reads a file part by part. @param {string} url @param {string} who @param {string} uri @returns {Promise<Buffer>} */
export async function read(url, who, uri) {
  const parts = [];
  for (let at = 0, size = Infinity; at < size; ) {
    const { result, error } = await ask(url, who, 'resources/read', { uri }, { 'mcp-run-python/at': at });
    assert.ok(result, error?.message);
    const [{ blob, _meta }] = result.contents;
    const part = Buffer.from(blob, 'base64');
    assert.ok(part.length > 0 && part.length <= 4 << 20, `${part.length} bytes`);
    parts.push(part);
    at += part.length;
    size = _meta['mcp-run-python/size'];
  }
  return Buffer.concat(parts);
}

/** @param {Buffer} bytes */
const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex');

/** @param {string} name @param {() => Promise<{ url: string, stop: () => Promise<unknown> }>} start with the settings `KEPT` */
export function kept(name, start) {
  describe(`what is too large for a result, on the ${name}`, () => {
    /** @type {Awaited<ReturnType<typeof start>>} */
    let home;
    before(async () => {
      home = await start();
    });
    after(() => home?.stop());

    test('a file of 20 MB comes back byte by byte, to whom it is of, in its time', async () => {
      const { content, structuredContent } = await call(home.url, 'ann', `${BIG}\nbig('d/ä b.bin', 20)`);
      assert.equal(structuredContent.status, 'success', structuredContent.error);
      const [{ uri, ...file }] = structuredContent.files;
      const told = { path: 'd/ä b.bin', change: 'created', size: 20 << 20, media_type: 'application/octet-stream' };
      assert.deepEqual(file, told);
      assert.match(uri, /^sandbox:\/\/[0-9a-z]{26}\/d\/%C3%A4%20b\.bin$/);
      const link = {
        type: 'resource_link',
        uri,
        name: 'ä b.bin',
        title: told.path,
        mimeType: told.media_type,
        size: told.size,
      };
      assert.deepEqual(content.slice(1), [link]);
      assert.match(
        content[0].text,
        /created d\/ä b\.bin \(application\/octet-stream, 20971520 bytes: too large to be attached, read it as sandbox:/,
      );
      assert.equal(sha256(await read(home.url, 'ann', uri)), structuredContent.return_value);
      const download = async (/** @type {string} */ who) => {
        const address = home.url.replace('/mcp', `/files/${uri.replace('sandbox://', '')}`);
        return await fetch(address, { headers: { authorization: `Bearer secret-of-${who}` } });
      };
      const downloaded = Buffer.from(await (await download('ann')).arrayBuffer());
      assert.equal(sha256(downloaded), structuredContent.return_value);
      assert.equal((await download('bob')).status, 404);
      const began = Date.now();
      // The whole file is too large for one message. Another principal's file is refused as if it did not exist.
      const whole = await ask(home.url, 'ann', 'resources/read', { uri });
      assert.match(whole.error.message, /has 20971520 bytes, and a resource at most/);
      const never = uri.replace(/\/\/./, (/** @type {string} */ begin) => (begin.endsWith('0') ? '//1' : '//0'));
      const others = [
        ['bob', uri],
        ['ann', never],
        ['ann', uri.replace('b.bin', 'c.bin')],
      ];
      const refused = await Promise.all(others.map(([who, uri]) => ask(home.url, who, 'resources/read', { uri })));
      for (const { error } of refused) {
        assert.deepEqual([error.code, error.message], [refused[0].error.code, refused[0].error.message]);
        assert.match(error.message, /no such file|unknown/);
      }
      await sleep(TIME - (Date.now() - began) + 2000);
      const late = await ask(home.url, 'ann', 'resources/read', { uri });
      assert.equal(late.error.message, refused[0].error.message);
    });

    test('the largest that one message has comes whole', async () => {
      const { structuredContent } = await call(home.url, 'ann', `${BIG}\nbig('most', 4)`);
      const [{ uri }] = structuredContent.files;
      const { result } = await ask(home.url, 'ann', 'resources/read', { uri });
      const whole = Buffer.from(result.contents[0].blob, 'base64');
      assert.deepEqual([whole.length, sha256(whole)], [4 << 20, structuredContent.return_value]);
    });

    test('what is more than may be kept of a run is told of, and lost; a session keeps its own', async () => {
      const code = `${BIG}\nbig('a', 20), big('b', 5), big('c', 4)`;
      const { structuredContent } = await call(home.url, 'ann', code);
      const { files, return_value } = structuredContent;
      assert.deepEqual(
        files.map((/** @type {any} */ { uri }) => Boolean(uri)),
        [true, false, true],
      );
      assert.equal(sha256(await read(home.url, 'ann', files[2].uri)), return_value[2]);
      const { content, structuredContent: own } = await call(home.url, 'ann', `${BIG}\nbig('a', 5)`, {
        session: 'new',
      });
      assert.match(content[0].text, /created a \(/);
      assert.equal(own.files[0].uri, `sandbox://${own.session}/a`);
    });

    test('all of a result that is cut can be read', async () => {
      const lines = 'for n in range(20000): print(f"line {n} <é>")\n';
      const { content, structuredContent } = await call(home.url, 'ann', `${lines}list(range(50000))`);
      const { output, return_value } = structuredContent;
      const gap = /** @type {string} */ (output.find((/** @type {string} */ line) => line.startsWith('[output cut: ')));
      const [, uri] =
        gap.match(/^\[output cut: \d+ bytes left out here, by RESULT_LIMIT_KB; all of it: (\S+)\]$/) ?? [];
      const [, of_value] = return_value.match(/\[value cut: .* all of it: (\S+)\]/) ?? [];
      assert.deepEqual(
        content.slice(1).map((/** @type {any} */ { uri }) => uri),
        [uri, of_value],
      );
      const all = (await read(home.url, 'ann', uri)).toString();
      assert.equal(all, Array.from({ length: 20000 }, (_, n) => `line ${n} <é>\n`).join(''));
      assert.deepEqual(
        JSON.parse((await read(home.url, 'ann', of_value)).toString()),
        Array.from({ length: 50000 }, (_, n) => n),
      );
      assert.match(of_value, /\/value\.json$/);
      const { result } = await ask(home.url, 'ann', 'resources/read', { uri });
      assert.deepEqual([result.contents[0].text, result.contents[0].mimeType], [all, 'text/plain']);
    });
  });
}
