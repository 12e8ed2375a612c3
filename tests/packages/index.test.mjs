// A package index of our own, which serves separate metadata (PEP 658), lies about it, and records requests; and which packages
// may be requested.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { run, startWorker } from '../edge/worker.mjs';
import { makeWheel, serveIndex } from './own-index.mjs';

const wheels = [
  makeWheel('alpha_made_here', '1.0', ['beta-made-here<2']),
  makeWheel('alpha_made_here', '2.0', ['beta-made-here>=2']),
  makeWheel('beta_made_here', '1.0', []),
  makeWheel('liar_made_here', '1.0', []),
];

/** The paths that were requested. @type {string[]} */
const asked = [];
const remember = (/** @type {import('node:http').IncomingMessage} */ { url = '' }) => asked.push(url) > 0;

/** @type {Awaited<ReturnType<typeof serveIndex>>} */
let index;
/** @type {Awaited<ReturnType<typeof startWorker>>} */
let worker;
before(async () => {
  index = await serveIndex(wheels, remember);
  worker = await startWorker({
    PACKAGES: 'pypi',
    PACKAGE_INDEX: index.url,
    ALLOWED_PACKAGES: 'alpha-made-here,Liar_Made_Here',
  });
});
after(async () => {
  await worker?.stop();
  index.stop();
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
  // A name that a run computes from its input is not sent to the index as a package name: it may be secret.
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
