// Attacks by files: on any home through MCP, and on those that are reached over HTTP also through `/files/`.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { at, breakOff } from '../contract/uploads.mjs';
import { LegacyClient, sleep } from '../edge/worker.mjs';
import { BEHIND, BUNDLES, FORGED, filled, forging, HIDING, LIES, LINKS, MANY, NAMES, PATHS } from './attacks/files.mjs';
import { counted, inSession, openSession, readFile } from './home.mjs';

/** Decodes a path as a program would write it; undefined if it cannot be decoded, or is valid there. @param {string} path */
function decoded(path) {
  try {
    const plain = decodeURIComponent(path);
    return plain === 'a?b' ? undefined : plain;
  } catch {
    return undefined;
  }
}

/** Lists every folder that a path could lead to. */
const AROUND = 'import os\n[sorted(os.listdir(folder)) for folder in ("/", "/home", "/tmp", ".")]';

/**
 * Registers the attacks through MCP on a home with FILES_LIMIT_MB=8.
 * @param {() => import('./home.mjs').Home} home
 * @param {(bytes: string) => string} [forge] the program that forges, by how the isolates of the home answer
 */
export function attackFilesByMessages(home, forge = forging) {
  describe('files, by messages', () => {
    const held = counted('files', home);
    const read = (/** @type {string} */ session, /** @type {string} */ path, /** @type {string} */ token) =>
      readFile(home(), `sandbox://${session}/${path}`, token);
    /** @param {string} name @param {(session: string) => Promise<void>} act */
    const testIn = (name, act) => test(name, () => inSession(home(), act));

    testIn('those of another are as those of none, whoever has the handle', async (session) => {
      const { ann, bob } = home().tokens;
      await home().run('open("secret", "w").write("CANARY")', { session });
      assert.equal((await read(session, 'secret', ann)).result.contents[0].text, 'CANARY');
      const refused = [await read(session, 'secret', bob), await read('0'.repeat(26), 'secret', ann)];
      for (const { error } of refused) {
        assert.deepEqual([error?.code, error?.message], [-32602, refused[0].error.message]);
        held();
      }
    });

    testIn('no path leads out of the folder, in either direction', async (session) => {
      const before = await home().run(AROUND, { session });
      for (const path of PATHS) {
        assert.equal((await read(session, path, home().tokens.ann)).error?.code, -32602, path);
        held();
        const plain = decoded(path);
        if (plain === undefined) continue;
        await assert.rejects(home().run('1', { session, files: { [plain]: 'x' } }), /argument `files`/, plain);
        held();
      }
      const after = await home().run(AROUND, { session });
      assert.deepEqual(after.structured.return_value, before.structured.return_value);
    });

    testIn('no link is followed', async (session) => {
      const { structured } = await home().run(LINKS, { session });
      assert.equal(structured.return_value, 1, structured.error);
      // Nor is it reported as a change.
      assert.deepEqual(
        structured.files.map((/** @type {any} */ { path }) => path),
        ['deep/file'],
      );
      for (const path of BEHIND) {
        const { error } = await read(session, path, home().tokens.ann);
        assert.match(error?.message, /a part of its path is a link/, path);
        const placed = home().run('1', { session, files: { [path]: 'x' } });
        const outcome = await placed.then(({ structured }) => structured.status, String);
        assert.notEqual(outcome, 'success', path);
        held(2);
      }
      assert.equal((await home().run('open("deep/file").read()', { session })).structured.return_value, 'own');
    });

    testIn(
      'names of every length, and with characters that hide, are told of as what they are, or not at all',
      async (session) => {
        const { structured } = await home().run(NAMES, { session });
        const { files, files_omitted: omitted, return_value: made } = structured;
        assert.ok(made > 25, structured.error);
        // Hidden files, and paths that no client could use, are not counted.
        assert.ok(
          files.length + omitted <= made && files.length + omitted > made - 5,
          `${files.length}, ${omitted} of ${made}`,
        );
        for (const { path, uri } of files) {
          assert.doesNotMatch(path, HIDING);
          assert.equal((await readFile(home(), uri)).result?.contents[0].text, 'x', path);
          held();
        }
        assert.ok(omitted > 5, `${omitted}`);
      },
    );

    testIn('a million small files are no more than there may be, and a result tells of few', async (session) => {
      const { structured } = await home().run(MANY, { session });
      assert.match(structured.error, /No space left|took longer than/);
      assert.ok(structured.files.length <= 100 && structured.files_omitted > 100, `${structured.files?.length}`);
      assert.ok(JSON.stringify(structured).length < 100_000);
      assert.equal((await readFile(home(), structured.files[0].uri)).result.contents[0].text, '');
      assert.equal((await home().run('6 * 7', { session })).structured.return_value, 42);
      held(2);
    });

    testIn('a file that changes while it is read comes as it was, as it is, or not at all', async (session) => {
      await home().run(filled('0'), { session });
      for (let n = 0; n < 8; n++) {
        const [{ result, error }] = await Promise.all([
          read(session, 'changing', home().tokens.ann),
          home().run(filled(String(n + 1)), { session }),
        ]);
        if (error) assert.match(error.message, /was changed while it was read/);
        else assert.match(result.contents[0].text, /^(.)\1{2999999}$/);
        held();
      }
    });

    test('a name says nothing of what is in a file', async () => {
      const { structured, text } = await home().run(LIES);
      assert.equal(structured.status, 'success', structured.error);
      assert.equal(structured.files.length, 5);
      assert.ok(!structured.display && !text.includes('owned'), text);
      held();
    });

    for (const [name, body] of BUNDLES) {
      test(`a value with ${name}`, async () => {
        const { structured } = await home().run(
          `class X:\n  ${body.replaceAll('\n', '\n  ')}\n  def __repr__(self): return "plain"\nX()`,
        );
        const shown = JSON.stringify(structured);
        assert.doesNotMatch(JSON.stringify(structured.display ?? []), /owned/);
        assert.ok(shown.length < 5_000_000, `${shown.length}`);
        assert.match(structured.status, /success|run-error/);
        assert.equal((await home().run('6 * 7')).structured.return_value, 42);
        held();
      });
    }

    for (const [name, forged] of FORGED) {
      testIn(`an isolate that answers with ${name}`, async (session) => {
        const { structured } = await home().run(forge(forged), { session });
        assert.equal(structured.return_value, 1, structured.error);
        const { error } = await read(session, 'a', home().tokens.ann);
        assert.equal(error?.code, -32603, JSON.stringify(error));
        assert.match(error.message, /broke its protocol/);
        assert.equal((await home().run('6 * 7')).structured.return_value, 42);
        held();
      });
    }
  });
}

/** Registers all attacks on a home with FILES_LIMIT_MB=8, over HTTP. @param {() => import('./home.mjs').Home} home */
export function attackFiles(home) {
  attackFilesByMessages(home);

  describe('files of sessions', () => {
    const held = counted('files of sessions, over HTTP', home);
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
        return said;
      };
      const found = await tries(session);
      assert.deepEqual(found, await tries('0'.repeat(26)));
      assert.deepEqual([found[0], found[2], found[4]], [404, 404, 404]);
      assert.equal(await (await ask(session, 'secret')).text(), 'CANARY');
      held(3);
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
      const before = await home().run(AROUND, { session });
      for (const path of PATHS) {
        for (const method of ['GET', 'PUT', 'DELETE']) {
          const response = await ask(session, path, { method, ...(method === 'PUT' && { body: 'x' }) });
          const said = await response.text();
          // Clients, or workerd, normalize some of these paths before our code sees them.
          assert.ok([400, 404, 414].includes(response.status), `${method} ${path}: ${response.status} ${said}`);
          assert.doesNotMatch(said, /root:/);
          held();
        }
      }
      const after = await home().run(AROUND, { session });
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
      // 500 comes from the proxy in front of `wrangler dev`, once the worker stops reading an endless body.
      assert.ok(response === null || [413, 500].includes(response.status), `${response?.status}`);
      assert.ok(sent < 100_000_000, `${sent}`);
      held();
      for (let n = 0; n < 12; n++) {
        await breakOff(at(home().own, session, `b${n}`), new Uint8Array(3_000_000), 7_000_000, ann());
        held();
      }
      // Broken uploads give their space back: at once, or after half a minute without data.
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
        assert.equal((await home().run('6 * 7')).structured.return_value, 42);
        held();
      });
    }
  });
}
