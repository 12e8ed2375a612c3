// The tool for the browser's built-in agent (WebMCP). Few browsers have it yet, with differing interfaces, so the tests detect
// what the browser has.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { openChromium, openFirefox, openPage, withoutFirefox } from './browser.mjs';
import { serveSite } from './site.mjs';

/** @type {Awaited<ReturnType<typeof serveSite>>} */
let site;

before(async () => {
  site = await serveSite({ '/plain': { body: '<!doctype html><html lang="en"><title>A page</title>' } });
});

after(() => site?.close());

/** In the page: tries to register the tool in a browser without an agent. */
async function refused() {
  const { codeSandbox, registerWebMcp } = await import(/** @type {any} */ ('/code-sandbox.js'));
  const sandbox = await codeSandbox();
  const registered = registerWebMcp(sandbox);
  const { return_value } = await sandbox.eval('6 * 7');
  sandbox.close();
  return { registered, return_value };
}

test('where the browser has an agent, it gets the tool, and calls it', async (t) => {
  // WebMCP is behind a flag.
  const browser = await openChromium(['--enable-features=WebMCPTesting']);
  t.after(() => browser.close());
  const { page } = await openPage(browser, `${site.url}/plain`);
  const has = await page.evaluate(() => {
    const { modelContext } = /** @type {any} */ ({ modelContext: undefined, ...pick(document), ...pick(navigator) });
    return {
      tools: typeof modelContext?.registerTool === 'function',
      asks: typeof modelContext?.getTools === 'function' && typeof modelContext?.executeTool === 'function',
    };
    /** @param {any} owner */
    function pick(owner) {
      return owner.modelContext ? { modelContext: owner.modelContext } : {};
    }
  });
  if (!has.tools) return t.skip(`Chromium ${browser.version()} has no WebMCP`);
  if (!has.asks) return t.skip(`Chromium ${browser.version()} has WebMCP, but lets no page ask it for its tools`);
  const seen = await page.evaluate(async () => {
    const { codeSandbox, registerWebMcp } = await import(/** @type {any} */ ('/code-sandbox.js'));
    const sandbox = await codeSandbox();
    const registered = registerWebMcp(sandbox);
    const context = /** @type {any} */ (navigator).modelContext ?? /** @type {any} */ (document).modelContext;
    const tools = await context.getTools();
    const tool = tools.find((/** @type {any} */ { name }) => name === 'run_python_code');
    const input = { python_code: 'x * 2', global_variables: { x: 21 } };
    // Up to about Chromium 150, the schema and the arguments are texts.
    const text = typeof tool.inputSchema === 'string';
    const call = (/** @type {object} */ input) => context.executeTool(tool, text ? JSON.stringify(input) : input);
    const answer = await call(input);
    const large = await call({ python_code: '2**70' });
    sandbox.close();
    return { registered, tools: tools.length, answer, large };
  });
  assert.equal(seen.registered, true);
  assert.equal(seen.tools, 1);
  assert.match(JSON.stringify(seen.answer), /return_value[\\": ]+42/);
  assert.match(JSON.stringify(seen.large), /return_value[\\": ]+1180591620717411303424/);
});

test('where Chromium has none, `registerWebMcp` says so, and the sandbox is as it was', async (t) => {
  const browser = await openChromium();
  t.after(() => browser.close());
  const { page } = await openPage(browser, `${site.url}/plain`);
  // Removes WebMCP, in case it is no longer behind a flag.
  await page.evaluate(() => {
    for (const owner of [document, navigator]) {
      if ('modelContext' in owner) Object.defineProperty(owner, 'modelContext', { value: undefined });
    }
  });
  assert.deepEqual(await page.evaluate(refused), { registered: false, return_value: 42 });
});

test('where Firefox has none, likewise', { skip: withoutFirefox() }, async (t) => {
  const browser = await openFirefox();
  t.after(() => browser.close());
  const page = await browser.newPage();
  await page.goto(`${site.url}/plain`);
  if (await page.evaluate(() => 'modelContext' in document || 'modelContext' in navigator)) {
    return t.skip(`${await browser.version()} has WebMCP`);
  }
  assert.deepEqual(await page.evaluate(refused), { registered: false, return_value: 42 });
});
