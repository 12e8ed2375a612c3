// What Pyodide must not find in a browser's worker. Must be imported before Pyodide.

// Pyodide tries this to tell a worker that has no modules, which it refuses; it needs none here.
Object.assign(globalThis, {
  importScripts() {
    throw new TypeError('the sandbox has no network');
  },
});

// **Boundary.** A worker that a program makes lives on when its run has ended, and burns what nobody counts; and the only
// JavaScript that a program can have run here is that of a worker made of a blob, as the policy forbids `eval` and modules.
// What is deleted here cannot be had again: nothing else in a worker leads to these constructors, and a program has not
// begun. Workers of one frame cannot signal each other either.
for (const name of ['Worker', 'SharedWorker', 'BroadcastChannel']) delete (/** @type {any} */ (globalThis)[name]);

// What Python writes goes to its output, and nothing to the console of the page.
for (const [name, member] of Object.entries(console)) {
  if (typeof member === 'function') Object.assign(console, { [name]: () => {} });
}
