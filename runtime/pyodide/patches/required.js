// Patches that a sandbox needs: without them, Pyodide would not yield, would have no limits, and would keep no native libraries
// in snapshots.

/** In `pyodide.asm.mjs`. @type {import('./patch.js').Patch[]} */
export const required = [
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
    why: 'A poll that suspends keeps the C stack, and gives whoever calls Python meanwhile a thread state of their own.',
    find: 'Module["newDSO"]=newDSO',
    replace:
      'Module["suspend"]=Module.hooks.suspender(()=>({StackState,suspenderGlobal,validSuspender,' +
      '_PyThreadState_Swap,_PyThreadState_New,_PyInterpreterState_Get}));' +
      'Module["canSuspend"]=()=>validSuspender.value;Module["newDSO"]=newDSO',
  },
  {
    why:
      'While a stack waits in run_sync or time.sleep, nothing that JavaScript calls can suspend: Pyodide says it could, ' +
      'until the stack goes on. And a wait ends with the time of its run, whoever has its promise.',
    find: 'async function inner(x,y){try{return await(x??y)}',
    replace: 'async function inner(x,y){validSuspender.value=false;try{return await Module.waitFor(x??y)}',
  },
  {
    why:
      'An exception that leaves Python for JavaScript is formatted by Python code, with JavaScript above it: Pyodide ' +
      'says already that it could be suspended.',
    find: '_pythonexc2js=Module["_pythonexc2js"]=wasmExports["pythonexc2js"];',
    replace:
      '_pythonexc2js=Module["_pythonexc2js"]=' +
      'Module.hooks.unsuspended(wasmExports["pythonexc2js"],()=>validSuspender);',
  },
  {
    why: 'A file may be called `__proto__`, and is one like others: in a plain object it would be no key.',
    find: 'node.stream_ops=MEMFS.ops_table.dir.stream;node.contents={}',
    replace: 'node.stream_ops=MEMFS.ops_table.dir.stream;node.contents={__proto__:null}',
  },
  {
    why: 'The libraries of packages are compiled already: no bytes of theirs are read, nor compiled (packages.js).',
    find: 'function loadLibData(){',
    replace:
      'function loadLibData(){const compiled=Module.hooks.compiled(Module.libraries,libName,flags);' +
      'if(compiled)return compiled;',
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
    find: 'result=addFunction(result,result.sig);HEAPU32',
    replace: 'result=addFunction(result,result.sig);Module.noteLibrary({symbol,handle,slot:result});HEAPU32',
  },
  {
    why: 'and how it was opened.',
    find: 'var combinedFlags={global,nodelete:Boolean(flags&4096),loadAsync:jsflags.loadAsync};',
    replace:
      'var combinedFlags={global,nodelete:Boolean(flags&4096),loadAsync:jsflags.loadAsync};' +
      'Module.noteLibrary({open:filename,handle,global,nodelete:combinedFlags.nodelete});',
  },
];
