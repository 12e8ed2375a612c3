// The files that a sandbox is made of: fetched by the page, once, as the sandbox itself reaches nothing.
import manifest from '#manifest';

/** @typedef {(progress: import('./index.js').Progress) => void} OnProgress */

/** Files by their folder. What is asked for twice is fetched once. @type {Map<string, Loading>} */
const loading = new Map();

/** @typedef {{ files: Promise<Record<string, Blob>>, listeners: Set<OnProgress> }} Loading */

/** Where these files are, unless said otherwise: beside this script. @param {string | URL} [folder] */
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
 * The files, compressed as they are.
 * @param {URL} folder @param {OnProgress} [onProgress]
 * @returns {Promise<Record<string, Blob>>}
 */
export async function loadAssets(folder, onProgress) {
  let load = loading.get(folder.href);
  if (!load) {
    load = start(folder);
    loading.set(folder.href, load);
    // What failed is tried again the next time.
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
  const files = manifest.files.map(async ({ name, path, bytes }) => {
    const blob = await download(new URL(path, folder), bytes, (more) => {
      loaded += more;
      for (const listener of listeners) listener({ phase: 'load', message: 'Loading Python', loaded, total });
    });
    return /** @type {[string, Blob]} */ ([name, blob]);
  });
  return { files: Promise.all(files).then(Object.fromEntries), listeners };
}

/** @param {URL} url @param {number} bytes what it must have @param {(bytes: number) => void} onMore */
async function download(url, bytes, onMore) {
  let response;
  try {
    response = await fetch(url, { credentials: 'omit' });
  } catch (error) {
    throw new Error(`${url} could not be loaded: ${error instanceof Error ? error.message : error}`);
  }
  if (!response.ok || !response.body) throw new Error(`${url} could not be loaded: HTTP ${response.status}`);
  const parts = [];
  let size = 0;
  for await (const part of pieces(response.body)) {
    parts.push(part);
    size += part.length;
    onMore(part.length);
  }
  if (size !== bytes) throw new Error(`${url} has ${size} bytes instead of ${bytes}: is it of another version?`);
  return new Blob(parts);
}

/** A stream's pieces; not every browser can iterate over one. @param {ReadableStream<Uint8Array<ArrayBuffer>>} stream */
async function* pieces(stream) {
  const reader = stream.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    yield value;
  }
}
