// A worker that turns one value into markup, and is then ended.
//
// **Boundary.** The value is a sandbox's, and hostile: a library may turn it into any JavaScript. So it is drawn here and
// not in a document: a worker has no links whose names are looked up, no navigation and no WebRTC, and it inherits the
// policy of the frame around it, which cuts all else (docs/page.md). What leaves is text, which the frame and the page
// check, and which is shown in a frame without scripts.

import '../removed.js';

// Keeps complaints of libraries out of the page's console.
for (const [name, member] of Object.entries(console)) {
  if (typeof member === 'function') Object.assign(console, { [name]: () => {} });
}

/** @typedef {{ markup: string, height: number }} Drawn with the height that it wants, in pixels */

/** Draws the value of one message. @param {(text: string, type: string) => Drawn | Promise<Drawn>} draw */
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
