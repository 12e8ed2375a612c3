// Removes what Pyodide must not find in a browser's worker. Must be imported before Pyodide.
import '../removed.js';

// Pyodide calls this to detect a worker without modules, which it refuses; it needs no modules here.
Object.assign(globalThis, {
  importScripts() {
    throw new TypeError('the sandbox has no network');
  },
});

// What Python writes goes to its output, and nothing to the console of the page.
for (const [name, member] of Object.entries(console)) {
  if (typeof member === 'function') Object.assign(console, { [name]: () => {} });
}
