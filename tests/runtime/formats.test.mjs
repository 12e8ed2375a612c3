// The formats of bytes on their way into an isolate and out of it: reading returns what was packed.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Envelope, envelope, envelopeStream } from '../../runtime/js/envelope.js';
import { filesOf } from '../../runtime/js/packages.js';
import { inMemory, packSnapshot, Snapshot } from '../../runtime/js/snapshot.js';

/** @param {Uint8Array[]} chunks @returns {Uint8Array<ArrayBuffer>} */
const joined = (chunks) => new Uint8Array(Buffer.concat(chunks));

/** A body that arrives in pieces of these lengths, repeated in turn. @param {Uint8Array} bytes @param {number[]} lengths */
function body(bytes, lengths) {
  let [at, turn] = [0, 0];
  return new ReadableStream({
    type: 'bytes',
    pull(controller) {
      if (at >= bytes.length) {
        controller.close();
        controller.byobRequest?.respond(0);
        return;
      }
      const length = lengths[turn++ % lengths.length] ?? 1;
      controller.enqueue(bytes.slice(at, at + length));
      at += length;
    },
  });
}

const lengths = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 5 });
const bytes = (/** @type {number} */ maxLength) => fc.uint8Array({ maxLength });

test('an envelope is read as it was written, however it is cut on its way', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.string({ unit: 'binary' }),
      fc.array(bytes(100), { maxLength: 4 }),
      lengths,
      async (text, parts, cuts) => {
        const buffers = parts.map((part) => part.slice().buffer);
        const opened = await Envelope.open(body(joined(envelope(text, buffers)), cuts));
        assert.equal(opened.text, text.toWellFormed());
        assert.deepEqual(await opened.parts(), buffers);
      },
    ),
  );
});

test('an envelope that is cut off is an error, and not something else', async () => {
  await fc.assert(
    fc.asyncProperty(fc.string(), bytes(60), fc.nat(), lengths, async (text, part, cut, cuts) => {
      const whole = joined(envelope(text, [part.slice().buffer]));
      const piece = whole.subarray(0, cut % whole.length);
      await assert.rejects(async () => (await Envelope.open(body(piece, cuts))).parts(), /cut off|no envelope/);
    }),
  );
});

test('an envelope is streamed in pieces, none of which is large', async () => {
  const part = new Uint8Array(2_500_000).fill(7);
  /** @type {Uint8Array[]} */
  const chunks = [];
  for await (const chunk of envelopeStream('text', [part.buffer])) chunks.push(chunk);
  assert.ok(chunks.length > 3 && chunks.every((chunk) => chunk.length <= 1 << 20));
  assert.deepEqual(joined(chunks), joined(envelope('text', [part.buffer])));
});

const PAGE = 4096;

/** The output of `makeMemorySnapshot`: a header, whose length is its second word, and the heap. */
const memory = fc.record({
  header: fc.integer({ min: 2, max: 20 }),
  pages: fc.array(fc.option(fc.integer({ min: 0, max: PAGE - 1 })), { minLength: 1, maxLength: 12 }),
});

test('a snapshot has the memory that it was taken of, but for its zeros', async () => {
  await fc.assert(
    fc.asyncProperty(memory, async ({ header, pages }) => {
      const start = header * 4;
      const full = new Uint8Array(start + pages.length * PAGE);
      new Uint32Array(full.buffer).set([0x1234, start]);
      // At most one byte of each page is not zero.
      for (const [page, byte] of pages.entries()) if (byte !== null) full[start + page * PAGE + byte] = page + 1;
      const packed = packSnapshot(full, []);
      const used = pages.filter((byte) => byte !== null).length;
      assert.ok(packed.length <= 20 + start + used * (PAGE + 8) + 4, 'pages of zeros are not in it');
      const snapshot = await Snapshot.open(inMemory(packed.buffer));
      assert.deepEqual(snapshot.header, full.slice(0, start));
      const module = { HEAPU8: new Uint8Array(pages.length * PAGE) };
      await snapshot.apply(module);
      assert.deepEqual(module.HEAPU8, full.slice(start));
    }),
  );
});

test('what is no snapshot is refused, and one that does not fit as well', async () => {
  await assert.rejects(Snapshot.open(inMemory(new ArrayBuffer(20))), /not a snapshot of this build/);
  const full = new Uint8Array(8 + PAGE);
  new Uint32Array(full.buffer).set([0, 8]);
  full[100] = 1;
  const snapshot = await Snapshot.open(inMemory(packSnapshot(full, []).buffer));
  const small = { HEAPU8: new Uint8Array(10), growMemory: () => false };
  await assert.rejects(snapshot.apply(small), /no memory for a heap of 4096 bytes/);
});

test('what happened to libraries is in a snapshot, whatever their names', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.string({ unit: 'binary' })), async (names) => {
      const full = new Uint8Array(8 + PAGE);
      new Uint32Array(full.buffer).set([0, 8]);
      const events = names.map((name) => ({ load: name.toWellFormed(), memoryBase: 16, tableBase: 1 }));
      const snapshot = await Snapshot.open(inMemory(packSnapshot(full, events).buffer));
      assert.deepEqual(snapshot.libraries, events);
    }),
  );
});

test('an archive gives each file by its path', () => {
  const header = new TextEncoder().encode(
    JSON.stringify({
      files: [
        ['a/é.py', 0, 3],
        ['b', 3, 0],
        ['c', 3, 2],
      ],
    }),
  );
  const archive = new Uint8Array(4 + header.length + 5);
  new DataView(archive.buffer).setUint32(0, header.length, true);
  archive.set(header, 4);
  archive.set([1, 2, 3, 4, 5], 4 + header.length);
  const files = [...filesOf(archive.buffer)].map(([path, content]) => [path, [...content]]);
  assert.deepEqual(files, [
    ['a/é.py', [1, 2, 3]],
    ['b', []],
    ['c', [4, 5]],
  ]);
});
