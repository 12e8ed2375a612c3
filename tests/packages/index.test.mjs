// A package index of our own, which offers metadata by itself (PEP 658), lies about it, and counts; and who may ask for what.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { createServer } from 'node:http';
import { after, before, test } from 'node:test';
import { crc32 } from 'node:zlib';
import { run, startWorker } from '../edge/worker.mjs';

/** A pure wheel. @param {string} name @param {string} version @param {string[]} requires */
function makeWheel(name, version, requires) {
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

/** A ZIP archive whose files are stored as they are. @param {Record<string, string>} files */
function zip(files) {
  /** @type {Buffer[]} */
  const parts = [];
  /** @type {Buffer[]} */
  const directory = [];
  let at = 0;
  for (const [path, text] of Object.entries(files)) {
    const [name, content] = [Buffer.from(path), Buffer.from(text)];
    const fields = Buffer.alloc(26);
    fields.writeUInt16LE(20, 0); // the version that is needed; no flags, stored, no date
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

const wheels = [
  makeWheel('alpha_made_here', '1.0', ['beta-made-here<2']),
  makeWheel('alpha_made_here', '2.0', ['beta-made-here>=2']),
  makeWheel('beta_made_here', '1.0', []),
  makeWheel('liar_made_here', '1.0', []),
];

/** The paths that were asked for. @type {string[]} */
const asked = [];
const server = createServer((request, response) => {
  const path = request.url ?? '';
  asked.push(path);
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

/** @type {Awaited<ReturnType<typeof startWorker>>} */
let worker;
before(async () => {
  await new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(undefined)));
  const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
  worker = await startWorker({
    PACKAGES: 'pypi',
    PACKAGE_INDEX: `http://127.0.0.1:${port}/simple/`,
    ALLOWED_PACKAGES: 'alpha-made-here,Liar_Made_Here',
  });
});
after(async () => {
  await worker?.stop();
  server.closeAllConnections();
  server.close();
});

/** @param {string} requirement @param {string} code */
const having = (requirement, code) =>
  run(worker.url, `# /// script\n# dependencies = ["${requirement}"]\n# ///\n${code}`);

test('versions are chosen by metadata alone: a wheel that is not installed is not fetched', async () => {
  const code = 'import alpha_made_here, beta_made_here\n[alpha_made_here.version, beta_made_here.version]';
  const { return_value, error } = await having('alpha-made-here', code);
  assert.deepEqual(return_value, ['1.0', '1.0'], error);
  assert.ok(asked.includes('/files/alpha_made_here-2.0-py3-none-any.whl.metadata'), asked.join('\n'));
  assert.ok(!asked.includes('/files/alpha_made_here-2.0-py3-none-any.whl'), asked.join('\n'));
});

test('metadata that is not what the index says it is ends the installation', async () => {
  const { status, error } = await having('liar-made-here', 'print("started")');
  assert.equal(status, 'install-error');
  assert.match(error, /the metadata of liar-made-here 1\.0 cannot be read: .*sha256/);
});

test('a run that missed a module of the index is run again with it, if its name is in the code', async () => {
  const late = await run(worker.url, 'name = "alpha_made_here"\n__import__(name + "").version');
  assert.deepEqual(late, { status: 'success', output: [], return_value: '1.0' });
  asked.length = 0;
  // What a run makes of what it was given is not told to the index, as the name of a package is.
  const secret = await run(worker.url, '__import__(secret + "_made_here")', { global_variables: { secret: 'alpha' } });
  assert.match(secret.error, /No module named 'alpha_made_here'\n.*add `import alpha_made_here` at the top of it/);
  assert.deepEqual(asked, []);
});

test('what is not on the list of allowed packages is not for code to ask for', async () => {
  const refused = await having('beta-made-here', 'print("started")');
  assert.equal(refused.status, 'install-error');
  assert.match(refused.error, /this server does not install beta-made-here/);
  const missed = await run(worker.url, 'import six');
  assert.notEqual(missed.status, 'success');
  assert.match(missed.error, /this server does not install six/);
});
