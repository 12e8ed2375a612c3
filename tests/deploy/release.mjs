// What `cargo xtask release --dry-run` left in dist/: complete, of one version, and each of its files can be used.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  accessSync,
  constants,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { getMcpConfigForManifest } from '@anthropic-ai/mcpb/node';
import { StdioClient } from '../desk/desk.mjs';

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
const ARCHIVE = `mcp-run-python-${version}-${MACHINE}.tar.gz`;

/** Runs a program of the release once. @param {string} command @param {string[]} args */
async function answers(command, args) {
  assert.equal(args.at(-1), 'stdio');
  await using client = new StdioClient(args.slice(0, -1), {}, [command]);
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
    /** As clients that install bundles do. @param {Record<string, string | number>} userConfig */
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
    // Not every system has it.
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

test('the list of what it is made of has crates, npm packages and workerd', () => {
  const { components } = JSON.parse(read(DIST, 'sbom.json'));
  const named = new Map(components.map((/** @type {{ name: string }} */ component) => [component.name, component]));
  // Of the core, the desk, what derives keys, the page, the desk again, and of isolates.
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

describe('the registry of servers', () => {
  /** What a linter that has the registry's schemas says of a folder with a server.json. @param {string} folder */
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
