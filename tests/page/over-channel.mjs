// A page's MCP server as a home for the contract's tests: in Chromium, with connections within the page as clients.
import assert from 'node:assert/strict';
import { params } from '../contract/suite.mjs';
import { LEGACY, meta } from '../edge/worker.mjs';
import { openChromium, openPage } from './browser.mjs';
import { serveSite } from './site.mjs';

/** In the page: starts a server, and functions that use connections to it by number. */
/** @param {Record<string, number>} limits */
async function serve(limits) {
  const { pythonServer } = await import(/** @type {any} */ ('/code-sandbox.js'));
  const server = await pythonServer({ limits });
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

/**
 * @param {Record<string, number>} limits of the page's server @param {string} [folder] of the built site
 * @returns {Promise<import('../contract/suite.mjs').Home>}
 */
export async function startPage(limits, folder) {
  const pages = { '/page': { body: '<!doctype html><html lang="en"><title>A page</title>' } };
  const site = await serveSite(pages, {}, folder);
  const browser = await openChromium();
  const { page } = await openPage(browser, `${site.url}/page`);
  await page.evaluate(serve, limits);

  /** Calls a function of `serve`. @param {string} name @param {unknown[]} args @returns {Promise<any>} */
  const inPage = (name, ...args) =>
    page.evaluate(([name, args]) => /** @type {any} */ (window)[name](...args), /** @type {const} */ ([name, args]));

  /** The calls of a client over one connection. @param {number} connection @param {object} [_meta] of each message */
  const callsOf = (connection, _meta) => {
    /** @param {string} code @param {string} [session] @param {string} [tool] */
    const ask = (code, session, tool) => {
      const message = { method: 'tools/call', params: { ...params(code, session, tool), ...(_meta && { _meta }) } };
      return inPage('ask', connection, message);
    };
    return {
      /** @param {string} code @param {string} [session] @param {string} [tool] */
      async run(code, session, tool) {
        const { result, error } = await inPage('answer', connection, await ask(code, session, tool));
        assert.ok(result, error?.message);
        return result.structuredContent;
      },
      /** @param {string} code @param {string} [session] @param {string} [tool] */
      begin(code, session, tool) {
        const asked = ask(code, session, tool);
        const letGo = async () => {
          const cancelled = { requestId: await asked, ...(_meta && { _meta }) };
          await inPage('tell', connection, { method: 'notifications/cancelled', params: cancelled });
        };
        // A cancelled request gets no answer, so there is nothing else to wait for.
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
      const { run, begin } = callsOf(connection);
      return {
        run: (code, tool) => run(code, undefined, tool),
        begin: (code, tool) => begin(code, undefined, tool),
        close: () => inPage('close', connection),
      };
    },
    async stop() {
      await browser.close();
      site.close();
    },
  };
}
