// Charts of plotly, as SVG.
import { page } from './dom.js';
import { serve } from './worker.js';

/** The default width and height of a chart, and the most for each, in pixels. */
const [WIDTH, HEIGHT, MOST] = [700, 450, 2000];

/** Kinds that are drawn by WebGL, and the same kinds without it. @type {Record<string, string>} */
const PLAIN = { scattergl: 'scatter', scatterpolargl: 'scatterpolar', heatmapgl: 'heatmap' };

/** Kinds that need WebGL, or maps that plotly would load. */
const UNDRAWN = /3d$|^(surface|cone|streamtube|volume|isosurface|splom|parcoords)$|geo|map(box)?$|choropleth/;

serve(async (text) => {
  const { data = [], layout = {} } = JSON.parse(text);
  if (!Array.isArray(data) || typeof layout !== 'object' || layout === null) throw new Error('it is no chart');
  for (const trace of data) {
    trace.type = PLAIN[trace.type] ?? trace.type;
    if (trace.type !== 'heatmap' && UNDRAWN.test(trace.type))
      throw new Error(`${trace.type} needs WebGL or maps, which are not here`);
  }
  const size = (/** @type {unknown} */ asked, /** @type {number} */ otherwise) =>
    typeof asked === 'number' && asked >= 10 ? Math.min(asked, MOST) : otherwise;
  const [width, height] = [size(layout.width, WIDTH), size(layout.height, HEIGHT)];
  // Imported only here, as it looks for the globals of dom.js when it is loaded.
  const { default: Plotly } = await import('plotly.js-strict-dist-min');
  const element = page.createElement('div');
  page.body.append(element);
  await Plotly.newPlot(element, data, { ...layout, width, height, autosize: false }, { staticPlot: true });
  const drawn = [...element.querySelectorAll('svg.main-svg')].map(({ outerHTML }) => outerHTML).join('');
  const style = `body { margin: 8px } .main-svg { position: absolute; top: 0; left: 0; overflow: hidden }`;
  const markup = `<style>${style}</style><div style="position: relative; width: ${width}px; height: ${height}px">${drawn}</div>`;
  return { markup, height: height + 24 };
});
