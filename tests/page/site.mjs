// Static servers for the tests: the built site, as any server would serve it, and pages that use it.

import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The built site. */
export const SITE = process.env.SITE ?? fileURLToPath(new URL('../../target/site', import.meta.url));

/** @type {Record<string, string>} */
const TYPES = {
  '.html': 'text/html',
  '.htm': 'text/html',
  '.js': 'text/javascript',
  '.css': 'text/css',
  '.json': 'application/json',
};

/** The rules in `_headers`, in Cloudflare's format. */
const RULES = readFileSync(join(SITE, '_headers'), 'utf8')
  .split('\n')
  .filter((line) => line.trim() && !line.startsWith('#'))
  .reduce(
    (rules, line) => {
      if (!line.startsWith(' ')) rules.push({ path: line.trim(), headers: [] });
      else
        rules.at(-1)?.headers.push(
          /** @type {[string, string]} */ (
            line
              .trim()
              .split(/:\s*(.*)/)
              .slice(0, 2)
          ),
        );
      return rules;
    },
    /** @type {{ path: string, headers: [string, string][] }[]} */ ([]),
  );

/** The wheels of Pyodide's lock file that this machine has, by their sha256. */
const WHEEL_FOLDER = process.env.WHEELS ?? fileURLToPath(new URL('../../target/wheels', import.meta.url));

/** @type {Map<string, string>} */
const WHEELS = new Map(
  Object.values(
    JSON.parse(readFileSync(createRequire(import.meta.url).resolve('pyodide/pyodide-lock.json'), 'utf8')).packages,
  ).map((/** @type {any} */ { file_name, sha256 }) => [file_name, sha256]),
);

/** @typedef {{ type?: string, headers?: Record<string, string>, body: string | Buffer }} Page */

/**
 * Serves the built site, and pages beside it.
 * @param {Record<string, Page>} [pages] by their path
 * @param {Record<string, string>} [headers] of every page in `pages`
 * @param {string} [folder] of the built site
 */
export async function serveSite(pages = {}, headers = {}, folder = SITE) {
  /** @type {string[]} */
  const requests = [];
  let bytes = 0;
  const server = createServer((request, response) => {
    const path = new URL(request.url ?? '/', 'http://site').pathname;
    requests.push(path);
    // Browsers request it on their own.
    if (path === '/favicon.ico') return void response.writeHead(204).end();
    const page = pages[path];
    if (page) {
      response.writeHead(200, { 'content-type': page.type ?? 'text/html', ...headers, ...page.headers }).end(page.body);
      return;
    }
    const file = path === '/' ? '/index.html' : normalize(path);
    try {
      const wheel = path.startsWith('/packages/') ? WHEELS.get(path.slice('/packages/'.length)) : undefined;
      const body = readFileSync(wheel ? join(WHEEL_FOLDER, wheel) : join(folder, file));
      const matching = RULES.filter(({ path: rule }) =>
        rule.endsWith('*') ? path.startsWith(rule.slice(0, -1)) : rule === path,
      );
      const own = Object.fromEntries(matching.flatMap((rule) => rule.headers));
      bytes += body.length;
      response.writeHead(200, { 'content-type': TYPES[extname(file)] ?? 'application/octet-stream', ...own }).end(body);
    } catch {
      response.writeHead(404).end('not found');
    }
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(undefined)));
  const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
  return {
    url: `http://127.0.0.1:${port}`,
    requests,
    get bytes() {
      return bytes;
    },
    close: () => server.close(),
    [Symbol.dispose]: () => server.close(),
  };
}
