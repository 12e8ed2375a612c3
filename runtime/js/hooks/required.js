// What Pyodide's own JavaScript calls where runtime/pyodide/patches/required.js says so. It is given what it needs of there
// as a function, as most of that is set later.

/**
 * What a suspension puts aside.
 * @typedef {object} Stacks
 * @property {new () => { restore: () => void }} StackState
 * @property {{ value: unknown }} suspenderGlobal
 * @property {{ value: boolean }} validSuspender
 * @property {(thread: number) => number} _PyThreadState_Swap
 * @property {(interpreter: number) => number} _PyThreadState_New
 * @property {() => number} _PyInterpreterState_Get
 */

/**
 * Makes the function that puts a stack aside, which is to be suspended, and gives what takes it up again. Whoever calls Python
 * meanwhile has a thread state of their own. (Pyodide's `saveState` imports modules for that, which fails in code that has
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
 * The same function, while which no stack says that it could be suspended: there is JavaScript above it.
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
 * The library of a package, which is compiled already (packages.js).
 * @param {Map<string, WebAssembly.Module> | undefined} libraries @param {string} name @param {{ loadAsync?: boolean }} flags
 */
export function compiled(libraries, name, { loadAsync }) {
  const library = libraries?.get(name);
  return library && loadAsync ? Promise.resolve(library) : library;
}
