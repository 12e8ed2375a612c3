// Whatever a program displays causes no DNS lookup, connection or request, in browsers as people use them, where a link may cause
// a preconnection, which no policy forbids. The listener also hears bare connections and datagrams.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { openFirefox, openProfile, withoutFirefox } from './browser.mjs';
import { SITE, serveSite } from './site.mjs';

const PAGE = {
  body: `<!doctype html><html lang="en"><title>A page</title>
<script type="module" src="/python-sandbox.js"></script>
<main><python-sandbox editor="plain" label="A program">1</python-sandbox></main>`,
};
const PLOTLY = 'application/vnd.plotly.v1+json';
const VEGA = 'application/vnd.vegalite.v6+json';

/** How long a connection may take to be heard, in milliseconds. */
const QUIET = 700;

let heard = 0;
const listener = createServer((socket) => {
  heard += 1;
  socket.on('error', () => {});
  setTimeout(() => socket.destroy(), 200);
});
const datagrams = createSocket('udp4');
datagrams.on('message', () => {
  heard += 1;
});
let away = '';
/** @type {Awaited<ReturnType<typeof serveSite>>} */
let site;
/** The same site with an attacking script in place of the one that draws texts. @type {Awaited<ReturnType<typeof serveSite>>} */
let taken;
const folder = mkdtempSync(join(tmpdir(), 'site-'));

before(async () => {
  await new Promise((resolve) => listener.listen(0, '127.0.0.1', () => resolve(undefined)));
  const { port } = /** @type {import('node:net').AddressInfo} */ (listener.address());
  await new Promise((resolve) => datagrams.bind(port, '127.0.0.1', () => resolve(undefined)));
  away = `http://127.0.0.1:${port}`;
  site = await serveSite({ '/open': PAGE });
  takeOver();
  taken = await serveSite({ '/open': PAGE }, {}, folder);
});

after(() => {
  site?.close();
  taken?.close();
  rmSync(folder, { recursive: true, force: true });
  listener.close();
  datagrams.close();
});

/** Builds a site whose drawing script only attacks, like a script that a hole in a library would let run. */
function takeOver() {
  cpSync(SITE, folder, { recursive: true });
  const escapes = readFileSync(new URL('escapes.js', import.meta.url), 'utf8')
    // The first message counts as the drawing: the attempt that posts messages is removed, and the results come first.
    .replace(/await attempt\('messages to whoever[\s\S]*?\n {2}\}\);\n/, '')
    .replace('postMessage(results)', 'postMessage({ markup: JSON.stringify(results), height: 1e9 })');
  // Only these constructors are removed; the policy alone has to stop everything else.
  const removed = 'delete self.EventSource; delete self.FontFace; // as removed.js does\n';
  const constants = `${removed}const HOSTILE = '${away}', HOSTILE_NAME = '${away}', PAGE = '${site.url}';\n`;
  const names = readdirSync(join(folder, 'assets'));
  const drawer = join(folder, 'assets', names.find((name) => name.startsWith('draw-texts.js')) ?? assert.fail());
  const [real, body] = [readFileSync(drawer), gzipSync(constants + escapes)];
  writeFileSync(drawer, body);
  const sha256 = (/** @type {Buffer} */ bytes) => createHash('sha256').update(bytes).digest('hex');
  for (const name of names.filter((name) => name.endsWith('.js'))) {
    const path = join(folder, 'assets', name);
    const text = readFileSync(path, 'utf8');
    writeFileSync(
      path,
      text.replace(`bytes:${real.length}`, `bytes:${body.length}`).replace(sha256(real), sha256(body)),
    );
  }
}

const quiet = (time = QUIET) => new Promise((resolve) => setTimeout(resolve, time));

/** Displays bundles, and returns what is shown. @param {any} page @param {object[]} bundles */
function show(page, bundles) {
  const code = `import json\nfor bundle in json.loads(${JSON.stringify(JSON.stringify(bundles))}): display(bundle, raw=True)`;
  return page.evaluate(async (/** @type {string} */ code) => {
    await customElements.whenDefined('python-sandbox');
    const element = /** @type {any} */ (document.querySelector('python-sandbox'));
    element.code = code;
    const result = await element.run();
    if (result?.status !== 'success') throw new Error(result?.error);
    const all = (/** @type {string} */ selector) => [...element.shadowRoot.querySelectorAll(selector)];
    while (all('pre.display').some(({ textContent }) => textContent === 'Drawing'))
      await new Promise((then) => setTimeout(then, 50));
    const inner = (/** @type {HTMLIFrameElement} */ { srcdoc }) =>
      new DOMParser().parseFromString(srcdoc, 'text/html').querySelector('iframe')?.srcdoc ?? '';
    return {
      texts: all('pre.display').map(({ textContent }) => String(textContent)),
      markup: all('iframe.display').map((frame) => inner(frame)),
      heights: all('iframe.display').map((frame) => frame.getBoundingClientRect().height),
    };
  }, code);
}

/** Markup that requests connections without interaction. */
const prepared = () => [
  `<link rel="preconnect" href="${away}/"><LINK REL=preconnect crossorigin HREF="${away}/">`,
  `<link rel="dns-prefetch preconnect" href="${away}/">`,
  `<div><template shadowrootmode="open"><link rel="preconnect" href="${away}/"></template></div>`,
  `<iframe src="${away}/"></iframe><frameset><frame src="${away}/"></frameset>`,
  `<iframe srcdoc="&lt;link rel=preconnect href=${away}/&gt;"></iframe>`,
  `<iframe srcdoc="&#60;iframe src=${away}/&#62;"></iframe>`,
  `<object data="${away}/"></object><embed src="${away}/">`,
  `<svg><foreignObject><link rel="preconnect" href="${away}/"></foreignObject></svg>`,
  `<lin<link rel=preconnect href="${away}/"><noscript><link rel=preconnect href="${away}/"></noscript>`,
];

/** Markup that requests a connection when it is pressed. */
const pressed = () => {
  const full = 'style="position: fixed; inset: 0; width: 100%; height: 100%"';
  return [
    `<a href="${away}/" ping="${away}/" ${full}>x</a>`,
    `<a ${full} HREF\n=\n'${away}/'>x</a>`,
    `<a ${full} href=&#104;ttp&colon;//${away.slice(7)}/>x</a>`,
    `<svg ${full}><a xlink:href="${away}/"><rect width="100%" height="100%"/></a></svg>`,
    `<svg ${full}><a href="#x"><set attributeName="href" to="${away}/"/><rect width="100%" height="100%"/></a></svg>`,
    `<img ${full} usemap="#m" src="data:image/gif;base64,R0lGODlhAQABAAAAACw="><map name="m"><area shape="default" href="${away}/"></map>`,
    `<form action="${away}/"><button ${full} formaction="${away}/">x</button></form>`,
  ];
};

/** Values that would make their drawing libraries connect elsewhere. */
const values = () => [
  {
    'text/markdown': `<link rel="preconnect" href="${away}/"> <iframe src="${away}/"></iframe> ![](${away}/i) <${away}/> [x](${away}/y)`,
  },
  {
    'text/latex': `$\\href{${away}/}{x} \\url{${away}/} \\includegraphics{${away}/i} \\htmlData{a=b}{x} \\htmlStyle{background:url(${away}/)}{x}$`,
  },
  {
    [PLOTLY]: {
      data: [
        { type: 'scatter', x: [1], y: [1], text: [`<a href="${away}/">x</a><img src="${away}/i">`], mode: 'text' },
      ],
      layout: {
        title: { text: `<a href="${away}/">t</a></text><link rel=preconnect href="${away}/">` },
        images: [{ source: `${away}/i`, x: 0, y: 1, sizex: 1, sizey: 1 }],
      },
    },
  },
  { [PLOTLY]: { data: [{ type: 'choropleth', locations: ['FRA'], z: [1] }] } },
  { [VEGA]: { data: { url: `${away}/data.json` }, mark: 'bar', encoding: {} } },
  {
    [VEGA]: {
      data: { values: [{ u: `${away}/i` }] },
      mark: { type: 'image', width: 50, height: 50, href: `${away}/` },
      encoding: { url: { field: 'u', type: 'nominal' }, tooltip: { field: 'u', type: 'nominal' } },
    },
  },
];

for (const name of /** @type {const} */ (['Chromium', 'Firefox'])) {
  const skip = name === 'Firefox' && withoutFirefox();
  describe(`in ${name}`, () => {
    /** @type {any} */
    let browser;
    /** @type {any} */
    let page;
    const profile = mkdtempSync(join(tmpdir(), 'profile-'));

    before(async () => {
      if (skip) return;
      // Drivers turn off these features, which people have on.
      const asPeopleHave = { 'network.http.speculative-parallel-limit': 20, 'network.dns.disablePrefetch': false };
      browser = name === 'Chromium' ? await openProfile(profile) : await openFirefox(asPeopleHave);
      page = await browser.newPage();
      await page.goto(`${site.url}/open`);
    });

    after(async () => {
      await browser?.close();
      rmSync(profile, { recursive: true, force: true });
    });

    test('the listener hears of a connection that a link has prepared', { skip }, async () => {
      await page.evaluate((/** @type {string} */ href) => {
        const frame = document.createElement('iframe');
        frame.setAttribute('sandbox', '');
        frame.srcdoc = `<meta http-equiv="Content-Security-Policy" content="default-src 'none'"><link rel="preconnect" href="${href}">`;
        document.body.append(frame);
      }, away);
      for (let waited = 0; waited < 5000 && !heard; waited += 100) await quiet(100);
      assert.ok(heard > 0);
    });

    test('of what markup has prepared it hears nothing', { skip, timeout: 120_000 }, async () => {
      heard = 0;
      const bundles = prepared().map((html) => ({ 'text/html': html }));
      const { markup } = await show(page, bundles);
      assert.equal(markup.length, bundles.length);
      await quiet();
      assert.equal(heard, 0);
    });

    test('nor when a person presses what is shown', { skip, timeout: 120_000 }, async () => {
      for (const html of pressed()) {
        heard = 0;
        await show(page, [{ 'text/html': html }]);
        const [x, y] = await page.evaluate(() => {
          const { shadowRoot } = /** @type {any} */ (document.querySelector('python-sandbox'));
          const frame = shadowRoot.querySelector('iframe.display');
          frame.scrollIntoView();
          const { left, top } = frame.getBoundingClientRect();
          return [left + 60, top + 60];
        });
        await quiet(300);
        await page.mouse.click(x, y);
        await quiet();
        assert.equal(heard, 0, html);
      }
    });

    test('nor of values whose drawers are led elsewhere', { skip, timeout: 180_000 }, async () => {
      heard = 0;
      const { texts, markup } = await show(page, values());
      await quiet();
      assert.equal(heard, 0);
      // Everything else is drawn.
      assert.deepEqual([texts.length, markup.length], [2, 4], texts.join('\n'));
      const refused = texts.filter((/** @type {string} */ text) => text.includes('could not be drawn'));
      assert.match(refused.join('\n'), /choropleth needs WebGL or maps.*its data is at an address/s);
      for (const html of markup) assert.doesNotMatch(html, /<(link(?! rel)|iframe|script)|[\s:]href\s*=\s*"?http/i);
    });

    test('nor if whoever draws is taken over', { skip, timeout: 180_000 }, async () => {
      const asked = site.requests.length;
      heard = 0;
      let shown = { texts: ['x'], markup: [''], heights: [0] };
      // Firefox 153 sometimes fails to start a worker: the page gives it up, and shows the plain text.
      for (let tries = 0; tries < 4 && shown.texts.length; tries += 1) {
        await page.goto(`${taken.url}/open`);
        shown = await show(page, [{ 'text/markdown': 'x' }]);
      }
      const { texts, markup, heights } = shown;
      await quiet();
      assert.deepEqual([texts, heard], [[], 0]);
      const results = /** @type {Record<string, string>} */ (JSON.parse(markup[0].slice(markup[0].indexOf('{"'))));
      const through = Object.entries(results).filter(([, outcome]) => outcome.startsWith('got'));
      const harmless = ['broadcast', 'canvas filter', 'navigation', 'notification'];
      assert.deepEqual(
        through.filter(([name]) => !harmless.includes(name)),
        [],
      );
      assert.ok(Object.keys(results).length > 35);
      assert.ok(heights[0] <= 801, `${heights[0]}`);
      assert.deepEqual(
        site.requests.slice(asked).filter((path) => !path.startsWith('/assets/')),
        [],
      );
    });
  });
}
