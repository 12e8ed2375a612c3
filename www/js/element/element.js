// `<python-sandbox>`: an editor, Run and Stop, and what comes out. docs/page.md has its attributes, parts and properties.
import { codeSandbox } from '../code-sandbox.js';
import { drawerOf } from '../drawings.js';
import css from './element.css';
import { GivenFiles } from './given.js';
import { Kept } from './kept.js';
import { PlainEditor } from './plain-editor.js';
import { Results } from './results.js';

/** How long to wait before progress is shown, as quick loads need none. In milliseconds. */
const SHOW_PROGRESS_AFTER = 200;

/** How long without news of packages until they count as loaded, in milliseconds. */
const QUIET = 1500;

/** Whether a program can be suspended while a person is asked (JSPI). If not, lines for it are given before it runs. */
const SUSPENDS = 'Suspending' in WebAssembly;

/** The end of the error of a stopped run: Python was interrupted, or else the interpreter was ended. */
const STOPPED = /(?:^|\n)KeyboardInterrupt\b[^\n]*\s*$/;

const sheet = new CSSStyleSheet();
sheet.replaceSync(css);

const TEMPLATE = document.createElement('template');
TEMPLATE.innerHTML = `
<div part="toolbar" class="toolbar" role="toolbar" aria-label="Python">
  <button part="button run" class="run" type="button" aria-keyshortcuts="Control+Enter Shift+Enter">Run</button>
  <button part="button stop" class="stop" type="button" disabled>Stop</button>
  <button part="button reset" class="reset" type="button">Reset</button>
  <button part="button give" class="give" type="button">Files</button>
  <input name="given" type="file" multiple hidden>
  <label part="packages" class="packages"><span>Packages</span>
    <input name="packages" type="text" placeholder="found from imports" autocomplete="off" autocapitalize="off" spellcheck="false">
  </label>
  <label part="persistent" class="persistent"><input name="persistent" type="checkbox"> Keep variables</label>
</div>
<div part="editor" class="editor"></div>
<label part="input" class="input" hidden><span>Input</span>
  <textarea name="input" rows="2" placeholder="a line for each input()" autocapitalize="off" spellcheck="false"></textarea>
</label>
<ul part="given" class="given" aria-label="Files for the program" hidden></ul>
<div class="state">
  <span part="status" class="status" role="status"></span>
  <span class="clock" aria-hidden="true"></span>
  <progress part="progress" class="progress" aria-label="Loading" hidden></progress>
</div>
<div part="results" class="results" role="region" aria-label="Results" tabindex="0"></div>`;

/** @typedef {import('../index.js').Sandbox} Sandbox */
/** @typedef {import('../index.js').Result} Result */

export class PythonSandbox extends HTMLElement {
  static observedAttributes = ['dependencies', 'persistent'];

  #root = this.attachShadow({ mode: 'open', delegatesFocus: true });
  #results;
  /** @type {import('./plain-editor.js').Editor} */
  #editor;
  /** The sandbox, once a run has asked for it. @type {Promise<Sandbox> | null} */
  #opening = null;
  /** @type {AbortController | null} */
  #running = null;
  /** Whether a person has stopped the run. */
  #isStopped = false;
  #kept = new Kept(this);
  #given;
  #keep = () => this.#kept.write(this.#editor.value, written(this));
  /** Ends the sandbox, even while it is being opened. */
  #opened = new AbortController();

  constructor() {
    super();
    this.#root.adoptedStyleSheets = [sheet];
    this.#root.append(TEMPLATE.content.cloneNode(true));
    const goTo = (/** @type {number} */ line) => this.#editor.goTo(line);
    this.#results = new Results(this.#part('.results'), goTo, async (file) => (await this.#open()).read(file));
    this.#editor = new PlainEditor(this.#part('.editor'), { run: () => this.#pressed() });
    this.#part('.run').addEventListener('click', () => this.#pressed());
    this.#part('.stop').addEventListener('click', () => this.stop());
    this.#part('.reset').addEventListener('click', () => void this.reset());
    const [button, list] = [this.#part('.give'), this.#part('.given')];
    this.#given = new GivenFiles(this, { button, picker: this.#input('given'), list }, (text) => this.#say(text));
    this.#input('packages').addEventListener('change', (event) => {
      this.dependencies = /** @type {HTMLInputElement} */ (event.target).value.split(',');
    });
    this.#input('persistent').addEventListener('change', (event) => {
      this.toggleAttribute('persistent', /** @type {HTMLInputElement} */ (event.target).checked);
    });
    this.#part('.editor').addEventListener('focusin', () => void this.#upgrade(), { once: true });
  }

  connectedCallback() {
    if (!this.#editor.value) this.#editor.value = this.#kept.read() ?? written(this);
    addEventListener('pagehide', this.#keep);
    const label = this.getAttribute('label');
    if (label) this.#editor.label = label;
    // Not before the page has been painted.
    (globalThis.requestIdleCallback ?? setTimeout)(() => void this.#upgrade());
    if (this.hasAttribute('autorun')) void this.run();
  }

  disconnectedCallback() {
    // An element that is only moved is connected again at once.
    queueMicrotask(() => {
      if (this.isConnected) return;
      removeEventListener('pagehide', this.#keep);
      this.#close();
    });
  }

  /** @param {string} name @param {string | null} before @param {string | null} now */
  attributeChangedCallback(name, before, now) {
    if (before === now) return;
    if (name === 'dependencies') this.#input('packages').value = this.dependencies.join(', ');
    else this.#input('persistent').checked = now !== null;
    this.#close();
  }

  /** The program. */
  get code() {
    return this.#editor.value;
  }

  set code(code) {
    this.#editor.value = code;
  }

  /** Packages, as pip takes them. */
  get dependencies() {
    return (this.getAttribute('dependencies') ?? '')
      .split(',')
      .map((name) => name.trim())
      .filter(Boolean);
  }

  set dependencies(names) {
    this.setAttribute(
      'dependencies',
      names
        .map((name) => name.trim())
        .filter(Boolean)
        .join(','),
    );
  }

  /** Whether the program is one that was kept when the page was reloaded. */
  get restored() {
    return this.#kept.wasRead;
  }

  /** A person wants it run. Where it cannot ask for input while it runs, the input is asked for first. */
  #pressed() {
    const input = this.#part('.input');
    if (this.#running) return;
    if (!SUSPENDS && input.hidden && /\binput\s*\(/.test(this.code)) {
      input.hidden = false;
      this.#input('input').focus();
      this.#say('The program asks for input: write a line for each question, then run it');
      return;
    }
    void this.run();
  }

  /** Runs the program. @returns {Promise<Result | undefined>} `undefined`: it could not be run, and it is shown why */
  async run() {
    if (this.#running) return;
    const running = new AbortController();
    this.#running = running;
    this.#isStopped = false;
    this.#busy(true);
    this.#keep();
    this.#results.clear();
    this.#editor.mark(null);
    try {
      const sandbox = await this.#open();
      if (running.signal.aborted) throw new Error('Stopped');
      this.#say('Running');
      const start = performance.now();
      const stdin = this.#part('.input').hidden ? '' : this.#input('input').value;
      const onInput = SUSPENDS
        ? (/** @type {string} */ prompt, /** @type {AbortSignal} */ signal) => this.#asked(prompt, signal)
        : undefined;
      const exact = await sandbox.eval(this.code, {}, { stdin, onInput, files: this.#given.files });
      // A run counts as stopped only if Stop ended it: it may have failed by itself meanwhile.
      const isStopped = this.#isStopped && exact.status === 'run-error' && STOPPED.test(exact.error);
      this.#results.show(exact, drawerOf(sandbox), isStopped);
      const result = usual(exact);
      const seconds = ((performance.now() - start) / 1000).toFixed(2);
      const how = result.status === 'success' ? 'Done in' : isStopped ? 'Stopped after' : 'Failed after';
      this.#say(`${how} ${seconds} s`);
      if (result.status === 'run-error') this.#editor.mark(this.#results.line);
      this.dispatchEvent(new CustomEvent('result', { detail: result }));
      return result;
    } catch (error) {
      if (this.#isStopped) {
        this.#say('Stopped');
        return undefined;
      }
      this.#results.fail(error instanceof Error ? error.message : String(error));
      this.#say('Could not run');
      return undefined;
    } finally {
      this.#running = null;
      this.#busy(false);
    }
  }

  /** The program reads a line. @param {string} prompt @param {AbortSignal} signal */
  async #asked(prompt, signal) {
    this.#say('The program waits for input');
    const line = await this.#results.ask(prompt, signal);
    this.#say('Running');
    return line;
  }

  /** Stops the run. */
  stop() {
    if (!this.#running) return;
    this.#isStopped = true;
    this.#running.abort();
    this.#say('Stopping');
    void this.#opening?.then(
      (sandbox) => sandbox.interrupt(),
      () => {},
    );
  }

  /** A new interpreter; the program stays. */
  async reset() {
    const { value } = this.#editor;
    this.#close();
    this.#results.clear();
    this.#editor.value = value;
    this.#editor.mark(null);
    this.#say('Reset: files, modules and variables are gone');
  }

  #open() {
    if (!this.#opening) {
      const { signal } = this.#opened;
      const seconds = Number(this.getAttribute('time-limit'));
      this.#say('Starting Python');
      this.#opening = codeSandbox({
        dependencies: this.dependencies,
        persistent: this.hasAttribute('persistent'),
        assets: this.getAttribute('assets') ?? undefined,
        embedders: (this.getAttribute('embedders') ?? '').split(/[\s,]+/).filter(Boolean),
        // So that numbers are shown as Python wrote them.
        numbers: 'exact',
        limits: seconds > 0 ? { timeLimitSeconds: seconds } : {},
        signal,
        onLog: (line) => {
          this.#results.print(line);
          this.dispatchEvent(new CustomEvent('output', { detail: line }));
        },
        onProgress: (progress) => this.#progress(progress),
      });
      // A failed start is tried again by the next run.
      this.#opening.catch(() => {
        this.#opening = null;
      });
    }
    return this.#opening;
  }

  #close() {
    this.#running?.abort();
    this.#opened.abort();
    this.#opened = new AbortController();
    this.#opening = null;
  }

  /** Replaces the plain editor by CodeMirror once that is loaded. */
  async #upgrade() {
    if (this.getAttribute('editor') === 'plain' || !(this.#editor instanceof PlainEditor)) return;
    const { CodeEditor } = await import('./code-editor.js').catch(() => ({ CodeEditor: null }));
    // If it cannot be loaded, the plain one stays.
    if (!CodeEditor || !(this.#editor instanceof PlainEditor)) return;
    this.#editor = new CodeEditor(this.#editor, { run: () => this.#pressed() }, this.#root);
  }

  /** @param {boolean} busy */
  #busy(busy) {
    const [run, stop] = [this.#button('.run'), this.#button('.stop')];
    const focused = this.#root.activeElement;
    stop.disabled = !busy;
    run.disabled = busy;
    // A disabled button would lose the focus, and a person at the keyboard the place.
    if (busy && focused === run) stop.focus();
    if (!busy && focused === stop) run.focus();
    this.#part('.progress').hidden = true;
    this.toggleAttribute('running', busy);
    clearInterval(this.#ticking);
    const clock = this.#part('.clock');
    clock.textContent = '';
    if (!busy) return;
    const start = performance.now();
    this.#ticking = setInterval(() => {
      const now = performance.now();
      clock.textContent = `${((now - start) / 1000).toFixed(0)} s`;
      // The packages that were fetched are being imported now, which reports no progress.
      if (this.#heardAt && now - this.#heardAt > QUIET) {
        this.#heardAt = 0;
        this.#part('.progress').hidden = true;
        this.#say('Running: importing what was loaded');
      }
    }, 1000);
  }

  #shownAt = 0;
  /** When there was last news of packages; 0 if they count as loaded. */
  #heardAt = 0;
  /** @type {any} */
  #ticking;

  /** @param {import('../index.js').Progress} progress */
  #progress({ phase, message, loaded, total }) {
    const now = performance.now();
    if (phase === 'packages' && this.#running) this.#heardAt = now;
    if (!this.#shownAt || loaded === 0) this.#shownAt = now;
    const bar = /** @type {HTMLProgressElement} */ (this.#part('.progress'));
    bar.hidden = now - this.#shownAt < SHOW_PROGRESS_AFTER || (total > 0 && loaded >= total);
    if (total) {
      bar.max = total;
      bar.value = loaded;
    } else {
      bar.removeAttribute('value');
    }
    this.#say(total ? `${message}: ${(total / 1e6).toFixed(0)} MB` : message);
  }

  /** @param {string} text */
  #say(text) {
    const status = this.#part('.status');
    if (status.textContent !== text) status.textContent = text;
  }

  /** @param {string} selector @returns {HTMLElement} */
  #part(selector) {
    return /** @type {HTMLElement} */ (this.#root.querySelector(selector));
  }

  /** @param {string} selector */
  #button(selector) {
    return /** @type {HTMLButtonElement} */ (this.#part(selector));
  }

  /** @param {string} name */
  #input(name) {
    return /** @type {HTMLInputElement} */ (this.#part(`[name=${name}]`));
  }
}

/** The result with numbers as `codeSandbox()` gives them by default. @param {Result} result @returns {Result} */
function usual(result) {
  return result.status === 'success' ? { ...result, return_value: inNumbers(result.return_value) } : result;
}

/** @param {import('../index.js').Json} value @returns {import('../index.js').Json} */
function inNumbers(value) {
  if (typeof value === 'bigint') return Number.isSafeInteger(Number(value)) ? Number(value) : value;
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map(inNumbers);
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, inNumbers(member)]));
}

/** The program that is written between the tags, without the indentation of the HTML. @param {HTMLElement} element */
function written(element) {
  const lines = (element.textContent ?? '')
    .replace(/^\s*\n/, '')
    .trimEnd()
    .split('\n');
  const margins = lines.filter((line) => line.trim()).map((line) => /^\s*/.exec(line)?.[0].length ?? 0);
  const margin = Math.min(...margins);
  return lines.map((line) => line.slice(margin)).join('\n');
}
