// MCP over stdin and stdout: a JSON text a line.

const NEWLINE = 10;

/** Longest line that is held, in bytes; the core refuses one that is longer than it takes. */
const MAX_LINE = 8 * 1024 * 1024 + 1;

/** How often it is looked whether the last answers are out, in milliseconds. */
const POLL = 10;

/**
 * Serves one client. Resolves when it is gone, and what it asked for is answered.
 * @param {import('./server.js').Server} server
 */
export async function serveStdio({ core, log }) {
  const connection = core.connect((text) => process.stdout.write(`${text}\n`));
  // Our parent is the client; if it is no more, nobody waits for answers.
  const parent = process.ppid;
  const gone = new Promise((resolve) => {
    process.stdout.on('error', (error) => {
      log.debug(`stdout: ${error.message}`);
      resolve(undefined);
    });
  });
  const ended = (async () => {
    for await (const line of lines(process.stdin)) connection.receiveBytes(line);
    while (!connection.idle && process.ppid === parent) await new Promise((resolve) => setTimeout(resolve, POLL));
    await new Promise((resolve) => process.stdout.write('', resolve));
  })();
  await Promise.race([gone, ended]);
  connection.close();
}

/**
 * The lines of a stream. Of one that is too long its first part is given, and the rest is dropped.
 * @param {AsyncIterable<Buffer>} stream
 */
export async function* lines(stream) {
  /** @type {Buffer[]} */
  let parts = [];
  let held = 0;
  const keep = (/** @type {Buffer} */ part) => {
    const kept = part.subarray(0, MAX_LINE - held);
    if (kept.length) parts.push(kept);
    held += kept.length;
  };
  const take = () => {
    const line = Buffer.concat(parts);
    parts = [];
    held = 0;
    return line;
  };
  const blank = (/** @type {Buffer} */ line) => line.every((byte) => byte <= 32);
  for await (const chunk of stream) {
    let start = 0;
    for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, start)) {
      keep(chunk.subarray(start, end));
      const line = take();
      if (!blank(line)) yield line;
      start = end + 1;
    }
    keep(chunk.subarray(start));
  }
  const last = take();
  if (!blank(last)) yield last;
}
