// The output of `cargo xtask release --dry-run` in dist/: it is complete, of one version, and each of its files works.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  accessSync,
  constants,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { getMcpConfigForManifest } from '@anthropic-ai/mcpb/node';
import { run, StdioClient, serve } from '../desk/desk.mjs';
import { meta, modernHeaders } from '../edge/worker.mjs';

const ROOT = new URL('../../', import.meta.url).pathname;
const DIST = join(ROOT, 'dist');
const MACHINE = `${process.platform}-${process.arch}`;
/** @param {...string} path */
const read = (...path) => readFileSync(join(...path), 'utf8');
/** @param {string | Buffer} bytes */
const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex');

const cargo = read(ROOT, 'Cargo.toml');
const [, version] = cargo.match(/^version = "(.*)"$/m) ?? [];
const [, repository] = cargo.match(/^repository = "(.*)"$/m) ?? [];
const folder = mkdtempSync(join(tmpdir(), 'release-test-'));
after(() => rmSync(folder, { recursive: true, force: true }));

const BUNDLE = `mcp-run-python-${version}-${MACHINE}.mcpb`;
const IMAGE = `mcp-run-python-${version}-${MACHINE}.oci.tar`;
const ARCHIVE = `mcp-run-python-${version}-${MACHINE}.tar.gz`;

/** Whether a command exists and succeeds. @param {string} command @param {string[]} args */
const has = (command, ...args) => spawnSync(command, args).status === 0;
/** A PATH without Node, cargo and other things that a user may not have. */
const BARE = '/usr/local/bin:/usr/bin:/bin';

/** Starts a program of the release and runs code in it once. @param {string} command @param {string[]} args @param {Record<string, string>} [env] */
async function answers(command, args, env = {}) {
  assert.equal(args.at(-1), 'stdio');
  await using client = new StdioClient(args.slice(0, -1), env, [command]);
  await client.initialize();
  return (await client.run('1+1')).return_value;
}

test('everything is there, and SHA256SUMS names it', () => {
  const files = [
    ...readdirSync(DIST, { withFileTypes: true }),
    ...readdirSync(join(DIST, 'completions'), { withFileTypes: true }),
  ]
    .filter((entry) => entry.isFile() && entry.name !== 'SHA256SUMS')
    .map((entry) => join(entry.parentPath, entry.name).slice(DIST.length + 1));
  for (const name of [
    `mcp-run-python-${version}.tgz`,
    `mcp-run-python-${MACHINE}-${version}.tgz`,
    BUNDLE,
    ARCHIVE,
    'mcp-run-python.rb',
    'mcp-run-python.1',
    'completions/mcp-run-python.bash',
    'completions/mcp-run-python.fish',
    'completions/_mcp-run-python',
    'sbom.json',
    'server.json',
  ])
    assert.ok(files.includes(name), `${name}: ${files}`);
  const wheels = files.filter(
    (name) => name.startsWith(`mcp_python_sandbox-${version}-py3-none-`) && name.endsWith('.whl'),
  );
  assert.equal(wheels.length, 1);
  const sums = read(DIST, 'SHA256SUMS').trimEnd().split('\n');
  assert.deepEqual(
    sums,
    files.sort().map((name) => `${sha256(readFileSync(join(DIST, name)))}  ${name}`),
  );
});

describe('the bundle', () => {
  const place = join(folder, 'bundle');

  test('is what its format says, and starts with the command of its manifest', async () => {
    execFileSync(join(ROOT, 'node_modules/.bin/mcpb'), ['unpack', join(DIST, BUNDLE), place], { stdio: 'pipe' });
    const manifest = JSON.parse(read(place, 'manifest.json'));
    execFileSync(join(ROOT, 'node_modules/.bin/mcpb'), ['validate', join(place, 'manifest.json')], { stdio: 'pipe' });
    assert.deepEqual([manifest.version, manifest.server.type], [version, 'binary']);
    assert.deepEqual(Object.keys(manifest.user_config), ['memory_limit', 'time_limit', 'packages']);
    accessSync(join(place, manifest.server.entry_point), constants.X_OK);
    /** The command line that clients make of the bundle. @param {Record<string, string | number>} userConfig */
    const started = (userConfig) =>
      getMcpConfigForManifest({ manifest, extensionPath: place, systemDirs: {}, userConfig, pathSeparator: '/' });
    const given = /** @type {Record<string, string | number>[]} */ ([{}, { time_limit: 30, packages: '' }]);
    for (const answered of given) {
      const config = await started(answered);
      assert.ok(config);
      assert.ok(!config.args?.some((arg) => arg.includes('$')), `${config.args}`);
      assert.equal(await answers(config.command, config.args ?? []), 2);
    }
    const limited = await started({ memory_limit: 128, time_limit: 1 });
    assert.deepEqual(limited?.args, ['--set=MEMORY_LIMIT_MB=128', '--time-limit=1', '--deps=', 'stdio']);
    await using client = new StdioClient(limited.args.slice(0, -1), {}, [limited.command]);
    await client.initialize();
    assert.match((await client.run('bytearray(200_000_000)')).error, /MemoryError/);
    assert.match((await client.run('while True: pass')).error, /TimeoutError/);
  });

  test('a manifest that is none is refused', () => {
    const wrong = JSON.parse(read(place, 'manifest.json'));
    wrong.server.type = 'wasm';
    writeFileSync(join(place, 'manifest.json'), JSON.stringify(wrong));
    const { status } = spawnSync(join(ROOT, 'node_modules/.bin/mcpb'), ['validate', join(place, 'manifest.json')]);
    assert.notEqual(status, 0);
  });
});

describe('the archive and its formula', () => {
  const formula = read(DIST, 'mcp-run-python.rb');

  test('the archive has what the formula installs, and runs', async () => {
    execFileSync('tar', ['-xzf', join(DIST, ARCHIVE), '-C', folder]);
    const place = join(folder, ARCHIVE.replace('.tar.gz', ''));
    for (const [, line] of formula.matchAll(/^ +\S+\.install(?:_symlink)? (.*)$/gm))
      for (const [, name] of line.replace(/ => .*/, '').matchAll(/"([^"]+)"/g))
        assert.ok(existsSync(join(place, name)), name);
    assert.equal(await answers(join(place, 'mcp-run-python'), ['stdio']), 2);
    assert.ok(read(place, 'mcp-run-python.1').includes('.SH MODES'));
  });

  test('the formula is one, of this archive', () => {
    const checked = spawnSync('ruby', ['-c', join(DIST, 'mcp-run-python.rb')], { encoding: 'utf8' });
    // Skipped where there is no Ruby.
    if (!checked.error) assert.equal(checked.status, 0, checked.stderr);
    assert.match(formula, /^class McpRunPython < Formula$/m);
    const opened = formula.match(/^ *(class|def|test do|on_\w+ do)\b/gm)?.length;
    assert.equal(formula.match(/^ *end$/gm)?.length, opened);
    assert.ok(formula.includes(`version "${version}"`));
    const archives = [...formula.matchAll(/url "(.*)"\n +sha256 "(.*)"/g)].map(([, url, hash]) => [url, hash]);
    const hash = sha256(readFileSync(join(DIST, ARCHIVE)));
    assert.deepEqual(archives, [[`${repository}/releases/download/v${version}/${ARCHIVE}`, hash]]);
    const [, desc] = formula.match(/^ {2}desc "(.*)"$/m) ?? [];
    assert.ok(desc && desc.length < 80 && !/^(An?|The) |\.$/.test(desc), desc);
  });
});

test('the npm packages install, and run as a command and as a library', async () => {
  const place = join(folder, 'npm');
  mkdirSync(place);
  writeFileSync(join(place, 'package.json'), '{ "private": true, "type": "module" }');
  const packages = [`mcp-run-python-${version}.tgz`, `mcp-run-python-${MACHINE}-${version}.tgz`];
  const options = ['--no-audit', '--no-fund', '--prefer-offline', '--loglevel=error'];
  execFileSync('npm', ['install', ...options, ...packages.map((name) => join(DIST, name))], { cwd: place });
  assert.equal(await answers(join(place, 'node_modules/.bin/mcp-run-python'), ['stdio']), 2);
  const program = `import { codeSandbox } from 'mcp-run-python';
    const sandbox = await codeSandbox();
    console.log((await sandbox.eval('sum(range(10))')).return_value);
    sandbox.close();`;
  assert.equal(
    execFileSync(process.execPath, ['--input-type=module', '-e', program], { cwd: place }).toString(),
    '45\n',
  );
});

describe('the wheel', () => {
  const [wheel] = readdirSync(DIST).filter((name) => name.endsWith('.whl'));

  test('installs by pip, and runs as a command and as a library', async () => {
    const place = join(folder, 'venv');
    execFileSync('python3', ['-m', 'venv', place]);
    const bin = join(place, 'bin');
    execFileSync(join(bin, 'pip'), ['install', '--quiet', '--disable-pip-version-check', join(DIST, wheel)]);
    assert.equal(await answers(join(bin, 'mcp-python-sandbox'), ['stdio'], { PATH: BARE }), 2);
    const program = `from mcp_run_python import CodeSandbox
with CodeSandbox.sync() as sandbox:
    print(sandbox.eval('sum(range(10))')['return_value'])`;
    assert.equal(execFileSync(join(bin, 'python'), ['-c', program], { env: { PATH: BARE } }).toString(), '45\n');
  });

  const auditwheel = process.env.AUDITWHEEL ?? 'auditwheel';
  const isLinux = process.platform === 'linux' && has(auditwheel, '--version');
  test('is for the systems that its name says, and small enough', {
    skip: !isLinux && 'there is no auditwheel',
  }, () => {
    const said = execFileSync(auditwheel, ['show', join(DIST, wheel)]).toString();
    const [, tag] = said.match(/platform tag:\s*"(\w+)"/) ?? [];
    assert.ok(tag && wheel.endsWith(`-${tag}.whl`), `${wheel}: ${said}`);
    assert.ok(readFileSync(join(DIST, wheel)).length < 100e6);
  });

  const uvx = process.env.UVX ?? 'uvx';
  test('runs by uvx', { skip: !has(uvx, '--version') && 'there is no uvx' }, async () => {
    const env = { UV_CACHE_DIR: join(folder, 'uv'), UV_PYTHON_DOWNLOADS: 'never' };
    const words = ['--from', join(DIST, wheel), 'mcp-python-sandbox', 'stdio'];
    assert.equal(await answers(uvx, words, env), 2);
  });
});

describe('the image', { skip: !existsSync(join(DIST, IMAGE)) && 'none was made on this system' }, () => {
  const place = join(folder, 'image');
  const files = join(folder, 'root');
  /** @type {any} */
  let config;

  /** A shell script that starts a program of the image like a container: as nobody, with a read-only root. */
  const contained = `
    mount --bind "$0" "$0"
    mount -t proc proc "$0/proc"
    mount -t tmpfs tmpfs "$0/dev"
    for file in null urandom; do touch "$0/dev/$file"; mount --bind "/dev/$file" "$0/dev/$file"; done
    mount -t tmpfs -o mode=1777 tmpfs "$0/tmp"
    mount -o remount,bind,ro "$0"
    exec setpriv --no-new-privs env -i PATH=/usr/sbin:/usr/bin $ENV chroot --userspec="$USER" "$0" "$@"`;
  const contain = ['--mount', '--pid', '--ipc', '--uts', '--fork', 'sh', '-ec'];

  test('is one of OCI, and of what its hashes say', () => {
    mkdirSync(place);
    execFileSync('tar', ['-xf', join(DIST, IMAGE), '-C', place]);
    assert.deepEqual(JSON.parse(read(place, 'oci-layout')), { imageLayoutVersion: '1.0.0' });
    /** @param {{ digest: string, size: number }} named */
    const blob = ({ digest, size }) => {
      const bytes = readFileSync(join(place, 'blobs', digest.replace(':', '/')));
      assert.deepEqual([`sha256:${sha256(bytes)}`, bytes.length], [digest, size]);
      return bytes;
    };
    const { manifests } = JSON.parse(read(place, 'index.json'));
    assert.equal(new Set(manifests.map((/** @type {any} */ { digest }) => digest)).size, 1);
    const manifest = JSON.parse(blob(manifests[0]).toString());
    ({ config } = JSON.parse(blob(manifest.config).toString()));
    const { rootfs } = JSON.parse(blob(manifest.config).toString());
    const contents = manifest.layers.map((/** @type {any} */ layer) => `sha256:${sha256(gunzipSync(blob(layer)))}`);
    assert.deepEqual(contents, rootfs.diff_ids);
    const [docker] = JSON.parse(read(place, 'manifest.json'));
    assert.deepEqual(docker.RepoTags, [`mcp-run-python:${version}`, 'mcp-run-python:latest']);
    mkdirSync(files);
    for (const layer of docker.Layers) execFileSync('tar', ['-xzf', join(place, layer), '-C', files]);
    assert.equal(config.User, '65532:65532');
    for (const licence of ['libc6', 'libgcc-s1', 'ca-certificates'])
      assert.ok(existsSync(join(files, 'usr/share/doc', licence, 'copyright')), licence);
    assert.ok(existsSync(join(files, 'etc/ssl/certs/ca-certificates.crt')));
    assert.ok(execFileSync('find', [files, '-name', 'LICENCES.txt']).length > 0);
  });

  const isRoot = process.getuid?.() === 0 && has('unshare', '--mount', '--pid', '--fork', 'true');
  test('runs as nobody, and where nothing can be written', { skip: !isRoot && 'that takes root' }, async () => {
    for (const name of ['proc', 'dev']) mkdirSync(join(files, name));
    const env = { ENV: config.Env.join(' '), USER: config.User };
    const words = [...contain, contained, files, ...config.Entrypoint];
    assert.equal(await answers('unshare', [...words, 'stdio'], env), 2);
    // Over HTTP, it does not start without a token in its settings.
    const refused = await run(config.Cmd, '', env, ['unshare', ...words, '--port', '0']);
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /ACCESS is `token`, and there is none/);
    const token = 'a-token-of-this-test';
    const tokens = ['--set', `ACCESS_TOKENS=ann:${sha256(token)}`, ...config.Cmd];
    const served = await serve(tokens, env, ['unshare', ...words]);
    const url = served.url.replace('0.0.0.0', '127.0.0.1');
    try {
      /** @param {Record<string, string>} headers */
      const called = async (headers) => {
        const response = await fetch(url, {
          method: 'POST',
          headers: {
            'content-type': 'application/json',
            accept: 'application/json, text/event-stream',
            ...modernHeaders('tools/call', 'run_python_code'),
            ...headers,
          },
          body: JSON.stringify({
            jsonrpc: '2.0',
            id: 1,
            method: 'tools/call',
            params: { name: 'run_python_code', arguments: { python_code: '1+1' }, _meta: meta() },
          }),
        });
        return [response.status, await response.text()];
      };
      assert.equal((await called({}))[0], 401);
      const [status, text] = await called({ authorization: `Bearer ${token}` });
      assert.equal(status, 200);
      assert.match(String(text), /"return_value":2\b/);
    } finally {
      // Signals the child: unshare itself waits for it.
      spawnSync('pkill', ['-TERM', '-P', `${served.pid}`]);
    }
  });
});

test('each has the licences of what comes with it', () => {
  const site = readdirSync(join(folder, 'venv/lib')).map((python) => join('venv/lib', python, 'site-packages'))[0];
  for (const place of [
    'bundle/server',
    ARCHIVE.replace('.tar.gz', ''),
    'npm/node_modules/mcp-run-python',
    `${site}/mcp_run_python/home`,
  ]) {
    const text = read(folder, place, 'runtime/LICENCES.txt');
    for (const part of ['Mozilla Public License', 'PYTHON SOFTWARE FOUNDATION', 'workerd (Apache-2.0)', 'rmcp 3.'])
      assert.ok(text.includes(part), `${place}: ${part}`);
  }
});

test('the list of what it is made of has crates, npm packages and workerd', () => {
  const { components } = JSON.parse(read(DIST, 'sbom.json'));
  const named = new Map(components.map((/** @type {{ name: string }} */ component) => [component.name, component]));
  // In this order: a part of the core, of the desk, of key derivation, of the page (two), of the desk (two), of isolates.
  for (const name of [
    'rmcp',
    'reqwest',
    'hmac',
    'codemirror',
    'style-mod',
    'workerd',
    `@cloudflare/workerd-linux-64`,
    'pyodide',
  ])
    assert.ok(named.has(name), name);
  const { version: found, hashes } = named.get('workerd');
  assert.equal(found, JSON.parse(read(ROOT, 'cli/package.json')).dependencies.workerd);
  assert.match(hashes[0].content, /^[0-9a-f]{128}$/);
  assert.equal(new Set(components.map((/** @type {{ purl: string }} */ { purl }) => purl)).size, components.length);
});

test('the links of README install what they say', () => {
  const started = { command: 'mcp-run-python', args: ['stdio'] };
  const url = 'http://127.0.0.1:3001/mcp';
  const found = [
    ...read(ROOT, 'README.md').matchAll(/\]\((https:\/\/(?:cursor\.com|insiders\.vscode\.dev)\/[^)]*)\)/g),
  ];
  const decoded = found.map(([, link]) => {
    const { searchParams } = new URL(link);
    const opened = searchParams.get('url');
    if (opened === null) {
      assert.equal(searchParams.get('name'), 'python');
      return JSON.parse(Buffer.from(searchParams.get('config') ?? '', 'base64').toString());
    }
    assert.ok(opened.startsWith('vscode:mcp/install?'));
    return JSON.parse(decodeURIComponent(opened.slice(opened.indexOf('?') + 1)));
  });
  assert.deepEqual(decoded, [
    started,
    { url },
    { name: 'python', type: 'stdio', ...started },
    { name: 'python', type: 'http', url },
  ]);
});

describe('the registry of servers', () => {
  /** Runs a linter that has the registry's schemas on a folder with a server.json. @param {string} folder */
  const lint = (folder) => {
    const rules = ['--rule', 'mcp-registry-server-json-valid', '--rule', 'mcp-registry-version-semver'];
    const options = [
      '--type',
      'mcp-registry',
      '--strict',
      '--quiet',
      '--no-plugins',
      '--no-custom-rules',
      '--no-baseline',
    ];
    return spawnSync(process.env.SKILLSAW ?? 'skillsaw', ['lint', ...rules, ...options, folder], { encoding: 'utf8' });
  };

  test('takes server.json, here and of the release', () => {
    for (const place of [ROOT, DIST]) {
      const server = JSON.parse(read(place, 'server.json'));
      const here = mkdtempSync(join(folder, 'server-'));
      writeFileSync(join(here, 'server.json'), JSON.stringify(server));
      const { status, stdout, stderr } = lint(here);
      assert.equal(status, 0, stdout + stderr);
      delete server.packages[0].transport;
      writeFileSync(join(here, 'server.json'), JSON.stringify(server));
      assert.match(lint(here).stdout, /does not conform to MCP Registry .*transport/);
    }
  });

  test('gets the bundle by its hash', () => {
    const { packages } = JSON.parse(read(DIST, 'server.json'));
    assert.deepEqual(packages.slice(0, -1), JSON.parse(read(ROOT, 'server.json')).packages);
    const { identifier, fileSha256 } = packages.at(-1);
    assert.equal(identifier, `${repository}/releases/download/v${version}/${BUNDLE}`);
    assert.equal(fileSha256, sha256(readFileSync(join(DIST, BUNDLE))));
  });
});
