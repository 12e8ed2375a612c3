// Keeps the program of an element while its tab is open, so that it is there when the page is reloaded.

/** The most characters that are kept. */
const MAX_KEPT = 100_000;

export class Kept {
  #element;
  /** Whether there was a kept program. */
  wasRead = false;

  /** @param {HTMLElement} element with the attribute `forget`, nothing of it is kept */
  constructor(element) {
    this.#element = element;
  }

  /** @returns {string | null} */
  read() {
    const kept = this.#try((storage, key) => storage.getItem(key)) ?? null;
    this.wasRead = kept !== null;
    return kept;
  }

  /** @param {string} code @param {string} written the program in the page's HTML, which need not be kept */
  write(code, written) {
    this.#try((storage, key) => {
      if (code === written || code.length > MAX_KEPT) storage.removeItem(key);
      else storage.setItem(key, code);
    });
  }

  /**
   * Nothing is kept where the page has no storage, or no room in it.
   * @template T
   * @param {(storage: Storage, key: string) => T} act
   */
  #try(act) {
    if (this.#element.hasAttribute('forget')) return undefined;
    try {
      const all = [...document.querySelectorAll(this.#element.localName)];
      const name = this.#element.id || all.indexOf(this.#element);
      return act(sessionStorage, `python-sandbox ${location.pathname} ${name}`);
    } catch {
      return undefined;
    }
  }
}
