// Files given to and returned by the library, for each home that has it.

/** Reads the files that it is given, and writes others. */
export const PROGRAM = `
text, raw, more = open('a.txt').read(), open('deep/b.bin', 'rb').read(), open('c').read()
with open('out.txt', 'w') as file:
    file.write(text.upper() + more)
with open('out.bin', 'wb') as file:
    file.write(raw[::-1])
# In a plain object of JavaScript, this would be no key.
with open('__proto__', 'w') as file:
    file.write('x')
list(raw)`;

/** The files that it is given. */
export const given = () => ({
  'a.txt': 'ä',
  'deep/b.bin': Uint8Array.of(1, 255),
  c: new Blob(['x']),
});

/** The expected value and files; bytes as numbers. */
export const RESULT = [
  [1, 255],
  [
    { path: '__proto__', change: 'created', size: 1, media_type: 'application/octet-stream', content: 'x' },
    { path: 'out.bin', change: 'created', size: 2, media_type: 'application/octet-stream', content: [255, 1] },
    { path: 'out.txt', change: 'created', size: 3, media_type: 'text/plain', content: 'Äx' },
  ],
];

/** A result in the form of `RESULT`. @param {any} result */
export const shown = ({ return_value, files }) => [
  return_value,
  files?.map((/** @type {any} */ { content, ...file }) => ({
    ...file,
    content: typeof content === 'string' ? content : Array.from(content),
  })),
];
