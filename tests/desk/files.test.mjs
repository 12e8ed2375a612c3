// `--files`: a folder whose files every run can read, and none can change.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { run } from '../edge/worker.mjs';
import { run as command, serve } from './desk.mjs';

/** @type {string} */
let folder;
before(() => {
  folder = mkdtempSync(join(tmpdir(), 'desk-files-'));
});
after(() => rmSync(folder, { recursive: true, force: true }));

/** Creates a folder with these files. @param {string} name @param {Record<string, string | Buffer>} files */
function filled(name, files) {
  const at = join(folder, name);
  mkdirSync(at);
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(dirname(join(at, path)), { recursive: true });
    writeFileSync(join(at, path), content);
  }
  return at;
}

describe('a folder of files', () => {
  /** @type {Awaited<ReturnType<typeof serve>>} */
  let server;
  before(async () => {
    const files = { 'a.csv': 'x\n1\n', 'sub/b.bin': Buffer.from([0, 255]), empty: '' };
    server = await serve(['--files', filled('served', files), 'streamable-http']);
  });
  after(() => server?.stop());

  const READ = '[open("data/a.csv").read(), list(open("data/sub/b.bin", "rb").read()), open("data/empty").read()]';

  test('every run reads it, in an interpreter of its own, in a session, and in a new one of that', async () => {
    const expected = ['x\n1\n', [0, 255], ''];
    const { return_value, files } = await run(server.url, READ);
    assert.deepEqual([return_value, files], [expected, undefined]);
    const { session } = await run(server.url, 'open("own", "w").write("kept")', { session: 'new' });
    assert.deepEqual((await run(server.url, READ, { session })).return_value, expected);
    // Also with further packages, and after the interpreter was lost.
    const more = await run(server.url, `import six\n${READ} + [open("own").read()]`, { session });
    assert.deepEqual(more.return_value, [...expected, 'kept'], more.error);
    await run(server.url, 'import os\nos._exit(1)', { session });
    assert.deepEqual((await run(server.url, READ, { session })).return_value, expected);
  });

  test('no run changes it, and none is told of changes there', async () => {
    const code = `
import os, shutil
def tried(attempt):
    try:
        attempt()
    except OSError as error:
        return None
    return True
done = [tried(attempt) for attempt in [
    lambda: open("data/a.csv", "w"), lambda: open("data/a.csv", "r+"), lambda: open("data/a.csv", "a"),
    lambda: open("data/new", "w"), lambda: os.mkdir("data/new"), lambda: os.symlink("/tmp", "data/new"),
    lambda: os.remove("data/a.csv"), lambda: os.truncate("data/a.csv", 0), lambda: os.utime("data/a.csv"),
    lambda: os.chmod("data/a.csv", 0o666), lambda: os.chmod("data", 0o777),
    lambda: os.rename("data/a.csv", "a.csv"), lambda: os.rename("data", "other"), lambda: os.replace("/tmp", "data/sub"),
    lambda: os.rmdir("data"), lambda: shutil.rmtree("data"),
]]
modes = [oct(os.stat(path).st_mode) for path in ["data", "data/sub", "data/a.csv"]]
[[n for n, done in enumerate(done) if done], modes, sorted(os.listdir("data")), open("data/a.csv").read()]`;
    const expected = [[], ['0o40555', '0o40555', '0o100444'], ['a.csv', 'empty', 'sub'], 'x\n1\n'];
    const { session } = await run(server.url, '1', { session: 'new' });
    for (const options of [{}, { session }, { session }]) {
      const { return_value, files, error } = await run(server.url, code, options);
      assert.deepEqual([return_value, files], [expected, undefined], error);
    }
    const placed = await run(server.url, '1', { files: { 'data/new': '' } });
    assert.match(placed.error, /data\/new could not be placed: nothing can be written there/);
  });

  test('where there is none, the program has its own', async () => {
    const { session } = await run(server.url, '1', { session: 'new' });
    assert.equal((await run(server.url, 'open("database", "w").write("x")', { session })).files[0].path, 'database');
    const other = await serve(['streamable-http']);
    try {
      const code = 'import os\nos.mkdir("data")\nopen("data/a.csv", "w").write("own")\nopen("data/a.csv").read()';
      const { return_value, files, session } = await run(other.url, code, { session: 'new' });
      assert.deepEqual([return_value, files[0].path], ['own', 'data/a.csv']);
      const more = await run(other.url, 'import six\nopen("data/a.csv").read()', { session });
      assert.equal(more.return_value, 'own', more.error);
    } finally {
      await other.stop();
    }
  });
});

describe('a folder that is refused at the start', () => {
  /** @param {string} at @param {RegExp} why @param {string[]} [more] */
  async function refused(at, why, more = []) {
    const { code, stdout, stderr } = await command(['--files', at, ...more, 'stdio']);
    assert.deepEqual([code, stdout], [1, ''], stderr);
    assert.match(stderr, /^mcp-run-python: error: FILES: /);
    assert.match(stderr, why);
  }

  test('one that is not there, or no folder', async () => {
    await refused(join(folder, 'none'), /none: No such file or directory/);
    await refused(join(filled('file', { f: '' }), 'f'), /f: Not a directory/);
  });

  test('one with a link, wherever that leads', async () => {
    const out = filled('out', { 'sub/a': '' });
    symlinkSync('/etc/passwd', join(out, 'sub/secret'));
    await refused(out, /`sub\/secret` is a link: none is followed/);
    const up = filled('up', {});
    symlinkSync('/etc', join(up, 'etc'));
    await refused(up, /`etc` is a link/);
    const inside = filled('inside', { a: '' });
    symlinkSync('a', join(inside, 'b'));
    await refused(inside, /`b` is a link/);
  });

  test('one with what is no file: nobody waits for it', async () => {
    const at = filled('fifo', { a: '' });
    execFileSync('mkfifo', [join(at, 'pipe')]);
    await refused(at, /`pipe` is neither a file nor a folder/);
  });

  test('one with too many files, or too large ones', async () => {
    const many = filled('many', { a: '', 'b/c': '', d: '' });
    await refused(many, /it has more than 3 files and folders \(FILES_LIMIT\)/, ['--set', 'FILES_LIMIT=3']);
    const large = filled('large', { a: Buffer.alloc(1024 * 1024), 'z.bin': 'x' });
    const why = /`z\.bin` is too large: of all files, 1048576 bytes are taken \(FILES_LIMIT_MB\)/;
    await refused(large, why, ['--set', 'FILES_LIMIT_MB=1']);
  });

  test('one with a name that no file may have', async () => {
    await refused(filled('names', { 'a\u202eb': '' }), /`a\\u\{202e\}b` has a backslash, a control character/);
    await refused(filled('deep', { [`${'d/'.repeat(31)}f`]: '' }), /too many parts/);
    const bytes = filled('bytes', {});
    writeFileSync(Buffer.concat([Buffer.from(`${bytes}/a`), Buffer.from([0xff])]), '');
    await refused(bytes, /has a name that is not UTF-8/);
  });

  test('one with a file that changes while it is read', async () => {
    const at = filled('growing', { a: Buffer.alloc(32 * 1024 * 1024) });
    const writer = new Worker(
      `const { openSync, writeSync } = require('node:fs');
      const file = openSync(${JSON.stringify(join(at, 'a'))}, 'r+');
      for (let n = 0; ; n++) writeSync(file, String(n % 10), 0);`,
      { eval: true },
    );
    try {
      await new Promise((resolve) => writer.once('online', resolve));
      await refused(at, /`a` changed while it was read/);
    } finally {
      await writer.terminate();
    }
  });
});
