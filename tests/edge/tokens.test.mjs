// A worker whose clients have tokens: limits for each principal, and what is open to everybody.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { readFile, startHome } from '../security/home.mjs';
import { answer, meta, modernHeaders, post } from './worker.mjs';

const LOCK = new URL('../../node_modules/pyodide/pyodide-lock.json', import.meta.url);
/** @type {Record<string, { file_name: string, sha256: string }>} */
const LOCKED = JSON.parse(readFileSync(LOCK, 'utf8')).packages;

describe('clients with tokens, whose runs share an interpreter', () => {
  /** @type {Awaited<ReturnType<typeof startHome>>} */
  let home;
  before(async () => {
    home = await startHome({ ISOLATION: 'principal', SESSIONS_LIMIT_EACH: '1', TIME_LIMIT_SECONDS: '20' });
  });
  after(() => home?.stop());

  test('that interpreter is none of their sessions', async () => {
    assert.equal((await home.run('open("kept", "w").close()')).structured.status, 'success');
    assert.equal((await home.run('import os; os.path.exists("kept")')).structured.return_value, true);
    assert.ok((await home.run('1', { session: 'new' })).structured.session);
    assert.match((await home.run('1', { session: 'new' })).structured.error, /at most 1 of yours may be open/);
  });

  test('what is too large for a result of that interpreter is kept, and all of what is cut', async () => {
    const code = `open('large.bin', 'wb').write(b'\\xff' * 1_500_000)
for n in range(20_000): print(f'line {n}')`;
    const { structured } = await home.run(code);
    const [{ uri, size }] = structured.files;
    assert.equal(size, 1_500_000);
    assert.match(uri, /^sandbox:\/\/[0-9a-z]{26}\/large\.bin$/);
    const { result } = await readFile(home, uri);
    assert.deepEqual(Buffer.from(result.contents[0].blob, 'base64'), Buffer.alloc(1_500_000, 255));
    // A kept file does not change when the next run overwrites the original, and no other principal can read it.
    assert.equal((await home.run("open('large.bin', 'wb').write(b'')")).structured.status, 'success');
    assert.equal((await readFile(home, uri)).result.contents[0].blob, result.contents[0].blob);
    assert.equal((await readFile(home, uri, home.tokens.bob)).error.code, -32602);
    const cut = structured.output.find((/** @type {string} */ line) => line.startsWith('[output cut: '));
    const all = (await readFile(home, /(\S+)\]$/.exec(cut)?.[1] ?? '')).result.contents[0].text;
    assert.equal(all, Array.from({ length: 20_000 }, (_, n) => `line ${n}\n`).join(''));
  });

  test('only who started a session ends it', async () => {
    const end = async (/** @type {string} */ session, /** @type {string} */ token) => {
      const params = { name: 'end_python_session', arguments: { session }, _meta: meta() };
      const headers = {
        ...modernHeaders('tools/call', 'end_python_session'),
        authorization: `Bearer ${token}`,
        'x-principal': 'ann',
      };
      const body = { jsonrpc: '2.0', id: 1, method: 'tools/call', params };
      const { result } = await answer(await post(home.own, body, headers));
      return [result.isError ?? false, result.content[0].text];
    };
    const { ann, bob } = home.tokens;
    const { session } = (await home.run('x = 1', { session: 'new', token: bob })).structured;
    const none = [true, 'there is no such session'];
    assert.deepEqual(await end(session, ann), none);
    assert.equal((await home.run('x', { session, token: bob })).structured.return_value, 1);
    assert.deepEqual(await end(session, bob), [false, 'the session has ended, with its variables and files']);
    assert.deepEqual(await end(session, ann), none);
    assert.match((await home.run('x', { session, token: bob })).structured.error, /that was asked for/);
    // `bob` may have one session at a time, and the ended one no longer counts.
    assert.ok((await home.run('1', { session: 'new', token: bob })).structured.session);
  });

  /** @param {string} file */
  const wheel = async (file) => {
    const response = await fetch(new URL(`/packages/${file}`, home.own));
    const bytes = new Uint8Array(await response.arrayBuffer());
    return {
      status: response.status,
      headers: response.headers,
      sha256: createHash('sha256').update(bytes).digest('hex'),
    };
  };

  test('pages get the wheels of the lock file, without a token, as often as they ask', async () => {
    for (let i = 0; i < 3; i++) {
      const { status, headers, sha256 } = await wheel(LOCKED.six.file_name);
      assert.equal(status, 200);
      assert.equal(sha256, LOCKED.six.sha256);
      assert.equal(headers.get('access-control-allow-origin'), '*');
      assert.match(headers.get('cache-control') ?? '', /immutable/);
    }
    for (const none of ['six-9.9.9-py3-none-any.whl', 'pyodide-lock.json', '..%2f..%2fsnapshot.bin', '']) {
      assert.equal((await wheel(none)).status, 404, none);
    }
  });

  test('more wheels at once than may be held wait for each other, and all come whole', async () => {
    const names = ['regex', 'pytz', 'lxml', 'numpy', 'sympy'];
    const found = await Promise.all(names.map((name) => wheel(LOCKED[name].file_name)));
    assert.deepEqual(
      found.map(({ status, sha256 }) => [status, sha256]),
      names.map((name) => [200, LOCKED[name].sha256]),
    );
  });
});
