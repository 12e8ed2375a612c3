// The plain editor: a text area, which every browser has.

/**
 * @typedef {object} Editor
 * @property {string} value
 * @property {string} label its name, for screen readers
 * @property {(line: number | null) => void} mark marks the line of an error
 * @property {(line: number) => void} goTo moves the cursor there
 */

/** @typedef {{ run: () => void }} Commands */

/** @implements {Editor} */
export class PlainEditor {
  /** @param {HTMLElement} parent @param {Commands} commands */
  constructor(parent, { run }) {
    this.parent = parent;
    this.area = document.createElement('textarea');
    Object.assign(this.area, { className: 'plain', spellcheck: false, autocapitalize: 'off', rows: 8 });
    this.area.setAttribute('part', 'textarea');
    this.label = 'Python code';
    this.area.addEventListener('keydown', (event) => {
      if (event.key === 'Enter' && (event.ctrlKey || event.metaKey || event.shiftKey)) {
        event.preventDefault();
        run();
      }
    });
    this.area.addEventListener('input', () => this.#fit());
    parent.replaceChildren(this.area);
  }

  get value() {
    return this.area.value;
  }

  set value(value) {
    this.area.value = value;
    this.#fit();
  }

  get label() {
    return this.area.ariaLabel ?? '';
  }

  set label(label) {
    this.area.ariaLabel = label;
  }

  mark() {
    // A text area cannot mark lines; the error has a button that goes to its line.
  }

  /** @param {number} line */
  goTo(line) {
    const lines = this.value.split('\n');
    const start = lines.slice(0, line - 1).join('\n').length + (line > 1 ? 1 : 0);
    this.area.focus();
    this.area.setSelectionRange(start, start + (lines[line - 1]?.length ?? 0));
  }

  #fit() {
    this.area.rows = Math.min(24, Math.max(6, this.value.split('\n').length + 1));
  }
}
