// Files that a person gives to the program: by a button, or dropped on the element. They are put into its folder before each run.

/** The most bytes of all files together: the room that a sandbox has by default. */
const MAX_BYTES = 64 << 20;

/** The most files. */
const MAX_FILES = 100;

export class GivenFiles {
  /** By their names. @type {Map<string, File>} */
  #files = new Map();
  #list;
  #say;

  /**
   * @param {HTMLElement} element what they are dropped on @param {{ button: HTMLElement, picker: HTMLInputElement, list: HTMLElement }} parts
   * @param {(text: string) => void} say tells of them
   */
  constructor(element, { button, picker, list }, say) {
    this.#list = list;
    this.#say = say;
    button.addEventListener('click', () => picker.click());
    picker.addEventListener('change', () => {
      this.#add([...(picker.files ?? [])]);
      // So that the same file may be chosen again.
      picker.value = '';
    });
    const drop = (/** @type {DragEvent} */ event, /** @type {boolean} */ isOver) => {
      if (!event.dataTransfer?.types.includes('Files')) return false;
      // Otherwise the editor would write a file's text into the program, or the page would navigate to it.
      event.preventDefault();
      event.stopPropagation();
      element.toggleAttribute('dropping', isOver);
      return true;
    };
    element.addEventListener('dragover', (event) => drop(event, true), true);
    element.addEventListener('dragleave', (event) => drop(event, false), true);
    element.addEventListener(
      'drop',
      (event) => {
        if (!drop(event, false)) return;
        const items = [...(event.dataTransfer?.items ?? [])].filter(({ kind }) => kind === 'file');
        const folders = items.filter((item) => item.webkitGetAsEntry?.()?.isDirectory);
        const files = items.filter((item) => !folders.includes(item)).map((item) => item.getAsFile());
        this.#add(files.filter((file) => file !== null));
        if (folders.length) this.#say('A folder cannot be given: drop the files in it');
      },
      true,
    );
  }

  /** The files for a run. @returns {Record<string, File>} */
  get files() {
    return Object.fromEntries(this.#files);
  }

  /** @param {File[]} files */
  #add(files) {
    for (const file of files) {
      const others = [...this.#files].filter(([name]) => name !== file.name).map(([, { size }]) => size);
      const bytes = others.reduce((sum, size) => sum + size, file.size);
      if (bytes > MAX_BYTES || others.length >= MAX_FILES) {
        this.#say(
          `${file.name} is too much: at most ${MAX_FILES} files of ${MAX_BYTES >> 20} MB together can be given`,
        );
        continue;
      }
      this.#files.set(file.name, file);
    }
    this.#show();
  }

  #show() {
    this.#list.hidden = !this.#files.size;
    this.#list.replaceChildren(
      ...[...this.#files].map(([name, { size }]) => {
        const item = document.createElement('li');
        const remove = document.createElement('button');
        remove.type = 'button';
        remove.textContent = 'Remove';
        remove.setAttribute('part', 'button remove');
        remove.ariaLabel = `Remove ${name}`;
        remove.addEventListener('click', () => {
          this.#files.delete(name);
          this.#show();
        });
        item.append(`${name} (${size} bytes)`, remove);
        return item;
      }),
    );
  }
}
