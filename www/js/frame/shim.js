// What Pyodide must not find in a browser's worker. Must be imported before Pyodide.
import '../removed.js';

// Pyodide tries this to tell a worker that has no modules, which it refuses; it needs none here.
Object.assign(globalThis, {
  importScripts() {
    throw new TypeError('the sandbox has no network');
  },
});

// What Python writes goes to its output, and nothing to the console of the page.
for (const [name, member] of Object.entries(console)) {
  if (typeof member === 'function') Object.assign(console, { [name]: () => {} });
}
