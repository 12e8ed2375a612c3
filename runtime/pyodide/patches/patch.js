// What is changed in Pyodide's own JavaScript, as text: each place must be found exactly once, or the build fails. Bodies are
// functions in runtime/js/hooks/, which isolates hand to Pyodide as `Module.hooks`.

/** @typedef {{ why: string, find: string, replace: string }} Patch */

/** @param {string} source @param {Patch[]} changes @returns {string} */
export function patch(source, changes) {
  for (const { why, find, replace } of changes) {
    const found = source.split(find).length - 1;
    if (found !== 1)
      throw new Error(`Pyodide has changed: found ${found} times instead of once, the place for: ${why}`);
    source = source.replace(find, () => replace);
  }
  return source;
}
