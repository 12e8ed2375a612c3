// Programs that continue after their run, values nested as deeply as allowed, and decompression bombs as images.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { crc32, deflateSync } from 'node:zlib';
import { openChromium, openPage } from './browser.mjs';
import { memory } from './memory.mjs';
import { serveSite } from './site.mjs';

/** @type {Awaited<ReturnType<typeof serveSite>>} */
let site;
/** @type {import('playwright-core').Browser} */
let browser;
/** @type {Awaited<ReturnType<typeof openPage>>} */
let opened;

before(async () => {
  site = await serveSite({ '/plain': { body: '<!doctype html><html lang="en"><title>A page</title>' } });
  browser = await openChromium();
  opened = await openPage(browser, `${site.url}/plain`);
  await opened.page.evaluate(async () => {
    Object.assign(window, await import(/** @type {any} */ ('/code-sandbox.js')));
  });
});

after(async () => {
  await browser?.close();
  site?.close();
});

/** Runs programs in one persistent sandbox, and returns the results as text. @param {(string | number)[]} programs numbers: milliseconds to wait @param {object} [options] */
async function run(programs, options = {}) {
  const results = await opened.page.evaluate(
    async ([programs, options]) => {
      const sandbox = await /** @type {any} */ (window).codeSandbox({ persistent: true, ...options });
      const results = [];
      for (const program of programs) {
        if (typeof program === 'number') await new Promise((resolve) => setTimeout(resolve, program));
        else {
          const late = new Promise((resolve) => setTimeout(() => resolve('no answer'), 30_000));
          // As text: the driver cannot return values as deeply nested as ours may be.
          const result = await Promise.race([sandbox.eval(program), late]);
          results.push(JSON.stringify(result, (_, value) => (typeof value === 'bigint' ? Number(value) : value)));
        }
      }
      sandbox.close();
      return results;
    },
    /** @type {const} */ ([programs, options]),
  );
  return results;
}

/** Steals the port from the worker to its frame: sets `port`, and `say`, which sends through it. */
const STEAL = `
import js, json
from pyodide.ffi import create_proxy, to_js
real = js.MessagePort.prototype.postMessage
ports = []
def take(this, *args):
    if hasattr(args[0], "frame"): ports.append(this)
    return real.call(this, *args)
js.MessagePort.prototype.postMessage = create_proxy(take, capture_this=True)
import sys, time
print("anything", flush=True)
for _ in range(100):
    time.sleep(0.01)
    if ports: break
js.MessagePort.prototype.postMessage = real
port = ports[0]
def say(**message): port.postMessage(to_js(message, dict_converter=js.Object.fromEntries))
`;

const DEPTHS = [{ depth: 100 }, { depth: 127 }, { depth: 130 }, { depth: 255 }, { depth: 255, numbers: 'exact' }];

for (const { depth, numbers } of DEPTHS) {
  test(`a value ${depth} deep is returned, an honest one and a forged one${numbers ? ', with exact numbers' : ''}`, async () => {
    const nested = `${'['.repeat(depth)}1${']'.repeat(depth)}`;
    const honest = `x = 1\nfor _ in range(${depth}): x = [x]\nx`;
    const forged = `${STEAL}
say(frame=json.dumps({"end": {"status": "success", "json": ${JSON.stringify(nested)}}}))
time.sleep(0.3)`;
    const [value, next, pretended, then] = await run([honest, '20 + 22', forged, '20 + 22'], { numbers });
    assert.ok(value.replace(/\s/g, '').includes(`"return_value":${nested}`) || depth === 255, value.slice(0, 300));
    assert.match(value, /"status":"success"/);
    assert.match(next, /"return_value":42/);
    assert.ok(pretended.replace(/\s/g, '').includes(`"return_value":${nested}`), pretended.slice(0, 300));
    assert.match(then, /"return_value":42/);
  });
}

test('a program makes no workers, and has no JavaScript run', async () => {
  const ways = [
    'js.Worker',
    'js.SharedWorker',
    'js.BroadcastChannel',
    'js.self.Worker',
    'js.Object.getPrototypeOf(js.self).Worker',
    'js.Reflect.get(js.globalThis, "Worker")',
    'js.Reflect.construct(js.Worker, js.Array.of(url))',
    'js.eval("1")',
    'js.Function.new("return 1")()',
    'js.Object.constructor("return 1")()',
    'js.importScripts(url)',
    'js.WorkerGlobalScope.prototype.importScripts.call(js.self, url)',
    '__import__("pyodide.code").code.run_js("1")',
    'await js.navigator.serviceWorker.register(url)',
  ];
  const code = `
import js, pyodide_js
from pyodide.ffi import to_js
url = js.URL.createObjectURL(js.Blob.new(to_js(["self.ran = 1"]), type="text/javascript"))
js.setTimeout("self.ran = 1", 0)
outcomes = []
async def attempt(way):
    try:
        space = {}
        exec("async def f():\\n return " + way, globals(), space)
        return str(await space["f"]())
    except BaseException as error:
        return type(error).__name__
outcomes = [await attempt(way) for way in ways]
import asyncio
await asyncio.sleep(0.1)
outcomes + [hasattr(js, "ran")]`;
  const [result] = await run([`ways = ${JSON.stringify(ways)}\n${code}`]);
  const { return_value: outcomes, error } = JSON.parse(result);
  assert.ok(outcomes, error);
  assert.equal(outcomes.pop(), false, 'no script was run');
  for (const [index, outcome] of outcomes.entries()) {
    assert.match(outcome, /^(AttributeError|JsException|TypeError|None|NameError)$/, `${ways[index]}: ${outcome}`);
  }
});

/** Processor time of all processes below this one, in seconds (Linux: ticks of 10 ms). */
function processorTime() {
  /** @type {Map<number, { parent: number, ticks: number }>} */
  const all = new Map();
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      all.set(Number(pid), { parent: Number(fields[1]), ticks: Number(fields[11]) + Number(fields[12]) });
    } catch {
      // It has ended.
    }
  }
  let ticks = 0;
  for (const [pid, { ticks: own }] of all) {
    for (let at = all.get(pid)?.parent; at; at = all.get(at)?.parent) {
      if (at !== process.pid) continue;
      ticks += own;
      break;
    }
  }
  return ticks / 100;
}

test('what burns after a run that succeeded is ended, and its memory comes back', async () => {
  const before = memory();
  const sandboxes = opened.page.evaluate(async () => {
    const { codeSandbox } = /** @type {any} */ (window);
    const [one, other] = await Promise.all([codeSandbox({ persistent: true }), codeSandbox({ persistent: true })]);
    const burning = await one.eval(`
import js
from pyodide.ffi import create_proxy
kept = []
def burn(*_):
    while True: kept.append(js.Array.new(1000))
js.setTimeout(create_proxy(burn), 50)
"begun"`);
    await new Promise((resolve) => setTimeout(resolve, 7000));
    Object.assign(window, { one, other });
    return burning.return_value;
  });
  assert.equal(await sandboxes, 'begun');
  const start = processorTime();
  const seen = await opened.page.evaluate(async () => {
    const { one, other } = /** @type {any} */ (window);
    await new Promise((resolve) => setTimeout(resolve, 4000));
    const begun = performance.now();
    const bystander = await other.eval('20 + 22');
    const waited = performance.now() - begun;
    const next = await one.eval('20 + 22');
    one.close();
    other.close();
    return { bystander, waited, next };
  });
  const burnt = processorTime() - start;
  assert.equal(seen.bystander.return_value, 42);
  assert.ok(seen.waited < 5000, `a bystander waited for ${seen.waited} ms`);
  assert.equal(seen.next.return_value, 42);
  assert.match(seen.next.output.join(), /restarted/);
  assert.ok(burnt < 3.5, `${burnt} s of processor time in 4 s of idleness and two runs`);
  await opened.page.waitForTimeout(1500);
  assert.ok(memory() < before + 150, `${before} MB before, ${memory()} after`);
});

test('Stop ends what burns after its run', async () => {
  const took = await opened.page.evaluate(async () => {
    const sandbox = await /** @type {any} */ (window).codeSandbox({ persistent: true });
    await sandbox.eval(`
import js
from pyodide.ffi import create_proxy
def burn(*_):
    while True: pass
js.setTimeout(create_proxy(burn), 1200)`);
    await new Promise((resolve) => setTimeout(resolve, 1500));
    const start = performance.now();
    sandbox.interrupt();
    const { output } = await sandbox.eval('1');
    sandbox.close();
    return [performance.now() - start, output.join()];
  });
  assert.ok(took[0] < 6000, `${took[0]} ms`);
  assert.match(took[1], /restarted/);
});

test('a worker that floods its frame after its run is ended, and its neighbour is served', async () => {
  const { next, waited } = await opened.page.evaluate(async (steal) => {
    const { codeSandbox } = /** @type {any} */ (window);
    const sandbox = await codeSandbox({ persistent: true });
    await sandbox.eval(`${steal}
def flood(*_):
    for _ in range(20_000): say(frame="x" * 100)
js.setInterval(create_proxy(flood), 10)
"begun"`);
    await new Promise((resolve) => setTimeout(resolve, 1500));
    const start = performance.now();
    const next = await sandbox.eval('20 + 22');
    const waited = performance.now() - start;
    sandbox.close();
    return { next, waited };
  }, STEAL);
  assert.equal(next.return_value, 42);
  assert.match(next.output.join(), /restarted/);
  assert.ok(waited < 3000, `${waited} ms`);
});

/** Makes a PNG of one bit a pixel, in one colour. @param {number} size its width and height */
function bomb(size) {
  /** @param {string} type @param {Buffer} data */
  const chunk = (type, data) => {
    const body = Buffer.concat([Buffer.from(type), data]);
    const length = Buffer.alloc(4);
    const sum = Buffer.alloc(4);
    length.writeUInt32BE(data.length);
    sum.writeUInt32BE(crc32(body));
    return Buffer.concat([length, body, sum]);
  };
  const header = Buffer.alloc(13);
  header.writeUInt32BE(size, 0);
  header.writeUInt32BE(size, 4);
  header[8] = 1;
  const pixels = deflateSync(Buffer.alloc(size * (Math.ceil(size / 8) + 1)), { level: 9 });
  const signature = Buffer.from([137, 80, 78, 71, 13, 10, 26, 10]);
  return Buffer.concat([signature, chunk('IHDR', header), chunk('IDAT', pixels), chunk('IEND', Buffer.alloc(0))]);
}

test('images that are bombs are not decoded, and small ones are drawn', async () => {
  const { page, complaints, close } = await openPage(browser, `${site.url}/plain`);
  const images = [bomb(16), ...Array(6).fill(bomb(16_000)), bomb(4000)].map((png) => png.toString('base64'));
  const code = `${STEAL}
images = ${JSON.stringify(images)}
for image in images: say(frame=json.dumps({"image": image}))
say(frame=json.dumps({"end": {"status": "success"}}))
time.sleep(0.5)`;
  await page.evaluate(async () => {
    await import(/** @type {any} */ ('/python-sandbox.js'));
    const element = document.createElement('python-sandbox');
    document.body.append(element);
    Object.assign(window, { element });
    /** @type {any} */ (element).code = '1';
    await /** @type {any} */ (element).run();
  });
  const before = memory();
  let most = 0;
  const watching = setInterval(() => {
    most = Math.max(most, memory());
  }, 100);
  const result = await page.evaluate(async (code) => {
    const { element } = /** @type {any} */ (window);
    element.code = code;
    const result = await element.run();
    await new Promise((resolve) => setTimeout(resolve, 3000));
    const root = element.shadowRoot;
    return {
      images: result?.images.length,
      drawn: [...root.querySelectorAll('canvas')].map(({ width }) => width),
      errors: [...root.querySelectorAll('.error')].map(({ textContent }) => textContent),
    };
  }, code);
  clearInterval(watching);
  await close();
  assert.equal(result.images, 8);
  assert.deepEqual(result.drawn, [16, 4000]);
  assert.equal(result.errors.length, 6);
  assert.match(result.errors[0], /Figure 2 cannot be shown: it is too large: 16000 x 16000 pixels/);
  assert.ok(most < before + 350, `${before} MB before, ${most} at most`);
  assert.deepEqual(complaints, []);
});
