// Encodes pixels as a PNG synchronously: the canvas of a worker can do that only asynchronously.

/** The most pixels of an image. */
const MAX_PIXELS = 4e6;

/** The most bytes of a stored block of deflate (RFC 1951, section 3.2.4). */
const BLOCK = 65_535;

const CRC = Uint32Array.from({ length: 256 }, (_, byte) => {
  let code = byte;
  for (let bit = 0; bit < 8; bit++) code = code & 1 ? 0xedb88320 ^ (code >>> 1) : code >>> 1;
  return code;
});

/** A PNG that is not compressed, as a data URL. @param {ImageData} image */
export function dataAddress({ data, width, height }) {
  if (width * height > MAX_PIXELS) throw new Error('an image of it is too large');
  const row = 4 * width;
  const raw = new Uint8Array((row + 1) * height);
  for (let y = 0; y < height; y++) raw.set(data.subarray(y * row, (y + 1) * row), y * (row + 1) + 1);
  const blocks = Math.ceil(raw.length / BLOCK);
  const packed = new Uint8Array(2 + raw.length + 5 * blocks + 4);
  packed.set([0x78, 0x01]);
  const view = new DataView(packed.buffer);
  let [a, b, to] = [1, 0, 2];
  for (let at = 0; at < raw.length; at += BLOCK, to += 5 + BLOCK) {
    const block = raw.subarray(at, at + BLOCK);
    packed[to] = at + BLOCK >= raw.length ? 1 : 0;
    view.setUint16(to + 1, block.length, true);
    view.setUint16(to + 3, 0xffff ^ block.length, true);
    packed.set(block, to + 5);
  }
  for (const byte of raw) {
    a = (a + byte) % 65_521;
    b = (b + a) % 65_521;
  }
  view.setUint32(packed.length - 4, b * 65_536 + a);
  const header = new Uint8Array(13);
  new DataView(header.buffer).setUint32(0, width);
  new DataView(header.buffer).setUint32(4, height);
  header.set([8, 6], 8);
  const parts = [[137, 80, 78, 71, 13, 10, 26, 10], chunk('IHDR', header), chunk('IDAT', packed), chunk('IEND', [])];
  let text = '';
  for (const part of parts) {
    for (let at = 0; at < part.length; at += 8192) text += String.fromCharCode(...part.slice(at, at + 8192));
  }
  return `data:image/png;base64,${btoa(text)}`;
}

/** @param {string} name @param {Uint8Array | number[]} content */
function chunk(name, content) {
  const made = new Uint8Array(12 + content.length);
  const view = new DataView(made.buffer);
  view.setUint32(0, content.length);
  made.set(
    [...name].map((letter) => letter.charCodeAt(0)),
    4,
  );
  made.set(content, 8);
  let code = 0xffffffff;
  for (const byte of made.subarray(4, 8 + content.length)) code = CRC[(code ^ byte) & 255] ^ (code >>> 8);
  view.setUint32(8 + content.length, (code ^ 0xffffffff) >>> 0);
  return made;
}
