// What is changed in Pyodide's `pyodide.asm.mjs` (314.0.3), as text: each place must be found exactly once, or the
// build fails.

/** @type {{ why: string, find: string, replace: string }[]} */
export const patches = [
  {
    why: 'CPython asks for signals here: pulse.js answers, and may suspend the whole run (JSPI) before it does.',
    find:
      'function _Py_CheckEmscriptenSignals_Helper(){if(!Module.Py_EmscriptenSignalBuffer){return 0}' +
      'try{let result=Module.Py_EmscriptenSignalBuffer[0];Module.Py_EmscriptenSignalBuffer[0]=0;return result}' +
      'catch(e){return 0}}',
    replace: 'var _Py_CheckEmscriptenSignals_Helper=Module.pollSignals;',
  },
  {
    why:
      'A poll that suspends keeps the C stack, and gives whoever calls Python meanwhile a thread state of their own. ' +
      "Pyodide's saveState imports modules for that, which fails in code that has restricted builtins.",
    find: 'Module["newDSO"]=newDSO',
    replace:
      'let spareThread;Module["suspend"]=()=>{const stack=new StackState,suspender=suspenderGlobal.value,' +
      'thread=_PyThreadState_Swap(spareThread??=_PyThreadState_New(_PyInterpreterState_Get()));' +
      'return()=>{stack.restore();_PyThreadState_Swap(thread);suspenderGlobal.value=suspender;validSuspender.value=true}};' +
      'Module["canSuspend"]=()=>validSuspender.value;Module["growMemory"]=growMemory;Module["newDSO"]=newDSO',
  },
];

/** @param {string} source @returns {string} */
export function patch(source) {
  for (const { why, find, replace } of patches) {
    const found = source.split(find).length - 1;
    if (found !== 1)
      throw new Error(`Pyodide has changed: found ${found} times instead of once, the place for: ${why}`);
    source = source.replace(find, () => replace);
  }
  return source;
}
