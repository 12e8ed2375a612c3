// The editor with colours: CodeMirror 6, loaded when the page is idle or the editor gets the focus.
import { autocompletion } from '@codemirror/autocomplete';
import { indentWithTab } from '@codemirror/commands';
import { python } from '@codemirror/lang-python';
import { HighlightStyle, indentUnit, syntaxHighlighting } from '@codemirror/language';
import { EditorState, StateEffect, StateField } from '@codemirror/state';
import { Decoration, EditorView, keymap, lineNumbers } from '@codemirror/view';
import { tags } from '@lezer/highlight';
import { minimalSetup } from 'codemirror';

/** Colours come from the element's style sheet, which knows light and dark. */
const HIGHLIGHT = HighlightStyle.define([
  { tag: [tags.keyword, tags.operatorKeyword, tags.controlKeyword], class: 'keyword' },
  { tag: [tags.string, tags.special(tags.string)], class: 'string' },
  { tag: [tags.number, tags.bool, tags.null, tags.self], class: 'number' },
  { tag: tags.comment, class: 'comment' },
  { tag: [tags.function(tags.variableName), tags.function(tags.propertyName)], class: 'function' },
  { tag: [tags.className, tags.definition(tags.className), tags.meta], class: 'class' },
]);

/** The line of an error. @type {import('@codemirror/state').StateEffectType<number | null>} */
const markLine = StateEffect.define();

const marked = StateField.define({
  create: () => Decoration.none,
  update(marks, transaction) {
    for (const effect of transaction.effects) {
      if (!effect.is(markLine)) continue;
      const { value } = effect;
      if (value === null || value > transaction.state.doc.lines) return Decoration.none;
      const line = Decoration.line({ class: 'error-line' });
      return Decoration.set([line.range(transaction.state.doc.line(value).from)]);
    }
    // The edit may have fixed the error.
    return transaction.docChanged ? Decoration.none : marks;
  },
  provide: (field) => EditorView.decorations.from(field),
});

/** @typedef {import('./plain-editor.js').Editor} Editor */

/** @implements {Editor} */
export class CodeEditor {
  #view;

  /**
   * @param {import('./plain-editor.js').PlainEditor} plain the editor that it replaces
   * @param {import('./plain-editor.js').Commands} commands
   * @param {ShadowRoot} root
   */
  constructor(plain, { run }, root) {
    const { area, parent, value, label } = plain;
    const focused = root.activeElement === area;
    const selection = { anchor: area.selectionStart, head: area.selectionEnd };
    this.#view = new EditorView({
      root,
      state: EditorState.create({
        doc: value,
        selection,
        extensions: [
          keymap.of([
            ...['Mod-Enter', 'Shift-Enter'].map((key) => ({
              key,
              run: () => {
                run();
                return true;
              },
            })),
            // Escape, then Tab, leaves the editor.
            indentWithTab,
          ]),
          minimalSetup,
          lineNumbers(),
          python(),
          // The language offers keywords, builtins and names in the text.
          autocompletion({ icons: false }),
          indentUnit.of('    '),
          syntaxHighlighting(HIGHLIGHT),
          marked,
          EditorView.lineWrapping,
          EditorView.contentAttributes.of({
            'aria-label': label,
            'aria-description': 'Control Enter or Shift Enter runs the code. Escape, then Tab, leaves the editor.',
          }),
        ],
      }),
    });
    parent.replaceChildren(this.#view.dom);
    if (focused) this.#view.focus();
  }

  get value() {
    return this.#view.state.doc.toString();
  }

  set value(value) {
    this.#view.dispatch({ changes: { from: 0, to: this.#view.state.doc.length, insert: value } });
  }

  get label() {
    return this.#view.contentDOM.ariaLabel ?? '';
  }

  set label(label) {
    this.#view.contentDOM.ariaLabel = label;
  }

  /** @param {number | null} line */
  mark(line) {
    this.#view.dispatch({ effects: markLine.of(line) });
  }

  /** @param {number} line */
  goTo(line) {
    const { doc } = this.#view.state;
    const { from, to } = doc.line(Math.min(Math.max(line, 1), doc.lines));
    this.#view.dispatch({ selection: { anchor: from, head: to }, scrollIntoView: true });
    this.#view.focus();
  }
}
