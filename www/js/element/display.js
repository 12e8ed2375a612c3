// Shows what a program has displayed: the best type of each bundle.
//
// **Boundary.** Markup from a sandbox is hostile, and so is what a library draws of its values. It never gets into this
// document, but into a frame of an opaque origin without scripts, forms, windows and navigation of others (`sandbox=""`),
// whose policy lets it load nothing. Where a link may take such a frame is up to the policy of the document around it: so
// there is a document of ours between, which lets it go nowhere. No policy holds back connections that are only prepared:
// `tamed` removes what asks for one.
import { CHARTS, TEXTS } from '../drawings.js';

/** The most frames of a result: each is two documents. */
const MAX_FRAMES = 16;

/** The greatest height of a frame that was drawn, in pixels; a person may make it higher. */
const MAX_HEIGHT = 800;

const POLICY =
  `<meta http-equiv="Content-Security-Policy" ` +
  `content="default-src 'none'; style-src 'unsafe-inline'; img-src data:; font-src data:; base-uri 'none'; form-action 'none'">` +
  `<meta name="referrer" content="no-referrer"><meta http-equiv="x-dns-prefetch-control" content="off">`;

/** Types that are markup, the better one first. */
const MARKUP = ['text/html', 'image/svg+xml'];

/** @typedef {import('../index.js').Bundle} Bundle */
/** @typedef {ReturnType<typeof import('../drawings.js').drawerOf>} Draw */

/**
 * The elements that show bundles.
 * @param {Bundle[]} bundles @param {number} omitted how many texts were left out @param {Draw} draw
 */
export function displayed(bundles, omitted, draw) {
  let frames = 0;
  const shown = bundles.map((bundle) => {
    const chart = CHARTS.find((type) => bundle[type] !== undefined);
    const markup = MARKUP.map((type) => bundle[type]).find(isText);
    const text = TEXTS.find((type) => isText(bundle[type]));
    const drawn = chart ?? (markup === undefined ? text : undefined);
    const named = () =>
      pre(text === undefined ? `${Object.keys(bundle).join(', ')}: not shown here` : String(bundle[text]));
    if ((drawn ?? markup) === undefined || frames++ >= MAX_FRAMES) return named();
    const otherwise = () => (markup === undefined ? named() : frame(markup));
    if (drawn === undefined || !draw) return otherwise();
    return drawing(draw(drawn, bundle[drawn]), (why) => {
      if (chart === undefined) return [otherwise()];
      const told = pre(`${chart} could not be drawn: ${why}`);
      return markup === undefined && text === undefined ? [told] : [told, otherwise()];
    });
  });
  if (omitted) shown.push(pre(`and ${omitted} more that are too large`));
  return shown;
}

/**
 * A placeholder, replaced by the drawing, or by `otherwise` if that fails.
 * @param {Promise<import('../drawings.js').Drawn>} drawn @param {(why: string) => HTMLElement[]} otherwise
 */
function drawing(drawn, otherwise) {
  const waiting = pre('Drawing');
  drawn.then(
    ({ markup, height }) => {
      const made = frame(markup);
      made.style.height = `${Math.min(height, MAX_HEIGHT)}px`;
      waiting.replaceWith(made);
    },
    (error) => waiting.replaceWith(...otherwise(error.message)),
  );
  return waiting;
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
  made.srcdoc = documentOf(tamed(markup));
  return made;
}

/**
 * **Boundary.** Disables markup that has a name looked up, or a connection prepared, whatever the policy: `<link>`, frames
 * within it (whose own markup would be escaped and is not seen here), and links, once they are pressed. It works on the
 * text: in any markup, a tag begins with `<` and its name, and the name of an attribute is written literally (HTML, section
 * 13.2.5).
 * @param {string} markup
 */
function tamed(markup) {
  return markup
    .replaceAll(/<(?=(?:link|meta|base|i?frame|frameset|fencedframe|portal|object|embed)(?![a-z]))/gi, '<x-')
    .replaceAll(/href(?=\s*=\s*(?!["']?(?:#|data:image\/)))/gi, 'data-href')
    .replaceAll(/attributename/gi, 'data-attribute');
}

/** A document of ours, with a frame for the markup. @param {string} markup */
function documentOf(markup) {
  // In a double-quoted attribute value only these two characters are special (HTML, section 13.1.2.3).
  const inner = (POLICY + markup).replaceAll('&', '&amp;').replaceAll('"', '&quot;');
  const style = 'position: fixed; inset: 0; width: 100%; height: 100%; border: 0';
  return `<!doctype html>${POLICY}<iframe sandbox="" title="Displayed" width="100%" height="300" style="${style}" srcdoc="${inner}"></iframe>`;
}
