// MCP over streamable HTTP.
import { createServer } from 'node:http';

/**
 * Listens. Resolves with its address, and what ends it, once it does.
 * @param {import('./server.js').Server} server
 * @param {{ host: string, port: number }} options
 * @returns {Promise<{ url: string, close: () => void }>}
 */
export function serveHttp({ core, log }, { host, port }) {
  const http = createServer((request, response) => {
    route(core, request, response).catch((error) => {
      log.debug(`a request failed: ${error instanceof Error ? error.message : error}`);
      if (!response.headersSent) response.writeHead(500);
      response.end();
    });
  });
  // A run may be silent for longer than Node would wait.
  http.requestTimeout = 0;
  http.timeout = 0;
  return new Promise((resolve, reject) => {
    http.on('error', (/** @type {NodeJS.ErrnoException} */ error) => {
      const inUse = error.code === 'EADDRINUSE';
      reject(new Error(inUse ? `port ${port} is in use; choose another by --port` : error.message));
    });
    http.listen(port, host, () => {
      const address = /** @type {import('node:net').AddressInfo} */ (http.address());
      const name = address.family === 'IPv6' ? `[${address.address}]` : address.address;
      resolve({
        url: `http://${name}:${address.port}/mcp`,
        close: () => {
          http.close();
          http.closeAllConnections();
        },
      });
    });
  });
}

/**
 * @param {import('../core/core.js').Core} core
 * @param {import('node:http').IncomingMessage} incoming
 * @param {import('node:http').ServerResponse} outgoing
 */
async function route(core, incoming, outgoing) {
  const path = (incoming.url ?? '/').split('?')[0];
  if (path === '/mcp') return mcp(core, incoming, outgoing);
  if (path === '/health') {
    const health = { status: 'ok', version: core.version, python: core.pythonVersion };
    return outgoing.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(health));
  }
  outgoing.writeHead(404, { 'content-type': 'text/plain' }).end('Page not found: the MCP endpoint is /mcp\n');
}

/**
 * @param {import('../core/core.js').Core} core
 * @param {import('node:http').IncomingMessage} incoming
 * @param {import('node:http').ServerResponse} outgoing
 */
async function mcp(core, incoming, outgoing) {
  const gone = new AbortController();
  outgoing.on('close', () => gone.abort());
  const method = incoming.method ?? 'GET';
  /** @type {[string, string][]} */
  const headers = [];
  for (let i = 0; i < incoming.rawHeaders.length; i += 2)
    headers.push([incoming.rawHeaders[i], incoming.rawHeaders[i + 1]]);
  const body = ['GET', 'HEAD', 'DELETE', 'OPTIONS'].includes(method) ? null : bodyOf(incoming);
  const request = new Request('http://127.0.0.1/mcp', {
    method,
    headers,
    body: /** @type {any} */ (body),
    signal: gone.signal,
    // @ts-expect-error: Node needs it for a body that is a stream
    duplex: 'half',
  });
  const response = await core.handle(request);
  outgoing.writeHead(response.status, Object.fromEntries(response.headers));
  // Those of a stream, which may have nothing to say for long.
  outgoing.flushHeaders();
  if (response.body) {
    const reader = response.body.getReader();
    gone.signal.addEventListener('abort', () => void reader.cancel().catch(() => {}));
    for (let read = await reader.read(); !read.done; read = await reader.read()) {
      if (!outgoing.write(read.value))
        await new Promise((resolve) => outgoing.once('drain', resolve).once('close', resolve));
    }
  }
  outgoing.end();
}

/**
 * The body of a request. (Node's own adapter throws from an event when a body is not wanted and still comes.)
 * @param {import('node:http').IncomingMessage} incoming
 */
function bodyOf(incoming) {
  const chunks = incoming.iterator({ destroyOnReturn: false });
  return new ReadableStream(
    {
      async pull(controller) {
        const { done, value } = await chunks.next();
        if (done) controller.close();
        else controller.enqueue(value);
      },
      async cancel() {
        await chunks.return?.();
        incoming.resume();
      },
    },
    { highWaterMark: 0 },
  );
}
