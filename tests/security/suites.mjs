// The attacks on a home, as suites. Each is registered with a function that returns its scene once that has started.
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { answer, LegacyClient, post, sleep } from '../edge/worker.mjs';
import { forgeries, PRETENDING, RESPONSE } from './attacks/host.mjs';
import { attacks as network } from './attacks/network.mjs';
import { hooks, PLANTED, attacks as secrets } from './attacks/secrets.mjs';
import { exhaustions } from './attacks/service.mjs';
import { guesses, LOOK, MARK } from './attacks/tenants.mjs';
import { aimed, counted, openSession } from './home.mjs';

/** @typedef {import('./home.mjs').Home} Home */
/** @typedef {Awaited<ReturnType<typeof import('./home.mjs').listen>>} Listener */

/**
 * @typedef {object} Scene
 * @property {Home} home
 * @property {Listener} listener
 * @property {string[]} planted secrets that no program may find
 */

/** How long a bystander may wait, in milliseconds: code in C, such as writing 20 MB, is not interrupted. */
const PATIENCE = 10_000;

/** @param {Scene} scene @param {string} code */
const filled = ({ home, listener }, code) => aimed(code, listener, home.own);

/** Opens a session for the tests of a `describe`. @param {() => Scene} scene */
function during(scene) {
  let session = '';
  before(async () => {
    session = await openSession(scene().home);
  });
  return () => session;
}

/** Runs code in a fresh isolate and in a session. @param {Scene} scene @param {string} session @param {string} code */
const everywhere = (scene, session, code) =>
  Promise.all([{}, { session }].map((options) => scene.home.run(filled(scene, code), options)));

/** @param {() => Scene} scene */
export function attackNetwork(scene) {
  describe('network', () => {
    const held = counted('network', () => scene().home);
    const session = during(scene);

    test('the listener hears', async () => {
      assert.equal(await (await fetch(scene().listener.url)).text(), 'REACHED');
      assert.ok(scene().listener.arrived.splice(0).length > 0);
    });

    for (const { name, code } of network) {
      test(name, async () => {
        const all = await everywhere(scene(), session(), code);
        for (const { structured } of all)
          assert.doesNotMatch(JSON.stringify(structured), /REACHED|Example Domain|run_python_code/, name);
        assert.deepEqual(scene().listener.arrived.splice(0), []);
        held(all.length);
      });
    }
  });
}

/** @param {() => Scene} scene */
export function attackSecrets(scene) {
  describe('secrets', () => {
    const held = counted('secrets', () => scene().home);
    const session = during(scene);

    for (const { name, code, must, never } of secrets) {
      test(name, async () => {
        const { home, planted } = scene();
        const all = await everywhere(scene(), session(), code);
        for (const { structured } of all) {
          const seen = JSON.stringify(structured);
          assert.doesNotMatch(seen, /CANARY/, seen);
          if (must) assert.match(seen, must);
          if (never) assert.doesNotMatch(seen, never);
          for (const secret of [...planted, home.tokens.ann, home.tokens.bob]) assert.ok(!seen.includes(secret));
        }
        held(all.length);
      });
    }

    test('a secret that is there is found', async () => {
      for (const { name, code, found } of PLANTED) {
        const { structured } = await scene().home.run(filled(scene(), code));
        assert.match(JSON.stringify(structured), found, name);
      }
    });

    test('what a request to the isolate carries', async () => {
      const { home } = scene();
      const session = await openSession(home);
      const { set, look } = hooks('Request', 'method', '[this.url, js.JSON.stringify(js.Array.from_(this.headers))]');
      assert.equal((await home.run(set, { session })).structured.return_value, 'set');
      await home.run('1', { session });
      const { return_value, error } = (await home.run(look, { session })).structured;
      assert.ok(Array.isArray(return_value) && return_value.length > 0, error);
      assert.doesNotMatch(JSON.stringify(return_value), /CANARY|authorization|bearer|origin|mcp-/i);
      held();
    });

    test('the log of the server has none, and nothing of what ran', async () => {
      const { home } = scene();
      await home.run(
        'print("CANARY-OUTPUT")\nimport js\njs.console.log("CANARY-LOG")\nraise ValueError("CANARY-ERROR")',
      );
      assert.doesNotMatch(home.said(), /CANARY/);
      held();
    });
  });
}

/** `shared`: a principal's runs without a session share an interpreter. @param {() => Home} home @param {{ shared?: boolean }} [how] */
export function attackTenants(home, { shared = false } = {}) {
  const goal = shared ? 'other tenants, each with an interpreter' : 'other tenants';
  describe(goal, () => {
    const held = counted(goal, home);
    const authorized = (/** @type {string} */ token) => ({ authorization: `Bearer ${token}` });

    test('what one leaves, another does not find', async () => {
      const token = home().tokens.bob;
      const session = await openSession(home());
      for (const options of [{}, { session }]) {
        const { structured } = await home().run(MARK, options);
        assert.ok(structured.return_value?.length > 5, structured.error);
      }
      // A client that names another principal in a header still gets its own interpreter.
      const forged = { token, headers: { 'x-principal': 'ann' } };
      const others = [{ token }, forged, { session: await openSession(home(), token), token }];
      for (const options of [...others, { session: await openSession(home()) }, ...(shared ? [] : [{}])]) {
        const { structured } = await home().run(LOOK, options);
        assert.deepEqual(structured.return_value, [], structured.error);
        held();
      }
      // The marks can be found where they are.
      for (const options of [{ session }, ...(shared ? [{}] : [])]) {
        const own = await home().run(LOOK, options);
        assert.ok(own.structured.return_value?.length > 8, JSON.stringify(own.structured));
      }
    });

    test('variables are of one run only', async () => {
      await home().run('secret = 1\nimport __main__\n__main__.secret = 1');
      for (const look of ['"secret" in globals()', 'secret']) {
        const { structured } = await home().run(look);
        assert.ok(structured.return_value === false || /NameError/.test(structured.error), JSON.stringify(structured));
        held();
      }
    });

    test('a session is of no use to another, who has its handle', async () => {
      const session = await openSession(home());
      await home().run('x = 1', { session });
      const stolen = home().run('x', { session, token: home().tokens.bob, headers: { 'x-principal': 'ann' } });
      await assert.rejects(stolen, /unknown or ended session/);
      const theft = { token: home().tokens.bob, headers: { 'x-principal': 'ann' }, tool: 'end_python_session' };
      const ended = await home().run('', { session, ...theft });
      const unknown = await home().run('', { session: '0'.repeat(26), ...theft });
      assert.deepEqual([ended.text, unknown.text], Array(2).fill('there is no such session'));
      assert.equal((await home().run('x', { session })).structured.return_value, 1);
      held();
    });

    test('handles cannot be guessed', async () => {
      const session = await openSession(home());
      for (const guess of guesses(session)) {
        await assert.rejects(home().run('1', { session: guess }), /unknown or ended session/, guess);
        held();
      }
      const many = await Promise.all(Array.from({ length: 8 }, () => openSession(home())));
      const common = [...many[0]].filter((digit, at) => many.every((handle) => handle[at] === digit)).length;
      assert.ok(common < 24, `${common} digits of 64 are the same in ${many.length} handles`);
    });

    test('a legacy session is of no use to another, who has its id', async () => {
      const client = await LegacyClient.connect(home().own, undefined, authorized(home().tokens.ann));
      // The header that the client sends does not change its principal.
      const bob = { ...authorized(home().tokens.bob), 'x-principal': 'ann' };
      const thief = new LegacyClient(home().own, client.session, client.version, bob);
      assert.equal((await thief.request('tools/list')).status, 404);
      for (const method of ['DELETE', 'GET']) {
        const headers = { ...thief.headers, accept: 'text/event-stream' };
        assert.equal((await fetch(home().own, { method, headers: /** @type {any} */ (headers) })).status, 404);
      }
      assert.equal((await client.run('40 + 2')).return_value, 42);
      const args = { session: client.session ?? '' };
      await assert.rejects(home().run('1', args), /unknown or ended session/);
      held(4);
    });

    test('a new interpreter of a session has nothing of the old one', async () => {
      const session = await openSession(home());
      for (const options of [{ session }, ...(shared ? [{}] : [])]) {
        await home().run(MARK, options);
        await home().run('import os\nos._exit(1)', options);
        const { structured } = await home().run(LOOK, options);
        assert.deepEqual(structured.return_value, [], structured.error);
        held();
      }
    });
  });
}

/** Asserts that there were only log messages and one response. @param {any[]} messages */
export function onlyLogs(messages) {
  for (const { method, params } of messages) {
    assert.equal(method, 'notifications/message');
    assert.ok(['info', 'warning'].includes(params.level), params.level);
  }
}

/** Runs a program whose output pretends to be more than output, and checks the result. @param {Pick<Home, 'run'>} home */
export async function pretend(home) {
  const code = `for line in ${JSON.stringify(PRETENDING)}: print(line)\n1`;
  const { structured, text, messages } = await home.run(code);
  assert.deepEqual(structured.output, PRETENDING);
  assert.equal(structured.return_value, 1);
  assert.equal(messages.length, PRETENDING.length);
  onlyLogs(messages);
  assert.equal(text.match(/<return_value>/g)?.length, 1);
  assert.equal(text.match(/<status>/g)?.length, 1);
}

/** @param {() => Home} home */
export function attackHost(home) {
  describe('the host', { concurrency: 2 }, () => {
    const held = counted('the host', home);

    for (const { name, code, ends, never } of forgeries(RESPONSE)) {
      test(name, async () => {
        const session = await openSession(home());
        for (const options of [{}, { session }]) {
          const { structured, messages } = await home().run(code, options);
          const { session: _, ...seen } = structured;
          // A program that breaks its own suspension is ended at its time limit.
          assert.match(JSON.stringify(seen), new RegExp(`${ends.source}|did not end when it was told to`));
          if (never) assert.doesNotMatch(JSON.stringify(seen), never);
          onlyLogs(messages);
        }
        // The session continues, in a new interpreter if the old one is unusable.
        const next = await home().run('20 + 22', { session });
        // An interpreter that forges valid frames also forges those of the next run: that is the session's own.
        const goesOn = new RegExp(`"return_value":42|broke its protocol|lost|${ends.source}`);
        assert.match(JSON.stringify(next.structured), goesOn, name);
        held(2);
      });
    }

    test('output that pretends to be more is output', async () => {
      await pretend(home());
      held(PRETENDING.length);
    });
  });
}

/** Attacks a home with a time limit of a few seconds, MEMORY_LIMIT_MB=200 and FILES_LIMIT=2000. @param {() => Home} home */
export function attackService(home) {
  describe('the service', () => {
    const held = counted('the service', home);

    for (const { name, code, ends } of exhaustions) {
      test(name, async () => {
        const attack = home().run(code);
        const start = performance.now();
        const bystander = await home().run('20 + 22', { token: home().tokens.bob });
        assert.equal(bystander.structured.return_value, 42, bystander.structured.error);
        assert.ok(performance.now() - start < PATIENCE, `a bystander waited for ${performance.now() - start} ms`);
        const { structured } = await attack;
        assert.match(JSON.stringify(structured), ends);
        assert.ok(JSON.stringify(structured).length < 9_000_000);
        held();
      });
    }

    test('a session outlives all that', async () => {
      const session = await openSession(home());
      const ends = /TimeoutError|MemoryError|ended the interpreter|No space/;
      for (const { code } of exhaustions.filter((attack) => attack.ends.source.match(ends))) {
        await home().run(code, { session });
        const next = await home().run('20 + 22', { session });
        assert.equal(next.structured.return_value, 42, next.structured.error);
        held();
      }
    });

    test('a flood of isolates', async () => {
      const flood = Promise.all(
        Array.from({ length: 40 }, () =>
          home()
            .run('sum(range(100_000))')
            .catch((e) => e),
        ),
      );
      const bystander = await home().run('20 + 22', { token: home().tokens.bob });
      assert.equal(bystander.structured.return_value, 42, bystander.structured.error);
      const results = await flood;
      const refused = results.filter(({ structured }) => structured.error?.includes('too many runs: 32 of yours'));
      const done = results.filter(({ structured }) => structured.return_value === 4999950000);
      // As many run as the limit allows; on a busy machine some exceed their time limit, or are ended with one that does.
      const late = results.filter(({ structured }) =>
        /took longer than|another run in its process could not be stopped/.test(structured.error),
      );
      const counts = `${done.length} done, ${late.length} late, ${refused.length} refused`;
      assert.ok(done.length > 0 && refused.length <= 8 && done.length + late.length + refused.length === 40, counts);
      held();
    });
  });
}

/** How long a session has to be idle before it may be evicted, in seconds. */
const EVICTABLE_AFTER = 15;

/** The settings of the home for `attackQuotas`. */
export const QUOTAS = {
  SESSIONS_LIMIT_EACH: '5',
  RUNS_LIMIT_EACH: '2',
  SESSION_EVICTION_SECONDS: String(EVICTABLE_AFTER),
  SESSION_IDLE_SECONDS: '600',
  TIME_LIMIT_SECONDS: '8',
};

/** Attacks a home with the settings `QUOTAS`. @param {() => Home} home */
export function attackQuotas(home) {
  describe('quotas', () => {
    const held = counted('quotas', home);
    const others = async () => {
      const { structured } = await home().run('20 + 22', { token: home().tokens.bob });
      assert.equal(structured.return_value, 42, structured.error);
    };

    test('more runs at once than one may have are refused, and say so; another has his own', async () => {
      const code = 'import asyncio\nawait asyncio.sleep(3)\n1';
      const attack = Promise.all([1, 2, 3, 4].map(() => home().run(code)));
      await others();
      const results = (await attack).map(({ structured }) => structured);
      assert.equal(results.filter(({ return_value }) => return_value === 1).length, 2, JSON.stringify(results));
      assert.equal(results.filter(({ error }) => /too many runs: 2 of yours .* at most 2 may/.test(error)).length, 2);
      assert.equal((await home().run('20 + 22')).structured.return_value, 42);
      held();
    });

    test('sessions opened and abandoned lock nobody out; those in use stay, and more are refused', async () => {
      const url = home().own;
      const authorized = (/** @type {string} */ token) => ({ authorization: `Bearer ${token}` });
      const { ann, bob } = home().tokens;
      const connect = () => LegacyClient.connect(url, undefined, authorized(ann));
      const isThere = async (/** @type {LegacyClient} */ client) => (await client.request('ping')).status;
      const clients = [];
      for (let n = 0; n < 6; n++) clients.push(await connect());
      assert.equal(new Set(clients.map(({ session }) => session)).size, 6);
      // The first session has run nothing, and was evicted for the sixth: 404 tells its client to start again.
      assert.equal(await isThere(/** @type {LegacyClient} */ (clients.shift())), 404);
      for (const client of clients) assert.equal((await client.run('20 + 22')).return_value, 42);
      const params = { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'flood', version: '1' } };
      const seventh = await post(url, { jsonrpc: '2.0', id: 0, method: 'initialize', params }, authorized(ann));
      const { status, headers, error, text } = await answer(seventh);
      assert.equal(status, 429, text);
      assert.ok(Number(headers.get('retry-after')) > 0);
      assert.match(error.message, /too many sessions: at most 5 of yours/);
      const { structured } = await home().run('1', { session: 'new' });
      assert.match(JSON.stringify(structured), /too many sessions: at most 5 of yours/);
      // Other principals have their own quota, and a session that ends makes room.
      await LegacyClient.connect(url, undefined, authorized(bob));
      await others();
      const ended = await fetch(url, { method: 'DELETE', headers: /** @type {any} */ (clients[0].headers) });
      assert.equal(ended.status, 200);
      const { session } = (await home().run('x = 1', { session: 'new' })).structured;
      assert.ok(session);
      // Sessions that have been idle for long enough are evicted one by one, and no more than necessary.
      await sleep(EVICTABLE_AFTER * 1000);
      for (const gone of clients.slice(1)) {
        const client = await connect();
        assert.equal((await client.run('20 + 22')).return_value, 42);
        assert.equal(await isThere(gone), 404);
      }
      const { structured: kept } = await home().run('x', { session });
      assert.equal(kept.error, undefined, 'it was the last to go');
      held(2);
    });

    test('who had a session is told that it ended, and why; nobody else is', async () => {
      const url = home().own;
      const { ann, bob } = home().tokens;
      const { session } = (await home().run('x = 1', { session: 'new', token: bob })).structured;
      for (let n = 0; n < 3; n++) await LegacyClient.connect(url, undefined, { authorization: `Bearer ${bob}` });
      await sleep(EVICTABLE_AFTER * 1000);
      for (let n = 0; n < 5; n++) {
        const client = await LegacyClient.connect(url, undefined, { authorization: `Bearer ${bob}` });
        assert.equal((await client.run('20 + 22')).return_value, 42);
      }
      const told = (await home().run('x', { session, token: bob })).structured;
      assert.match(told.error, /this session has ended, .*another needed its place; start one with "new"/);
      await assert.rejects(home().run('x', { session, token: ann }), /unknown or ended session/);
      held();
    });
  });
}
