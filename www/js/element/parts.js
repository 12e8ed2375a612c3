// Pieces of the element: text becomes text in them, and never HTML.

/** @param {import('./ansi.js').Colours} colours @param {string} text */
export function coloured(colours, text) {
  return colours.pieces(text).map(([classes, piece]) => (classes ? element('span', classes, piece) : piece));
}

/** @param {string} tag @param {string} className @param {string} [text] */
export function element(tag, className, text = '') {
  const made = document.createElement(tag);
  made.className = className;
  made.textContent = text;
  return made;
}
