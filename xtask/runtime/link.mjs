// Links Pyodide's main module ahead of time: what Emscripten does at each start for each of its 8556 exports is
// done here, once, or left until somebody asks for it (`src/runtime/patches.js`).

const SECTION = { table: 4, exports: 7, elements: 9 };
const FUNCTION = 0;
const FUNCREF = 0x70;

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

/**
 * Gives each function that is exported a place in the table, as `updateGOT` does at the start: behind those that are
 * there, in the order of the exports.
 * @param {Uint8Array} wasm @returns {Buffer}
 */
export function placeExports(wasm) {
  /** @type {{ id: number, content: Uint8Array }[]} */
  const sections = [];
  const reader = new Reader(wasm);
  const head = reader.take(8);
  while (reader.at < wasm.length) {
    const id = reader.number();
    sections.push({ id, content: reader.take(reader.number()) });
  }
  const section = (/** @type {number} */ id) => sections.find((found) => found.id === id) ?? fail(`no section ${id}`);

  const table = section(SECTION.table);
  const tables = new Reader(table.content);
  const [count, type, limits, size] = [tables.number(), tables.number(), tables.number(), tables.number()];
  if (type !== FUNCREF || limits !== 0) fail('its first table is not of functions, or bounded');

  const elements = section(SECTION.elements);
  const segments = new Reader(elements.content);
  const segmentCount = segments.number();
  const body = elements.content.subarray(segments.at);
  /** @type {Set<number>} */
  const placed = new Set();
  for (let n = 0; n < segmentCount; n++) {
    // An offset and functions; the other kinds of segments are not used.
    if (segments.number() !== 0 || segments.number() !== 0x41) fail('a segment of another kind');
    segments.number();
    if (segments.number() !== 0x0b) fail('an offset that is no constant');
    for (let left = segments.number(); left > 0; left--) placed.add(segments.number());
  }

  const exported = new Reader(section(SECTION.exports).content);
  /** @type {number[]} */
  const added = [];
  for (let left = exported.number(); left > 0; left--) {
    exported.text();
    const [kind, index] = [exported.number(), exported.number()];
    if (kind !== FUNCTION || placed.has(index)) continue;
    placed.add(index);
    added.push(index);
  }
  table.content = Buffer.concat([
    Buffer.from([count, type, limits, ...unsigned(size + added.length)]),
    table.content.subarray(tables.at),
  ]);
  const segment = [0, 0x41, ...signed(size), 0x0b, ...unsigned(added.length), ...added.flatMap(unsigned)];
  elements.content = Buffer.concat([Buffer.from(unsigned(segmentCount + 1)), body, Buffer.from(segment)]);
  const written = sections.flatMap(({ id, content }) => [Buffer.from([id, ...unsigned(content.length)]), content]);
  return Buffer.concat([head, ...written]);
}

/** What the build stops at. @param {string} why @returns {never} */
export function fail(why) {
  throw new Error(`Pyodide's main module has changed: ${why}`);
}
