// Functions that Pyodide's patched JavaScript calls (runtime/pyodide/patches/required.js). They get Pyodide's internals from
// a function, as most of these are set later.

/**
 * The state of Pyodide that a suspension saves.
 * @typedef {object} Stacks
 * @property {new () => { restore: () => void }} StackState
 * @property {{ value: unknown }} suspenderGlobal
 * @property {{ value: boolean }} validSuspender
 * @property {(thread: number) => number} _PyThreadState_Swap
 * @property {(interpreter: number) => number} _PyThreadState_New
 * @property {() => number} _PyInterpreterState_Get
 */

/**
 * Makes the function that saves a stack that is to be suspended, and returns a function that restores it. Calls into Python
 * meanwhile have a thread state of their own. (Pyodide's `saveState` imports modules for that, which fails in code that has
 * restricted builtins.)
 * @param {() => Stacks} stacks
 */
export function suspender(stacks) {
  /** @type {number | undefined} */
  let spare;
  return () => {
    const { StackState, suspenderGlobal, validSuspender, ...python } = stacks();
    const stack = new StackState();
    const suspended = suspenderGlobal.value;
    spare ??= python._PyThreadState_New(python._PyInterpreterState_Get());
    const thread = python._PyThreadState_Swap(spare);
    return () => {
      stack.restore();
      python._PyThreadState_Swap(thread);
      suspenderGlobal.value = suspended;
      validSuspender.value = true;
    };
  };
}

/**
 * Wraps `call`: while it runs, no stack counts as suspendable, as there is JavaScript above it.
 * @template T
 * @param {() => T} call @param {() => { value: boolean }} valid Pyodide's `validSuspender`
 */
export function unsuspended(call, valid) {
  return () => {
    const before = valid().value;
    valid().value = false;
    try {
      return call();
    } finally {
      valid().value = before;
    }
  };
}

/**
 * The compiled module of a package's library, if it is one (packages.js).
 * @param {Map<string, WebAssembly.Module> | undefined} libraries @param {string} name @param {{ loadAsync?: boolean }} flags
 */
export function compiled(libraries, name, { loadAsync }) {
  const library = libraries?.get(name);
  return library && loadAsync ? Promise.resolve(library) : library;
}
