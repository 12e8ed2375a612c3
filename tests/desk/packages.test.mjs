// Packages on the desk: fetched once, cached on disk, and a clear error where one cannot be installed.
import assert from 'node:assert/strict';
import { readdirSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { meta, sleep } from '../edge/worker.mjs';
import { FOUR, OF_SIX, SIX } from '../packages/famous.mjs';
import { makeWheel, serveIndex } from '../packages/own-index.mjs';
import { run, StdioClient, Temporary } from './desk.mjs';

/** Where the lock file's wheels are, if not at the default address. */
const mirror = process.env.MIRROR ? ['--set', `PACKAGE_MIRRORS=${process.env.MIRROR}`] : [];

/** Enough time for a busy machine to compile what six packages import. */
const PATIENT = ['--time-limit', '300'];

/** Addresses at which nothing listens. */
const offline = ['--set', 'PACKAGE_MIRRORS=http://127.0.0.1:9/', '--set', 'PACKAGE_INDEX=http://127.0.0.1:9/'];

describe('packages', () => {
  /** @type {Temporary} */
  let cache;
  const env = () => ({ XDG_CACHE_HOME: cache.path });
  before(() => {
    cache = new Temporary();
  });
  after(() => cache.remove());

  test('are found by imports, fetched, and cached', async () => {
    await using client = new StdioClient(mirror, env());
    await client.initialize();
    const first = await client.run('import numpy\nnumpy.arange(10).sum()');
    assert.equal(first.return_value, 45, first.error);
    assert.ok(readdirSync(join(cache.path, 'mcp-run-python')).length > 0);
    assert.match(client.stderr, /fetched numpy-\S+: [\d.]+ MB/);
  });

  test('are imported already from the second time on, also after a new start', { timeout: 300_000 }, async () => {
    const program =
      'import sys\nhad = "pandas" in sys.modules\nimport pandas as pd\n[had, pd.Series([1, 2]).sum().item()]';
    /** @param {StdioClient} client */
    const had = async (client) => {
      const { return_value, error } = await client.run(program, { session: 'new' });
      assert.equal(return_value?.[1], 3, error);
      return return_value[0];
    };
    {
      await using client = new StdioClient([...mirror, ...PATIENT], env());
      await client.initialize();
      assert.equal(await had(client), false);
      while (!(await had(client))) await sleep(1000);
      // The snapshot also serves a run without a session.
      const { return_value } = await client.run(program, {}, meta());
      assert.deepEqual(return_value, [true, 3]);
      const { error } = await client.run('import pandas\npandas.DataFrame({"a": [1]})["b"]', { session: 'new' });
      assert.match(error, /packages\/pandas\/core\/frame\.py", line \d+, in __getitem__/);
    }
    const kept = readdirSync(join(cache.path, 'mcp-run-python')).filter((name) => name.startsWith('snapshot-'));
    assert.ok(kept.length > 0);
    await using client = new StdioClient([...offline, ...PATIENT], env());
    await client.initialize();
    assert.equal(await had(client), true);
    await using without = new StdioClient([...offline, '--set', 'SNAPSHOTS_LIMIT_MB=0', ...PATIENT], env());
    await without.initialize();
    assert.equal(await had(without), false);
    // A broken snapshot is not used, and the run succeeds without it.
    for (const name of kept) truncateSync(join(cache.path, 'mcp-run-python', name), 1_000_000);
    await using broken = new StdioClient([...offline, ...PATIENT], env());
    await broken.initialize();
    assert.equal(await had(broken), false);
  });

  test('are there without a network, once they are cached', async () => {
    await using client = new StdioClient([...offline, '--deps', 'numpy'], env());
    await client.initialize();
    const { return_value, error } = await client.run('import numpy\nnumpy.ones(3)');
    assert.deepEqual(return_value, [1, 1, 1], error);
    assert.doesNotMatch(client.stderr, /fetching/);
  });

  test('that cannot be fetched are named, at the start and by a run', async () => {
    const empty = new Temporary();
    try {
      const { code, stderr } = await run([...offline, '--deps', 'pandas', '--port', '0', 'streamable-http'], '', {
        XDG_CACHE_HOME: empty.path,
      });
      assert.equal(code, 1);
      assert.match(stderr, /pandas/);
      assert.match(stderr, /cannot be reached/);
      await using client = new StdioClient(offline, { XDG_CACHE_HOME: empty.path });
      const { status, error } = await client.run('import pandas');
      assert.equal(status, 'install-error');
      assert.match(error, /pandas/);
      assert.equal((await client.run('1 + 1')).return_value, 2);
    } finally {
      empty.remove();
    }
  });

  test('are added to a session, which keeps its files', async () => {
    await using client = new StdioClient(mirror, env());
    await client.initialize();
    await client.run('open("f", "w").write("kept")');
    const { return_value, output, error } = await client.run(
      'import numpy\n[open("f").read(), int(numpy.prod([6, 7]))]',
    );
    assert.deepEqual(return_value, ['kept', 42], error);
    assert.match(output[0], /restarted to add packages: its files are kept/);
    assert.deepEqual((await client.run('import numpy\n1')).output, []);
  });

  test('six of them fit into one isolate, in a run and in a session', { timeout: 600_000 }, async () => {
    await using client = new StdioClient([...mirror, ...PATIENT], env());
    for (const session of [undefined, 'new']) {
      const { status, return_value, error } = await client.run(SIX, { session });
      assert.deepEqual([status, return_value], ['success', OF_SIX], error);
    }
  });

  test('that are too much for a budget are told, with what could go', async () => {
    await using client = new StdioClient([...mirror, '--set', 'MEMORY_BUDGET_MB=112'], env());
    const { status, error } = await client.run(FOUR);
    assert.equal(status, 'install-error');
    assert.match(
      error,
      /^scipy is too much: .* or without `import scipy` the rest would fit\. All of it fits on the desk/,
    );
  });

  test('are fetched ahead, into a folder to carry', { timeout: 300_000 }, async () => {
    const carried = { MCP_RUN_PYTHON_CACHE: join(cache.path, 'carried') };
    const { code, stdout, stderr } = await run(
      [...mirror, ...PATIENT, 'fetch', 'numpy', 'pytz>=2020,<3000'],
      '',
      carried,
    );
    assert.equal(code, 0, stderr);
    assert.match(stdout, /^numpy \S+$/m);
    assert.match(stdout, /^pytz \S+$/m);
    assert.match(stdout, /carried: \d+ files/);
    await using client = new StdioClient(offline, carried);
    await client.initialize();
    const program = 'import sys\nhad = "numpy" in sys.modules\nimport numpy, pytz\n[had, pytz.utc.zone]';
    const { return_value, error } = await client.run(program);
    assert.deepEqual(return_value, [true, 'UTC'], error);
    const refused = await run([...mirror, 'fetch', 'numpy', 'no-such-package-at-all'], '', carried);
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /no-such-package-at-all/);
  });

  test('come from the first index that knows them, with the password of its host', async () => {
    /** @type {(string | undefined)[]} */
    const told = [];
    const own = await serveIndex([makeWheel('made_here', '1.0')], ({ headers }) => {
      told.push(headers.authorization);
      return headers.authorization === `Basic ${Buffer.from('ann:pass word').toString('base64')}`;
    });
    const open = await serveIndex([makeWheel('made_here', '9.0'), makeWheel('public_here', '1.0')]);
    const netrc = join(cache.path, 'netrc');
    writeFileSync(netrc, 'machine 127.0.0.1 login ann password "pass word"\n');
    try {
      const settings = ['--verbose', '--set', `PACKAGE_INDEX=${own.url}, ${open.url}`];
      const program =
        '# /// script\n# dependencies = ["made-here", "public-here"]\n# ///\nimport made_here, public_here\n';
      const versions = '[made_here.version, public_here.version]';
      await using client = new StdioClient(settings, { ...env(), NETRC: netrc });
      await client.initialize();
      const { return_value, error } = await client.run(program + versions);
      assert.deepEqual(return_value, ['1.0', '1.0'], error);
      assert.doesNotMatch(client.stderr, /pass word/);
      // Without the password, the public package of the same name is not installed instead.
      await using stranger = new StdioClient(settings, {
        XDG_CACHE_HOME: join(cache.path, 'other'),
        NETRC: '/dev/null',
      });
      await stranger.initialize();
      const refused = await stranger.run(program + versions);
      assert.equal(refused.status, 'install-error');
      assert.match(refused.error, /made-here.*401/s);
      assert.ok(told.includes(undefined));
    } finally {
      own.stop();
      open.stop();
    }
  });

  test('the example runs', async () => {
    const { code, stdout } = await run([...mirror, 'example'], '', env());
    assert.equal(code, 0);
    assert.match(stdout, /Tool return value:\n<status>success<\/status>\n<output>\nnumpy array: \[1 2 3\]/);
  });
});
