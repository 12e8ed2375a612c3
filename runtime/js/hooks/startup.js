// Functions that Pyodide's patched JavaScript calls to start sooner (runtime/pyodide/patches/startup.js).

/** Symbols that libraries can link to, by name. @typedef {Record<string, any>} Symbols */

/**
 * Emscripten's state for linking.
 * @typedef {object} Linker
 * @property {Record<string, WebAssembly.Global>} GOT addresses of the symbols that were asked for; -1: not known yet
 * @property {Symbols} wasmImports
 * @property {WebAssembly.Table} wasmTable
 * @property {(call: Function) => number} addFunction gives a function its place in the table
 * @property {(name: string) => boolean} isInternalSym
 */

/**
 * The exports of the main module. Emscripten links all 8556 of them at each start, and hardly any is needed. Here the build
 * gives them their places in the table and hides nearly all of them (xtask/src/link.rs), and each is looked up when it is
 * first needed.
 */
export class MainExports {
  #linker;
  #take;
  /** The visible exports. @type {Symbols} */
  #exports = {};
  /** The hidden exports: functions' places in the table, and addresses of data. @type {Record<string, number>} */
  #hidden = Object.create(null);

  /**
   * @param {() => Linker} linker @param {() => string | undefined} take returns the hidden ones, once: JSON of
   * `{functions, data}`
   */
  constructor(linker, take) {
    this.#linker = linker;
    this.#take = take;
  }

  /** Called once the main module is instantiated. @param {WebAssembly.Exports} exports */
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

  /** The GOT's entry of a name; made now for an export of the main module. @param {string} name */
  entry(name) {
    const { GOT } = this.#linker();
    if (GOT[name]) return GOT[name];
    const value = this.#addressOf(name);
    if (value === undefined) return undefined;
    GOT[name] = new WebAssembly.Global({ value: 'i32', mutable: true }, value);
    return GOT[name];
  }

  /** Makes the hidden exports visible: called when a library is loaded or a name is looked up. */
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

/** The names of all symbols, with inherited ones. @param {Symbols} symbols */
export function namesOf(symbols) {
  const names = [];
  for (const name in symbols) names.push(name);
  return names;
}

/** Whether there is such a symbol, own or inherited, without listing all. @param {Symbols} symbols @param {string} name */
export function defines(symbols, name) {
  for (let own = symbols; own && own !== Object.prototype; own = Object.getPrototypeOf(own))
    if (Object.hasOwn(own, name)) return true;
  return false;
}

/** An overlay of symbols: what is set in it hides theirs. Saves a copy of all. @param {Symbols} symbols */
export function over(symbols) {
  return new Proxy(/** @type {Symbols} */ ({ __proto__: null }), {
    get: (own, name) => own[String(name)] ?? symbols[String(name)],
  });
}

/**
 * Puts a function of a new instance into the table and returns its place. It is not searched for, as it cannot be there yet.
 * @param {Function} call
 * @param {{ take: () => number, set: (place: number, call: Function) => void, known?: WeakMap<Function, number> }} table
 */
export function placed(call, { take, set, known }) {
  const place = take();
  set(place, call);
  known?.set(call, place);
  return place;
}
