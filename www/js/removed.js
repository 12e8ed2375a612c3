// Removes what code in a worker of a sandbox must not have. Must be imported before anything that may run a stranger's code.
//
// **Boundary.** A worker that a program makes would outlive its run and use time that nobody counts. Workers made of a blob are
// also the only way for a program to run JavaScript of its own, as the policy forbids `eval` and modules. Without these, workers
// of one frame cannot signal each other either. An `EventSource` and a `FontFace` of a worker connect in Firefox 140, whatever
// the policy of its frame. What is deleted here cannot be got back: nothing else in a worker leads to these constructors.
for (const name of ['Worker', 'SharedWorker', 'BroadcastChannel', 'EventSource', 'FontFace'])
  delete (/** @type {any} */ (globalThis)[name]);
