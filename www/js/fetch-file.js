// Fetches files of packages for a frame, which reaches nothing itself.

/**
 * Whether the page may fetch this for a frame.
 *
 * **Boundary.** A page may read its own origin without asking anybody, and a frame may not: of that origin it gets only the
 * folders of packages. Other origins, such as those of the mirrors and of an index, decide by themselves who reads them
 * (CORS), and are sent nothing of the user's.
 * @param {string} url
 * @param {string[]} places folders, each ending in `/`
 */
export function isAllowed(url, places) {
  if (!URL.canParse(url)) return false;
  const { href, protocol, origin, username, password } = new URL(url);
  if (!['http:', 'https:'].includes(protocol) || username || password) return false;
  // Escaped dots and slashes, which a server might decode after the address was compared.
  if (/%2e|%2f|%5c/i.test(href)) return false;
  if (places.some((place) => href.startsWith(place))) return true;
  return origin !== new URL(document.baseURI).origin && origin !== location.origin;
}

/**
 * Fetches a file of a package, and sends nothing of the user's. The core, which knows its sha256, checks it.
 * @param {string} url @param {string[]} places @param {import('./messages.js').FetchLimits} limits
 * @param {(loaded: number, total: number) => void} onProgress
 * @returns {Promise<Uint8Array<ArrayBuffer>>}
 */
export async function fetchFile(url, places, { accept, maxBytes, milliseconds }, onProgress) {
  if (!isAllowed(url, places)) throw new Error('the page does not fetch this for a sandbox');
  const response = await fetch(url, {
    credentials: 'omit',
    referrerPolicy: 'no-referrer',
    headers: accept ? { accept } : {},
    signal: AbortSignal.timeout(milliseconds),
  });
  if (response.redirected && !isAllowed(response.url, places))
    throw new Error('it leads to what the page does not fetch');
  if (!response.ok || !response.body)
    throw Object.assign(new Error(`HTTP ${response.status}`), { status: response.status });
  const total = Number(response.headers.get('content-length') ?? 0);
  const reader = response.body.getReader();
  /** @type {Uint8Array[]} */
  const parts = [];
  let size = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    size += value.length;
    if (size > maxBytes) {
      void reader.cancel();
      throw new RangeError(`it has more than ${maxBytes} bytes`);
    }
    parts.push(value);
    onProgress(size, total);
  }
  const bytes = new Uint8Array(size);
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

/** @param {string} url */
export function nameOf(url) {
  return decodeURIComponent(new URL(url, document.baseURI).pathname.split('/').filter(Boolean).at(-1) ?? url);
}
