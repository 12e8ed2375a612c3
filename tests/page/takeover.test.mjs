// A page that frames the host page, or has a handle of its window, and navigates the sandbox's frame: it must not get the port,
// any message on it, or anything that the page fetches or stores.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { openChromium } from './browser.mjs';
import { serveSite } from './site.mjs';

/** The host page: opens a sandbox, with `embedders` from the page's address, and records the outcome. */
const HOST = `<!doctype html><html lang="en"><title>A page</title><script type="module">
const { codeSandbox } = await import('/code-sandbox.js');
const embedders = new URLSearchParams(location.search).getAll('embedder');
const why = (error) => 'Error: ' + error.message;
window.opening = codeSandbox({ embedders }).then((sandbox) => (window.sandbox = sandbox));
window.opened = window.opening.then(() => 'open', why);
window.evaluate = (code, globals) => window.sandbox.eval(code, globals).then((result) => JSON.stringify(result), why);
</script>`;

/** The document that the attacker loads into the frame: it sends the library's former hello and the present one, and then acts
 * as the frame. */
const PLAYED = `<!doctype html><script>
const heard = [];
const tell = () => top.postMessage({ heard }, '*');
const play = (port) => {
  port.onmessage = ({ data }) => {
    heard.push(JSON.stringify(data));
    if (data.type === 'call') {
      port.postMessage({ type: 'ask', id: 1, method: 'fetch', args: ['/secret', { maxBytes: 1000, milliseconds: 1000 }] });
      port.postMessage({ type: 'ask', id: 2, method: 'findSnapshot', args: ['a'.repeat(64)] });
      const value = { status: 'success', output: [], images: [], return_value: 'forged' };
      port.postMessage({ type: 'result', id: data.id, value });
    }
    tell();
  };
  port.postMessage({ type: 'result', id: 0 });
};
addEventListener('message', ({ data, ports: [port] }) => {
  heard.push(JSON.stringify(data));
  if (port) play(port);
  tell();
});
for (const sandbox of ['', 'undefined', location.hash.slice(1), '0'.repeat(32)]) {
  const { port1, port2 } = new MessageChannel();
  play(port1);
  parent.postMessage({ sandbox }, '*', [port2]);
}
</script>`;

/** The attacker's page: frames the host, and navigates the frame in it on demand. */
const ATTACKER = `<!doctype html><html lang="en"><title>Attacker</title><iframe></iframe><script>
window.heard = [];
addEventListener('message', ({ data }) => { if (data?.heard) window.heard = data.heard; });
const target = () => frames[0].length > 0 && frames[0][0];
window.once = () => { target().location = new URL('/played', location).href; };
window.always = () => setInterval(() => { try { if (target()) window.once(); } catch {} }, 5);
</script>`;

/** @type {Awaited<ReturnType<typeof serveSite>>} */
let site;
/** @type {Awaited<ReturnType<typeof serveSite>>} */
let attacker;
/** @type {import('playwright-core').Browser} */
let browser;
/** The attacker's address as another site; `attacker.url` is the same site on another port. Browsers let those share more. */
let elsewhere = '';

before(async () => {
  site = await serveSite({ '/host': { body: HOST }, '/secret': { body: 'a secret of the page' } });
  attacker = await serveSite({ '/': { body: ATTACKER }, '/played': { body: PLAYED } });
  elsewhere = attacker.url.replace('127.0.0.1', 'localhost');
  browser = await openChromium();
});

after(async () => {
  await browser?.close();
  site?.close();
  attacker?.close();
});

/** Opens the host page in the attacker's. @param {string} from @param {'once' | 'always' | null} at when to navigate */
async function framed(from, at) {
  const page = await browser.newPage();
  await page.goto(`${from}/`);
  if (at === 'always') await page.evaluate(() => void (/** @type {any} */ (window).always()));
  await page.evaluate(
    ([host, embedder]) => {
      const frame = /** @type {HTMLIFrameElement} */ (document.querySelector('iframe'));
      frame.src = `${host}/host?embedder=${encodeURIComponent(embedder)}`;
    },
    [site.url, from],
  );
  await page.waitForFunction(() => frames.length > 0);
  let host = page.frames().find((frame) => frame.url().includes('/host'));
  for (let tries = 0; !host && tries < 100; tries += 1) {
    await page.waitForTimeout(50);
    host = page.frames().find((frame) => frame.url().includes('/host'));
  }
  if (!host) throw new Error('the host page did not load');
  await host.waitForFunction(() => 'opened' in window);
  return { page, host, heard: () => page.evaluate(() => /** @type {string[]} */ (/** @type {any} */ (window).heard)) };
}

/** Asserts that an attacker heard nothing secret. @param {string[]} heard */
function nothing(heard) {
  assert.doesNotMatch(
    heard.join('\n'),
    /python-sandbox|"call"|core\.wasm|secret|the-code|the-globals/,
    heard.join('\n'),
  );
}

for (const [name, from] of /** @type {[string, () => string][]} */ ([
  ['another site', () => elsewhere],
  ['the same site', () => attacker.url],
])) {
  describe(`a page of ${name} navigates the frame`, { concurrency: 1 }, () => {
    test('again and again, from the beginning on', async () => {
      const { page, host, heard } = await framed(from(), 'always');
      const opened = await host.evaluate(() => /** @type {any} */ (window).opened);
      assert.match(opened, /does not answer|did not load|another document was loaded/);
      nothing(await heard());
      await page.close();
    });

    test('during the handshake: once its document has been asked for', async () => {
      const page = await browser.newPage();
      await page.goto(`${from()}/`);
      let frameAsked = () => {};
      const asked = new Promise((resolve) => {
        frameAsked = () => resolve(undefined);
      });
      await page.route('**/frame-*.htm', async (route) => {
        frameAsked();
        await new Promise((resolve) => setTimeout(resolve, 500));
        await route.continue().catch(() => {});
      });
      await page.evaluate(
        ([host, embedder]) => {
          const frame = /** @type {HTMLIFrameElement} */ (document.querySelector('iframe'));
          frame.src = `${host}/host?embedder=${encodeURIComponent(embedder)}`;
        },
        [site.url, from()],
      );
      await asked;
      await page.evaluate(() => /** @type {any} */ (window).once());
      const host = page.frames().find((frame) => frame.url().includes('/host'));
      const opened = await host?.evaluate(() => /** @type {any} */ (window).opened);
      assert.match(opened, /does not answer/);
      nothing(await page.evaluate(() => /** @type {any} */ (window).heard));
      await page.close();
    });

    test('after it: what runs is rejected, what comes next starts anew', async () => {
      const { page, host, heard } = await framed(from(), null);
      assert.equal(await host.evaluate(() => /** @type {any} */ (window).opened), 'open');
      const running = host.evaluate(() =>
        /** @type {any} */ (window).evaluate('the_code = "the-code"\nwhile True: pass', { x: 'the-globals' }),
      );
      await page.waitForTimeout(300);
      const start = performance.now();
      await page.evaluate(() => /** @type {any} */ (window).once());
      assert.match(await running, /the sandbox was lost: another document was loaded into its frame/);
      // The frame need not be found silent, which takes 9 s.
      assert.ok(performance.now() - start < 5000, `rejected after ${performance.now() - start} ms`);
      nothing(await heard());
      const next = JSON.parse(await host.evaluate(() => /** @type {any} */ (window).evaluate('20 + 22')));
      assert.equal(next.return_value, 42);
      assert.match(next.output.join(), /restarted/);
      nothing(await heard());
      await page.close();
    });
  });
}

test('an opener may not navigate the frame, and what runs goes on', async () => {
  const page = await browser.newPage();
  await page.goto(`${elsewhere}/`);
  const [popup] = await Promise.all([
    page.waitForEvent('popup'),
    page.evaluate((host) => void Object.assign(window, { opened: open(`${host}/host`) }), site.url),
  ]);
  await popup.waitForFunction(() => 'opened' in window);
  assert.equal(await popup.evaluate(() => /** @type {any} */ (window).opened), 'open');
  // Boots Python first: a program that is stopped before would not run at all.
  await popup.evaluate(() => /** @type {any} */ (window).evaluate('0'));
  const running = popup.evaluate(() => /** @type {any} */ (window).evaluate('while True: pass', { x: 'the-globals' }));
  const refused = await page.evaluate((played) => {
    try {
      /** @type {any} */ (window).opened[0].location = played;
      return 'navigated';
    } catch (error) {
      return /** @type {Error} */ (error).name;
    }
  }, `${elsewhere}/played`);
  assert.equal(refused, 'SecurityError');
  await popup.evaluate(() => setTimeout(() => /** @type {any} */ (window).sandbox.interrupt(), 300));
  assert.match(await running, /KeyboardInterrupt/);
  assert.match(await popup.evaluate(() => /** @type {any} */ (window).evaluate('20 + 22')), /"return_value":42/);
  await popup.close();
  await page.close();
});

test('a page that a stranger frames does not start, and says what to do', async () => {
  const page = await browser.newPage();
  await page.goto(`${elsewhere}/`);
  await page.evaluate((host) => {
    /** @type {HTMLIFrameElement} */ (document.querySelector('iframe')).src = `${host}/host`;
  }, site.url);
  await page.waitForFunction(() => frames.length > 0);
  const host = await page.waitForSelector('iframe').then((frame) => frame.contentFrame());
  await host?.waitForURL('**/host');
  await host?.waitForFunction(() => 'opened' in window);
  const opened = await host?.evaluate(() => /** @type {any} */ (window).opened);
  assert.match(opened, /a page of http:\/\/localhost:\d+ frames this page.*frame-ancestors.*embedders/);
  await page.close();
});

test('what a frame may have fetched: packages of the page’s own server, and what others let anybody read', async () => {
  // Another document plays the frame of this page under its real address: like the real one, it knows the nonce.
  const page = await browser.newPage();
  await page.route('**/frame-*.htm', (route) =>
    route.fulfill({
      contentType: 'text/html',
      body: `<!doctype html><script>
const { port1, port2 } = new MessageChannel();
const urls = ['/secret', '${site.url}/secret', '${site.url}/packages/../secret', '${site.url}/packages/%2e%2e/secret', 'file:///etc/passwd', 'data:,x', 'blob:x', '${site.url}/packages/none.whl'];
const answers = [];
let boot;
port1.onmessage = ({ data }) => {
  if (data.type === 'call' && data.method !== 'boot') return;
  boot ??= data.id;
  if (data.type === 'call') urls.forEach((url, id) => port1.postMessage({ type: 'ask', id, method: 'fetch', args: [url, { maxBytes: 1000, milliseconds: 1000 }] }));
  if (data.type === 'answer') answers[data.id] = data.error?.message ?? 'read';
  if (data.type === 'answer' && Object.keys(answers).length === urls.length) port1.postMessage({ type: 'error', id: boot, message: JSON.stringify(answers) });
};
parent.postMessage({ sandbox: location.hash.slice(1) }, '*', [port2]);
</script>`,
    }),
  );
  site.requests.length = 0;
  await page.goto(`${site.url}/host`);
  await page.waitForFunction(() => 'opened' in window);
  const said = await page.evaluate(() => /** @type {any} */ (window).opened);
  const answers = JSON.parse(said.replace('Error: ', ''));
  const refused = 'the page does not fetch this for a sandbox';
  assert.deepEqual(answers, [...Array(7).fill(refused), 'HTTP 404']);
  assert.ok(!site.requests.includes('/secret'));
  await page.close();
});
