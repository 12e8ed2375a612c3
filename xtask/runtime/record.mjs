// Records the small WebAssembly modules that Pyodide generates while it boots. An isolate may compile nothing at
// run time, so they are handed to it precompiled. Prints them as JSON: an array of hexadecimal texts.
//
// usage: node --experimental-wasm-jspi record.mjs

/** Larger ones are not generated: they are Pyodide itself. */
const MAX_GENERATED = 4096;

/** @type {Set<string>} */
const seen = new Set();

/** @param {unknown} source */
function note(source) {
  if (source instanceof RealModule) return;
  const bytes = ArrayBuffer.isView(source)
    ? Buffer.from(source.buffer, source.byteOffset, source.byteLength)
    : Buffer.from(/** @type {ArrayBuffer} */ (source));
  if (bytes.length <= MAX_GENERATED) seen.add(bytes.toString('hex'));
}

const RealModule = WebAssembly.Module;
WebAssembly.Module = new Proxy(RealModule, {
  construct(target, args) {
    note(args[0]);
    return Reflect.construct(target, args);
  },
});
for (const name of /** @type {const} */ (['instantiate', 'compile'])) {
  const real = /** @type {(...args: any[]) => any} */ (WebAssembly[name]);
  WebAssembly[name] = (...args) => {
    note(args[0]);
    return real.apply(WebAssembly, args);
  };
}

const { loadPyodide } = await import('pyodide');
const pyodide = await loadPyodide();
// What runs do as well: a coroutine, a suspension, a callback of each kind.
await pyodide.runPythonAsync(`
import asyncio, time, js
from pyodide.ffi import create_proxy, run_sync
await asyncio.sleep(0)
time.sleep(0.001)
run_sync(asyncio.sleep(0))
create_proxy(lambda: 1).destroy()
`);
console.log(JSON.stringify([...seen].sort()));
