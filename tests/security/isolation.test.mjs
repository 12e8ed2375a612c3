// Attacks on what is outside of an isolate: the network, secrets, other tenants. Each in a fresh isolate and in a session.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { LegacyClient } from '../edge/worker.mjs';
import { attacks as network } from './attacks/network.mjs';
import { hooks, PLANTED, attacks as secrets } from './attacks/secrets.mjs';
import { guesses, LOOK, MARK } from './attacks/tenants.mjs';
import { aimed, listen, openSession, report, startHome } from './home.mjs';

describe('attacks on what is outside of the isolate', () => {
  /** @type {Awaited<ReturnType<typeof startHome>>} */
  let home;
  /** @type {Awaited<ReturnType<typeof listen>>} */
  let listener;
  /** @type {string} */
  let session;
  const canary = `CANARY-SETTING-${Math.random().toString(36).slice(2)}`;
  before(async () => {
    listener = await listen();
    home = await startHome({ ALLOWED_ORIGINS: `https://${canary}.example` });
    session = await openSession(home);
  });
  after(async () => {
    listener?.close();
    await home?.stop();
  });

  /** In a fresh isolate, and in a session. @param {string} code */
  const everywhere = (code) =>
    Promise.all([{}, { session }].map((options) => home.run(aimed(code, listener, home.own), options)));

  test('the listener hears', async () => {
    assert.equal(await (await fetch(listener.url)).text(), 'REACHED');
    assert.ok(listener.arrived.splice(0).length > 0);
  });

  describe('network', () => {
    for (const { name, code } of network) {
      test(name, async () => {
        for (const { structured } of await everywhere(code)) {
          assert.doesNotMatch(JSON.stringify(structured), /REACHED|Example Domain|run_python_code/, name);
        }
        assert.deepEqual(listener.arrived.splice(0), []);
      });
    }
    after(() => report('attacks', 'network', { edge: 2 * network.length }));
  });

  describe('secrets', () => {
    for (const { name, code, must, never } of secrets) {
      test(name, async () => {
        for (const { structured } of await everywhere(code)) {
          const seen = JSON.stringify(structured);
          assert.doesNotMatch(seen, /CANARY/, seen);
          if (must) assert.match(seen, must);
          if (never) assert.doesNotMatch(seen, never);
          for (const secret of [canary, home.tokens.ann, home.tokens.bob]) assert.ok(!seen.includes(secret));
        }
      });
    }

    test('a secret that is there is found', async () => {
      for (const { name, code, found } of PLANTED) {
        const { structured } = await home.run(aimed(code, listener, home.own));
        assert.match(JSON.stringify(structured), found, name);
      }
    });

    test('what a request to the isolate carries', async () => {
      const session = await openSession(home);
      const { set, look } = hooks('Request', 'body', '[this.url, js.JSON.stringify(js.Array.from_(this.headers))]');
      assert.equal((await home.run(set, { session })).structured.return_value, 'set');
      await home.run('1', { session });
      const { return_value, error } = (await home.run(look, { session })).structured;
      assert.ok(Array.isArray(return_value) && return_value.length > 0, error);
      assert.doesNotMatch(JSON.stringify(return_value), /CANARY|authorization|bearer|origin|mcp-/i);
    });

    test('the log of the server has none, and nothing of what ran', async () => {
      await home.run(
        'print("CANARY-OUTPUT")\nimport js\njs.console.log("CANARY-LOG")\nraise ValueError("CANARY-ERROR")',
      );
      assert.doesNotMatch(home.worker.said(), /CANARY/);
    });
    after(() => report('attacks', 'secrets', { edge: 2 * secrets.length + 2 }));
  });

  describe('other tenants', () => {
    test('what one leaves, another does not find', async () => {
      const marked = await home.run(MARK);
      const session = await openSession(home);
      const inSession = await home.run(MARK, { session });
      for (const { structured } of [marked, inSession])
        assert.ok(structured.return_value?.length > 5, structured.error);
      const others = await openSession(home, home.tokens.bob);
      for (const options of [{}, { token: home.tokens.bob }, { session: others, token: home.tokens.bob }]) {
        const { structured } = await home.run(LOOK, options);
        assert.deepEqual(structured.return_value, [], structured.error);
      }
      // It can be found, where it is: in its own session.
      const own = await home.run(LOOK, { session });
      assert.ok(own.structured.return_value?.length > 8, JSON.stringify(own.structured));
    });

    test('a session is of no use to another, who has its handle', async () => {
      const session = await openSession(home);
      await home.run('x = 1', { session });
      await assert.rejects(home.run('x', { session, token: home.tokens.bob }), /unknown or ended session/);
      assert.equal((await home.run('x', { session })).structured.return_value, 1);
    });

    test('handles cannot be guessed', async () => {
      const session = await openSession(home);
      for (const guess of guesses(session)) {
        await assert.rejects(home.run('1', { session: guess }), /unknown or ended session/, guess);
      }
      const many = await Promise.all(Array.from({ length: 8 }, () => openSession(home)));
      const common = [...many[0]].filter((digit, at) => many.every((handle) => handle[at] === digit)).length;
      assert.ok(common < 24, `${common} digits of 64 are the same in ${many.length} handles`);
    });

    test('a legacy session is of no use to another, who has its id', async () => {
      const authorized = (/** @type {string} */ token) => ({ authorization: `Bearer ${token}` });
      const client = await LegacyClient.connect(home.own, undefined, authorized(home.tokens.ann));
      const thief = new LegacyClient(home.own, client.session, client.version, authorized(home.tokens.bob));
      assert.equal((await thief.request('tools/list')).status, 404);
      for (const method of ['DELETE', 'GET']) {
        const headers = { ...thief.headers, accept: 'text/event-stream' };
        assert.equal((await fetch(home.own, { method, headers: /** @type {any} */ (headers) })).status, 404);
      }
      assert.equal((await client.run('40 + 2')).return_value, 42);
      const args = { session: client.session ?? '' };
      await assert.rejects(home.run('1', args), /unknown or ended session/);
    });

    test('a new interpreter of a session has nothing of the old one', async () => {
      const session = await openSession(home);
      await home.run(MARK, { session });
      await home.run('import os\nos._exit(1)', { session });
      const { structured } = await home.run(LOOK, { session });
      assert.deepEqual(structured.return_value, [], structured.error);
    });
    after(() => report('attacks', 'other tenants', { edge: 6 + 15 }));
  });
});
