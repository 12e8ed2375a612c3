// Checks which pages frame this one.

/**
 * Refuses to start where a page of another origin frames this one, unless its origin was named.
 *
 * **Boundary.** A page that frames another can navigate its frames, cover it with its own content and take its focus. The
 * handshake with the frame holds against the first; against the rest a page has its header, `frame-ancestors`, which a
 * script cannot see. This notices what a script can see.
 * @param {string[]} [allowed] origins
 */
export function refuseStrangers(allowed = []) {
  for (const origin of ancestors()) {
    // Not every browser tells whose page it is, only that it is another's.
    // Two opaque origins look the same, but differ.
    const own = origin === location.origin && origin !== 'null';
    if (own || allowed.includes(origin) || (origin === '' && allowed.length > 0)) continue;
    const who = origin || 'another origin';
    throw new Error(
      `a page of ${who} frames this page: forbid that (Content-Security-Policy: frame-ancestors 'self'), or allow it: embedders: ['${origin || 'https://example.com'}']`,
    );
  }
}

/** The origins of the pages that this one is in, nearest first; '' for one that the browser does not tell. */
function ancestors() {
  const { ancestorOrigins } = /** @type {{ ancestorOrigins?: DOMStringList }} */ (location);
  if (ancestorOrigins) return [...ancestorOrigins];
  const origins = [];
  /** @type {Window} */
  let at = window;
  while (at.parent !== at) {
    at = at.parent;
    try {
      origins.push(at.location.origin);
    } catch {
      origins.push('');
    }
  }
  return origins;
}
