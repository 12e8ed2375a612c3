// A document for a library that draws SVG in a worker, which has none: linkedom provides the elements, and a canvas measures
// texts. It is not a document of the browser, so nothing in it loads anything.
import { parseHTML } from 'linkedom';
import { dataAddress } from './png.js';

const { window, document } = parseHTML('<!doctype html><html><head></head><body></body></html>');

/** The document. @type {any} */
export const page = document;

const pen = /** @type {OffscreenCanvasRenderingContext2D} */ (new OffscreenCanvas(1, 1).getContext('2d'));

/** @typedef {{ left: number, top: number, right: number, bottom: number }} Box */
/** @typedef {[number, number, number, number, number, number]} Matrix */

/** A property of an element, or else of one around it. @param {any} element @param {string} name @param {string} otherwise */
function styleOf(element, name, otherwise) {
  for (let at = element; at?.getAttribute; at = at.parentNode) {
    const found = at.style?.getPropertyValue(name) || at.getAttribute(name);
    if (found) return String(found);
  }
  return otherwise;
}

/** @param {any} element a `text` or `tspan` @returns {Box} */
function boxOfText(element) {
  const size = Number.parseFloat(styleOf(element, 'font-size', '12'));
  pen.font = `${styleOf(element, 'font-weight', '400')} ${size}px ${styleOf(element, 'font-family', 'sans-serif')}`;
  const tspans = [...element.children].filter((/** @type {any} */ child) => child.classList.contains('line'));
  const lines = (tspans.length ? tspans : [element]).map((/** @type {any} */ { textContent }) => textContent);
  const width = Math.max(0, ...lines.map((text) => pen.measureText(text).width));
  const [x, y] = ['x', 'y'].map((name) => Number(element.getAttribute(name)) || 0);
  const anchor = styleOf(element, 'text-anchor', 'start');
  const left = x - (anchor === 'middle' ? width / 2 : anchor === 'end' ? width : 0);
  const top = y - 0.95 * size;
  return { left, top, right: left + width, bottom: top + size * (1.2 + 1.3 * (lines.length - 1)) };
}

/** A box after a transformation. @param {Box} box @param {Matrix} matrix @returns {Box} */
function moved({ left, top, right, bottom }, [a, b, c, d, e, f]) {
  const corners = [left, right].flatMap((x) => [top, bottom].map((y) => [a * x + c * y + e, b * x + d * y + f]));
  const [xs, ys] = [0, 1].map((axis) => corners.map((corner) => corner[axis]));
  return { left: Math.min(...xs), top: Math.min(...ys), right: Math.max(...xs), bottom: Math.max(...ys) };
}

/** @param {Matrix} m @param {Matrix} n @returns {Matrix} */
function product([a, b, c, d, e, f], [g, h, i, j, k, l]) {
  return [a * g + c * h, b * g + d * h, a * i + c * j, b * i + d * j, a * k + c * l + e, b * k + d * l + f];
}

/** @param {any} element @returns {Matrix} */
function matrixOf(element) {
  /** @type {Matrix} */
  let all = [1, 0, 0, 1, 0, 0];
  for (const [, kind, inner] of (element.getAttribute?.('transform') ?? '').matchAll(/(\w+)\(([^)]*)\)/g)) {
    const [p = 0, q, r = 0, s = 0, t = 0, u = 0] = inner.split(/[\s,]+/).map(Number);
    if (kind === 'translate') all = product(all, [1, 0, 0, 1, p, q ?? 0]);
    else if (kind === 'scale') all = product(all, [p, 0, 0, q ?? p, 0, 0]);
    else if (kind === 'matrix') all = product(all, [p, q ?? 0, r, s, t, u]);
    else if (kind === 'rotate') {
      const [sin, cos] = [Math.sin((p * Math.PI) / 180), Math.cos((p * Math.PI) / 180)];
      const [x, y] = [q ?? 0, r];
      all = product(all, [cos, sin, -sin, cos, x - cos * x + sin * y, y - sin * x - cos * y]);
    }
  }
  return all;
}

/** The box of an element, in its own coordinates. @param {any} element @returns {Box | null} */
function boxOf(element) {
  const number = (/** @type {string} */ name) => Number(element.getAttribute(name)) || 0;
  switch (element.tagName.toLowerCase()) {
    case 'text':
    case 'tspan':
      return element.textContent ? boxOfText(element) : null;
    case 'rect':
    case 'image': {
      const [left, top] = [number('x'), number('y')];
      return { left, top, right: left + number('width'), bottom: top + number('height') };
    }
    case 'circle': {
      const [x, y, r] = [number('cx'), number('cy'), number('r')];
      return { left: x - r, top: y - r, right: x + r, bottom: y + r };
    }
    case 'path': {
      const points = [...(element.getAttribute('d') ?? '').matchAll(/[ML]\s*([-\d.e]+)[\s,]+([-\d.e]+)/g)];
      return union(points.map(([, x, y]) => ({ left: +x, right: +x, top: +y, bottom: +y })));
    }
    default: {
      const children = /** @type {any[]} */ ([...element.children]);
      return union(children.flatMap((child) => moved(boxOf(child) ?? NOTHING, matrixOf(child))));
    }
  }
}

/** @type {Box} */
const NOTHING = { left: 0, top: 0, right: 0, bottom: 0 };

/** @param {Box[]} boxes @returns {Box | null} */
function union(boxes) {
  const real = boxes.filter(({ left, top, right, bottom }) => right > left || bottom > top || left || top);
  return real.reduce(
    (/** @type {Box | null} */ all, box) =>
      all && {
        left: Math.min(all.left, box.left),
        top: Math.min(all.top, box.top),
        right: Math.max(all.right, box.right),
        bottom: Math.max(all.bottom, box.bottom),
      },
    real[0] ?? null,
  );
}

/** As a `DOMRect`. @param {Box | null} box */
function rect(box) {
  const { left, top, right, bottom } = box ?? NOTHING;
  return { left, top, right, bottom, x: left, y: top, width: right - left, height: bottom - top };
}

Object.assign(/** @type {any} */ (window).Element.prototype, {
  /** @this {any} */
  getBBox() {
    return rect(boxOf(this));
  },
  /** @this {any} */
  getBoundingClientRect() {
    let box = boxOf(this) ?? NOTHING;
    for (let at = this; at?.getAttribute; at = at.parentNode) box = moved(box, matrixOf(at));
    return rect(box);
  },
  /** @this {any} */
  getComputedTextLength() {
    return rect(boxOf(this)).width;
  },
  getScreenCTM: () => null,
});

class Canvas extends OffscreenCanvas {
  constructor() {
    super(1, 1);
  }

  toDataURL() {
    const { width, height } = this;
    return dataAddress(
      /** @type {OffscreenCanvasRenderingContext2D} */ (this.getContext('2d')).getImageData(0, 0, width, height),
    );
  }
}

/** Loads no image: one that is in the chart itself does not need it. */
class Image {
  /** @type {(() => void) | undefined} */
  onerror;

  /** @param {string} _ */
  set src(_) {
    setTimeout(() => this.onerror?.());
  }

  setAttribute() {}
}

const createElement = page.createElement.bind(page);
page.createElement = (/** @type {string} */ tag) => (tag === 'canvas' ? new Canvas() : createElement(tag));

const { HTMLElement, SVGElement, Element, Node, MutationObserver, DOMParser } = /** @type {any} */ (window);
Object.assign(globalThis, {
  ...{ HTMLElement, SVGElement, Element, Node, MutationObserver, DOMParser },
  Image,
  window: globalThis,
  document: page,
  getComputedStyle: (/** @type {any} */ { style }) => ({
    display: 'block',
    direction: 'ltr',
    getPropertyValue: (/** @type {string} */ name) => style?.getPropertyValue(name) ?? '',
  }),
  requestAnimationFrame: (/** @type {() => void} */ then) => setTimeout(then),
  cancelAnimationFrame: clearTimeout,
  matchMedia: () => ({ matches: false, addListener() {}, addEventListener() {} }),
});
