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
    why: 'malloc fails once the memory has its limit, and CPython raises MemoryError.',
    find: 'var getHeapMax=()=>4294901760;',
    replace: 'var getHeapMax=()=>Module.memoryLimit??4294901760;',
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
      'Module["canSuspend"]=()=>validSuspender.value;Module["newDSO"]=newDSO',
  },
  {
    why:
      'An exception that leaves Python for JavaScript is formatted by Python code, with JavaScript above it: Pyodide ' +
      'says already that it could be suspended.',
    find: '_pythonexc2js=Module["_pythonexc2js"]=wasmExports["pythonexc2js"];',
    replace:
      '_pythonexc2js=Module["_pythonexc2js"]=()=>{const valid=validSuspender.value;validSuspender.value=false;' +
      'try{return wasmExports["pythonexc2js"]()}finally{validSuspender.value=valid}};',
  },
  {
    why: 'The libraries of packages are compiled already: no bytes of theirs are read, nor compiled (packages.js).',
    find: 'function loadLibData(){',
    replace:
      'function loadLibData(){const prepared=Module.libraries?.get(libName);' +
      'if(prepared)return flags.loadAsync?Promise.resolve(prepared):prepared;',
  },
  {
    why: 'What libraries a snapshot has is recorded, and repeated when it is restored (libraries.js): where each lies,',
    find:
      'var memoryBase=metadata.memorySize?alignMemory(getMemory(metadata.memorySize+memAlign),memAlign):0;' +
      'var tableBase=metadata.tableSize?wasmTable.length:0;',
    replace:
      'var place=Module.placeLibrary(libName);var tableBase=metadata.tableSize?wasmTable.length:0;' +
      'var memoryBase=place?place(tableBase):' +
      'metadata.memorySize?alignMemory(getMemory(metadata.memorySize+memAlign),memAlign):0;' +
      'if(!place)Module.noteLibrary({load:libName,memoryBase,tableBase});',
  },
  {
    why: 'what it relocated,',
    find: 'if(applyRelocs){if(runtimeInitialized){applyRelocs()}',
    replace: 'if(applyRelocs&&!place){if(runtimeInitialized){applyRelocs()}',
  },
  {
    why: 'and constructed, is in the memory of the snapshot,',
    find: 'var init=moduleExports["__wasm_call_ctors"];if(init){',
    replace: 'var init=moduleExports["__wasm_call_ctors"];if(init&&!place){',
  },
  {
    why: 'what was looked up in it has its place in the table,',
    find: 'result=addFunction(result,result.sig);HEAPU32[symbolIndex>>>2>>>0]=newSymIndex',
    replace:
      'result=addFunction(result,result.sig);Module.noteLibrary({symbol,handle,slot:result});' +
      'HEAPU32[symbolIndex>>>2>>>0]=newSymIndex',
  },
  {
    why: 'and how it was opened.',
    find: 'var combinedFlags={global,nodelete:Boolean(flags&4096),loadAsync:jsflags.loadAsync};',
    replace:
      'var combinedFlags={global,nodelete:Boolean(flags&4096),loadAsync:jsflags.loadAsync};' +
      'Module.noteLibrary({open:filename,handle,global,nodelete:combinedFlags.nodelete});',
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
