// Collects lines of output in the order in which they were written, bounds them, and sends them in batches.

const NEWLINE = 10;

/** Characters after which a batch of lines is sent; it is also sent at the next turn of the event loop. */
const BATCH = 8192;

/** How many of the last bytes of an unfinished line are shown with a question. */
const SHOWN = 2000;

/** @typedef {'stdout' | 'stderr'} Stream */
/** @typedef {import('./protocol.js').Limits} Limits */

/** A line that has no newline yet. */
class Partial {
  /** @type {Uint8Array[]} */
  parts = [];
  size = 0;
  /** How many bytes were left out. */
  cut = 0;
}

export class OutputLines {
  /** @type {{ stream: Stream, lines: string[] } | null} */
  #batch = null;
  #batched = 0;
  #bytesLeft;
  #linesLeft;
  #longest;
  #dropped = { lines: 0, bytes: 0 };
  /** What was written to each stream since its last newline. @type {Record<Stream, Partial | null>} */
  #partial = { stdout: null, stderr: null };
  #decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  #emit;

  /**
   * @param {Pick<Limits, 'output' | 'lines' | 'line'>} limits what is beyond them is dropped, and its amount reported
   * @param {(frame: import('./protocol.js').Frame) => void} emit
   */
  constructor({ output, lines, line }, emit) {
    this.#bytesLeft = output;
    this.#linesLeft = lines;
    this.#longest = line;
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

  /** The end of what was written to stdout since its last newline: what a terminal shows before its cursor. */
  get unfinished() {
    const parts = this.#partial.stdout?.parts ?? [];
    const last = new Uint8Array(SHOWN);
    let at = SHOWN;
    for (let n = parts.length - 1; n >= 0 && at > 0; n--) {
      const part = parts[n].subarray(-at);
      at -= part.length;
      last.set(part, at);
    }
    return this.#decoder.decode(last.subarray(at));
  }

  /** Ends both streams: a last line without its newline is a line. */
  end() {
    for (const stream of /** @type {Stream[]} */ (['stdout', 'stderr'])) this.#line(stream, false);
    const { lines, bytes } = this.#dropped;
    if (lines) this.#add('stderr', `[output cut: ${lines} more lines of ${bytes} bytes]`);
    this.flush();
  }

  flush() {
    if (this.#batch) {
      const { stream, lines } = this.#batch;
      this.#emit(stream === 'stdout' ? { stdout: lines } : { stderr: lines });
    }
    this.#batch = null;
    this.#batched = 0;
  }

  /** @param {Stream} stream @param {Uint8Array} bytes a view of the interpreter's memory */
  #keep(stream, bytes) {
    this.#partial[stream] ??= new Partial();
    const line = this.#partial[stream];
    // Newlines are counted, too, so that `#bytesLeft` may be negative.
    const room = this.#linesLeft > 0 ? Math.max(0, Math.min(this.#bytesLeft, this.#longest - line.size)) : 0;
    const kept = bytes.subarray(0, room);
    line.cut += bytes.length - kept.length;
    if (!kept.length) return;
    this.#bytesLeft -= kept.length;
    line.size += kept.length;
    line.parts.push(kept.slice());
  }

  /** @param {Stream} stream @param {boolean} [ended] whether there was a newline */
  #line(stream, ended = true) {
    const line = this.#partial[stream];
    this.#partial[stream] = null;
    if (!line && !ended) return;
    const { parts = [], size = 0, cut = 0 } = line ?? {};
    if (this.#linesLeft <= 0 || (this.#bytesLeft <= 0 && !size)) {
      this.#dropped.lines += 1;
      this.#dropped.bytes += cut;
      return;
    }
    this.#linesLeft -= 1;
    // Every line costs something, empty ones too.
    this.#bytesLeft -= 1;
    let whole = parts[0] ?? new Uint8Array();
    if (parts.length > 1) {
      whole = new Uint8Array(size);
      let at = 0;
      for (const part of parts) {
        whole.set(part, at);
        at += part.length;
      }
    }
    const text = this.#decoder.decode(whole);
    this.#add(stream, cut ? `${text} [line cut: ${cut} more bytes]` : text);
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
