// A worker that turns one value into markup, and is ended then.
//
// **Boundary.** The value is a sandbox's, and hostile: what a library makes of it may be whatever JavaScript. So it is
// drawn here and not in a document: a worker has no links that have names looked up, no navigation and no WebRTC, and the
// policy of the frame around it, which it inherits, cuts all else (docs/page.md). What leaves is text, which frame and page
// look at, and which is shown in a frame without scripts.

import '../removed.js';

// What libraries complain of is nothing for the console of the page.
for (const [name, member] of Object.entries(console)) {
  if (typeof member === 'function') Object.assign(console, { [name]: () => {} });
}

/** @typedef {{ markup: string, height: number }} Drawn with the height that it wants, in pixels */

/** Answers with what `draw` makes of a value of a type. @param {(text: string, type: string) => Drawn | Promise<Drawn>} draw */
export function serve(draw) {
  addEventListener(
    'message',
    async ({ data: { text, type } }) => {
      try {
        postMessage(await draw(text, type));
      } catch (error) {
        postMessage({ failed: error instanceof Error ? error.message : String(error) });
      }
    },
    { once: true },
  );
}
