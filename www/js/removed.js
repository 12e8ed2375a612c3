// What nothing that runs in a worker of a sandbox is to find. Must be imported before anything that may run a stranger's code.
//
// **Boundary.** A worker that a program makes lives on when its run has ended, and burns what nobody counts; and the only
// JavaScript that a program can have run there is that of a worker made of a blob, as the policy forbids `eval` and modules.
// Workers of one frame cannot signal each other either. An `EventSource` and a `FontFace` of a worker connect in Firefox 140,
// whatever the policy of its frame. What is deleted here cannot be had again: nothing else in a worker leads to these
// constructors.
for (const name of ['Worker', 'SharedWorker', 'BroadcastChannel', 'EventSource', 'FontFace'])
  delete (/** @type {any} */ (globalThis)[name]);
