// Attacks on the installed command: those on every home, and those on its machine.
import assert from 'node:assert/strict';
import { readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach, describe, test } from 'node:test';
import { sleep, timed } from '../edge/worker.mjs';
import { attackFiles } from '../security/file-suite.mjs';
import { counted, during, homeAt, listen, makeToken, openSession, report, withTokens } from '../security/home.mjs';
import { LIMITS, measureLimits } from '../security/limits.mjs';
import {
  attackHost,
  attackNetwork,
  attackQuotas,
  attackSecrets,
  attackService,
  attackTenants,
  QUOTAS,
} from '../security/suites.mjs';
import { exists, serve, Temporary, workerds } from './desk.mjs';

/** A secret in the environment of the command. */
const CANARY = `CANARY-ENVIRONMENT-${Math.random().toString(36).slice(2)}`;

/**
 * The command over HTTP, with tokens for two principals.
 * @param {Record<string, string>} [settings] @param {string[]} [args]
 */
async function startDesk(settings = {}, args = []) {
  const [ann, bob] = [makeToken('ann'), makeToken('bob')];
  // Ends the interpreters of sessions that a test has left: each takes memory.
  const all = { ...withTokens(ann, bob), TIME_LIMIT_SECONDS: '4', SESSION_IDLE_SECONDS: '10', ...settings };
  const sets = Object.entries(all).flatMap(([name, value]) => ['--set', `${name}=${value}`]);
  const temporary = new Temporary();
  const env = { TMPDIR: temporary.path, CANARY, HOME: join(temporary.path, CANARY) };
  const server = await serve([...args, ...sets, '--verbose', 'streamable-http'], env);
  const home = homeAt('desk', server, { ann: ann.token, bob: bob.token });
  return {
    ...home,
    pid: server.pid,
    temporary,
    async stop() {
      await server.stop();
      temporary.remove();
    },
  };
}

describe('attacks by files', () => {
  attackFiles(during(() => startDesk({ FILES_LIMIT_MB: '8', SESSION_IDLE_SECONDS: '60' })));
});

describe('attacks on what is outside of the isolate', () => {
  const desk = during(() => startDesk());
  /** @type {Awaited<ReturnType<typeof listen>>} */
  let listener;
  before(async () => {
    listener = await listen();
  });
  after(() => listener?.close());

  const scene = () => ({ home: desk(), listener, planted: [CANARY] });
  attackNetwork(scene);
  attackSecrets(scene);
  attackTenants(desk);
  attackHost(desk);
});

describe('attacks on the machine', () => {
  const desk = during(() => startDesk());
  const held = counted('the machine', desk);
  const secret = join(tmpdir(), `desk-secret-${process.pid}`);
  before(() => writeFileSync(secret, CANARY));
  after(() => rmSync(secret, { force: true }));
  /** @type {string} */
  let session;
  beforeEach(async () => {
    session = await openSession(desk());
  });

  /** Runs code in a fresh isolate and in a session. @param {string} code @returns {Promise<any[]>} */
  const everywhere = async (code) => {
    const all = await Promise.all([{}, { session }].map((options) => desk().run(code, options)));
    return all.map(({ structured }) => structured);
  };

  /** @type {[string, string][]} */
  const ways = [
    ['by open()', 'open(path).read()'],
    [
      'by a link',
      'import os\nos.path.lexists("link") and os.unlink("link")\nos.symlink(path, "link")\nopen("link").read()',
    ],
    ['by a way up', 'open("../" * 50 + path).read()'],
    ['by the root of a process', 'open("/proc/self/root" + path).read()'],
    ['by Emscripten', 'import pyodide_js\nFS = pyodide_js._module.FS\nFS.readFile(path, encoding="utf8")'],
    [
      "by Node's file system",
      'import pyodide_js\nFS = pyodide_js._module.FS\nFS.analyzePath("/m").exists or FS.mkdir("/m")\nFS.mount(FS.filesystems.NODEFS, {"root": "/"}, "/m")\nopen("/m" + path).read()',
    ],
    ["by Node's module", 'import js\njs.process.getBuiltinModule("node:fs").readFileSync(path, "utf8")'],
    ['by an address', 'import js\nawait (await js.fetch("file://" + path)).text()'],
    [
      'by C',
      'import ctypes\nf = ctypes.CDLL(None).open(path.encode(), 0)\nb = ctypes.create_string_buffer(999)\nctypes.CDLL(None).read(f, b, 999)\nb.value',
    ],
    ['by another process', 'import subprocess\nsubprocess.run(["cat", path], capture_output=True).stdout.decode()'],
  ];
  for (const [name, code] of ways) {
    test(`a file of the machine, ${name}`, async () => {
      for (const path of [secret, '/etc/passwd', `/proc/${desk().pid}/environ`]) {
        for (const structured of await everywhere(`path = ${JSON.stringify(path)}\n${code}`))
          assert.doesNotMatch(JSON.stringify(structured), /CANARY|root:|PATH=/, name);
        held(2);
      }
    });
  }

  test('a file that it writes is none of the machine', async () => {
    const path = join(desk().temporary.path, 'written');
    const code = `import os\nos.makedirs(${JSON.stringify(desk().temporary.path)}, exist_ok=True)\nopen(${JSON.stringify(path)}, "w").write("x")`;
    for (const structured of await everywhere(code)) assert.equal(structured.return_value, 1, structured.error);
    assert.ok(!desk().temporary.left.includes('written'));
    held(2);
  });

  test('the environment of whoever started the command', async () => {
    const code =
      'import js, os\n[dict(os.environ), os.path.expanduser("~"), os.getpid(), js.JSON.stringify(js.process.env)]';
    for (const { return_value, error } of await everywhere(code)) {
      assert.ok(return_value ?? /process/.test(error), error);
      assert.doesNotMatch(JSON.stringify(return_value ?? error), /CANARY|mcp-run-python|SECRET/);
    }
    // workerd itself does not have it, either.
    for (const pid of workerds(desk().pid)) {
      const environment = readFileSync(`/proc/${pid}/environ`, 'latin1').split('\0').filter(Boolean);
      assert.deepEqual(
        environment
          .map((entry) => entry.split('=')[0])
          .filter((name) => !/^(PATH|SECRET|PWD|OLDPWD|SHLVL|_)$/.test(name)),
        [],
      );
    }
    held(3);
  });

  test('the socket of the supervisor', async () => {
    const folder = desk().temporary.left.find((name) => name.startsWith('mcp-run-python-')) ?? '';
    const socket = join(desk().temporary.path, folder, 'runs');
    assert.equal(statSync(join(desk().temporary.path, folder)).mode & 0o777, 0o700);
    // A process of the same user that does not know the secret is refused.
    const status = await new Promise((resolve, reject) => {
      request({ socketPath: socket, path: '/x/boot', method: 'POST' }, (response) => resolve(response.statusCode))
        .on('error', reject)
        .end();
    });
    assert.equal(status, 403);
    // A decoy socket beside it records every attempt to reach such sockets.
    /** @type {string[]} */
    const arrived = [];
    const other = createServer((incoming, response) => {
      arrived.push(incoming.url ?? '');
      response.end('REACHED');
    }).on('connection', () => arrived.push('a connection'));
    const place = join(desk().temporary.path, folder, 'other');
    await new Promise((resolve) => other.listen(place, () => resolve(undefined)));
    try {
      for (const code of [
        'import socket\ns = socket.socket(socket.AF_UNIX)\ns.connect(path)\ns.sendall(b"GET / HTTP/1.0\\r\\n\\r\\n")\ns.recv(99)',
        'import js\nawait (await js.fetch("unix:" + path)).text()',
        'import js\nawait (await js.fetch("http+unix://" + path.replace("/", "%2F"))).text()',
        'import js\nawait (await js.fetch("http://main/")).text()',
        'import js\nawait (await js.fetch("http://internet/")).text()',
        'import js\njs.process.getBuiltinModule("node:net").connect(path)',
        'import os\nos.listdir(os.path.dirname(path))',
      ]) {
        for (const structured of await everywhere(`path = ${JSON.stringify(place)}\n${code}`))
          assert.equal(structured.status, 'run-error', `${code}: ${JSON.stringify(structured)}`);
        held(2);
      }
      assert.deepEqual(arrived, []);
    } finally {
      await new Promise((resolve) => other.close(resolve));
    }
    held();
  });

  test('other processes', async () => {
    const before = workerds(desk().pid);
    const victims = [desk().pid, ...before];
    for (const pid of victims) {
      for (const code of [
        `os.kill(${pid}, 9)`,
        `os.killpg(${pid}, 9)`,
        `import ctypes\nassert ctypes.CDLL(None).kill(${pid}, 9) == 0`,
        `js.process.kill(${pid}, 9)`,
        `open("/proc/${pid}/cmdline").read()`,
        `subprocess.run(["kill", "-9", "${pid}"])`,
      ]) {
        for (const structured of await everywhere(`import js, os, subprocess\n${code}`))
          assert.match(JSON.stringify(structured), /run-error/, code);
        held(2);
      }
    }
    for (const pid of victims) assert.ok(exists(pid), `${pid}`);
    assert.equal((await desk().run('1 + 1')).structured.return_value, 2);
  });
});

describe('attacks on the command', () => {
  const desk = during(() => startDesk({ TIME_LIMIT_SECONDS: '3', MEMORY_LIMIT_MB: '200', FILES_LIMIT: '2000' }));
  attackService(desk);
});

describe('attacks on what each may have', () => {
  attackQuotas(during(() => startDesk(QUOTAS)));
});

describe('the command', () => {
  const desk = during(() => startDesk(LIMITS, ['--processes', '2']));
  measureLimits(desk);

  /** In milliseconds: the run's limit, Python's grace, and the time that the supervisor adds. */
  const limit = 1000 + 1000 + 1500;
  /** Loops in C that nothing in the interpreter can stop. */
  const inC = ['sum(range(10**12))', 'import collections, itertools\ncollections.deque(itertools.count(), 0)'];
  const times = /** @type {number[]} */ ([]);
  for (const code of inC) {
    test(`${code.split('\n').at(-1)} is ended, and another client is answered meanwhile`, async () => {
      let over = false;
      const attack = timed(async () => {
        const { structured } = await desk().run(code);
        over = true;
        assert.match(structured.error, /the run took longer than 1 s, could not be stopped, and was ended/);
      });
      await sleep(700);
      const { structured } = await desk().run('20 + 22', { token: desk().tokens.bob });
      assert.equal(structured.return_value, 42, structured.error);
      assert.ok(!over, 'the bystander waited for its end');
      const time = await attack;
      assert.ok(time >= limit && time < limit + 3000, `${time} ms`);
      times.push(time);
      assert.equal((await desk().run('20 + 22')).structured.return_value, 42);
    });
  }

  // Also in C, but these check for signals themselves.
  for (const code of ['10**10**9', 'import re\nre.match(r"(a+)+$", "a" * 60 + "b")']) {
    test(`${code.split('\n').at(-1)} is stopped from within`, async () => {
      const [attack, bystander] = await Promise.all([
        timed(async () => assert.match((await desk().run(code)).structured.error, /TimeoutError: .* 1 s\n$/)),
        desk().run('20 + 22', { token: desk().tokens.bob }),
      ]);
      assert.equal(bystander.structured.return_value, 42, bystander.structured.error);
      assert.ok(attack >= 1000 && attack < limit, `${attack} ms`);
    });
  }
  after(() => {
    report('attacks', 'loops in C', { desk: times.length });
    report('limits', '1 s of time, 1 s of grace and 1.5 s, in C', { desk: `${Math.round(Math.max(...times))} ms` });
  });
});
