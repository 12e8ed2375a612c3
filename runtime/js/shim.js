// Provides what Pyodide lacks in a workerd isolate. Must be imported before Pyodide, which compiles a module while it is
// being evaluated: an isolate may compile nothing (neither wasm nor JavaScript) at run time.

import generated from './generated.js';
import asmWasm from './pyodide.asm.wasm';

/** A `WebAssembly.Module` for each of the tiny modules that Pyodide generates, by its bytes in hexadecimal. */
const modules = new Map(generated);

/** Larger modules are not looked up: the largest generated one has about 500 bytes. */
const MAX_GENERATED = 4096;

/** @param {BufferSource} source */
function precompiled(source) {
  const bytes = ArrayBuffer.isView(source)
    ? new Uint8Array(source.buffer, source.byteOffset, source.byteLength)
    : new Uint8Array(source);
  const found = bytes.length <= MAX_GENERATED && modules.get(bytes.toHex());
  if (!found) {
    throw new WebAssembly.CompileError(
      `an isolate cannot compile WebAssembly, and this module of ${bytes.length} bytes was not prepared: ` +
        bytes.subarray(0, 64).toHex(),
    );
  }
  return found;
}

const { Module, Instance } = WebAssembly;
WebAssembly.Module = new Proxy(Module, { construct: (_, [source]) => precompiled(source) });
WebAssembly.compile = async (source) => precompiled(source);
// @ts-expect-error: one function for both overloads
WebAssembly.instantiate = async (source, imports) => {
  if (source instanceof Module) return new Instance(source, imports);
  const module = precompiled(source);
  return { module, instance: new Instance(module, imports) };
};
WebAssembly.instantiateStreaming = async (_, imports) => ({
  module: asmWasm,
  instance: new Instance(asmWasm, imports),
});

// Pyodide reads its address, and listens for a page's events.
Object.assign(globalThis, {
  location: new URL('http://pyodide/'),
  addEventListener() {},
  removeEventListener() {},
});

// **Boundary.** The console of an isolate goes to the operator's log, which the code that runs here must not write.
for (const [name, member] of Object.entries(console)) {
  if (typeof member === 'function') Object.assign(console, { [name]: () => {} });
}
