// Patches the text of Pyodide's JavaScript: each place must be found exactly once, or the build fails. Longer code is in
// functions in runtime/js/hooks/, which isolates hand to Pyodide as `Module.hooks`.

/** @typedef {{ why: string, find: string, replace: string }} Patch */

/** @param {string} source @param {Patch[]} changes @returns {string} */
export function patch(source, changes) {
  const lost = [];
  for (const { why, find, replace } of changes) {
    const found = source.split(find).length - 1;
    if (found === 1) source = source.replace(find, () => replace);
    else lost.push(`found ${found} times instead of once, the place for: ${why}\n    ${find}`);
  }
  if (lost.length) throw new Error(`Pyodide has changed (docs/upgrading-pyodide.md):\n  ${lost.join('\n  ')}`);
  return source;
}
