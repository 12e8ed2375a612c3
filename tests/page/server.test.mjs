// The MCP server of a page, and clients that cancel, hoard sessions, and send invalid messages.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { meta } from '../edge/worker.mjs';
import { openChromium, openPage } from './browser.mjs';
import { serveSite } from './site.mjs';

/** @type {Awaited<ReturnType<typeof serveSite>>} */
let site;
/** @type {import('playwright-core').Browser} */
let browser;
/** @type {Awaited<ReturnType<typeof openPage>>} */
let opened;

before(async () => {
  site = await serveSite({ '/plain': { body: '<!doctype html><html lang="en"><title>A page</title>' } });
  browser = await openChromium();
  opened = await openPage(browser, `${site.url}/plain`);
  await opened.page.evaluate(
    async ([modern]) => {
      const { pythonServer } = await import(/** @type {any} */ ('/code-sandbox.js'));
      /** A minimal JSON-RPC client. @param {any} server */
      const connect = async (server) => {
        const transport = server.transport();
        const waiting = new Map();
        transport.onmessage = (/** @type {any} */ message) => waiting.get(message.id)?.(message);
        await transport.start();
        let last = 0;
        return {
          /** @param {string} method @param {object} params */
          ask(method, params) {
            const id = ++last;
            const answer = new Promise((resolve, reject) => {
              waiting.set(id, resolve);
              setTimeout(() => reject(new Error(`no answer to ${method} ${id}`)), 40_000);
            });
            answer.catch(() => {});
            void transport.send({ jsonrpc: '2.0', id, method, params });
            return { id, answer };
          },
          /** @param {string} code @param {string} [session] */
          call(code, session) {
            const given = { python_code: code, ...(session && { session }) };
            return this.ask('tools/call', { name: 'run_python_code', arguments: given, _meta: modern });
          },
          /** @param {number} requestId */
          cancel: (requestId) =>
            transport.send({ jsonrpc: '2.0', method: 'notifications/cancelled', params: { requestId, _meta: modern } }),
        };
      };
      const started = (/** @type {object} */ options) => pythonServer(options);
      Object.assign(window, { connect, started });
    },
    /** @type {const} */ ([meta()]),
  );
});

after(async () => {
  await browser?.close();
  site?.close();
});

test('twenty calls that are cancelled while their isolates boot, in a session or not, and then answers', async () => {
  const values = await opened.page.evaluate(async () => {
    const { connect, started } = /** @type {any} */ (window);
    const server = await started({});
    const client = await connect(server);
    const values = [];
    const kept = (await client.call('1', 'new').answer).result.structuredContent.session;
    for (const session of [undefined, kept]) {
      const delays = [0, 5, 60, 200, 20, 120, 0, 40, 5, 80, 1, 10, 30, 90, 150, 60, 0, 5, 60, 100];
      for (const delay of delays) {
        const { id } = client.call('import time\ntime.sleep(30)', session);
        if (delay) await new Promise((resolve) => setTimeout(resolve, delay));
        await client.cancel(id);
      }
      for (let n = 0; n < 12; n += 1) {
        const { answer } = client.call(`20 + 22 + ${n} - ${n}`, session);
        values.push((await answer).result.structuredContent.return_value);
      }
    }
    server.close();
    return values;
  });
  assert.deepEqual(values, Array(24).fill(42));
});

test('ten sessions of one client, and an eleventh client has an answer', async () => {
  const { answers, other, first } = await opened.page.evaluate(async () => {
    const { connect, started } = /** @type {any} */ (window);
    const server = await started({});
    const hoarder = await connect(server);
    const answers = [];
    const sessions = [];
    for (let n = 0; n < 10; n += 1) {
      const { result } = await hoarder.call('x = 1', 'new').answer;
      answers.push(result.structuredContent.status);
      sessions.push(result.structuredContent.session);
    }
    const other = await connect(server);
    const { result } = await other.call('20 + 22').answer;
    // The client's first session lost its interpreter to the client's own ninth session, and says so.
    const first = (await hoarder.call('"x" in globals()', sessions[0]).answer).result.structuredContent;
    server.close();
    return { answers, other: result.structuredContent.return_value, first };
  });
  assert.deepEqual(answers, Array(10).fill('success'));
  assert.equal(other, 42);
  assert.equal(first.return_value, false);
  assert.match(first.output.join(), /restarted/);
});

test('where all interpreters are at work, one more is told so, within its time', async () => {
  const { busy, took, after } = await opened.page.evaluate(async () => {
    const { connect, started } = /** @type {any} */ (window);
    const server = await started({ limits: { timeLimitSeconds: 30 } });
    const clients = await Promise.all([1, 2, 3].map(() => connect(server)));
    const runs = [];
    for (let n = 0; n < 10; n += 1) runs.push(clients[n % 2].call('import time\ntime.sleep(18)', 'new'));
    await new Promise((resolve) => setTimeout(resolve, 3000));
    const start = performance.now();
    const { result, error } = await clients[2].call('1').answer;
    const took = performance.now() - start;
    await Promise.all(runs.map(({ answer }) => answer));
    const after = (await clients[2].call('20 + 22').answer).result.structuredContent.return_value;
    server.close();
    return { busy: JSON.stringify(result ?? error), took, after };
  });
  assert.match(busy, /all 10 interpreters are in use/);
  assert.ok(took < 14_000, `${took} ms`);
  assert.equal(after, 42);
});

test('messages that are no JSON are answered as such, and throw nothing into the page', async () => {
  const { answers, value } = await opened.page.evaluate(async () => {
    const { started } = /** @type {any} */ (window);
    const server = await started({});
    const { port1, port2 } = new MessageChannel();
    server.listen(port2);
    /** @type {any[]} */
    const heard = [];
    /** @type {() => void} */
    let next = () => {};
    port1.onmessage = ({ data }) => {
      heard.push(data);
      next();
    };
    const circular = /** @type {any} */ ({ jsonrpc: '2.0' });
    circular.self = circular;
    const messages = [
      { id: 10n },
      circular,
      undefined,
      'no json',
      7,
      new ArrayBuffer(8),
      [[[]]],
      new Map(),
      'x'.repeat(9_000_000),
    ];
    for (const message of messages) {
      const answered = new Promise((resolve) => {
        next = () => resolve(undefined);
        setTimeout(resolve, 5000);
      });
      port1.postMessage(message);
      await answered;
    }
    const answers = heard.flat().map(({ error }) => error?.code);
    const result = new Promise((resolve) => {
      port1.onmessage = ({ data }) => data.id === 2 && resolve(data.result);
    });
    const clientInfo = { name: 'x', version: '1' };
    port1.postMessage({
      jsonrpc: '2.0',
      id: 1,
      method: 'initialize',
      params: { protocolVersion: '2025-06-18', capabilities: {}, clientInfo },
    });
    port1.postMessage(JSON.stringify({ jsonrpc: '2.0', method: 'notifications/initialized' }));
    port1.postMessage({
      jsonrpc: '2.0',
      id: 2,
      method: 'tools/call',
      params: { name: 'run_python_code', arguments: { python_code: '20 + 22' } },
    });
    const { structuredContent } = /** @type {any} */ (await result);
    server.close();
    return { answers, value: structuredContent.return_value };
  });
  assert.deepEqual(answers.slice(0, 4), [-32700, -32700, -32700, -32700]);
  assert.equal(answers.length, 9, 'each has its answer');
  assert.ok(
    answers.every((/** @type {number} */ code) => code === -32700 || code === -32600),
    answers.join(),
  );
  assert.equal(value, 42);
  assert.deepEqual(opened.complaints, []);
});
