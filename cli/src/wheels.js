// Packages on the desk: fetched by Node, and cached on disk. The core says what, and checks every byte.
import { createHash, randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { basename, join } from 'node:path';

/** Where the cache is: what each system has for that. */
export function cacheFolder({ env, platform } = process) {
  const base =
    env.XDG_CACHE_HOME ||
    (platform === 'darwin' && join(homedir(), 'Library/Caches')) ||
    (platform === 'win32' && env.LOCALAPPDATA) ||
    join(homedir(), '.cache');
  return join(base, 'mcp-run-python');
}

/** @typedef {{ accept?: string, maxBytes: number, milliseconds: number }} FetchLimits */

export class Wheels {
  lockFile = readFileSync(new URL('../runtime/isolate/pyodide-lock.txt', import.meta.url), 'utf8');
  /** What an isolate has room for besides Python. @type {{ code: number, heap: number }} */
  room = JSON.parse(readFileSync(new URL('../runtime/room.json', import.meta.url), 'utf8'));
  #folder;
  #log;

  /** @param {import('./log.js').Log} log @param {string} [folder] */
  constructor(log, folder = cacheFolder()) {
    this.#folder = folder;
    this.#log = log;
  }

  /**
   * @param {string} url @param {FetchLimits} limits
   * @returns {Promise<Uint8Array>}
   */
  async fetch(url, limits) {
    const { accept } = limits;
    // Pages of an index are believed as they are, and asked for again each time; without a network, the last is good enough.
    const page = accept && `page-${createHash('sha256').update(`${accept} ${url}`).digest('hex')}`;
    try {
      const bytes = await this.#download(url, limits);
      if (page) await this.cache(page, bytes);
      return bytes;
    } catch (error) {
      const known = page && !('status' in /** @type {object} */ (error)) && (await this.cached(page));
      if (known) return known;
      throw error;
    }
  }

  /** @param {string} url @param {FetchLimits} limits */
  async #download(url, { accept, maxBytes, milliseconds }) {
    const started = performance.now();
    if (!accept) this.#log.info(`fetching ${basename(url)}`);
    const signal = AbortSignal.timeout(milliseconds);
    const response = await fetch(url, { headers: accept ? { accept } : {}, signal }).catch((error) => {
      // What Node says of a failure is only that it failed.
      throw error.cause ? new Error(error.cause.message || error.cause.code) : error;
    });
    if (response.status !== 200) {
      await response.body?.cancel();
      throw Object.assign(new Error(`status ${response.status}`), { status: response.status });
    }
    /** @type {Uint8Array[]} */
    const chunks = [];
    let size = 0;
    for await (const chunk of response.body ?? []) {
      size += chunk.length;
      if (size > maxBytes) throw new RangeError('it is too large');
      chunks.push(chunk);
    }
    if (!accept) {
      const seconds = (performance.now() - started) / 1000;
      this.#log.info(`fetched ${basename(url)}: ${(size / 1e6).toFixed(1)} MB in ${seconds.toFixed(1)} s`);
    }
    return Buffer.concat(chunks);
  }

  /** @param {string} name @returns {Promise<Uint8Array | undefined>} */
  async cached(name) {
    return readFile(join(this.#folder, name)).catch(() => undefined);
  }

  /** Best effort: without a cache, the next start fetches again. @param {string} name @param {Uint8Array} bytes */
  async cache(name, bytes) {
    const place = join(this.#folder, name);
    const begun = `${place}.${randomUUID()}`;
    try {
      await mkdir(this.#folder, { recursive: true });
      await writeFile(begun, bytes);
      await rename(begun, place);
    } catch (error) {
      this.#log.debug(`not cached: ${error instanceof Error ? error.message : error}`);
      await rm(begun, { force: true }).catch(() => {});
    }
  }
}
