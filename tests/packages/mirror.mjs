// A mirror of Pyodide's packages that can lie and hang, and counts requests.
import { existsSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { join } from 'node:path';

const require = createRequire(import.meta.url);
/** @type {Record<string, { file_name: string, sha256: string }>} */
const locked = JSON.parse(readFileSync(require.resolve('pyodide/pyodide-lock.json'), 'utf8')).packages;

/** Where `cargo xtask dev` keeps wheels, by their sha256. */
const WHEELS = join(import.meta.dirname, '../../target/wheels');

/** The bytes of a package's wheel. @param {string} name */
export const wheel = (name) => readFileSync(join(WHEELS, locked[name].sha256));

/** @typedef {(response: import('node:http').ServerResponse, bytes: Buffer) => any} Behaviour */

/** How a mirror may treat a wheel. */
export const behaviours = {
  /** @type {Behaviour} */
  honest: (response, bytes) => response.end(bytes),
  /** Flips one bit. @type {Behaviour} */
  tampers: (response, bytes) => {
    const changed = Buffer.from(bytes);
    changed[changed.length >> 1] ^= 1;
    response.end(changed);
  },
  /** Sends another wheel under this name. @type {Behaviour} */
  lies: (response) => response.end(wheel('six')),
  /** @type {Behaviour} */
  hangs: () => {},
  /** Sends the beginning, then nothing more. @type {Behaviour} */
  stalls: (response, bytes) => response.write(bytes.subarray(0, 100)),
  /** @type {Behaviour} */
  endless: (response) => {
    const chunk = Buffer.alloc(1 << 20);
    const more = () => {
      while (!response.destroyed && response.write(chunk));
    };
    response.on('drain', more);
    more();
  },
  /** @type {Behaviour} */
  missing: (response) => response.writeHead(404).end(),
  /** @type {Behaviour} */
  breaks: (response, bytes) => {
    response.writeHead(200, { 'content-length': bytes.length });
    response.write(bytes.subarray(0, bytes.length >> 1), () => response.destroy());
  },
  /** Redirects to itself forever. @type {Behaviour} */
  circles: (response) => response.writeHead(302, { location: `/${Math.random()}` }).end(),
};

/**
 * Starts a mirror.
 * @param {Record<string, Behaviour>} [treats] by package; the others are served honestly
 */
export async function startMirror(treats = {}) {
  const files = new Map(Object.entries(locked).map(([name, { file_name }]) => [`/${file_name}`, name]));
  /** How often each package was requested. @type {Map<string, number>} */
  const asked = new Map();
  const server = createServer((request, response) => {
    const name = files.get(request.url ?? '');
    if (!name) return void behaviours.circles(response, Buffer.alloc(0));
    asked.set(name, (asked.get(name) ?? 0) + 1);
    if (!existsSync(join(WHEELS, locked[name].sha256))) return void response.writeHead(404).end();
    (treats[name] ?? behaviours.honest)(response, wheel(name));
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(undefined)));
  const address = /** @type {import('node:net').AddressInfo} */ (server.address());
  return {
    url: `http://127.0.0.1:${address.port}/`,
    asked,
    stop: () => {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(resolve));
    },
  };
}
