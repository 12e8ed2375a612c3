// The question of a program that runs: its prompt, and a field for one line.
//
// **Boundary.** The prompt is the program's: it becomes text here, in a place that is the program's. The program gets nothing but
// the line that a person typed into the field, and sent.
import { MAX_ANSWER } from '../messages.js';
import { Colours } from './ansi.js';
import { coloured, element } from './parts.js';

export class Question {
  /** The element that shows it. */
  element = element('div', 'question');
  /** The line, or `null` for the end of the input. @type {Promise<string | null>} */
  answer;
  #field = document.createElement('input');

  /** @param {string} prompt */
  constructor(prompt) {
    const label = element('label', 'prompt');
    label.append(...coloured(new Colours(), prompt));
    Object.assign(this.#field, {
      type: 'text',
      id: 'answer',
      maxLength: MAX_ANSWER,
      autocomplete: 'off',
      spellcheck: false,
    });
    this.#field.autocapitalize = 'off';
    this.#field.title = 'Enter sends the line, Ctrl+D ends the input';
    if (!prompt.trim()) this.#field.ariaLabel = 'A line for the program';
    label.setAttribute('for', 'answer');
    const send = element('button', 'send', 'Enter');
    send.setAttribute('type', 'button');
    for (const [one, part] of /** @type {const} */ ([
      [this.element, 'question'],
      [this.#field, 'answer'],
      [send, 'button send'],
    ]))
      one.setAttribute('part', part);
    this.element.append(label, this.#field, send);
    this.answer = new Promise((resolve) => {
      send.addEventListener('click', () => resolve(this.#field.value));
      this.#field.addEventListener('keydown', (event) => {
        if (event.isComposing) return;
        const isEnd = event.ctrlKey && event.key === 'd' && !this.#field.value;
        if (!isEnd && event.key !== 'Enter') return;
        // Otherwise the browser sets a bookmark.
        event.preventDefault();
        resolve(isEnd ? null : this.#field.value);
      });
    });
  }

  focus() {
    this.#field.focus();
  }
}
