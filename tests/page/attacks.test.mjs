// The attacks of tests/security on the sandbox of a page: those that do not need a server.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { forgingByPort } from '../security/attacks/files.mjs';
import { forgeries as all, PORT, PRETENDING } from '../security/attacks/host.mjs';
import { attacks as network } from '../security/attacks/network.mjs';
import { hooks, PLANTED, attacks as secrets } from '../security/attacks/secrets.mjs';
import { exhaustions } from '../security/attacks/service.mjs';
import { guesses, LOOK, MARK } from '../security/attacks/tenants.mjs';
import { attackFilesByMessages } from '../security/file-suite.mjs';
import { aimed, during, listen, openSession, report } from '../security/home.mjs';
import { measureLimits } from '../security/limits.mjs';
import { onlyLogs, pretend } from '../security/suites.mjs';
import { startHome } from './home.mjs';

const forgeries = all(PORT);

/** How many attacks run at once if they do not disturb each other. */
const AT_ONCE = 3;

/** How long a bystander may wait, in milliseconds: its interpreter boots beside six others, on two cores. */
const PATIENCE = 15_000;

/** @type {Awaited<ReturnType<typeof listen>>} */
let listener;
before(async () => {
  listener = await listen();
});
after(() => listener?.close());

describe('attacks on what is outside of a page’s sandbox', () => {
  /** @type {Awaited<ReturnType<typeof startHome>>} */
  let home;
  /** @type {string} */
  let session;
  before(async () => {
    home = await startHome({ timeLimitSeconds: 10 });
    session = await openSession(home);
  });
  after(() => home?.stop());

  /** Runs code in a fresh interpreter and in a session. @param {string} code */
  const everywhere = (code) =>
    Promise.all([{}, { session }].map((options) => home.run(aimed(code, listener, home.own), options)));

  test('the listener hears the page', async () => {
    await home.page.evaluate((url) => fetch(url, { mode: 'no-cors' }), listener.url);
    assert.ok(listener.arrived.splice(0).length > 0);
  });

  describe('network', { concurrency: AT_ONCE }, () => {
    for (const { name, code } of network) {
      test(name, async () => {
        for (const { structured } of await everywhere(code)) {
          assert.doesNotMatch(JSON.stringify(structured), /REACHED|Example Domain|run_python_code/, name);
        }
        assert.deepEqual(listener.arrived, []);
        assert.deepEqual(home.requests, []);
      });
    }
    after(() => report('attacks', 'network', { page: 2 * network.length }));
  });

  describe('secrets', () => {
    for (const { name, code, must, never } of secrets) {
      test(name, async () => {
        for (const { structured } of await everywhere(code)) {
          const seen = JSON.stringify(structured);
          assert.doesNotMatch(seen, /CANARY/, seen);
          if (must) assert.match(seen, must);
          if (never) assert.doesNotMatch(seen, never);
          assert.ok(!seen.includes(new URL(home.own).host), seen);
        }
      });
    }

    test('a secret that is there is found', async () => {
      for (const { name, code, found } of PLANTED) {
        const { structured } = await home.run(aimed(code, listener, home.own));
        assert.match(JSON.stringify(structured), found, name);
      }
    });

    test('what a message to the worker carries', async () => {
      const session = await openSession(home);
      const { set, look } = hooks('MessageEvent', 'data', 'js.JSON.stringify(value)');
      assert.equal((await home.run(set, { session })).structured.return_value, 'set');
      await home.run('"that is carried"', { session });
      const { return_value, error } = (await home.run(look, { session })).structured;
      assert.match(JSON.stringify(return_value), /that is carried/, error);
      assert.doesNotMatch(JSON.stringify(return_value), /CANARY|http|mcp|token|session/i);
    });
    after(() => report('attacks', 'secrets', { page: 2 * secrets.length + 1 }));
  });

  describe('other tenants', () => {
    test('what one leaves, another does not find', async () => {
      const session = await openSession(home);
      for (const options of [{}, { session }]) {
        const { structured } = await home.run(MARK, options);
        assert.ok(structured.return_value?.length > 5, structured.error);
      }
      const others = await openSession(home, 'bob');
      for (const options of [{}, { token: 'bob' }, { session: others, token: 'bob' }]) {
        const { structured } = await home.run(LOOK, options);
        assert.deepEqual(structured.return_value, [], structured.error);
      }
      const inSandbox = await evaluate(LOOK);
      assert.deepEqual(inSandbox.return_value, [], inSandbox.error);
      // The marks can be found where they are: in their own session.
      const own = await home.run(LOOK, { session });
      assert.ok(own.structured.return_value?.length > 8, JSON.stringify(own.structured));
    });

    test('nobody hears what is said in another frame', async () => {
      const [ann, bob] = [await openSession(home), await openSession(home, 'bob')];
      // Workers have no channel to each other, not even within one frame.
      const speak = 'import js\njs.BroadcastChannel.new("tenant").postMessage("of another")\n1';
      for (const [token, session] of /** @type {[string, string][]} */ ([
        ['ann', ann],
        ['bob', bob],
      ])) {
        const { structured } = await home.run(speak, { session, token });
        assert.match(structured.error, /AttributeError: BroadcastChannel/);
      }
      assert.match((await evaluate(speak)).error, /AttributeError: BroadcastChannel/);
    });

    test('a session is of no use to another, who has its handle', async () => {
      const session = await openSession(home);
      await home.run('x = 1', { session });
      await assert.rejects(home.run('x', { session, token: 'bob' }), /unknown or ended session/);
      assert.equal((await home.run('x', { session })).structured.return_value, 1);
    });

    test('handles cannot be guessed', async () => {
      for (const guess of guesses(session)) {
        await assert.rejects(home.run('1', { session: guess }), /unknown or ended session/, guess);
      }
    });

    test('a new interpreter of a session has nothing of the old one', async () => {
      const session = await openSession(home);
      await home.run(MARK, { session });
      await home.run('import os\nos._exit(1)', { session });
      const { structured } = await home.run(LOOK, { session });
      assert.deepEqual(structured.return_value, [], structured.error);
    });
    after(() => report('attacks', 'other tenants', { page: 8 + guesses('0').length }));
  });

  /** Runs code in the page's own sandbox, a third frame. @param {string} code */
  const evaluate = (code) => home.page.evaluate((code) => /** @type {any} */ (window).sandbox.eval(code), code);
});

test('without the policy of the frame one gets through', async () => {
  const home = await startHome({ timeLimitSeconds: 10 }, { policy: false });
  try {
    const { code } = network.find(({ name }) => name === 'fetch, below the shim') ?? assert.fail();
    await home.run(aimed(code, listener, home.own));
    assert.ok(listener.arrived.splice(0).length > 0);
  } finally {
    await home.stop();
  }
});

describe('attacks on the frame, and on the page', () => {
  /** @type {Awaited<ReturnType<typeof startHome>>} */
  let home;
  before(async () => {
    home = await startHome({ timeLimitSeconds: 2 });
  });
  after(() => home?.stop());

  for (const { name, code, ends, never } of forgeries) {
    test(name, async () => {
      const [fresh, kept] = await Promise.all([
        home.run(code),
        home.page.evaluate(async (code) => {
          const { sandbox } = /** @type {any} */ (window);
          const [attacked, next] = [await sandbox.eval(code), await sandbox.eval('20 + 22')];
          await sandbox.reset();
          return [attacked, next, await sandbox.eval('20 + 22')];
        }, code),
      ]);
      const [attacked, next, renewed] = kept.map((/** @type {any} */ result) => JSON.stringify(result));
      for (const seen of [JSON.stringify(fresh.structured), attacked]) {
        // A program that breaks its own suspension is ended at its time limit.
        assert.match(seen, new RegExp(`${ends.source}|broke its protocol|did not end when it was told to`));
        if (never) assert.doesNotMatch(seen, never);
      }
      onlyLogs(fresh.messages);
      // An interpreter that forges valid frames also forges those of the next run: that is the session's own.
      assert.match(next, new RegExp(`"return_value":42|broke its protocol|lost|run-error|${ends.source}`));
      assert.match(renewed, /"return_value":42/);
    });
  }

  test('output that pretends to be more is output', async () => {
    await pretend(home);
  });

  test('nothing came to the page but what it asked for', async () => {
    assert.deepEqual(home.requests, []);
    assert.equal(await home.page.evaluate(() => document.querySelectorAll('iframe').length), 3);
  });
  after(() => report('attacks', 'the host', { page: 2 * forgeries.length + PRETENDING.length }));
});

describe('attacks by files', () => {
  attackFilesByMessages(
    during(() => startHome({ timeLimitSeconds: 4, filesLimitMb: 8 })),
    forgingByPort,
  );
});

describe('attacks on whoever shares the page', () => {
  /** @type {Awaited<ReturnType<typeof startHome>>} */
  let home;
  before(async () => {
    home = await startHome({ timeLimitSeconds: 2, memoryLimitMb: 200, filesLimit: 2000 });
  });
  after(() => home?.stop());

  describe('each of them', { concurrency: AT_ONCE }, () => {
    for (const { name, code, ends } of exhaustions) {
      test(name, async () => {
        const attack = home.run(code);
        const start = performance.now();
        const bystander = await home.run('20 + 22', { token: 'bob' });
        assert.equal(bystander.structured.return_value, 42);
        assert.ok(performance.now() - start < PATIENCE, `a bystander waited for ${performance.now() - start} ms`);
        const seen = JSON.stringify((await attack).structured);
        // The device may be too slow for some of them.
        assert.match(seen, new RegExp(`${ends.source}|took longer than`));
        assert.ok(seen.length < 9_000_000);
      });
    }
  });

  test('a session outlives them', async () => {
    const session = await openSession(home);
    for (const attack of ['a loop that catches all', 'the end of the interpreter', 'many allocations', 'files']) {
      const { code } = exhaustions.find(({ name }) => name === attack) ?? assert.fail(attack);
      await home.run(code, { session });
      const next = await home.run('20 + 22', { session });
      assert.equal(next.structured.return_value, 42, next.structured.error);
    }
  });
  after(() => report('attacks', 'the service', { page: exhaustions.length + 4 }));
});

describe('the page', () => {
  const limits = { timeLimitSeconds: 1, graceSeconds: 1, memoryLimitMb: 64, outputLimitKb: 16, filesLimitMb: 1 };
  measureLimits(during(() => startHome({ ...limits, filesLimit: 100 })));
});
