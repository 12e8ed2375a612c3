// The sandbox of a page as attackers and bystanders use it: a `Home` for the attacks of tests/security.
import assert from 'node:assert/strict';
import { meta } from '../edge/worker.mjs';
import { openChromium, openPage } from './browser.mjs';
import { serveSite } from './site.mjs';

/** The tenants, each of which has a server on the page, in a frame of its own. The names are also their tokens. */
const TENANTS = ['ann', 'bob'];

/** A page with secrets that no program may see. */
const PAGE = {
  body: '<!doctype html><html lang="en"><title>CANARY-TITLE</title>',
  headers: { 'set-cookie': 'secret=CANARY-COOKIE' },
};

/** In the page: serves the tenants, and makes the sandbox of a program. @param {[string[], object]} options */
async function serve([tenants, options]) {
  const { codeSandbox, pythonServer } = await import(/** @type {any} */ ('/code-sandbox.js'));
  localStorage.setItem('secret', 'CANARY-STORED');
  const servers = Object.fromEntries(
    await Promise.all(tenants.map(async (tenant) => [tenant, await pythonServer(options)])),
  );
  /** Sends one request in a connection of its own, and returns all messages. @param {string} tenant @param {string} method @param {object} params */
  const call = async (tenant, method, params) => {
    const transport = servers[tenant].transport();
    /** @type {any[]} */
    const messages = [];
    const answered = new Promise((resolve) => {
      transport.onmessage = (/** @type {any} */ message) => {
        messages.push(message);
        if ('id' in message) setTimeout(resolve);
      };
    });
    await transport.start();
    await transport.send({ jsonrpc: '2.0', id: 1, method, params });
    await answered;
    await transport.close();
    return messages;
  };
  const sandbox = await codeSandbox({ ...options, persistent: true });
  Object.assign(window, { canary: 'CANARY-GLOBAL', call, sandbox });
}

/**
 * Starts a page with servers for two tenants, and with a sandbox.
 * @param {object} [limits]
 * @param {{ policy?: boolean }} [options] `policy: false`: the frames have none, so that attacks get through
 */
export async function startHome(limits = {}, { policy = true } = {}) {
  const site = await serveSite({ '/page': PAGE, '/own': { body: 'REACHED' } });
  const browser = await openChromium();
  const { page } = await openPage(browser, `${site.url}/page?CANARY-ADDRESS`);
  if (!policy) {
    await page.route('**/frame-*.htm', async (route) => {
      const response = await route.fetch();
      const body = (await response.text()).replace(/<meta http-equiv="Content-Security-Policy"[^>]*>/, '');
      await route.fulfill({ response, body });
    });
  }
  const options = { limits, packageMirrors: [`${site.url}/CANARY-MIRROR/`] };
  await page.evaluate(serve, /** @type {[string[], object]} */ ([TENANTS, options]));
  site.requests.length = 0;

  /** @param {string} tenant @param {string} method @param {object} params @returns {Promise<any[]>} */
  const ask = async (tenant, method, params) => {
    // As text: the driver cannot return values as deeply nested as ours may be.
    const text = await page.evaluate(
      async ([tenant, method, params]) =>
        JSON.stringify(await /** @type {any} */ (window).call(tenant, method, params)),
      /** @type {const} */ ([tenant, method, params]),
    );
    return JSON.parse(text);
  };

  /** @type {import('../security/home.mjs').Home} */
  const home = {
    name: 'page',
    own: `${site.url}/own`,
    tokens: { ann: 'ann', bob: 'bob' },
    said: () => '',
    async ask(method, params, token = 'ann') {
      const messages = await ask(token, method, { ...params, _meta: meta() });
      return messages.find(({ id }) => id === 1);
    },
    async run(code, { session, token = 'ann', files } = {}) {
      const params = {
        name: 'run_python_code',
        arguments: { python_code: code, ...(session && { session }), ...(files && { files }) },
        _meta: meta({ 'io.modelcontextprotocol/logLevel': 'debug' }),
      };
      const messages = await ask(token, 'tools/call', params);
      const [response, ...more] = messages.filter((/** @type {any} */ message) => 'id' in message);
      assert.deepEqual(more, [], 'one response');
      if (!response.result) throw new Error(response.error.message);
      return {
        structured: response.result.structuredContent,
        text: response.result.content[0].text,
        messages: messages.filter((/** @type {any} */ message) => message !== response),
      };
    },
  };
  return {
    ...home,
    page,
    /** The requests to the page's own server since its start. */
    requests: site.requests,
    async stop() {
      await browser.close();
      site.close();
    },
  };
}
