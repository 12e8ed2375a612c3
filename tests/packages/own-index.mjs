// A package index with pure Python wheels that are made here.
import { createHash } from 'node:crypto';
import { createServer } from 'node:http';
import { crc32 } from 'node:zlib';

/** Makes a pure Python wheel. @param {string} name @param {string} version @param {string[]} [requires] */
export function makeWheel(name, version, requires = []) {
  const info = `${name}-${version}.dist-info`;
  const needs = requires.map((requirement) => `Requires-Dist: ${requirement}\n`).join('');
  const metadata = `Metadata-Version: 2.1\nName: ${name}\nVersion: ${version}\n${needs}`;
  const bytes = zip({
    [`${name}.py`]: `version = '${version}'\n`,
    [`${info}/METADATA`]: metadata,
    [`${info}/WHEEL`]: 'Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n',
    [`${info}/RECORD`]: '',
  });
  return { name, version, file: `${name}-${version}-py3-none-any.whl`, metadata, bytes };
}

/** Makes a ZIP archive whose files are stored without compression. @param {Record<string, string>} files */
function zip(files) {
  /** @type {Buffer[]} */
  const parts = [];
  /** @type {Buffer[]} */
  const directory = [];
  let at = 0;
  for (const [path, text] of Object.entries(files)) {
    const [name, content] = [Buffer.from(path), Buffer.from(text)];
    const fields = Buffer.alloc(26);
    fields.writeUInt16LE(20, 0); // the version needed to extract; then no flags, stored, no date
    fields.writeUInt32LE(crc32(content), 10);
    fields.writeUInt32LE(content.length, 14);
    fields.writeUInt32LE(content.length, 18);
    fields.writeUInt16LE(name.length, 22);
    parts.push(Buffer.from('PK\x03\x04'), fields, name, content);
    const offset = Buffer.alloc(14);
    offset.writeUInt32LE(at, 10);
    directory.push(Buffer.from('PK\x01\x02\x14\x00', 'latin1'), fields, offset, name);
    at += 30 + name.length + content.length;
  }
  const size = directory.reduce((sum, part) => sum + part.length, 0);
  const end = Buffer.alloc(18);
  end.writeUInt16LE(Object.keys(files).length, 4);
  end.writeUInt16LE(Object.keys(files).length, 6);
  end.writeUInt32LE(size, 8);
  end.writeUInt32LE(at, 12);
  return Buffer.concat([...parts, ...directory, Buffer.from('PK\x05\x06'), end]);
}

const sha256 = (/** @type {string | Buffer} */ bytes) => createHash('sha256').update(bytes).digest('hex');

/**
 * Serves an index of wheels, on a free port.
 * @param {ReturnType<typeof makeWheel>[]} wheels the index gives a wrong hash for the metadata of `liar_...`
 * @param {(request: import('node:http').IncomingMessage) => boolean} [admits] is asked about each request; those that it refuses get 401
 */
export async function serveIndex(wheels, admits = () => true) {
  const server = createServer((request, response) => {
    const path = request.url ?? '';
    if (!admits(request)) {
      response.writeHead(401).end();
      return;
    }
    const name = path.match(/^\/simple\/([a-z-]+)\/$/)?.[1].replaceAll('-', '_');
    const found = wheels.find(({ file }) => path.startsWith(`/files/${file}`));
    if (found && path.endsWith('.metadata')) response.end(found.metadata);
    else if (found) response.end(found.bytes);
    else if (wheels.some((wheel) => wheel.name === name)) {
      const files = wheels
        .filter((wheel) => wheel.name === name)
        .map(({ file, bytes, metadata }) => ({
          filename: file,
          url: `/files/${file}`,
          hashes: { sha256: sha256(bytes) },
          'core-metadata': { sha256: sha256(name?.startsWith('liar') ? 'something else' : metadata) },
        }));
      response.end(JSON.stringify({ meta: { 'api-version': '1.1' }, name, files }));
    } else response.writeHead(404).end();
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(undefined)));
  const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
  return {
    url: `http://127.0.0.1:${port}/simple/`,
    stop() {
      server.closeAllConnections();
      server.close();
    },
  };
}
