// A fresh isolate for each stateless run: nothing is left of earlier runs, random values are unpredictable, and nothing outside
// is reachable.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { LONG, longTest } from '../long.mjs';
import { residentMemory, run, startWorker } from './worker.mjs';

const ISOLATES = LONG ? 100 : 32;

describe('fresh isolates', () => {
  /** @type {Awaited<ReturnType<typeof startWorker>>} */
  let worker;
  before(async () => {
    worker = await startWorker();
  });
  after(() => worker?.stop());

  test(`nothing random is the same in ${ISOLATES} isolates, and no memory of them is left`, async () => {
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
    await run(worker.url, code);
    const memory = residentMemory(worker.pid);
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
    const later = residentMemory(worker.pid);
    // The allocator retains the memory of four isolates at once, and one is booted ahead: each has its heap of 32 MB, and
    // little else. If none were freed, they would take 1,000 MB at least.
    assert.ok(later < memory + 200, `${memory} MB, then ${later} MB`);
    // The clock may be coarser than the time between two isolates.
    const { clock, ...sources } = Object.fromEntries(Object.entries(seen).map(([source, { size }]) => [source, size]));
    assert.ok(clock > ISOLATES / 8, `${clock} times of day`);
    assert.ok(Object.keys(sources).length >= 12);
    for (const [source, size] of Object.entries(sources)) assert.equal(size, ISOLATES, source);
  });

  longTest('requests leave no memory behind', async () => {
    const some = async () => {
      for (let n = 0; n < 600; n++) await (await fetch(new URL('/health', worker.url))).text();
    };
    await some();
    const before = residentMemory(worker.pid);
    await some();
    await some();
    const after = residentMemory(worker.pid);
    assert.ok(after < before + 20, `${before} MB, then ${after} MB`);
  });

  test('the clock tells the time', async () => {
    const before = Date.now() / 1000;
    const { return_value } = await run(worker.url, 'import time\ntime.time()');
    assert.ok(return_value >= before - 1 && return_value <= Date.now() / 1000 + 1, `${return_value}`);
  });

  test('nothing is left of the run before', async () => {
    const mark = `
import builtins, json, os, sys, js
builtins.mark = json.mark = 1
json.dumps = lambda *args, **kwargs: "forged"
for folder in ("/tmp", "/home/pyodide", os.getcwd()): open(f"{folder}/mark", "w").close()
js.mark = 1
js.mark`;
    const marked = await run(worker.url, mark);
    assert.equal(marked.return_value ?? marked.error, 1);
    // A run that forges its own frames only breaks its own result.
    const forged = await run(worker.url, 'import js\njs.JSON.stringify = lambda *args: "forged"\nprint(1)');
    assert.match(forged.error ?? '', /broke its protocol/);
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
import inspect, js

async def outcome(attempt):
    try:
        result = attempt()
        if inspect.isawaitable(result):
            result = await result
        return "done"
    except BaseException as error:
        return f"{type(error).__name__}"

real_fetch = js.Reflect.get(js.Object.getPrototypeOf(js.globalThis), "fetch") or js.fetch
attempts = {
    "control": lambda: js.Promise.resolve(js.Math.max(1, 2)),
    "fetch": lambda: js.fetch("https://example.com"),
    "own server": lambda: js.Reflect.apply(real_fetch, js.globalThis, ["${worker.url}"]),
    "private address": lambda: js.Reflect.apply(real_fetch, js.globalThis, ["http://127.0.0.1:1"]),
    "WebSocket": lambda: js.Reflect.construct(js.WebSocket, ["ws://127.0.0.1:1"]).send("x"),
    "cache": lambda: js.caches.default.match("http://127.0.0.1:1"),
    "eval": lambda: js.eval("1"),
    "Function": lambda: js.Function.new("return 1"),
    "wasm": lambda: js.WebAssembly.Module.new(js.Uint8Array.of(0, 97, 115, 109, 1, 0, 0, 0, 0, 2, 1, 120)),
    "process": lambda: js.process.exit(0),
    "worker": lambda: js.Worker.new("data:text/javascript,"),
}
{name: await outcome(attempt) for name, attempt in attempts.items()}`,
    );
    assert.ok(return_value, error);
    const { control, ...attacks } = return_value;
    assert.equal(control, 'done', 'JavaScript can be reached at all');
    for (const [attack, outcome] of Object.entries(attacks)) assert.notEqual(outcome, 'done', attack);
    assert.equal(Object.keys(attacks).length, 10);
  });

  test('what a sandbox logs is not in the log of the server', async () => {
    await run(worker.url, 'import js\njs.console.log("FORGED LOG")\njs.console.error("FORGED LOG")');
    assert.doesNotMatch(worker.said(), /FORGED/);
  });
});
