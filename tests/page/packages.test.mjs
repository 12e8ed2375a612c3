// Packages in the page: its core finds, resolves and checks them, and they come from the page's own server.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { after, before, test } from 'node:test';
import { OF_SIX, SIX } from '../packages/famous.mjs';
import { openChromium, openPage } from './browser.mjs';
import { serveSite } from './site.mjs';

/** @type {Awaited<ReturnType<typeof serveSite>>} */
let site;
/** @type {import('playwright-core').Browser} */
let browser;
/** @type {Awaited<ReturnType<typeof openPage>>} */
let opened;

/** The module in which the build recorded the package index. */
const SOURCES = '../../target/www/sources.js';

/** Files of a package index with the newest version of one project, for the page's own server. @param {string} project */
async function indexOf(project) {
  const { index } = await import(SOURCES);
  const address = `${index}${project}/`;
  const page = await (await fetch(address, { headers: { accept: 'application/vnd.pypi.simple.v1+json' } })).json();
  const name = (/** @type {any} */ { filename }) => filename;
  const wheels = page.files.filter((/** @type {any} */ file) => name(file).endsWith('-py3-none-any.whl'));
  // An index lists versions in any order.
  const wheel = wheels
    .sort((/** @type {any} */ a, /** @type {any} */ b) => name(a).localeCompare(name(b), 'en', { numeric: true }))
    .at(-1);
  const bytes = await (await fetch(new URL(wheel.url, address))).arrayBuffer();
  const path = `/simple/files/${wheel.filename}`;
  const files = [{ ...wheel, url: path, 'core-metadata': false }];
  return {
    [`/simple/${project}/`]: { type: 'application/json', body: JSON.stringify({ ...page, files }) },
    [path]: { type: 'application/octet-stream', body: Buffer.from(bytes) },
  };
}

before(async () => {
  site = await serveSite({
    ...(await indexOf('seaborn')),
    '/strict': {
      body: '<!doctype html><html lang="en"><title>A page</title>',
      headers: { 'content-security-policy': "default-src 'self'" },
    },
  });
  browser = await openChromium();
  opened = await openPage(browser, `${site.url}/strict`);
  await opened.page.evaluate(async () => {
    Object.assign(window, await import(/** @type {any} */ ('/code-sandbox.js')));
  });
});

after(async () => {
  await browser?.close();
  site?.close();
});

/**
 * Runs programs in one sandbox.
 * @param {string[]} programs @param {object} [options] of the sandbox
 * @returns {Promise<any[]>}
 */
const run = (programs, options = {}) =>
  opened.page.evaluate(
    async ([programs, options]) => {
      const sandbox = await /** @type {any} */ (window).codeSandbox(options);
      /** @type {Set<string>} */
      const progress = new Set();
      sandbox.addEventListener('progress', (/** @type {any} */ { detail }) => progress.add(detail.message));
      const results = [];
      for (const code of programs) results.push(await sandbox.eval(code));
      sandbox.close();
      return [...results, [...progress]];
    },
    /** @type {const} */ ([programs, options]),
  );

test('what code imports is there, and progress is told', async () => {
  const [sum, progress] = await run(['import numpy as np\nnp.arange(10).sum()']);
  assert.equal(sum.status, 'success', sum.error);
  assert.equal(sum.return_value, 45);
  assert.ok(
    progress.some((/** @type {string} */ message) => message.startsWith('Loading numpy-')),
    progress.join(),
  );
});

test('its own server is asked first, and then the mirrors, in their order', async () => {
  site.requests.length = 0;
  const packageMirrors = ['/first/', `${site.url}/second/`];
  // The first package is on this server, the second nowhere.
  const [found, missing] = await run(['import six\nsix.PY3', 'import astropy'], { packageMirrors });
  assert.equal(found.return_value, true, found.error);
  assert.equal(missing.status, 'install-error');
  const asked = site.requests.filter((path) => path.endsWith('.whl')).map((path) => path.split('/').slice(1));
  assert.deepEqual(
    asked.filter(([, file]) => file.startsWith('six-')).map(([folder]) => folder),
    ['packages'],
  );
  const [, file] = asked.find(([folder]) => folder === 'second') ?? assert.fail(asked.join('\n'));
  const folders = asked.filter(([, other]) => other === file).map(([folder]) => folder);
  assert.deepEqual(folders, ['packages', 'first', 'second']);
});

test('six packages fit into one interpreter', { timeout: 600_000 }, async () => {
  const [six] = await run([SIX], {
    packageIndex: `${site.url}/simple/`,
    limits: { timeLimitSeconds: 300 },
  });
  assert.deepEqual([six.status, six.return_value], ['success', OF_SIX], six.error);
});

test('a session gets packages while it runs, and keeps its variables', async () => {
  const [, array, mean, kept] = await run(
    [
      'kept = "here"',
      'import numpy as np\nx = np.arange(4)\nx.tolist()',
      'import pandas as pd\npd.Series(x).mean()',
      'kept',
    ],
    { persistent: true },
  );
  assert.deepEqual(array.return_value, [0, 1, 2, 3], array.error);
  assert.equal(mean.return_value, 1.5, mean.error);
  assert.deepEqual([kept.return_value, kept.output], ['here', []]);
});

test('a figure comes as an image', async () => {
  const [figure] = await run(['import matplotlib.pyplot as plt\nplt.plot([1, 3, 2])\nplt.title("drawn")\nNone']);
  assert.equal(figure.status, 'success', figure.error);
  assert.equal(figure.images.length, 1);
  assert.equal(figure.images[0].mimeType, 'image/png');
  assert.equal(Buffer.from(figure.images[0].data, 'base64').subarray(1, 4).toString(), 'PNG');
});

test('what cannot be had is told before anything runs', async () => {
  const [missing] = await run(['# /// script\n# dependencies = ["no-such-package-of-ours"]\n# ///\nprint("ran")']);
  assert.equal(missing.status, 'install-error');
  assert.match(missing.error, /no-such-package-of-ours/);
  assert.ok(!missing.output.includes('ran'));
});

test('a wheel that is not the lock file’s does not get in', async () => {
  await opened.page.route('**/packages/six-*', async (route) => {
    const body = Buffer.from(await (await route.fetch()).body());
    body[body.length >> 1] ^= 1;
    await route.fulfill({ body });
  });
  const [six] = await run(['import six\nsix.__version__'], { dependencies: ['six'] });
  assert.equal(six.status, 'install-error');
  assert.match(six.error, /six/);
});

/** Pyodide's lock file. @type {Record<string, { sha256: string }>} */
const LOCKED = JSON.parse(
  readFileSync(createRequire(import.meta.url).resolve('pyodide/pyodide-lock.json'), 'utf8'),
).packages;

/** In the page: alters a stored snapshot, as another script of its origin could. @param {[string, string]} what */
async function alter([change, otherKey]) {
  const done = (/** @type {IDBRequest} */ request) =>
    new Promise((resolve, reject) => {
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => reject(request.error);
    });
  /** @param {string} name @param {string} store */
  const open = async (name, store) => {
    const opening = indexedDB.open(name);
    opening.onupgradeneeded = () => opening.result.createObjectStore(store);
    return /** @type {IDBDatabase} */ (await done(opening));
  };
  const database = await open('python-sandbox', 'snapshots');
  const copies = await open('copies', 'copies');
  const all = await done(database.transaction('snapshots').objectStore('snapshots').getAll());
  if (all.length) await done(copies.transaction('copies', 'readwrite').objectStore('copies').put(all[0], 'first'));
  const record = await done(copies.transaction('copies').objectStore('copies').get('first'));
  const bytes = new Uint8Array(await record.snapshot.arrayBuffer());
  if (change === 'byte') bytes[bytes.length >> 1] ^= 1;
  else record.key = otherKey;
  const store = database.transaction('snapshots', 'readwrite').objectStore('snapshots');
  store.clear();
  await done(store.put({ ...record, snapshot: new Blob([bytes]) }));
  database.close();
  copies.close();
}

test('an interpreter that has imported its packages is kept, and the next visit starts from it, unless it was altered', async () => {
  // A new page, for which nothing is stored yet.
  const visit = await openPage(browser, `${site.url}/strict`);
  const kept = () =>
    visit.page.evaluate(
      () =>
        new Promise((resolve) => {
          const opening = indexedDB.open('python-sandbox');
          opening.onsuccess = () => {
            const database = opening.result;
            if (!database.objectStoreNames.length) return resolve([]);
            const all = database.transaction('snapshots').objectStore('snapshots').getAll();
            all.onsuccess = () => {
              database.close();
              resolve(all.result.map(({ key, snapshot }) => [key, snapshot.size]));
            };
          };
        }),
    );
  const start = () =>
    visit.page.evaluate(async () => {
      const { codeSandbox } = await import(/** @type {any} */ ('/code-sandbox.js'));
      const sandbox = await codeSandbox({ dependencies: ['numpy'] });
      const { return_value, error } = await sandbox.eval(
        'import sys\nhad = "numpy" in sys.modules\nimport numpy as np\n[had, int(np.arange(10).sum()), float(np.linalg.det(np.eye(3)))]',
      );
      Object.assign(window, { sandbox });
      return return_value ?? error;
    });
  assert.deepEqual(await start(), [false, 45, 1]);
  /** @type {any} */
  let found = [];
  for (let tries = 0; tries < 60 && !found.length; tries += 1) {
    await visit.page.waitForTimeout(1000);
    found = await kept();
  }
  assert.equal(found[0]?.[0], LOCKED.numpy.sha256);
  /** Random values of a fresh interpreter that was restored from the snapshot. */
  const restored = async () => {
    await visit.page.reload();
    assert.deepEqual(await start(), [true, 45, 1]);
    return visit.page.evaluate(async () => {
      const code = 'import random, numpy as np\n[random.random(), float(np.random.random()), np.random.bytes(4).hex()]';
      return /** @type {any} */ (window).sandbox.eval(code);
    });
  };
  const [one, other] = [await restored(), await restored()];
  for (const [at, drawn] of one.return_value.entries()) assert.notEqual(drawn, other.return_value[at]);

  // Changes one byte of it, or stores it under the key of another wheel.
  for (const change of ['byte', 'key']) {
    await visit.page.evaluate(alter, /** @type {[string, string]} */ ([change, LOCKED.six.sha256]));
    await visit.page.reload();
    const had = await visit.page.evaluate(
      async ([name]) => {
        const { codeSandbox } = await import(/** @type {any} */ ('/code-sandbox.js'));
        const sandbox = await codeSandbox({ dependencies: [name] });
        const { return_value, error } = await sandbox.eval('import sys\n"numpy" in sys.modules');
        sandbox.close();
        return return_value ?? error;
      },
      [change === 'byte' ? 'numpy' : 'six'],
    );
    assert.equal(had, false, change);
    assert.deepEqual(await kept(), [], 'what is not what was kept is dropped');
  }
  await visit.close();
});

test('a snapshot that cannot be restored costs a run nothing but its time, and another takes its place', async () => {
  const visit = await openPage(browser, `${site.url}/strict`);
  const numpy = () =>
    visit.page.evaluate(async () => {
      const { codeSandbox } = await import(/** @type {any} */ ('/code-sandbox.js'));
      try {
        const sandbox = await codeSandbox({ dependencies: ['numpy'] });
        const { return_value, error } = await sandbox.eval('import numpy as np\nint(np.arange(10).sum())');
        return return_value ?? error;
      } catch (error) {
        return String(error);
      }
    });
  const keptSize = () =>
    visit.page.evaluate(async () => {
      const open = indexedDB.open('python-sandbox');
      await new Promise((resolve) => {
        open.onsuccess = resolve;
      });
      const all = open.result.transaction('snapshots').objectStore('snapshots').getAll();
      await new Promise((resolve) => {
        all.onsuccess = resolve;
      });
      open.result.close();
      return all.result.map(({ snapshot }) => snapshot.size);
    });
  // Another document plays the frame of the page's own folder and stores it, so it is sealed like any other.
  await visit.page.route('**/frame-*.htm', (route) =>
    route.fulfill({
      contentType: 'text/html',
      body: `<!doctype html><script>
const { port1, port2 } = new MessageChannel();
let boot;
port1.onmessage = ({ data }) => {
  if (data.type === 'answer') port1.postMessage({ type: 'error', id: boot, message: data.error?.message ?? 'kept' });
  if (data.method !== 'boot') return;
  boot = data.id;
  port1.postMessage({ type: 'ask', id: 1, method: 'keepSnapshot', args: ['${LOCKED.numpy.sha256}', new Blob(['none'])] });
};
parent.postMessage({ sandbox: location.hash.slice(1) }, '*', [port2]);
</script>`,
    }),
  );
  assert.equal(await numpy(), 'Error: kept');
  await visit.page.unroute('**/frame-*.htm');
  assert.deepEqual(await keptSize(), [4]);
  await visit.page.reload();
  assert.equal(await numpy(), 45);
  for (let tries = 0; (await keptSize())[0] === 4; tries += 1) {
    assert.ok(tries < 60, 'no other snapshot was kept in its place');
    await visit.page.waitForTimeout(500);
  }
  await visit.close();
});
