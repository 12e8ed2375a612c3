// Shows what a run has printed, returned, drawn or raised.
//
// **Boundary.** All of it was made by the code that was run. It becomes text and pixels here, never HTML; display.js
// shows markup, in frames.

import { float, json } from '../json.js';
import { Colours } from './ansi.js';
import { displayed } from './display.js';
import { coloured, element } from './parts.js';
import { Question } from './question.js';

/** The most lines of output that are shown; the rest is counted. */
const MAX_LINES = 2000;

/** The most rows and columns of a table that are shown. */
const MAX_ROWS = 100;
const MAX_COLUMNS = 50;

/** The most pixels of all figures of a result that are drawn: each takes four bytes, twice. */
const MAX_PIXELS = 32e6;

/** How long a browser may take to begin a download, in milliseconds. */
const DOWNLOAD_TIME = 60_000;

/** @typedef {import('../index.js').Result} Result */
/** @typedef {import('../index.js').Json} Json */
/** @typedef {import('../index.js').ChangedFile} ChangedFile */

export class Results {
  #element;
  #goTo;
  #read;
  /** @type {HTMLElement | null} */
  #output = null;
  #lines = 0;
  /** The colours of each stream. @type {Map<string, Colours>} */
  #colours = new Map();
  /** The line of the program where it failed. @type {number | null} */
  line = null;

  /**
   * @param {HTMLElement} element @param {(line: number) => void} goTo shows a line of the program
   * @param {(file: ChangedFile) => Promise<Uint8Array>} read gives all bytes of a file
   */
  constructor(element, goTo, read) {
    this.#element = element;
    this.#goTo = goTo;
    this.#read = read;
  }

  clear() {
    this.#element.replaceChildren();
    this.#output = null;
    this.#lines = 0;
    this.#colours.clear();
    this.line = null;
  }

  /** @param {import('../index.js').OutputLine} line */
  print({ stream, text }) {
    this.#lines += 1;
    if (this.#lines > MAX_LINES) {
      this.#outputElement().dataset.more = `${this.#lines - MAX_LINES} more lines`;
      return;
    }
    const colours = this.#colours.get(stream) ?? new Colours();
    this.#colours.set(stream, colours);
    const line = element('span', stream);
    line.append(...coloured(colours, text), '\n');
    line.setAttribute('part', stream);
    this.#outputElement().append(line);
  }

  /**
   * Asks a person for the line that the program wants to read; `null`: there are no more. It rejects when the signal aborts.
   * @param {string} prompt @param {AbortSignal} signal @returns {Promise<string | null>}
   */
  ask(prompt, signal) {
    const question = new Question(prompt);
    const { element, answer } = question;
    this.#outputElement().after(element);
    // **Boundary.** Takes the focus only if it is in this element: what is typed elsewhere in the page is not for the program.
    const root = /** @type {ShadowRoot} */ (this.#element.getRootNode());
    if (root.activeElement) question.focus();
    const over = new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
    return Promise.race([answer, over]).finally(() => {
      // A removed element loses the focus, and a person at the keyboard the place.
      if (element.contains(root.activeElement)) this.#element.focus();
      element.remove();
    });
  }

  /**
   * @param {Result} result with exact numbers @param {ReturnType<typeof import('../drawings.js').drawerOf>} draw
   * @param {boolean} [isStopped] whether a person ended it
   */
  show(result, draw, isStopped = false) {
    void this.#figures(result.images);
    if (result.status === 'success') this.#value(result.return_value);
    else if (isStopped) this.stopped(result.error);
    else this.fail(result.error);
    this.#element.append(...displayed(result.display ?? [], result.display_omitted ?? 0, draw));
    const { files = [], files_omitted: omitted = 0 } = result;
    if (files.length || omitted) this.#files(files, omitted);
  }

  /** @param {string} message */
  fail(message) {
    const pre = element('pre', 'error');
    const colours = new Colours();
    for (const line of message.trimEnd().split('\n')) pre.append(...coloured(colours, line), '\n');
    pre.lastChild?.remove();
    pre.setAttribute('part', 'error');
    pre.setAttribute('role', 'alert');
    this.#element.append(pre);
    this.#lead(message);
  }

  /** Shows that a person has stopped the run: nothing has failed. @param {string} message where it was */
  stopped(message) {
    const pre = element('pre', 'stopped', 'Stopped');
    pre.setAttribute('part', 'stopped');
    this.#element.append(pre);
    this.#lead(message);
  }

  /** Adds a button that goes to the line of the program that an error names. @param {string} message */
  #lead(message) {
    const lines = [...message.matchAll(/File "main\.py", line (\d+)/g)];
    const line = Number(lines.at(-1)?.[1]);
    if (!line) return;
    this.line = line;
    const button = element('button', 'go', `Go to line ${line}`);
    button.setAttribute('part', 'button go');
    button.addEventListener('click', () => this.#goTo(line));
    this.#element.append(button);
  }

  #outputElement() {
    if (!this.#output) {
      this.#output = element('pre', 'output');
      this.#output.setAttribute('part', 'output');
      this.#output.setAttribute('role', 'log');
      this.#output.ariaLabel = 'Output';
      this.#element.prepend(this.#output);
    }
    return this.#output;
  }

  /** @param {Json} value */
  #value(value) {
    if (value === null) return;
    const table = records(value);
    if (table) {
      const scroll = element('div', 'table');
      scroll.append(table);
      scroll.tabIndex = 0;
      scroll.setAttribute('role', 'region');
      scroll.ariaLabel = 'Table';
      this.#element.append(scroll);
      return;
    }
    const pre = element('pre', 'value', typeof value === 'string' ? value : python(value, '  '));
    pre.setAttribute('part', 'value');
    pre.ariaLabel = 'Value';
    pre.setAttribute('role', 'group');
    this.#element.append(pre);
  }

  /** @param {ChangedFile[]} files @param {number} omitted how many there are besides */
  #files(files, omitted) {
    const list = element('ul', 'files');
    list.setAttribute('part', 'files');
    list.ariaLabel = 'Files';
    for (const file of files) {
      const { path, change, size, content, uri } = file;
      const item = element('li', '', size === undefined ? `${path} (${change})` : `${path} (${change}, ${size} bytes)`);
      if (content !== undefined || uri !== undefined) {
        const button = element('button', 'download', 'Download');
        button.setAttribute('part', 'button download');
        button.ariaLabel = `Download ${path}`;
        button.addEventListener('click', () => this.#download(file, button));
        item.append(button);
      }
      list.append(item);
    }
    if (omitted) list.append(element('li', '', `and ${omitted} more`));
    this.#element.append(list);
  }

  /** @param {ChangedFile} file @param {HTMLElement} button */
  async #download(file, button) {
    try {
      download(file.path, await this.#read(file));
    } catch {
      button.replaceWith(element('span', 'error', 'it is no longer there'));
    }
  }

  /** @param {import('../index.js').Image[]} images */
  async #figures(images) {
    const canvases = images.map((_, index) => {
      const canvas = document.createElement('canvas');
      canvas.setAttribute('part', 'figure');
      canvas.setAttribute('role', 'img');
      canvas.ariaLabel = `Figure ${index + 1}`;
      this.#element.append(canvas);
      return canvas;
    });
    let left = MAX_PIXELS;
    // One after the other: decoding takes the most memory.
    for (const [index, canvas] of canvases.entries())
      left -= await this.#figure(canvas, images[index], index + 1, left);
  }

  /**
   * Drawn on a canvas, as a page's policy may forbid images from elsewhere.
   * @param {HTMLCanvasElement} canvas @param {import('../index.js').Image} image @param {number} number
   * @param {number} left how many pixels it may have
   * @returns {Promise<number>} how many it has
   */
  async #figure(canvas, { mimeType, data }, number, left) {
    try {
      const bytes = Uint8Array.from(atob(data), (character) => character.charCodeAt(0));
      // **Boundary.** 31 KB can be an image of gigabytes: its size is read and checked before it is decoded.
      const { width, height } = mimeType === 'image/jpeg' ? jpegSize(bytes) : pngSize(bytes);
      if (width * height > left) throw new Error(`it is too large: ${width} x ${height} pixels`);
      const bitmap = await createImageBitmap(new Blob([bytes], { type: mimeType }));
      Object.assign(canvas, { width, height });
      canvas.getContext('2d')?.drawImage(bitmap, 0, 0);
      bitmap.close();
      return width * height;
    } catch (error) {
      canvas.replaceWith(
        element('p', 'error', `Figure ${number} cannot be shown: ${/** @type {Error} */ (error).message}`),
      );
      return 0;
    }
  }
}

/** @param {string} path @param {Uint8Array} content */
function download(path, content) {
  // **Boundary.** A type that no browser shows: HTML would become a document of the page's own origin.
  const file = new Blob([/** @type {BlobPart} */ (content)], { type: 'application/octet-stream' });
  const link = document.createElement('a');
  link.href = URL.createObjectURL(file);
  link.download = path.slice(path.lastIndexOf('/') + 1);
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), DOWNLOAD_TIME);
}

/** Width and height of a PNG (its specification, section 11.2.1). @param {Uint8Array<ArrayBuffer>} bytes */
function pngSize(bytes) {
  const SIGNATURE = [137, 80, 78, 71, 13, 10, 26, 10, 0, 0, 0, 13, 73, 72, 68, 82];
  if (bytes.length < 24 || SIGNATURE.some((byte, at) => bytes[at] !== byte)) throw new Error('it is no PNG');
  const view = new DataView(bytes.buffer);
  return { width: view.getUint32(16), height: view.getUint32(20) };
}

/** Width and height of a JPEG (ITU-T T.81, section B.2.2), the largest that it names. @param {Uint8Array<ArrayBuffer>} bytes */
function jpegSize(bytes) {
  const view = new DataView(bytes.buffer);
  let [width, height] = [0, 0];
  // A decoder may find a frame at any place that looks like one.
  for (let at = 2; at + 9 <= bytes.length; at++) {
    const kind = bytes[at + 1];
    const isFrame = bytes[at] === 0xff && kind >= 0xc0 && kind <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(kind);
    if (!isFrame || view.getUint16(at + 2) !== 8 + 3 * bytes[at + 9]) continue;
    height = Math.max(height, view.getUint16(at + 5));
    width = Math.max(width, view.getUint16(at + 7));
  }
  if (!width || !height) throw new Error('it is no JPEG');
  return { width, height };
}

/** A table, if the value is a list of objects with the same members. @param {Json} value */
function records(value) {
  if (!Array.isArray(value) || value.length === 0) return null;
  const [first] = value;
  if (typeof first !== 'object' || first === null || Array.isArray(first)) return null;
  const columns = Object.keys(first);
  const same = value.every(
    (row) =>
      typeof row === 'object' &&
      row !== null &&
      !Array.isArray(row) &&
      Object.keys(row).length === columns.length &&
      columns.every((column) => Object.hasOwn(row, column)),
  );
  if (!same || columns.length === 0 || columns.length > MAX_COLUMNS) return null;
  const table = document.createElement('table');
  table.setAttribute('part', 'table');
  const head = table.createTHead().insertRow();
  for (const column of columns) {
    const cell = element('th', '', column);
    cell.setAttribute('scope', 'col');
    head.append(cell);
  }
  const body = table.createTBody();
  for (const row of value.slice(0, MAX_ROWS)) {
    const line = body.insertRow();
    for (const column of columns) {
      const cell = /** @type {Record<string, Json>} */ (row)[column];
      line.insertCell().textContent = typeof cell === 'string' ? cell : python(cell);
    }
  }
  if (value.length > MAX_ROWS) table.createCaption().textContent = `${MAX_ROWS} of ${value.length} rows`;
  return table;
}

/** A value as Python writes it. @param {Json} value @param {string} [indent] */
function python(value, indent = '') {
  return json(value, float, indent, undefined, CONSTANTS);
}
const CONSTANTS = { true: 'True', false: 'False', null: 'None' };
