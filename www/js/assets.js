// The files that a sandbox is made of: fetched by the page, once, as the sandbox itself reaches nothing.
import manifest from '#manifest';

/** @typedef {(progress: import('./index.js').Progress) => void} OnProgress */

/** How long a download may stall before it is given up, in milliseconds. */
const STALL_LIMIT = 30_000;

/** Downloads by folder, so that each is fetched once. @type {Map<string, Loading>} */
const loading = new Map();

/** @typedef {{ files: Promise<Record<string, Blob>>, listeners: Set<OnProgress> }} Loading */

/** The folder of these files; by default the one of this script. @param {string | URL} [folder] */
export function folderOf(folder) {
  return folder === undefined
    ? new URL('.', import.meta.url)
    : new URL(`${folder}/`.replace(/\/+$/, '/'), document.baseURI);
}

/** The address of the frame's document. @param {URL} folder */
export function frameAddress(folder) {
  return new URL(manifest.frame, folder).href;
}

/**
 * Loads the files, and leaves them compressed.
 * @param {URL} folder @param {OnProgress} [onProgress]
 * @returns {Promise<Record<string, Blob>>}
 */
export async function loadAssets(folder, onProgress) {
  let load = loading.get(folder.href);
  if (!load) {
    load = start(folder);
    loading.set(folder.href, load);
    // A download that failed is tried again the next time.
    load.files.catch(() => loading.delete(folder.href));
  }
  if (onProgress) load.listeners.add(onProgress);
  try {
    return await load.files;
  } finally {
    if (onProgress) load.listeners.delete(onProgress);
  }
}

/** @param {URL} folder @returns {Loading} */
function start(folder) {
  /** @type {Set<OnProgress>} */
  const listeners = new Set();
  const total = manifest.files.reduce((sum, file) => sum + file.bytes, 0);
  let loaded = 0;
  const files = manifest.files.map(async ({ name, path, bytes, sha256 }) => {
    const blob = await download(new URL(path, folder), { bytes, sha256 }, (more) => {
      loaded += more;
      for (const listener of listeners) listener({ phase: 'load', message: 'Loading Python', loaded, total });
    });
    return /** @type {[string, Blob]} */ ([name, blob]);
  });
  return { files: Promise.all(files).then(Object.fromEntries), listeners };
}

/**
 * **Boundary.** A sandbox is made only of files that were built with this script, wherever they are served from.
 * @param {URL} url @param {{ bytes: number, sha256: string }} built what it must be
 * @param {(bytes: number) => void} onMore
 */
export async function download(url, { bytes, sha256 }, onMore) {
  const stalled = new AbortController();
  const stall = () => stalled.abort(new Error(`nothing came for ${STALL_LIMIT / 1000} s`));
  let timer = setTimeout(stall, STALL_LIMIT);
  const content = new Uint8Array(bytes);
  let size = 0;
  try {
    const response = await fetch(url, { credentials: 'omit', signal: stalled.signal });
    if (!response.ok || !response.body) throw new Error(`HTTP ${response.status}`);
    for await (const part of pieces(response.body)) {
      clearTimeout(timer);
      timer = setTimeout(stall, STALL_LIMIT);
      if (size + part.length <= bytes) content.set(part, size);
      size += part.length;
      if (size > bytes) break;
      onMore(part.length);
    }
  } catch (error) {
    throw new Error(`${url} could not be loaded: ${error instanceof Error ? error.message : error}`);
  } finally {
    clearTimeout(timer);
  }
  if (size !== bytes) throw new Error(`${url} has ${size} bytes instead of ${bytes}: is it of another version?`);
  // A page that was loaded from elsewhere without TLS cannot hash, and could not trust this script either.
  if (globalThis.crypto.subtle && (await digest(content)) !== sha256) {
    throw new Error(`${url} is not the file that was built with this script (sha256): is it of another version?`);
  }
  return new Blob([content]);
}

/** Its sha256, in hexadecimal digits. @param {Uint8Array<ArrayBuffer>} content */
async function digest(content) {
  const hash = await crypto.subtle.digest('SHA-256', content);
  return [...new Uint8Array(hash)].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** A stream's pieces; not every browser can iterate over one. @param {ReadableStream<Uint8Array<ArrayBuffer>>} stream */
async function* pieces(stream) {
  const reader = stream.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield value;
    }
  } finally {
    void reader.cancel();
  }
}
