// What a program has displayed: the best of each bundle.
//
// **Boundary.** Markup from a sandbox is hostile. It never gets into this document, but into a frame of no origin without
// scripts, forms, windows and navigation of others (`sandbox=""`), whose policy lets it load nothing. Where such a frame
// may go itself, when a link in it is followed, is for the policy of the document around it: so there is one between, which
// is ours, and lets it go nowhere.

/** The most frames of a result: each is two documents. */
const MAX_FRAMES = 16;

const POLICY =
  `<meta http-equiv="Content-Security-Policy" ` +
  `content="default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'">` +
  `<meta name="referrer" content="no-referrer">`;

/** Types that are markup, the better one first. */
const MARKUP = ['text/html', 'image/svg+xml'];

/** Types that are shown as the text that they are. The place for who typesets them; and below for who draws charts. */
const TEXTS = ['text/markdown', 'text/latex'];

/** @typedef {import('../index.js').Bundle} Bundle */

/** The elements that show bundles. @param {Bundle[]} bundles @param {number} omitted how many texts were left out */
export function displayed(bundles, omitted) {
  let frames = 0;
  const shown = bundles.map((bundle) => {
    const text = (/** @type {string[]} */ types) => types.map((type) => bundle[type]).find(isText);
    const markup = text(MARKUP);
    if (markup !== undefined && frames++ < MAX_FRAMES) return frame(markup);
    return pre(text(TEXTS) ?? `${Object.keys(bundle).join(', ')}: not shown here`);
  });
  if (omitted) shown.push(pre(`and ${omitted} more that are too large`));
  return shown;
}

/** @param {unknown} value @returns {value is string} */
function isText(value) {
  return typeof value === 'string';
}

/** @param {string} text */
function pre(text) {
  const made = document.createElement('pre');
  made.className = 'display';
  made.textContent = text;
  made.setAttribute('part', 'display');
  made.setAttribute('role', 'group');
  made.ariaLabel = 'Displayed';
  return made;
}

/** @param {string} markup */
function frame(markup) {
  const made = document.createElement('iframe');
  made.className = 'display';
  made.setAttribute('part', 'display');
  made.title = 'Displayed';
  made.setAttribute('sandbox', '');
  made.setAttribute('referrerpolicy', 'no-referrer');
  made.srcdoc = documentOf(markup);
  return made;
}

/** Ours, with a frame for the markup. @param {string} markup */
function documentOf(markup) {
  // A value between double quotes: nothing but these ends it, or means something else (HTML, section 13.1.2.3).
  const inner = (POLICY + markup).replaceAll('&', '&amp;').replaceAll('"', '&quot;');
  const style = 'position: fixed; inset: 0; width: 100%; height: 100%; border: 0';
  return `<!doctype html>${POLICY}<iframe sandbox="" title="Displayed" width="100%" height="300" style="${style}" srcdoc="${inner}"></iframe>`;
}
