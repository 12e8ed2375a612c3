// Attacks on the host: what a hostile isolate sends in place of frames becomes nothing but its own run's result.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { forgeries as all, PRETENDING, RESPONSE } from './attacks/host.mjs';
import { openSession, report, startHome } from './home.mjs';

const forgeries = all(RESPONSE);

describe('attacks on the host', () => {
  /** @type {Awaited<ReturnType<typeof startHome>>} */
  let home;
  before(async () => {
    home = await startHome();
  });
  after(() => home?.stop());

  /** Nothing but log messages, and one response, came; and the next run is as it should be. @param {any[]} messages */
  function onlyLogs(messages) {
    for (const { method, params } of messages) {
      assert.equal(method, 'notifications/message');
      assert.ok(['info', 'warning'].includes(params.level), params.level);
    }
  }

  for (const { name, code, ends, never } of forgeries) {
    test(name, async () => {
      const session = await openSession(home);
      for (const options of [{}, { session }]) {
        const { structured, messages } = await home.run(code, options);
        const { session: _, ...seen } = structured;
        // A program that spoils what suspends it is ended by its time.
        assert.match(JSON.stringify(seen), new RegExp(`${ends.source}|did not end when it was told to`));
        if (never) assert.doesNotMatch(JSON.stringify(seen), never);
        onlyLogs(messages);
      }
      // The session goes on, in a new interpreter where the old one is of no use.
      const next = await home.run('20 + 22', { session });
      // One that still forges its frames well forges those of the next run, too: it is its own.
      const goesOn = new RegExp(`"return_value":42|broke its protocol|lost|${ends.source}`);
      assert.match(JSON.stringify(next.structured), goesOn, name);
    });
  }
  after(() => report('attacks', 'the host', { edge: 2 * forgeries.length + PRETENDING.length }));

  test('output that pretends to be more is output', async () => {
    const { structured, text, messages } = await home.run(`for line in ${JSON.stringify(PRETENDING)}: print(line)\n1`);
    assert.deepEqual(structured.output, PRETENDING);
    assert.equal(structured.return_value, 1);
    assert.equal(messages.length, PRETENDING.length);
    onlyLogs(messages);
    assert.equal(text.match(/<return_value>/g)?.length, 1);
    assert.equal(text.match(/<status>/g)?.length, 1);
  });
});
