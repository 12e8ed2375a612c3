// Links Pyodide's main module ahead of time: what Emscripten does at each start for each of its 8556 exports is
// done here, once, or left until somebody asks for it (`runtime/js/hooks/startup.js`).

const SECTION = { imports: 2, table: 4, globals: 6, exports: 7, elements: 9 };
/** Kinds of what is imported or exported. */
const [FUNCTION, GLOBAL] = [0, 3];
const FUNCREF = 0x70;
/** `i32.const`, `global.get`, and the end of an expression. */
const [CONST, GET, END] = [0x41, 0x23, 0x0b];
const I32 = 0x7f;

/** Reads the numbers of a WebAssembly binary. */
class Reader {
  /** @param {Uint8Array} bytes */
  constructor(bytes) {
    this.bytes = bytes;
    this.at = 0;
  }

  /** LEB128, unsigned or of a sign that is not looked at. */
  number() {
    let [value, shift] = [0, 0];
    for (;;) {
      const byte = this.bytes[this.at++];
      value += (byte & 0x7f) * 2 ** shift;
      shift += 7;
      if (byte < 0x80) return value;
    }
  }

  /** @param {number} length */
  take(length) {
    this.at += length;
    return this.bytes.subarray(this.at - length, this.at);
  }

  text() {
    return new TextDecoder().decode(this.take(this.number()));
  }
}

/** @param {number} value @returns {number[]} LEB128 */
function unsigned(value) {
  return value < 0x80 ? [value] : [(value & 0x7f) | 0x80, ...unsigned(value >>> 7)];
}

/** @param {number} value not negative @returns {number[]} LEB128 with a sign */
function signed(value) {
  return value < 0x40 ? [value] : [(value & 0x7f) | 0x80, ...signed(value >> 7)];
}

/** The sections of a WebAssembly binary. */
class Sections {
  /** @type {{ id: number, content: Uint8Array }[]} */
  #all = [];
  #head;

  /** @param {Uint8Array} wasm */
  constructor(wasm) {
    const reader = new Reader(wasm);
    this.#head = reader.take(8);
    while (reader.at < wasm.length) {
      const id = reader.number();
      this.#all.push({ id, content: reader.take(reader.number()) });
    }
  }

  /** @param {number} id */
  find(id) {
    return this.#all.find((found) => found.id === id) ?? fail(`no section ${id}`);
  }

  /** @param {number} id */
  read(id) {
    return new Reader(this.find(id).content);
  }

  binary() {
    const written = this.#all.flatMap(({ id, content }) => [Buffer.from([id, ...unsigned(content.length)]), content]);
    return Buffer.concat([this.#head, ...written]);
  }
}

/**
 * The functions that the table has at the start: index of each, with its place.
 * @param {Sections} sections
 */
function placesOf(sections) {
  const segments = sections.read(SECTION.elements);
  /** @type {Map<number, number>} */
  const places = new Map();
  for (let left = segments.number(); left > 0; left--) {
    // An offset and functions; the other kinds of segments are not used.
    if (segments.number() !== 0 || segments.number() !== CONST) fail('a segment of another kind');
    let place = segments.number();
    if (segments.number() !== END) fail('an offset that is no constant');
    for (let n = segments.number(); n > 0; n--) {
      const index = segments.number();
      if (!places.has(index)) places.set(index, place);
      place++;
    }
  }
  return places;
}

/** @param {Sections} sections */
function* importsOf(sections) {
  const imported = sections.read(SECTION.imports);
  for (let left = imported.number(); left > 0; left--) {
    imported.text();
    const [name, kind] = [imported.text(), imported.number()];
    if (kind === FUNCTION) imported.number();
    else if (kind === GLOBAL) imported.take(2);
    else fail('it imports more than functions and globals');
    yield { name, kind };
  }
}

/** @param {Sections} sections */
function* exportsOf(sections) {
  const exported = sections.read(SECTION.exports);
  for (let left = exported.number(); left > 0; left--) {
    const start = exported.at;
    const [name, kind, index] = [exported.text(), exported.number(), exported.number()];
    yield { name, kind, index, bytes: exported.bytes.subarray(start, exported.at) };
  }
}

/**
 * Gives each function that is exported a place in the table, as `updateGOT` does at the start: behind those that are
 * there, in the order of the exports.
 * @param {Uint8Array} wasm @returns {Buffer}
 */
export function placeExports(wasm) {
  const sections = new Sections(wasm);
  const table = sections.find(SECTION.table);
  const tables = new Reader(table.content);
  const [count, type, limits, size] = [tables.number(), tables.number(), tables.number(), tables.number()];
  if (type !== FUNCREF || limits !== 0) fail('its first table is not of functions, or bounded');

  const placed = new Set(placesOf(sections).keys());
  /** @type {number[]} */
  const added = [];
  for (const { kind, index } of exportsOf(sections)) {
    if (kind !== FUNCTION || placed.has(index)) continue;
    placed.add(index);
    added.push(index);
  }
  table.content = Buffer.concat([
    Buffer.from([count, type, limits, ...unsigned(size + added.length)]),
    table.content.subarray(tables.at),
  ]);
  const elements = sections.find(SECTION.elements);
  const segments = new Reader(elements.content);
  const head = Buffer.from(unsigned(segments.number() + 1));
  const segment = [0, CONST, ...signed(size), END, ...unsigned(added.length), ...added.flatMap(unsigned)];
  elements.content = Buffer.concat([head, elements.content.subarray(segments.at), Buffer.from(segment)]);
  return sections.binary();
}

/**
 * What is exported no longer, by name: places of functions in the table, addresses of data.
 * @typedef {{ functions: Record<string, number>, data: Record<string, number> }} Symbols
 */

/**
 * Leaves out the exports that only libraries ask for: at each start, an object was made for each of them.
 * @param {Uint8Array} wasm whose functions have their places @param {Set<string>} named the names that JavaScript knows
 * @returns {{ wasm: Buffer, symbols: Symbols }}
 */
export function hideExports(wasm, named) {
  const sections = new Sections(wasm);
  const places = placesOf(sections);
  const addresses = addressesOf(sections);
  // What the module itself imports is linked at the start.
  const known = new Set([...named, ...[...importsOf(sections)].map(({ name }) => name)]);
  /** @type {Symbols} */
  const symbols = { functions: {}, data: {} };
  /** @type {Uint8Array[]} */
  const kept = [];
  for (const { name, kind, index, bytes } of exportsOf(sections)) {
    const place = kind === FUNCTION ? places.get(index) : undefined;
    const address = kind === GLOBAL ? addresses.get(index) : undefined;
    if (known.has(name)) kept.push(bytes);
    else if (place !== undefined) symbols.functions[name] = place;
    else if (address !== undefined) symbols.data[name] = address;
    else kept.push(bytes);
  }
  if (kept.length > 1500) fail(`${kept.length} of its exports are known to JavaScript`);
  sections.find(SECTION.exports).content = Buffer.concat([Buffer.from(unsigned(kept.length)), ...kept]);
  return { wasm: sections.binary(), symbols };
}

/** The globals that are addresses: index of each, with its value. @param {Sections} sections */
function addressesOf(sections) {
  /** @type {Map<number, number>} */
  const addresses = new Map();
  let index = [...importsOf(sections)].filter(({ kind }) => kind === GLOBAL).length;
  const globals = sections.read(SECTION.globals);
  for (let left = globals.number(); left > 0; left--, index++) {
    const [type, mutable, operation] = [globals.number(), globals.number(), globals.number()];
    if (operation !== CONST && operation !== GET) fail('a global of another kind');
    const value = globals.number();
    const negative = globals.bytes[globals.at - 1] & 0x40;
    if (globals.number() !== END) fail('a global that is no constant');
    if (type === I32 && !mutable && operation === CONST && !negative) addresses.set(index, value);
  }
  return addresses;
}

/** What the build stops at. @param {string} why @returns {never} */
export function fail(why) {
  throw new Error(`Pyodide's main module has changed: ${why}`);
}
