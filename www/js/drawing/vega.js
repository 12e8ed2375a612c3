// Charts of Vega-Lite, as SVG.
import { parse, View } from 'vega';
import { expressionInterpreter } from 'vega-interpreter';
import { compile } from 'vega-lite';
import { serve } from './worker.js';

/** Nothing is loaded; an image may be in the chart itself. */
const LOADER = {
  load: () => Promise.reject(new Error('a chart loads nothing')),
  http: () => Promise.reject(new Error('a chart loads nothing')),
  file: () => Promise.reject(new Error('a chart loads nothing')),
  sanitize: async (/** @type {string} */ address) => {
    if (/^data:image\//.test(address)) return { href: address };
    throw new Error('a chart leads nowhere');
  },
};

// Vega measures text by these.
Object.assign(globalThis, {
  document: { createElement: (/** @type {string} */ tag) => (tag === 'canvas' ? new OffscreenCanvas(1, 1) : null) },
});

/** Whether any data of a chart is at an address: it would be drawn without that. @param {any} part @returns {boolean} */
function isElsewhere(part) {
  if (typeof part !== 'object' || part === null) return false;
  const { data } = part;
  const sources = Array.isArray(data) ? data : [data];
  return sources.some((source) => typeof source?.url === 'string') || Object.values(part).some(isElsewhere);
}

serve(async (text) => {
  const spec = JSON.parse(text);
  if (isElsewhere(spec)) throw new Error('its data is at an address');
  // Interpreted: no expression becomes JavaScript.
  const runtime = parse(compile(spec).spec, undefined, { ast: true });
  const view = new View(runtime, {
    expr: expressionInterpreter,
    loader: /** @type {any} */ (LOADER),
    renderer: 'none',
  });
  await view.runAsync();
  const markup = await view.toSVG();
  const height = Number(/^<svg[^>]* height="([\d.]+)"/.exec(markup)?.[1] ?? 300);
  view.finalize();
  return { markup: `<style>body { margin: 8px }</style>${markup}`, height: height + 24 };
});
