// What Pyodide's own JavaScript calls where runtime/pyodide/patches/startup.js says so, to start sooner.

/** What libraries can link to, by name. @typedef {Record<string, any>} Symbols */

/**
 * What linking works on.
 * @typedef {object} Linker
 * @property {Record<string, WebAssembly.Global>} GOT addresses, once somebody asked for them; -1 is not known yet
 * @property {Symbols} wasmImports
 * @property {WebAssembly.Table} wasmTable
 * @property {(call: Function) => number} addFunction gives a function its place in the table
 * @property {(name: string) => boolean} isInternalSym
 */

/**
 * The exports of the main module. Emscripten links each of 8556 at each start, and hardly any is asked for. Here they have
 * their places in the table from the build on, nearly all of them are hidden (xtask/src/link.rs), and each is looked up
 * once somebody asks for it.
 */
export class MainExports {
  #linker;
  #take;
  /** Those that are there. @type {Symbols} */
  #exports = {};
  /** Those that are hidden: their places in the table, and addresses. @type {Record<string, number>} */
  #hidden = Object.create(null);

  /**
   * @param {() => Linker} linker @param {() => string | undefined} take gives the hidden ones, once: JSON of
   * `{functions, data}`
   */
  constructor(linker, take) {
    this.#linker = linker;
    this.#take = take;
  }

  /** The main module is there. @param {WebAssembly.Exports} exports */
  begin(exports) {
    this.#exports = Object.create(exports);
  }

  /** Gives the main module's own imports their addresses. */
  link() {
    const { GOT, wasmImports } = this.#linker();
    for (const [name, own] of Object.entries(wasmImports))
      if ((!own || own.stub) && name in this.#exports) wasmImports[name] = this.#exports[name];
    wasmImports.main ??= this.#exports.__main_argc_argv;
    Object.setPrototypeOf(wasmImports, this.#exports);
    for (const [name, entry] of Object.entries(GOT)) if (entry.value === -1) entry.value = this.#addressOf(name) ?? -1;
  }

  /** The GOT's entry of a name; one of the main module's gets it now. @param {string} name */
  entry(name) {
    const { GOT } = this.#linker();
    if (GOT[name]) return GOT[name];
    const value = this.#addressOf(name);
    if (value === undefined) return undefined;
    GOT[name] = new WebAssembly.Global({ value: 'i32', mutable: true }, value);
    return GOT[name];
  }

  /** From the first library on, or the first name that is looked up, the hidden ones are exports as well. */
  show() {
    const symbols = this.#take();
    if (!symbols) return;
    const { wasmTable } = this.#linker();
    /** @type {{ functions: Record<string, number>, data: Record<string, number> }} */
    const { functions, data } = JSON.parse(symbols);
    Object.assign(this.#hidden, functions, data);
    for (const [name, place] of Object.entries(functions)) this.#exports[name] = wasmTable.get(place);
    for (const [name, address] of Object.entries(data))
      this.#exports[name] = new WebAssembly.Global({ value: 'i32' }, address);
  }

  /** @param {string} name @returns {number | undefined} */
  #addressOf(name) {
    const { addFunction, isInternalSym } = this.#linker();
    if (isInternalSym(name)) return undefined;
    const value = this.#exports[name];
    return this.#hidden[name] ?? (typeof value === 'function' ? addFunction(value) : value?.value);
  }
}

/** All names of symbols, also of those that are inherited. @param {Symbols} symbols */
export function namesOf(symbols) {
  const names = [];
  for (const name in symbols) names.push(name);
  return names;
}

/** Whether there is such a symbol, be it inherited, without a list of all. @param {Symbols} symbols @param {string} name */
export function defines(symbols, name) {
  for (let own = symbols; own && own !== Object.prototype; own = Object.getPrototypeOf(own))
    if (Object.hasOwn(own, name)) return true;
  return false;
}

/** Something to put other functions into that would be over these, without a copy of all. @param {Symbols} symbols */
export function over(symbols) {
  return new Proxy(/** @type {Symbols} */ ({ __proto__: null }), {
    get: (own, name) => own[String(name)] ?? symbols[String(name)],
  });
}

/**
 * The place in the table of a function that is of a new instance: it cannot be there already, and is not searched for.
 * @param {Function} call
 * @param {{ take: () => number, set: (place: number, call: Function) => void, known?: WeakMap<Function, number> }} table
 */
export function placed(call, { take, set, known }) {
  const place = take();
  set(place, call);
  known?.set(call, place);
  return place;
}
