// What is sent into an isolate: a text, and the large parts that it needs to start. They travel in a request's body, as
// an isolate's code may have only 64 MiB, and parts can be freed after use.
//
// Layout, little endian: number of parts, length of the text, length of each part (4 bytes each); the text, UTF-8; the
// bytes of the parts, in order.

/**
 * @param {string} text @param {ArrayBuffer[]} parts
 * @param {Iterable<number>} [following] the lengths of further parts, which are to be sent after these
 * @returns {Uint8Array<ArrayBuffer>[]} the bytes of the envelope, none of them copied
 */
export function envelope(text, parts = [], following = []) {
  const encoded = new TextEncoder().encode(text);
  const sizes = [...parts.map((part) => part.byteLength), ...following];
  const lengths = Uint32Array.of(sizes.length, encoded.length, ...sizes);
  return [new Uint8Array(lengths.buffer), encoded, ...parts.map((part) => new Uint8Array(part))];
}

/** Size of a stream's chunks: the platform copies each one, and keeps that memory. */
const CHUNK = 1 << 20;

/** The envelope as a request's body. @param {string} text @param {ArrayBuffer[]} parts @returns {ReadableStream<Uint8Array>} */
export function envelopeStream(text, parts) {
  const chunks = envelope(text, parts).values().flatMap(pieces);
  return new ReadableStream({
    pull(controller) {
      const { done, value } = chunks.next();
      if (done) controller.close();
      else controller.enqueue(value);
    },
  });
}

/** @param {Uint8Array<ArrayBuffer>} bytes */
function* pieces(bytes) {
  for (let at = 0; at < bytes.length; at += CHUNK) yield bytes.subarray(at, at + CHUNK);
}

/** A received envelope, read as it arrives: first its text, then each part, in order. */
export class Envelope {
  #reader;
  #read;
  #lengths;

  /** @param {ReadableStreamBYOBReader} reader @param {import('./snapshot.js').Read} read @param {string} text @param {Uint32Array} lengths */
  constructor(reader, read, text, lengths) {
    this.#reader = reader;
    this.#read = read;
    this.text = text;
    this.#lengths = lengths.values();
  }

  /** @param {ReadableStream<Uint8Array> | null} body @returns {Promise<Envelope>} */
  static async open(body) {
    if (!body) throw new Error('no envelope');
    const reader = body.getReader({ mode: 'byob' });
    const read = reading(reader);
    const [count, length] = new Uint32Array((await read(8)).buffer);
    const lengths = new Uint32Array((await read(4 * count)).buffer);
    return new Envelope(reader, read, new TextDecoder().decode(await read(length)), lengths);
  }

  /** The next part, in a buffer of its own; undefined when there is none. @returns {Promise<ArrayBuffer | undefined>} */
  async part() {
    const { done, value } = this.#lengths.next();
    return done ? undefined : (await this.#read(value)).buffer;
  }

  /** All remaining parts. */
  async parts() {
    const parts = [];
    for (let part = await this.part(); part; part = await this.part()) parts.push(part);
    return parts;
  }

  /** The lengths of the remaining parts. Releases the body, which is then at their first byte. */
  rest() {
    this.#reader.releaseLock();
    return [...this.#lengths];
  }

  /** Returns a reader for the next part, which has to be read to its end before the part after it. */
  reader() {
    if (this.#lengths.next().done) throw new Error('an envelope with a part too few');
    return this.#read;
  }
}

/** @param {ReadableStreamBYOBReader} reader @returns {import('./snapshot.js').Read} */
function reading(reader) {
  return async (length, buffer = new ArrayBuffer(length)) => {
    let bytes = new Uint8Array(buffer, 0, length);
    // In one call where the platform can (workerd's own `readAtLeast`).
    for (let at = 0; at < length; ) {
      const view = new Uint8Array(bytes.buffer, at, length - at);
      // @ts-expect-error: not in TypeScript's library
      const { value } = await (reader.readAtLeast?.(length - at, view) ?? reader.read(view));
      if (!value?.length) throw new Error('an envelope that is cut off');
      at += value.length;
      bytes = new Uint8Array(value.buffer, 0, length);
    }
    return bytes;
  };
}
