// Native libraries in a snapshot: their code is not in the memory that is restored, so it is loaded again, each at the
// place that it had. Events of libraries are recorded while the snapshot is made, and repeated in that order.

/**
 * An event of a library: it was opened (`dlopen`) or loaded at a place, or a symbol of it was looked up (`dlsym`).
 * @typedef {{ open: string, handle: number, global: boolean, nodelete: boolean }} Opened
 * @typedef {{ load: string, memoryBase: number, tableBase: number }} Loaded
 * @typedef {{ symbol: string, handle: number, slot: number }} Found
 * @typedef {Opened | Loaded | Found} LibraryEvent
 */

/** Records events of libraries; call it before the module is instantiated. @param {any} settings Emscripten's @returns {LibraryEvent[]} */
export function recordLibraries(settings) {
  /** @type {LibraryEvent[]} */
  const events = [];
  settings.placeLibrary = () => null;
  settings.noteLibrary = (/** @type {LibraryEvent} */ event) => events.push(event);
  return events;
}

/**
 * Loads the libraries of a snapshot into a module that was just instantiated. Its memory must have the snapshot's
 * size already, and is written over afterwards.
 * @param {any} module @param {LibraryEvent[]} events
 */
export async function replayLibraries(module, events) {
  const places = new Map(events.flatMap((event) => ('load' in event ? [[event.load, event]] : [])));
  const note = module.noteLibrary;
  module.noteLibrary = () => {};
  module.placeLibrary = (/** @type {string} */ library) => {
    const { memoryBase, tableBase } = places.get(library) ?? fail(`the library ${library} is not in the snapshot`);
    // Something else had used and freed these places in the table.
    while (module.wasmTable.length < tableBase) module.freeTableIndexes.push(module.wasmTable.grow(1));
    return (/** @type {number} */ place) => {
      if (tableBase && place !== tableBase) fail(`the library ${library} is at ${place} instead of ${tableBase}`);
      return memoryBase;
    };
  };
  for (const event of events) {
    if ('open' in event) {
      const { open, handle, global, nodelete } = event;
      const flags = { global, nodelete, loadAsync: true };
      await module.loadDynamicLibrary(open, flags, global ? null : {}, handle);
    } else if ('symbol' in event) {
      const { symbol, handle, slot } = event;
      const found = module.LDSO.loadedLibsByHandle[handle].exports[symbol];
      const at = module.getFunctionAddress(found) || module.addFunction(found, found.sig);
      if (at !== slot) fail(`${symbol} is at ${at} instead of ${slot}`);
    }
  }
  module.placeLibrary = () => null;
  module.noteLibrary = note;
}

/** @param {string} why @returns {never} */
function fail(why) {
  throw new Error(`the snapshot cannot be restored: ${why}`);
}
