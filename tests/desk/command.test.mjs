// The command line: the original's options, and messages about wrong ones.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { dirname, join, relative } from 'node:path';
import { describe, test } from 'node:test';
import { COMMAND, run, StdioClient, Temporary, until } from './desk.mjs';

const PACKAGE = join(dirname(COMMAND), '../mcp-run-python');
const manifest = JSON.parse(readFileSync(join(PACKAGE, 'package.json'), 'utf8'));

describe('the command', () => {
  test('tells its version and its words', async () => {
    assert.deepEqual(await run(['--version']), { code: 0, stdout: `mcp-run-python ${manifest.version}\n`, stderr: '' });
    const { code, stdout } = await run(['--help']);
    assert.equal(code, 0);
    const words = ['stdio', 'streamable-http', 'streamable-http-stateless', 'example', '--port', '--deps', '--verbose'];
    for (const word of [...words, '--return-mode', '--version', '--disable-networking'])
      assert.ok(stdout.includes(word), word);
  });

  for (const [args, why] of /** @type {[string[], RegExp][]} */ ([
    [[], /Mode is required/],
    [['nonsense'], /invalid choice: 'nonsense'/],
    [['stdio', 'more'], /unrecognized arguments: more/],
    [['--nonsense', 'stdio'], /--nonsense/],
    [['--port', 'x', 'streamable-http'], /--port: 'x' is no whole number/],
    [['--port', '65536', 'streamable-http'], /65535/],
    [['--return-mode', 'yaml', 'stdio'], /'yaml' \(choose from xml, json\)/],
    [['--set', 'nonsense', 'stdio'], /NAME=VALUE/],
    [['print-config', 'nonsense'], /there is no client 'nonsense'/],
    [['print-config', 'cursor', '--url', 'ftp://a.example'], /'ftp:\/\/a\.example' is no address/],
    [['print-config', 'cursor', '--url', "http://a.example/'"], /is no address/],
    [['print-config', 'cursor', 'stdio', '--url', 'http://a.example'], /is not reached by stdio/],
    [['print-config', 'claude', '--url', 'http://a.example'], /Claude Desktop starts servers of this machine itself/],
    [['stdio', '--url', 'http://a.example'], /--url: it is for print-config/],
    [['completions', 'tcsh'], /there is no shell 'tcsh'; there are: bash, fish, powershell, zsh/],
  ])) {
    test(`refuses ${args.join(' ') || 'nothing'}`, async () => {
      const { code, stdout, stderr } = await run(args);
      assert.equal(code, 2);
      assert.equal(stdout, '');
      assert.match(stderr, /^usage: mcp-run-python/);
      assert.match(stderr, why);
    });
  }

  test('names a setting that is wrong', async () => {
    for (const [args, why] of /** @type {[string[], RegExp][]} */ ([
      [['--time-limit', '0', 'stdio'], /TIME_LIMIT_SECONDS is `0`: it must be a number of seconds, more than 0/],
      [['--set', 'NO_SUCH_SETTING=1', 'stdio'], /NO_SUCH_SETTING/],
      [['--host', '0.0.0.0', '--port', '0', 'streamable-http'], /--host 0\.0\.0\.0 lets others in: choose/],
    ])) {
      const { code, stderr } = await run(args);
      assert.equal(code, 1);
      assert.match(stderr, why);
    }
  });

  test('says so when its port is in use', async () => {
    const other = createServer();
    await new Promise((resolve) => other.listen(0, '127.0.0.1', () => resolve(undefined)));
    const { port } = /** @type {import('node:net').AddressInfo} */ (other.address());
    const { code, stderr } = await run(['--port', `${port}`, 'streamable-http']);
    other.close();
    assert.equal(code, 1);
    assert.match(stderr, new RegExp(`port ${port} is in use; choose another by --port`));
  });

  test('says so when there is no room for its files', async () => {
    const temporary = new Temporary();
    temporary.remove();
    const { code, stderr } = await run(['stdio'], '', { TMPDIR: temporary.path });
    assert.equal(code, 1);
    assert.match(stderr, /ENOENT/);
  });

  test('says so when workerd is missing, or is another one', async () => {
    const place = new Temporary();
    try {
      const copy = join(place.path, 'node_modules/mcp-run-python');
      cpSync(PACKAGE, copy, { recursive: true, dereference: true });
      const command = [process.execPath, join(copy, 'src/main.js')];
      const missing = await run(['stdio'], '', {}, command);
      assert.equal(missing.code, 1, missing.stderr);
      assert.match(missing.stderr, /workerd is missing for \w+ \w+: install mcp-run-python anew/);
      const other = join(place.path, 'node_modules/workerd');
      mkdirSync(other);
      writeFileSync(join(other, 'package.json'), '{ "name": "workerd", "version": "1.0.0", "main": "index.js" }');
      writeFileSync(join(other, 'index.js'), 'exports.default = "/bin/true";');
      const wrong = await run(['stdio'], '', {}, command);
      assert.equal(wrong.code, 1, wrong.stderr);
      assert.match(wrong.stderr, /workerd 1\.0\.0 is installed, and \S+ is needed/);
      assert.equal(missing.stdout + wrong.stdout, '');
    } finally {
      place.remove();
    }
  });

  test('refuses what is not as it was built, and looks only once', async () => {
    const place = new Temporary();
    try {
      const modules = join(place.path, 'node_modules');
      const copy = join(modules, 'mcp-run-python');
      cpSync(PACKAGE, copy, { recursive: true, dereference: true });
      for (const name of readdirSync(dirname(PACKAGE))) {
        if (/workerd|^mcp-run-python-|^@cloudflare$/.test(name))
          symlinkSync(realpathSync(join(dirname(PACKAGE), name)), join(modules, name));
      }
      const command = [process.execPath, join(copy, 'src/main.js')];
      const env = { XDG_CACHE_HOME: join(place.path, 'cache') };
      const cache = join(env.XDG_CACHE_HOME, 'mcp-run-python');
      const checked = () => (existsSync(cache) ? readdirSync(cache).filter((name) => /^checked-/.test(name)) : []);
      for (const _ of [1, 2]) {
        await using client = new StdioClient([], env, command);
        await client.initialize();
        assert.equal((await client.run('6 * 7')).return_value, 42);
        // It boots while its files are hashed, and may have answered before.
        await until(() => checked().length === 1, 'the check is noted');
      }
      const assets = join(copy, 'runtime/assets.bin');
      const bytes = readFileSync(assets);
      bytes[bytes.length >> 1] ^= 1;
      writeFileSync(assets, bytes);
      const client = new StdioClient([], env, command);
      assert.equal(await client.ended, 1);
      assert.match(client.stderr, /assets\.bin is not what it was when it was built .*: install mcp-run-python anew/);
      assert.equal(checked().length, 1);
    } finally {
      place.remove();
    }
  });

  // A mount namespace of its own, where the system allows that to any user.
  const private_ = ['unshare', '--map-root-user', '--mount'];
  const may = spawnSync(private_[0], [...private_.slice(1), 'true']).status === 0;
  test('works on a full disk, where nothing can be cached', { skip: !may && 'no name spaces for users' }, async () => {
    const place = new Temporary();
    const full = `mount -t tmpfs -o size=256k none "$0" && ! dd if=/dev/zero of="$0/full" 2>/dev/null; exec "$@"`;
    const command = [...private_, 'sh', '-c', full, place.path, COMMAND];
    const mirror = process.env.MIRROR ? ['--set', `PACKAGE_MIRRORS=${process.env.MIRROR}`] : [];
    try {
      const env = { TMPDIR: place.path, XDG_CACHE_HOME: join(place.path, 'cache') };
      await using client = new StdioClient(['--verbose', ...mirror], env, command);
      await client.initialize();
      const { return_value, error } = await client.run('import six\nsix.PY3');
      assert.equal(return_value, true, error);
      assert.match(client.stderr, /not cached: ENOSPC/);
      assert.equal(await client.close(), 0);
    } finally {
      place.remove();
    }
  });

  test('prints what clients are configured with', async () => {
    const { stdout: names } = await run(['print-config']);
    for (const name of ['claude', 'claude-code', 'cursor', 'vscode', 'pydantic-ai', 'openai-agents', 'langchain']) {
      assert.ok(names.includes(name), name);
      const { code, stdout } = await run(['print-config', name, '--return-mode', 'json']);
      assert.equal(code, 0);
      for (const word of ['mcp-run-python', '--return-mode', 'json', 'stdio'])
        assert.ok(stdout.includes(word), `${name}: ${word}`);
    }
    /** @param {Record<string, string>} env @param {string[]} args */
    const cursor = async (env, ...args) => {
      const { stdout } = await run(['print-config', 'CURSOR', ...args], '', env);
      return JSON.parse(stdout.slice(stdout.indexOf('{'), stdout.lastIndexOf('}') + 1)).mcpServers.python;
    };
    // A command that works on this machine: this very command, or npx if npx started it.
    assert.deepEqual(await cursor({}), { command: COMMAND, args: ['stdio'] });
    const byNpx = await cursor({ npm_command: 'exec' });
    assert.deepEqual(byNpx, { command: 'npx', args: ['-y', 'mcp-run-python', 'stdio'] });
    const { command, args } = await cursor({}, '--time-limit', '9');
    await using client = new StdioClient([], {}, [command, ...args.slice(0, -1)]);
    await client.initialize();
    assert.equal((await client.run('6 * 7')).return_value, 42);
  });

  test('prints how a server that runs is reached', async () => {
    for (const [name, what] of /** @type {[string, string][]} */ ([
      ['claude-code', 'claude mcp add --transport http python URL'],
      ['cursor', '"url": "URL"'],
      ['vscode', '"type": "http",\n      "url": "URL"'],
      ['windsurf', '"serverUrl": "URL"'],
      ['zed', '"url": "URL"'],
      ['pydantic-ai', "MCPToolset('URL')"],
      ['openai-agents', "MCPServerStreamableHttp({'url': 'URL'})"],
      ['langchain', "'transport': 'streamable_http', 'url': 'URL'"],
    ])) {
      const { stdout } = await run(['print-config', name, 'streamable-http', '--port', '3456']);
      assert.ok(stdout.includes(what.replace('URL', 'http://127.0.0.1:3456/mcp')), stdout);
      assert.ok(stdout.startsWith(`Start the server:\n\n${COMMAND} --port 3456 streamable-http\n`), stdout);
    }
    const { code, stderr } = await run(['print-config', 'claude', 'streamable-http']);
    assert.equal(code, 2);
    assert.match(stderr, /Claude Desktop starts servers of this machine itself: use stdio/);
  });
});

describe('print-config gives links', () => {
  /** @param {string[]} args */
  const links = async (...args) => {
    const { code, stdout, stderr } = await run(['print-config', ...args], '', { npm_command: 'exec' });
    assert.equal(code, 0, stderr);
    return stdout.split('\n').filter((line) => /^(vscode|vscode-insiders|cursor|https):/.test(line));
  };
  const words = ['--deps', 'numpy>=2,päck', '--return-mode', 'json'];
  const started = { command: 'npx', args: ['-y', 'mcp-run-python', ...words, 'stdio'] };
  const url = 'https://python.example/mcp?a=1&b=%20';

  test('that VS Code opens', async () => {
    for (const [args, server] of /** @type {[string[], object][]} */ ([
      [words, { name: 'python', type: 'stdio', ...started }],
      [['--url', url], { name: 'python', type: 'http', url }],
    ])) {
      const [link, ofWeb, insiders, ...others] = await links('VSCode', ...args);
      assert.deepEqual(others, []);
      /** @param {string} link @param {string} scheme */
      const decoded = (link, scheme) => {
        const { protocol, pathname, search } = new URL(link);
        assert.deepEqual([protocol, pathname], [scheme, 'mcp/install']);
        return JSON.parse(decodeURIComponent(search.slice(1)));
      };
      assert.deepEqual(decoded(link, 'vscode:'), server);
      assert.deepEqual(decoded(insiders, 'vscode-insiders:'), server);
      const redirect = new URL(ofWeb);
      assert.equal(redirect.origin + redirect.pathname, 'https://insiders.vscode.dev/redirect');
      assert.equal(redirect.searchParams.get('url'), link);
    }
  });

  test('that Cursor opens', async () => {
    for (const [args, server] of /** @type {[string[], object][]} */ ([
      [words, started],
      [['--url', url], { url }],
      [['streamable-http', '--port', '4567'], { url: 'http://127.0.0.1:4567/mcp' }],
    ])) {
      const [link, ofWeb, ...others] = await links('cURSOR', ...args);
      assert.deepEqual(others, []);
      assert.equal(
        ofWeb,
        link.replace('cursor://anysphere.cursor-deeplink/mcp/install', 'https://cursor.com/install-mcp'),
      );
      const { protocol, host, pathname, searchParams } = new URL(link);
      assert.deepEqual([protocol, host, pathname], ['cursor:', 'anysphere.cursor-deeplink', '/mcp/install']);
      assert.deepEqual([...searchParams.keys()], ['name', 'config']);
      assert.equal(searchParams.get('name'), 'python');
      const config = Buffer.from(searchParams.get('config') ?? '', 'base64').toString();
      assert.deepEqual(JSON.parse(config), server);
    }
  });

  test('for the clients that have such links alone', async () => {
    for (const client of ['claude', 'claude-code', 'windsurf', 'zed', 'langchain'])
      assert.deepEqual(await links(client), []);
    const { stdout } = await run(['print-config', 'Claude-Code', '--url', url]);
    assert.ok(stdout.endsWith(`claude mcp add --transport http python '${url}'\n`), stdout);
  });
});

describe('what the command tells of itself', () => {
  const modes = [
    'stdio',
    'streamable-http',
    'streamable-http-stateless',
    'print-config',
    'fetch',
    'doctor',
    'completions',
  ];

  test('bash completes', async () => {
    const { stdout: script } = await run(['completions', 'bash']);
    /** The completions that bash offers after these words. @param {string[]} words */
    const offered = (...words) => {
      const asked = `eval "$(cat)"; read -ra of <<<"$(complete -p mcp-run-python)"
        f=; for ((i = 0; i < \${#of[@]}; i++)); do [[ \${of[i]} == -F ]] && f=\${of[i + 1]}; done
        COMP_WORDS=(mcp-run-python "$@"); COMP_CWORD=$#
        "$f" mcp-run-python "\${COMP_WORDS[COMP_CWORD]}" "\${COMP_WORDS[COMP_CWORD - 1]}"
        printf '%s\\n' "\${COMPREPLY[@]}"`;
      const { stdout, stderr } = spawnSync('bash', ['--norc', '-c', asked, 'bash', ...words], { input: script });
      assert.equal(stderr.toString(), '');
      return stdout.toString().split('\n').filter(Boolean);
    };
    const all = offered('');
    for (const mode of [...modes, '--port', '--dependencies', '--set'])
      assert.ok(all.includes(mode), `${mode}: ${all}`);
    assert.ok(!all.includes('man'));
    assert.deepEqual(offered('str'), ['streamable-http', 'streamable-http-stateless']);
    const clients = offered('print-config', 'c');
    for (const client of ['claude', 'claude-code', 'cursor']) assert.ok(clients.includes(client), `${clients}`);
    assert.deepEqual(offered('stdio', '--return-mode', ''), ['xml', 'json']);
  });

  test('other shells are told the same words', async () => {
    for (const shell of ['zsh', 'fish', 'powershell']) {
      const { code, stdout } = await run(['completions', shell]);
      assert.equal(code, 0);
      for (const word of [...modes, 'time-limit', 'xml']) assert.ok(stdout.includes(word), `${shell}: ${word}`);
    }
  });

  test('the manual', async () => {
    const { code, stdout: page } = await run(['man']);
    assert.equal(code, 0);
    const sections = ['NAME', 'SYNOPSIS', 'DESCRIPTION', 'OPTIONS', 'MODES', 'ENVIRONMENT', 'EXAMPLES', 'EXIT STATUS'];
    const found = [...page.matchAll(/^\.SH "?([^"\n]+)"?$/gm)].map(([, name]) => name);
    assert.deepEqual(found, sections);
    assert.match(page, new RegExp(`^\\.TH mcp-run-python 1 .*${manifest.version.replaceAll('.', '\\.')}`, 'm'));
    const rendered = spawnSync('groff', ['-man', '-ww', '-Tascii', '-P-cbou'], { input: page, encoding: 'utf8' });
    // Skipped where there is no groff.
    if (rendered.error) return;
    assert.equal(rendered.stderr, '');
    for (const word of [...sections, ...modes, '--time-limit', 'MCP_RUN_PYTHON_HOME', 'fetch pandas'])
      assert.ok(rendered.stdout.includes(word), `${word}: ${rendered.stdout}`);
  });
});

describe('the program itself', () => {
  const modules = dirname(realpathSync(PACKAGE));
  const program = join(modules, `mcp-run-python-${process.platform}-${process.arch}`, 'mcp-run-python');

  test('finds its files by paths that are relative to where it is started', async () => {
    const workerd = createRequire(join(PACKAGE, 'package.json'))('workerd').default;
    const env = { MCP_RUN_PYTHON_HOME: 'mcp-run-python', MCP_RUN_PYTHON_WORKERD: relative(modules, workerd) };
    await using client = new StdioClient([], env, ['env', '-C', modules, program]);
    await client.initialize();
    assert.equal((await client.run('6 * 7')).return_value, 42);
  });

  test('is configured by the link that it was called by, which stays', async () => {
    const place = new Temporary();
    const link = join(place.path, 'mcp-run-python');
    symlinkSync(program, link);
    for (const [command, wanted] of [
      [link, link],
      ['mcp-run-python', link],
      [program, program],
    ]) {
      const env = { PATH: `${place.path}:${process.env.PATH}` };
      const { stdout } = await run(['print-config', 'langchain'], '', env, [command]);
      assert.ok(stdout.includes(`'command': "${wanted}"`), stdout);
    }
    place.remove();
  });
});

test('the package has what it needs, and nothing else', () => {
  const files = execFileSync('find', [PACKAGE, '-type', 'f', '-printf', '%P %s\n'], { encoding: 'utf8' })
    .trim()
    .split('\n')
    .map((line) => line.split(' '));
  const names = files.map(([name]) => name).filter((name) => !name.startsWith('node_modules/'));
  for (const name of ['package.json', 'README.md', 'LICENSE', 'src/main.js', 'core/sandbox.js', 'runtime/assets.bin'])
    assert.ok(names.includes(name), name);
  for (const name of names)
    assert.match(name, /^(package\.json|README\.md|LICENSE|(src|core|runtime|browser)\/.*)$/, name);
  const size = files.reduce((sum, [, bytes]) => sum + Number(bytes), 0);
  assert.ok(size < 60e6, `${size} bytes unpacked`);
  for (const name of names.filter((name) => /\.(js|json|md|capnp)$/.test(name) && !name.includes('pyodide'))) {
    const text = readFileSync(join(PACKAGE, name), 'utf8');
    assert.doesNotMatch(text, /BEGIN [A-Z ]*PRIVATE KEY|\/home\/[a-z]+\/|\/root\//, name);
  }
});
