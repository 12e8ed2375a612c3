// Attacks by the files of sessions, on a home that is reached over HTTP.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { at, breakOff, read } from '../contract/uploads.mjs';
import { LegacyClient, sleep } from '../edge/worker.mjs';
import { BEHIND, FORGED, forging, LINKS, PATHS } from './attacks/files.mjs';
import { counted, openSession } from './home.mjs';

/** A home with FILES_LIMIT_MB=8. @param {() => import('./home.mjs').Home} home */
export function attackFiles(home) {
  describe('files of sessions', () => {
    const held = counted('files of sessions', home);
    const authorized = (/** @type {string} */ token) => ({ authorization: `Bearer ${token}` });
    const ann = () => authorized(home().tokens.ann);
    /** @param {string} session @param {string} path @param {RequestInit & Record<string, any>} [init] */
    const ask = (session, path, init = {}) =>
      fetch(at(home().own, session, path), { ...init, headers: { ...ann(), ...init.headers } });
    const put = (/** @type {string} */ session, /** @type {string} */ path, /** @type {BodyInit} */ body) =>
      ask(session, path, { method: 'PUT', body });

    test('those of another are as those of none, whoever has the handle', async () => {
      const session = await openSession(home());
      assert.equal((await put(session, 'secret', 'CANARY')).status, 201);
      const theft = { ...authorized(home().tokens.bob), 'x-principal': 'ann' };
      const tries = async (/** @type {string} */ handle) => {
        const said = [];
        for (const method of ['GET', 'PUT', 'DELETE']) {
          const init = { method, headers: theft, ...(method === 'PUT' && { body: 'stolen' }) };
          const response = await ask(handle, 'secret', init);
          said.push(response.status, await response.text());
        }
        const { error } = await read(home().own, `sandbox://${handle}/secret`, theft);
        return [...said, error.code, error.message];
      };
      const found = await tries(session);
      assert.deepEqual(found, await tries('0'.repeat(26)));
      assert.deepEqual([found[0], found[2], found[4], found[6]], [404, 404, 404, -32602]);
      assert.equal(await (await ask(session, 'secret')).text(), 'CANARY');
      held(4);
    });

    test('nor is a token, an origin or a session of the protocol forgotten', async () => {
      const session = await openSession(home());
      const file = at(home().own, session, 'x');
      const client = await LegacyClient.connect(home().own, undefined, authorized(home().tokens.bob));
      for (const [headers, status] of /** @type {[Record<string, string>, number][]} */ ([
        [{}, 401],
        [{ authorization: 'Bearer x' }, 401],
        [{ ...ann(), origin: 'https://evil.example' }, 403],
        [{ ...client.headers }, 404],
      ])) {
        const init = /** @type {RequestInit} */ ({ method: 'PUT', body: 'x', headers });
        assert.equal((await fetch(file, init)).status, status);
        held();
      }
      assert.equal((await ask(session, 'x')).status, 404);
    });

    test('no path leads out of the folder', async () => {
      const session = await openSession(home());
      const code = 'import os\n[sorted(os.listdir(folder)) for folder in ("/", "/home", "/tmp", ".")]';
      const before = await home().run(code, { session });
      for (const path of PATHS) {
        for (const method of ['GET', 'PUT', 'DELETE']) {
          const response = await ask(session, path, { method, ...(method === 'PUT' && { body: 'x' }) });
          const said = await response.text();
          // What a browser, or workerd, takes for a path of another kind does not get here as it is.
          assert.ok([400, 404, 414].includes(response.status), `${method} ${path}: ${response.status} ${said}`);
          assert.doesNotMatch(said, /root:/);
          held();
        }
        const { error } = await read(home().own, `sandbox://${session}/${path}`, ann());
        assert.equal(error?.code, -32602, path);
        held();
      }
      const after = await home().run(code, { session });
      assert.deepEqual(after.structured.return_value, before.structured.return_value);
    });

    test('no link is followed', async () => {
      const session = await openSession(home());
      assert.equal((await home().run(LINKS, { session })).structured.return_value, 1);
      for (const path of BEHIND) {
        for (const method of ['GET', 'PUT', 'DELETE']) {
          const response = await ask(session, path, { method, ...(method === 'PUT' && { body: 'x' }) });
          assert.deepEqual(
            [response.status, await response.json()],
            [409, { error: 'Conflict: a part of its path is a link' }],
          );
          held();
        }
      }
      assert.equal((await home().run('open("deep/file").read()', { session })).structured.return_value, 'own');
    });

    test('a body that does not end, or breaks off, takes no more than there is', async () => {
      const session = await openSession(home());
      assert.equal((await put(session, 'a', 'before')).status, 201);
      let sent = 0;
      const endless = new ReadableStream({
        pull(controller) {
          controller.enqueue(new Uint8Array(100_000));
          sent += 100_000;
          if (sent > 200_000_000) controller.close();
        },
      });
      const response = await ask(session, 'a', { method: 'PUT', body: endless, duplex: 'half' }).catch(() => null);
      // 500 is said by what `wrangler dev` has in front, when the worker no longer reads.
      assert.ok(response === null || [413, 500].includes(response.status), `${response?.status}`);
      assert.ok(sent < 100_000_000, `${sent}`);
      held();
      for (let n = 0; n < 12; n++) {
        await breakOff(at(home().own, session, `b${n}`), new Uint8Array(3_000_000), 7_000_000, ann());
        held();
      }
      // What they had of their room is there again: at once, or once nothing of them has come for half a minute.
      let whole = await put(session, 'c', new Uint8Array(7_000_000));
      for (const end = Date.now() + 60_000; whole.status === 507 && Date.now() < end; await sleep(2000))
        whole = await put(session, 'c', new Uint8Array(7_000_000));
      assert.equal(whole.status, 201, await whole.text());
      assert.equal(await (await ask(session, 'a')).text(), 'before');
    });

    for (const [name, forged] of FORGED) {
      test(`an isolate that answers with ${name}`, async () => {
        const session = await openSession(home());
        assert.equal((await home().run(forging(forged), { session })).structured.return_value, 1);
        const file = await ask(session, 'a');
        assert.equal(file.status, 502);
        assert.match(await file.text(), /broke its protocol/);
        const { error } = await read(home().own, `sandbox://${session}/a`, ann());
        assert.deepEqual([error.code, /broke its protocol/.test(error.message)], [-32603, true]);
        assert.equal((await home().run('6 * 7')).structured.return_value, 42);
        held(2);
      });
    }
  });
}
