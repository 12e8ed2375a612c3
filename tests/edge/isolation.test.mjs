// A fresh isolate for each stateless run: nothing is left of the run before, nothing is foreseeable, nothing is reached.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { run, startWorker } from './worker.mjs';

const ISOLATES = 100;

describe('fresh isolates', () => {
  /** @type {Awaited<ReturnType<typeof startWorker>>} */
  let worker;
  before(async () => {
    worker = await startWorker();
  });
  after(() => worker?.stop());

  test(`nothing random is the same in ${ISOLATES} isolates`, async () => {
    const code = `
import os, random, secrets, tempfile, time, uuid
{
    "random": random.random(), "Random": random.Random().random(), "SystemRandom": random.SystemRandom().random(),
    "secrets": secrets.token_hex(), "urandom": os.urandom(16).hex(),
    "uuid4": str(uuid.uuid4()), "uuid1": str(uuid.uuid1()), "node": uuid.getnode(),
    "mktemp": tempfile.mktemp(), "mkdtemp": tempfile.mkdtemp(), "shuffle": str(random.sample(range(10**6), 3)),
    "crypto": __import__("js").crypto.randomUUID(), "clock": time.time_ns(),
}`;
    /** @type {Record<string, Set<unknown>>} */
    const seen = {};
    for (let left = ISOLATES; left > 0; left -= 4) {
      const results = await Promise.all(Array.from({ length: 4 }, () => run(worker.url, code)));
      for (const { return_value, error } of results) {
        assert.ok(return_value, error);
        for (const [source, value] of Object.entries(return_value)) {
          seen[source] ??= new Set();
          seen[source].add(value);
        }
      }
    }
    // The clock may tick more slowly than isolates start.
    const { clock, ...sources } = Object.fromEntries(Object.entries(seen).map(([source, { size }]) => [source, size]));
    assert.ok(clock > ISOLATES / 8, `${clock} times of day`);
    assert.ok(Object.keys(sources).length >= 12);
    for (const [source, size] of Object.entries(sources)) assert.equal(size, ISOLATES, source);
  });

  test('the clock tells the time', async () => {
    const before = Date.now() / 1000;
    const { return_value } = await run(worker.url, 'import time\ntime.time()');
    assert.ok(return_value >= before - 1 && return_value <= Date.now() / 1000 + 1, `${return_value}`);
  });

  test('nothing is left of the run before', async () => {
    const mark = `
import builtins, json, os, sys, js
from pyodide.code import run_js
builtins.mark = json.mark = 1
json.dumps = lambda *args, **kwargs: "forged"
sys.modules["_sandbox.to_json"].to_json = lambda *args: '"forged"'
for folder in ("/tmp", "/home/pyodide", os.getcwd()): open(f"{folder}/mark", "w").close()
run_js("globalThis.mark = 1; JSON.stringify = () => 'forged'; Array.prototype.push = () => 0; undefined")
js.mark`;
    await run(worker.url, mark);
    const look = `
import builtins, json, os, js
[hasattr(builtins, "mark"), hasattr(json, "mark"), json.dumps(1), hasattr(js, "mark"), js.JSON.stringify(1),
 [os.path.exists(f"{folder}/mark") for folder in ("/tmp", "/home/pyodide")]]`;
    const { return_value } = await run(worker.url, look);
    assert.deepEqual(return_value, [false, false, '1', false, '1', [false, false]]);
  });

  test('Python that has become JavaScript finds no network, no bindings and no compiler', async () => {
    const { return_value, error } = await run(
      worker.url,
      `
from pyodide.code import run_js
from js import Object

async def fails(code):
    try:
        await run_js(f"(async () => {{ {code} }})()")
    except Exception as error:
        return True
    return False

[
    await fails("await fetch('https://example.com')"),
    await fails("await fetch('http://127.0.0.1:1')"),
    await fails("const { connect } = await import('cloudflare:sockets'); await connect('127.0.0.1:1').opened"),
    await fails("const { env } = await import('cloudflare:workers'); if (Object.keys(env).length === 0) throw 1"),
    await fails("await new Promise((open, fail) => { const s = new WebSocket('wss://example.com'); s.onopen = open; s.onerror = fail })"),
    await fails("await caches.default.put('http://x/', new Response('x')); if (!(await caches.default.match('http://x/'))) throw 1"),
    await fails("await WebAssembly.compile(new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0]))"),
    await fails("new Worker('data:text/javascript,')"),
    await fails("process.exit(0); throw 1"),
    await fails("await import('node:fs')"),
]`,
    );
    assert.ok(return_value, error);
    assert.deepEqual(return_value, new Array(10).fill(true));
  });

  test('what a sandbox logs is not in the log of the server', async () => {
    await run(worker.url, 'import js\njs.console.log("FORGED LOG")\njs.console.error("FORGED LOG")');
    await run(worker.url, 'from pyodide.code import run_js\nrun_js("console.warn(\'FORGED LOG\')")');
    assert.doesNotMatch(worker.said(), /FORGED/);
  });
});
