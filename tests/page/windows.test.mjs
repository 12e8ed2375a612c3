// Hostile windows against `listenToWindows`: foreign ones, floods, data that JSON cannot represent, windows that are navigated
// between request and answer, and more windows than are served.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { openChromium, openPage } from './browser.mjs';
import { serveSite } from './site.mjs';

/** How many windows are served at a time, see www/js/windows.js. */
const MAX_WINDOWS = 32;

const BLANK = { body: '<!doctype html><html lang="en"><title>A page</title>' };

/** The site that serves, two whose windows it serves, and one whose windows it does not. */
/** @type {Record<'host' | 'friend' | 'other' | 'stranger', Awaited<ReturnType<typeof serveSite>>>} */
let sites;
/** @type {import('playwright-core').Browser} */
let browser;
/** @type {Awaited<ReturnType<typeof openPage>>} */
let opened;

before(async () => {
  const serve = () => serveSite({ '/plain': BLANK });
  sites = { host: await serve(), friend: await serve(), other: await serve(), stranger: await serve() };
  browser = await openChromium();
});

after(async () => {
  await browser?.close();
  for (const site of Object.values(sites ?? {})) site.close();
});

/** Opens a window of a site, in a frame of the serving page. @param {string} url */
async function embed(url) {
  const { page } = opened;
  const handle = await page.evaluateHandle((address) => {
    const frame = document.createElement('iframe');
    frame.src = address;
    document.body.append(frame);
    return new Promise((resolve) => frame.addEventListener('load', () => resolve(frame), { once: true }));
  }, url);
  const frame = await /** @type {any} */ (handle).contentFrame();
  await frame.evaluate((/** @type {string} */ host) => {
    /** @type {any[]} */
    const heard = [];
    addEventListener('message', ({ data, origin }) => heard.push({ data, origin }));
    Object.assign(window, {
      heard,
      /** Sends a message, and returns the answer with its id. */
      ask: async (/** @type {any} */ message, id = message.id, limit = 8000) => {
        parent.postMessage(message, host);
        const end = performance.now() + limit;
        while (performance.now() < end) {
          const found = heard.find(({ data }) => data.id === id);
          if (found) return found.data;
          await new Promise((resolve) => setTimeout(resolve, 20));
        }
        return 'no answer';
      },
    });
  }, sites.host.url);
  return frame;
}

/** A call of the newest protocol, which needs no handshake. @param {number} id @param {string} python_code */
const call = (id, python_code) => ({
  jsonrpc: '2.0',
  id,
  method: 'tools/call',
  params: {
    name: 'run_python_code',
    arguments: { python_code },
    _meta: {
      'io.modelcontextprotocol/protocolVersion': '2026-07-28',
      'io.modelcontextprotocol/clientInfo': { name: 'window', version: '1' },
      'io.modelcontextprotocol/clientCapabilities': {},
    },
  },
});

/** @param {any} frame @param {object} message @param {number | null} [id] @param {number} [limit] */
const ask = (frame, message, id, limit) =>
  frame.evaluate(
    (/** @type {any[]} */ [message, id, limit]) => /** @type {any} */ (window).ask(message, id, limit),
    [message, id, limit],
  );

/** @param {any} answer */
const returned = (answer) => answer.result?.structuredContent?.return_value ?? answer;

describe('windows', () => {
  before(async () => {
    opened = await openPage(browser, `${sites.host.url}/plain`);
    await opened.page.evaluate(
      async (origins) => {
        const { pythonServer } = await import(/** @type {any} */ ('/code-sandbox.js'));
        const server = await pythonServer();
        Object.assign(window, { server, stop: server.listenToWindows({ origins }) });
      },
      [sites.friend.url, sites.other.url],
    );
  });

  after(() => opened?.close());

  test('a stranger is not heard, whatever it claims, and its flood is in nobody’s way', async () => {
    const friend = await embed(`${sites.friend.url}/plain`);
    const stranger = await embed(`${sites.stranger.url}/plain`);
    assert.equal(await ask(stranger, { ...call(1, '1'), origin: sites.friend.url }, 1, 1500), 'no answer');
    await stranger.evaluate(
      (/** @type {any[]} */ [host, message]) => {
        for (let n = 0; n < 20_000; n += 1) parent.postMessage({ ...message, id: n }, host);
      },
      [sites.host.url, call(0, 'while True: pass')],
    );
    assert.equal(returned(await ask(friend, call(1, '6 * 7'))), 42);
    assert.deepEqual(await stranger.evaluate(() => /** @type {any} */ (window).heard), []);
  });

  test('what JSON cannot carry is answered with an error, and the next question with its answer', async () => {
    const friend = await embed(`${sites.friend.url}/plain`);
    const errors = await friend.evaluate(
      async (/** @type {any} */ message) => {
        /** @type {any} */
        const circular = { ...message, id: 11 };
        circular.params = { ...message.params, circular };
        /** @type {any} */
        let deep = 1;
        for (let depth = 0; depth < 3000; depth += 1) deep = [deep];
        const bad = [
          { ...message, id: 10, params: { n: 2n ** 70n } },
          circular,
          { ...message, id: 12, params: deep },
          { ...message, id: 13, params: { name: 'x'.repeat(12_000_000) } },
          // Valid JSON, but invalid parameters.
          { ...message, id: 14, params: { values: Array(300_000).fill(0) } },
        ];
        const answers = [];
        for (const one of bad) answers.push(await /** @type {any} */ (window).ask(one));
        return answers;
      },
      call(0, '1'),
    );
    assert.deepEqual(
      errors.map((/** @type {any} */ answer) => [answer.id, typeof answer.error?.code]),
      [10, 11, 12, 13, 14].map((id) => [id, 'number']),
      JSON.stringify(errors),
    );
    assert.equal(returned(await ask(friend, call(20, '6 * 7'))), 42);
    assert.deepEqual(opened.complaints, []);
  });

  test('a flood of a window that is served ends in errors, and another window is served meanwhile', async () => {
    const [friend, other] = [await embed(`${sites.friend.url}/plain`), await embed(`${sites.other.url}/plain`)];
    await friend.evaluate(
      (/** @type {any[]} */ [host, message]) => {
        for (let id = 0; id < 2000; id += 1) parent.postMessage({ ...message, id }, host);
      },
      [sites.host.url, call(0, 'import time; time.sleep(0.2)')],
    );
    assert.equal(returned(await ask(other, call(1, '6 * 7'), 1, 30_000)), 42);
    // Every request is answered, with a result or an error.
    const count = () => friend.evaluate(() => /** @type {any} */ (window).heard.length);
    for (let tries = 0; tries < 300 && (await count()) < 2000; tries += 1) await opened.page.waitForTimeout(200);
    const [answered, busy] = await friend.evaluate(() => {
      const { heard } = /** @type {any} */ (window);
      return [heard.length, heard.filter((/** @type {any} */ { data }) => data.error).length];
    });
    assert.equal(answered, 2000);
    assert.ok(busy > 1000, `${busy} were refused`);
    assert.equal(returned(await ask(friend, call(5000, '6 * 7'))), 42);
  });

  test('a window that is navigated to another site does not hear the answer of the site that asked', async () => {
    const friend = await embed(`${sites.friend.url}/plain`);
    await friend.evaluate(
      (/** @type {any[]} */ [host, message]) => parent.postMessage(message, host),
      [sites.host.url, call(1, 'import asyncio\nawait asyncio.sleep(1.5)\n"of the friend"')],
    );
    // `friend` is the same frame after the navigation.
    await friend.goto(`${sites.stranger.url}/plain`);
    await friend.evaluate(() => {
      Object.assign(window, { heard: [] });
      addEventListener('message', ({ data }) => /** @type {any} */ (window).heard.push(data));
    });
    await opened.page.waitForTimeout(3500);
    assert.deepEqual(await friend.evaluate(() => /** @type {any} */ (window).heard), []);
    // Another served site in the same window gets a new connection.
    await friend.goto(`${sites.other.url}/plain`);
    const answer = await friend.evaluate(
      (/** @type {any[]} */ [host, message]) =>
        new Promise((resolve) => {
          addEventListener('message', ({ data }) => resolve(data));
          parent.postMessage(message, host);
        }),
      [sites.host.url, call(2, '6 * 7')],
    );
    assert.equal(returned(answer), 42);
  });

  test('many windows of one site push out its own, not those of another; who is pushed out is told', {
    timeout: 120_000,
  }, async () => {
    const other = await embed(`${sites.other.url}/plain`);
    const session = (
      await ask(other, {
        ...call(1, 'x = 5'),
        params: { ...call(1, '').params, arguments: { python_code: 'x = 5', session: 'new' } },
      })
    ).result.structuredContent.session;
    assert.ok(session);
    const [first, ...rest] = await Promise.all(
      Array.from({ length: MAX_WINDOWS + 1 }, () => embed(`${sites.friend.url}/plain`)),
    );
    const waiting = ask(first, call(1, 'import time; time.sleep(8); "late"'), 1, 20_000);
    // Lets its request arrive before the others'.
    await opened.page.waitForTimeout(500);
    for (const frame of rest) {
      const answer = await ask(frame, { ...call(2, ''), method: 'ping', params: call(2, '').params }, 2);
      assert.notEqual(answer, 'no answer');
    }
    const answer = await waiting;
    assert.match(answer.error?.message ?? JSON.stringify(answer), /too many windows/);
    // It is served again with its next request.
    assert.equal(returned(await ask(first, call(3, '6 * 7'))), 42);
    const kept = await ask(other, {
      ...call(4, ''),
      params: { ...call(4, '').params, arguments: { python_code: 'x', session } },
    });
    assert.equal(returned(kept), 5, JSON.stringify(kept));
  });
});

test('origins have to be written as origins are', async () => {
  const { page, close } = await openPage(browser, `${sites.host.url}/plain`);
  const told = await page.evaluate(async () => {
    const { pythonServer } = await import(/** @type {any} */ ('/code-sandbox.js'));
    const server = await pythonServer();
    const told = [];
    for (const origin of ['https://example.com/', 'https://example.com/path', 'example.com', '*', 'null', '']) {
      try {
        server.listenToWindows({ origins: [origin] });
        told.push(`accepted ${origin}`);
      } catch (error) {
        told.push(/** @type {any} */ (error).name);
      }
    }
    server.close();
    return told;
  });
  await close();
  assert.deepEqual(told, Array(6).fill('TypeError'));
});
