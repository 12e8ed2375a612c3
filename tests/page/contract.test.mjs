// The contract of a home, on the page: its MCP server in Chromium, whose clients are connections within the page.
import assert from 'node:assert/strict';
import { contract, GRACE, params } from '../contract/suite.mjs';
import { LEGACY, meta } from '../edge/worker.mjs';
import { openChromium, openPage } from './browser.mjs';
import { serveSite } from './site.mjs';

/** In the page: a server, and connections to it by their numbers. */
/** @param {number} graceSeconds */
async function serve(graceSeconds) {
  const { pythonServer } = await import(/** @type {any} */ ('/code-sandbox.js'));
  const server = await pythonServer({ limits: { graceSeconds } });
  /** @type {{ transport: any, calls: Map<number, PromiseWithResolvers<any>> }[]} */
  const connections = [];
  let lastId = 0;
  Object.assign(window, {
    async connect() {
      const transport = server.transport();
      /** @type {Map<number, PromiseWithResolvers<any>>} */
      const calls = new Map();
      transport.onmessage = (/** @type {any} */ message) => calls.get(message.id)?.resolve(message);
      await transport.start();
      return connections.push({ transport, calls }) - 1;
    },
    /** @param {number} connection @param {object} message @returns {number} its id */
    ask(connection, message) {
      const { transport, calls } = connections[connection];
      const id = ++lastId;
      calls.set(id, Promise.withResolvers());
      void transport.send({ jsonrpc: '2.0', id, ...message });
      return id;
    },
    /** @param {number} connection @param {number} id */
    answer: (connection, id) => connections[connection].calls.get(id)?.promise,
    /** @param {number} connection @param {object} message */
    tell: (connection, message) => connections[connection].transport.send({ jsonrpc: '2.0', ...message }),
    /** @param {number} connection */
    close: (connection) => connections[connection].transport.close(),
  });
}

/** @returns {Promise<import('../contract/suite.mjs').Home>} */
async function start() {
  const site = await serveSite({ '/page': { body: '<!doctype html><html lang="en"><title>A page</title>' } });
  const browser = await openChromium();
  const { page } = await openPage(browser, `${site.url}/page`);
  await page.evaluate(serve, Number(GRACE));

  /** Calls a function of `serve`. @param {string} name @param {unknown[]} args @returns {Promise<any>} */
  const inPage = (name, ...args) =>
    page.evaluate(([name, args]) => /** @type {any} */ (window)[name](...args), /** @type {const} */ ([name, args]));

  /** A client's calls. @param {number} connection @param {object} [_meta] of each message */
  const callsOf = (connection, _meta) => {
    /** @param {string} code @param {string} [session] */
    const ask = (code, session) => {
      const message = { method: 'tools/call', params: { ...params(code, session), ...(_meta && { _meta }) } };
      return inPage('ask', connection, message);
    };
    return {
      /** @param {string} code @param {string} [session] */
      async run(code, session) {
        const { result, error } = await inPage('answer', connection, await ask(code, session));
        assert.ok(result, error?.message);
        return result.structuredContent;
      },
      /** @param {string} code @param {string} [session] */
      begin(code, session) {
        const asked = ask(code, session);
        const letGo = async () => {
          const cancelled = { requestId: await asked, ...(_meta && { _meta }) };
          await inPage('tell', connection, { method: 'notifications/cancelled', params: cancelled });
        };
        // What was cancelled has no answer that would have to be awaited.
        return { letGo, ended: asked };
      },
    };
  };

  return {
    ...callsOf(await inPage('connect'), meta()),
    async connect() {
      const connection = await inPage('connect');
      const asks = { protocolVersion: LEGACY, capabilities: {}, clientInfo: { name: 'tests', version: '1' } };
      const id = await inPage('ask', connection, { method: 'initialize', params: asks });
      assert.equal((await inPage('answer', connection, id)).result.protocolVersion, LEGACY);
      await inPage('tell', connection, { method: 'notifications/initialized' });
      return { ...callsOf(connection), close: () => inPage('close', connection) };
    },
    async stop() {
      await browser.close();
      site.close();
    },
  };
}

// It has ten interpreters, and one of them belongs to a handle, whose session lasts.
contract('page', start, 9);
