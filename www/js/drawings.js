// Draws values by libraries, each of which is loaded when the first value of its kind is shown.
import manifest from '#manifest';
import { download } from './assets.js';
import { json } from './json.js';

/** Which of `drawing/` draws a type. @type {Record<string, keyof typeof manifest.drawing>} */
const DRAWERS = {
  'application/vnd.plotly.v1+json': 'plotly',
  'application/vnd.vegalite.v6+json': 'vega',
  'application/vnd.vegalite.v5+json': 'vega',
  'text/latex': 'texts',
  'text/markdown': 'texts',
};

/** Types that are charts, and types that are texts, the better one first. */
export const CHARTS = Object.keys(DRAWERS).filter((type) => type.startsWith('application/'));
export const TEXTS = Object.keys(DRAWERS).filter((type) => type.startsWith('text/'));

/** @typedef {{ markup: string, height: number }} Drawn hostile markup, and the height that it wants, in pixels */
/** @typedef {(drawer: Blob, type: string, text: string) => Promise<Drawn>} Draw what a frame does */

/** Loaded scripts, by address. @type {Map<string, Promise<Blob>>} */
const loaded = new Map();

/** How each sandbox draws. @type {WeakMap<object, { folder: URL, draw: Draw }>} */
const offered = new WeakMap();

/** @param {object} sandbox @param {URL} folder of the files @param {Draw} draw */
export function offerDrawing(sandbox, folder, draw) {
  offered.set(sandbox, { folder, draw });
}

/** @param {object} sandbox @returns {((type: string, value: unknown) => Promise<Drawn>) | undefined} */
export function drawerOf(sandbox) {
  const offer = offered.get(sandbox);
  if (!offer) return undefined;
  const { folder, draw } = offer;
  /** One after the other: each takes as much as a program does. @type {Promise<unknown>} */
  let turn = Promise.resolve();
  return (type, value) => {
    // As JSON, since libraries know no `bigint`.
    const text = typeof value === 'string' ? value : json(/** @type {import('./index.js').Json} */ (value), String);
    const drawn = turn.then(async () => draw(await load(DRAWERS[type], folder), type, text));
    turn = drawn.catch(() => {});
    return drawn;
  };
}

/** @param {keyof typeof manifest.drawing} drawer @param {URL} folder */
function load(drawer, folder) {
  const { path, bytes, sha256 } = manifest.drawing[drawer];
  const url = new URL(path, folder);
  let loading = loaded.get(url.href);
  if (!loading) {
    loading = download(url, { bytes, sha256 }, () => {});
    loaded.set(url.href, loading);
    // A download that failed is tried again the next time.
    loading.catch(() => loaded.delete(url.href));
  }
  return loading;
}
