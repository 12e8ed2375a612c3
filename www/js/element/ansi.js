// Turns a program's terminal colours (ECMA-48, "SGR") into spans with classes.
//
// **Boundary.** The text is the program's: it becomes text, and classes out of the list below; no style, and no link.

/** The most spans of a line; a line with more is shown without colours. */
const MAX_SPANS = 500;

const NAMES = ['black', 'red', 'green', 'yellow', 'blue', 'magenta', 'cyan', 'white'];
const STYLES = new Map([
  [1, 'bold'],
  [2, 'dim'],
  [3, 'italic'],
  [4, 'underline'],
  [7, 'inverse'],
  [9, 'strike'],
]);

/** The styles that each code ends. @type {Map<number, string[]>} */
const ENDS = new Map([
  [22, ['bold', 'dim']],
  [23, ['italic']],
  [24, ['underline']],
  [27, ['inverse']],
  [29, ['strike']],
]);

/** Sequences that begin with ESC: CSI, of which SGR is one; OSC, such as links and titles; and the rest. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const SEQUENCES = /\x1b(?:\[([0-9;:?<=>]*)[ -/]*([@-~])|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-~])?/g;

/** The state of a stream: how its text looks from here on. */
export class Colours {
  #foreground = '';
  #background = '';
  /** @type {Set<string>} */
  #styles = new Set();

  /** Splits a line into pieces: the classes and the text of each. @param {string} text @returns {[string, string][]} */
  pieces(text) {
    // A carriage return has the line written over, as progress bars do.
    const line = text.replace(/\r+$/, '').replace(/^[\s\S]*\r/, '');
    /** @type {[string, string][]} */
    const pieces = [];
    let from = 0;
    const add = (/** @type {string} */ piece) => piece && pieces.push([this.#classes(), piece]);
    for (const { 0: whole, 1: numbers, 2: kind, index } of line.matchAll(SEQUENCES)) {
      add(line.slice(from, index));
      from = index + whole.length;
      if (kind === 'm') this.#set(numbers.split(/[;:]/).slice(0, 32).map(Number));
    }
    add(line.slice(from));
    return pieces.length <= MAX_SPANS ? pieces : [['', pieces.map(([, piece]) => piece).join('')]];
  }

  #classes() {
    return [this.#foreground, this.#background, ...this.#styles].filter(Boolean).join(' ');
  }

  /** @param {number[]} numbers */
  #set(numbers) {
    for (let at = 0; at < numbers.length; at++) {
      const number = numbers[at];
      const style = STYLES.get(number);
      const [tens, ones] = [Math.floor(number / 10), number % 10];
      if (style) this.#styles.add(`ansi-${style}`);
      for (const ended of ENDS.get(number) ?? []) this.#styles.delete(`ansi-${ended}`);
      if (number === 0) {
        this.#styles.clear();
        this.#foreground = this.#background = '';
      } else if (number === 39) this.#foreground = '';
      else if (number === 49) this.#background = '';
      else if (number === 38 || number === 48) {
        const isIndex = numbers[at + 1] === 5;
        const name = isIndex ? ofIndex(numbers[at + 2]) : nearest(numbers.slice(at + 2, at + 5));
        at += isIndex ? 2 : 4;
        if (number === 38) this.#foreground = name && `ansi-${name}`;
        else this.#background = name && `ansi-on-${name}`;
      } else if ((tens === 3 || tens === 9) && ones < 8) this.#foreground = `ansi-${NAMES[ones]}`;
      else if ((tens === 4 || tens === 10) && ones < 8) this.#background = `ansi-on-${NAMES[ones]}`;
    }
  }
}

/** The name of one of the 256 colours. @param {number} index */
function ofIndex(index) {
  if (index < 16) return NAMES[index % 8] ?? '';
  if (index > 231) return nearest(Array(3).fill((index - 232) * 10 + 8));
  const level = (/** @type {number} */ digit) => (digit % 6) * 51;
  return nearest([level(Math.floor((index - 16) / 36)), level(Math.floor((index - 16) / 6)), level(index - 16)]);
}

/** The name of the most similar colour. @param {number[]} rgb */
function nearest(rgb) {
  if (rgb.length < 3 || !rgb.every((part) => part >= 0 && part <= 255)) return '';
  const most = Math.max(...rgb);
  return most < 64 ? NAMES[0] : NAMES[rgb.reduce((sum, part, bit) => sum | (part > most * 0.6 ? 1 << bit : 0), 0)];
}
