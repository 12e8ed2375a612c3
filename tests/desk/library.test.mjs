// Library use: `codeSandbox()` in Node, the same as in a page.
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { given, PROGRAM, RESULT, shown } from '../contract/files.mjs';
import { VALUES } from '../contract/numbers.mjs';
import { sleep, timed } from '../edge/worker.mjs';
import { RESPONSE } from '../security/attacks/host.mjs';
import { COMMAND, until, workerds } from './desk.mjs';

const entry = join(dirname(COMMAND), '../mcp-run-python/src/index.js');
/** @type {typeof import('../../www/js/index.js')} */
const { codeSandbox } = await import(pathToFileURL(entry).href);

/** A mirror that never answers. */
async function listen() {
  const asked = Promise.withResolvers();
  const server = createServer(() => asked.resolve(undefined));
  await new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(undefined)));
  return { server, asked: asked.promise };
}

describe('codeSandbox', () => {
  /** @type {import('../../www/js/index.js').Sandbox} */
  let sandbox;
  before(async () => {
    sandbox = await codeSandbox({ limits: { timeLimitSeconds: 5 } });
  });
  after(async () => {
    sandbox.close();
    await assert.rejects(sandbox.eval('1'), /closed/);
    await until(() => workerds(process.pid).length === 0, 'no process is left');
  });

  test('gives results as the original does', async () => {
    assert.deepEqual(await sandbox.eval('print("out")\na + 1', { a: 1 }), {
      status: 'success',
      output: ['out'],
      return_value: 2,
      images: [],
    });
    const failed = await sandbox.eval('1 / 0');
    assert.equal(failed.status, 'run-error');
    assert.match(/** @type {{ error: string }} */ (failed).error, /ZeroDivisionError/);
  });

  test('files and modules stay, variables do not', async () => {
    await sandbox.eval('open("f", "w").write("kept")\nx = 1');
    const result = await sandbox.eval('[open("f").read(), "x" in globals()]');
    assert.deepEqual(/** @type {any} */ (result).return_value, ['kept', false]);
  });

  test('files go in and come out', async () => {
    assert.deepEqual(shown(await sandbox.eval(PROGRAM, {}, { files: given() })), RESULT);
    await assert.rejects(sandbox.eval('1', {}, { files: { '../a': 'x' } }), /`..\/a` leads out of the folder/);
    await assert.rejects(sandbox.eval('1', {}, { files: { a: /** @type {any} */ (1) } }), /the file a must be/);
  });

  test('a large file is read by one call, as long as it is what it was', async () => {
    const code = "open('big.bin', 'wb').write(bytes(range(256)) * 20_000)\nopen('small.txt', 'w').write('ä')";
    const { files = [] } = await sandbox.eval(code);
    const [big, small] = files;
    assert.deepEqual([big.path, big.content, small.path, small.content], ['big.bin', undefined, 'small.txt', 'ä']);
    const bytes = await sandbox.read(big);
    assert.equal(bytes.length, 5_120_000);
    assert.ok(bytes.every((byte, at) => byte === (at & 255)));
    assert.deepEqual(await sandbox.read(small), new TextEncoder().encode('ä'));
    await sandbox.eval("open('big.bin', 'ab').write(b'x')");
    await assert.rejects(sandbox.read(big), /big\.bin was changed/);
    await sandbox.eval("import os\nos.remove('big.bin')");
    await assert.rejects(sandbox.read(big), /no such file/);
  });

  test('files that cannot be read hold nobody up for long', async () => {
    class Stuck extends Blob {
      arrayBuffer() {
        return /** @type {Promise<ArrayBuffer>} */ (new Promise(() => {}));
      }
    }
    const stuck = sandbox.eval('1', {}, { files: { a: new Stuck(['x']) } });
    const next = sandbox.eval('2');
    await assert.rejects(stuck, /could not be read in time/);
    assert.equal(/** @type {any} */ (await next).return_value, 2);
  });

  test('what is stopped while its files are read does not run', async () => {
    const controller = new AbortController();
    class Stopped extends Blob {
      arrayBuffer() {
        controller.abort(new Error('enough'));
        return super.arrayBuffer();
      }
    }
    const options = { signal: controller.signal, files: { a: new Stopped(['x']) } };
    await assert.rejects(sandbox.eval('open("ran", "w").close()', {}, options), /enough/);
    const result = await sandbox.eval('import os\nos.path.exists("ran")');
    assert.equal(/** @type {any} */ (result).return_value, false);
  });

  test('tells each line as it comes', async () => {
    /** @type {[string, string][]} */
    const lines = [];
    const hear = (/** @type {any} */ { detail }) => lines.push([detail.stream, detail.text]);
    sandbox.addEventListener('output', hear);
    await sandbox.eval('import sys\nprint("a")\nprint("b", file=sys.stderr)');
    sandbox.removeEventListener('output', hear);
    assert.deepEqual(lines, [
      ['stdout', 'a'],
      ['stderr', 'b'],
    ]);
  });

  test('a run is stopped by a signal, or gives its result when it is interrupted', async () => {
    await assert.rejects(sandbox.eval('while True: pass', {}, { signal: AbortSignal.timeout(300) }), /timeout/i);
    const running = sandbox.eval('import time\nprint("begun")\ntime.sleep(30)');
    await sleep(500);
    const took = await timed(async () => {
      sandbox.interrupt();
      const result = await running;
      assert.match(/** @type {any} */ (result).error, /KeyboardInterrupt/);
    });
    assert.ok(took < 10_000, `${took}`);
  });

  test('a loop in C is ended at the time limit', async () => {
    const result = await sandbox.eval('sum(range(10**12))');
    assert.match(/** @type {any} */ (result).error, /TimeoutError/);
    assert.equal(/** @type {any} */ (await sandbox.eval('1 + 1')).return_value, 2);
  });

  test('reset begins anew', async () => {
    await sandbox.eval('open("f", "w").close()');
    await sandbox.reset();
    const result = /** @type {any} */ (await sandbox.eval('import os\nos.path.exists("f")'));
    assert.deepEqual([result.return_value, result.output], [false, []]);
  });

  test('what is stopped while its packages come does not run', async () => {
    const origin = await listen();
    /** @type {import('../../www/js/index.js').Sandbox | undefined} */
    let other;
    try {
      const mirror = `http://127.0.0.1:${/** @type {any} */ (origin.server.address()).port}`;
      other = await codeSandbox({ packageMirrors: [mirror], packageIndex: '', persistent: true });
      const stop = new AbortController();
      const stopped = other.eval('import attrs\nprint("it ran")\nran = True', {}, { signal: stop.signal });
      await origin.asked;
      stop.abort(new Error('enough'));
      await assert.rejects(stopped, /enough/);
      const next = await other.eval('"ran" in globals()');
      assert.deepEqual([/** @type {any} */ (next).return_value, next.output], [false, []]);
    } finally {
      other?.close();
      origin.server.close();
      origin.server.closeAllConnections();
    }
  });

  test('a persistent one keeps variables', async () => {
    const other = await codeSandbox({ persistent: true });
    try {
      await other.eval('x = 20');
      assert.equal(/** @type {any} */ (await other.eval('x + 1')).return_value, 21);
    } finally {
      other.close();
    }
  });

  test('numbers are exact, and floats told from integers where that is asked for', async () => {
    const other = await codeSandbox({ numbers: 'exact' });
    // Some applications define this.
    Object.assign(BigInt.prototype, { toJSON: String });
    try {
      for (const { code, globals, usual, exact } of VALUES) {
        for (const [from, value] of /** @type {const} */ ([
          [sandbox, usual],
          [other, exact],
        ])) {
          const { return_value, error } = /** @type {any} */ (await from.eval(code, globals));
          assert.deepEqual(return_value, value, error ?? code);
        }
      }
    } finally {
      Reflect.deleteProperty(BigInt.prototype, 'toJSON');
      other.close();
    }
  });

  for (const depth of [100, 127, 130, 255]) {
    test(`a value ${depth} deep is returned, an honest one and a forged one`, async () => {
      const nested = `${'['.repeat(depth)}1${']'.repeat(depth)}`;
      const honest = `x = 1\nfor _ in range(${depth}): x = [x]\nx`;
      const end = JSON.stringify({ end: { status: 'success', json: nested } });
      for (const program of [honest, RESPONSE.sending(`b'${end}\\n'`)]) {
        const result = JSON.stringify(await sandbox.eval(program));
        assert.ok(result.includes(`"return_value":${nested}`), result.slice(0, 300));
        // An interpreter that has forged a frame keeps doing so: it is replaced.
        if (program !== honest) await sandbox.reset();
        assert.equal(/** @type {any} */ (await sandbox.eval('20 + 22')).return_value, 42);
      }
    });
  }

  test('a member may have any name', async () => {
    const { return_value } = /** @type {any} */ (await sandbox.eval('{"__proto__": 2**70}'));
    assert.deepEqual(Object.entries(return_value), [['__proto__', 2n ** 70n]]);
  });

  test('an integer is a bigint as deep as a value may be', async () => {
    const end = JSON.stringify({
      end: { status: 'success', json: `${'['.repeat(255)}${2n ** 70n}${']'.repeat(255)}` },
    });
    let { return_value: value } = /** @type {any} */ (await sandbox.eval(RESPONSE.sending(`b'${end}\\n'`)));
    await sandbox.reset();
    while (Array.isArray(value)) [value] = value;
    assert.equal(value, 2n ** 70n);
  });

  test('a wrong setting is named', async () => {
    await assert.rejects(codeSandbox({ limits: { timeLimitSeconds: -1 } }), /TIME_LIMIT_SECONDS/);
    const other = await codeSandbox({ numbers: /** @type {any} */ ('inexact') });
    await assert.rejects(other.eval('1'), /`numbers` must be 'exact'/);
    other.close();
  });
});
