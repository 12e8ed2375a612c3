// What is sent into an isolate: a text, and the large things that it needs to start. They travel in a request's body
// as an isolate's code may have 64 MiB only, and what has been used can be let go of.
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

/** How much of an envelope is on its way at once: the platform copies it, and keeps the room. */
const CHUNK = 1 << 20;

/** The same as a request's body. @param {string} text @param {ArrayBuffer[]} parts @returns {ReadableStream<Uint8Array>} */
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

/** An envelope that came in, read as it comes: first its text, and then each part, in order. */
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

  /** All that are left. */
  async parts() {
    const parts = [];
    for (let part = await this.part(); part; part = await this.part()) parts.push(part);
    return parts;
  }

  /** The lengths of the parts that are left. The body that it came in is at their first byte, and no longer read here. */
  rest() {
    this.#reader.releaseLock();
    return [...this.#lengths];
  }

  /** What reads the next part, all of which has to be read before the one after it. */
  reader() {
    if (this.#lengths.next().done) throw new Error('an envelope with a part too few');
    return this.#read;
  }
}

/** @param {ReadableStreamBYOBReader} reader @returns {import('./snapshot.js').Read} */
function reading(reader) {
  return async (length, buffer = new ArrayBuffer(length)) => {
    let bytes = new Uint8Array(buffer, 0, length);
    // Where the platform can, in one go (workerd's own `readAtLeast`).
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
