// Wheels as the core prepares them, with their native modules compiled: a compiled module can be sent to the frame's
// workers, but neither into the frame nor out of it.

/** @typedef {{ name: string, version: string, sha256: string, archive: ArrayBuffer, modules: [string, Uint8Array<ArrayBuffer>][] }} PreparedPackage */
/** @typedef {import('../../../runtime/js/packages.js').Package & { sha256: string }} CompiledPackage */

/** Compiled once for each frame. @type {WeakMap<PreparedPackage, Promise<CompiledPackage>>} */
const compiled = new WeakMap();

/** @param {PreparedPackage[]} packages @returns {Promise<CompiledPackage[]>} */
export function compile(packages) {
  return Promise.all(
    packages.map((prepared) => {
      let done = compiled.get(prepared);
      if (!done) {
        done = compileOne(prepared);
        compiled.set(prepared, done);
      }
      return done;
    }),
  );
}

/** @param {PreparedPackage} prepared @returns {Promise<CompiledPackage>} */
async function compileOne({ name, version, sha256, archive, modules }) {
  return {
    name,
    version,
    sha256,
    archive,
    modules: await Promise.all(
      modules.map(
        async ([path, bytes]) => /** @type {[string, WebAssembly.Module]} */ ([path, await WebAssembly.compile(bytes)]),
      ),
    ),
  };
}
