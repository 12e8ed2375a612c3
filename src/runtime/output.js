// Lines of output, in the order in which they were written, bounded, a few at a time.

const NEWLINE = 10;

/** Lines are sent together once they are this many characters, or the next time that the event loop turns. */
const BATCH = 8192;

/** @typedef {'stdout' | 'stderr'} Stream */

export class OutputLines {
  /** @type {{ stream: Stream, lines: string[] } | null} */
  #batch = null;
  #batched = 0;
  #left;
  #dropped = 0;
  /** What was written to each stream since its last newline. @type {Record<Stream, Uint8Array[]>} */
  #partial = { stdout: [], stderr: [] };
  #decoder = new TextDecoder();
  #emit;

  /** @param {number} limit bytes of output; the rest is dropped, and its size told @param {import('./boot.js').Emit} emit */
  constructor(limit, emit) {
    this.#left = limit;
    this.#emit = emit;
  }

  /** A `write` for Pyodide's streams. @param {Stream} stream */
  writer(stream) {
    return (/** @type {Uint8Array} */ bytes) => {
      let start = 0;
      for (let end = bytes.indexOf(NEWLINE); end >= 0; end = bytes.indexOf(NEWLINE, start)) {
        this.#keep(stream, bytes.subarray(start, end));
        this.#line(stream);
        start = end + 1;
      }
      if (start < bytes.length) this.#keep(stream, bytes.subarray(start));
      return bytes.length;
    };
  }

  /** Ends both streams: a last line without its newline is a line. */
  end() {
    for (const stream of /** @type {Stream[]} */ (['stdout', 'stderr'])) {
      if (this.#partial[stream].length) this.#line(stream);
    }
    if (this.#dropped) this.#add('stderr', `[output cut: ${this.#dropped} more bytes]`);
    this.flush();
  }

  flush() {
    if (this.#batch) this.#emit(JSON.stringify(this.#batch));
    this.#batch = null;
    this.#batched = 0;
  }

  /** @param {Stream} stream @param {Uint8Array} bytes a view of the interpreter's memory */
  #keep(stream, bytes) {
    const kept = bytes.subarray(0, this.#left);
    this.#left -= kept.length;
    this.#dropped += bytes.length - kept.length;
    this.#partial[stream].push(kept.slice());
  }

  /** @param {Stream} stream */
  #line(stream) {
    const parts = this.#partial[stream];
    this.#partial[stream] = [];
    // Every line costs something, empty ones too, or a loop of print() would never reach the limit.
    if (this.#left <= 0 && this.#dropped) return;
    this.#left -= 1;
    if (this.#left <= 0) this.#dropped += 1;
    const only = parts.length === 1 ? parts[0] : new Uint8Array(parts.flatMap((part) => [...part]));
    this.#add(stream, this.#decoder.decode(only));
  }

  /** @param {Stream} stream @param {string} line */
  #add(stream, line) {
    if (this.#batch?.stream !== stream) this.flush();
    this.#batch ??= { stream, lines: [] };
    this.#batch.lines.push(line);
    this.#batched += line.length + 1;
    if (this.#batched >= BATCH) this.flush();
  }
}
