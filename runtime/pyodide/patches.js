// What is changed in Pyodide's own JavaScript (314.0.3), as text: each place must be found exactly once, or the build
// fails.

/** @typedef {{ why: string, find: string, replace: string }} Patch */

/** In `pyodide.mjs`. @type {Patch[]} */
export const loaderPatches = [
  {
    why: 'The file system keeps the bytes of the standard library that it is given, and no copy.',
    find: '.zip`,r)',
    replace: '.zip`,r,{canOwn:true})',
  },
];

/** In `pyodide.asm.mjs`. @type {Patch[]} */
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
      'HEAPU32[symbolIndex>>>2>>>0]=namesOf(lib.exports).indexOf(symbol)',
  },
  {
    why: 'and how it was opened.',
    find: 'var combinedFlags={global,nodelete:Boolean(flags&4096),loadAsync:jsflags.loadAsync};',
    replace:
      'var combinedFlags={global,nodelete:Boolean(flags&4096),loadAsync:jsflags.loadAsync};' +
      'Module.noteLibrary({open:filename,handle,global,nodelete:combinedFlags.nodelete});',
  },
  {
    why: 'This file system is left out (shake.mjs).',
    find: 'IDBFS.quit();',
    replace: '',
  },
  // What follows makes a start quick.
  {
    why: 'There is no folder of scripts; and an error that is thrown here has a line, for which V8 parses all of this again.',
    find: 'try{scriptDirectory=new URL(".",_scriptName).href}catch{}',
    replace: '',
  },
  {
    why: 'In brackets, as it is called at each start, it is parsed once,',
    find: 'function pyodide_js_init(){',
    replace: 'var pyodide_js_init=(function(){',
  },
  {
    why: 'up to here.',
    find: 'qr(),u}})()}',
    replace: 'qr(),u}})()});',
  },
  // Emscripten links each of 8556 exports at each start, and hardly any is asked for.
  {
    why: 'The main module has placed its exports in the table itself (link.mjs). They are left where they are:',
    find: 'wasmExports=instance.exports;var origExports=wasmExports;mergeLibSymbols(wasmExports,"main");var metadata=',
    replace: 'wasmExports=instance.exports;mainExports=Object.create(wasmExports);var metadata=',
  },
  {
    why: 'a GOT entry has the address of one once somebody asks for it,',
    find: 'var GOT={};',
    replace:
      'var mainExports={};var ofMain=symName=>{if(isInternalSym(symName))return;var value=mainExports[symName];' +
      'return hidden[symName]??(typeof value=="function"?addFunction(value):value?.value)};' +
      'var entryOf=symName=>{if(GOT[symName])return GOT[symName];var value=ofMain(symName);' +
      'if(value!==undefined)return GOT[symName]=new WebAssembly.Global({value:"i32",mutable:true},value)};' +
      'var linkMain=()=>{for(var[name,own]of Object.entries(wasmImports))' +
      'if((!own||own.stub)&&name in mainExports)wasmImports[name]=mainExports[name];' +
      'wasmImports["main"]??=mainExports["__main_argc_argv"];Object.setPrototypeOf(wasmImports,mainExports);' +
      'for(var[name,entry]of Object.entries(GOT))if(entry.value==-1)entry.value=ofMain(name)??-1};var GOT={};',
  },
  {
    why: 'be it a library that needs it,',
    find: 'get(weakImports,symName){var rtn=GOT[symName];',
    replace: 'get(weakImports,symName){var rtn=entryOf(symName);',
  },
  {
    why: 'or one that defines it as well,',
    find: 'var existingEntry=GOT[symName]&&GOT[symName].value!=-1;',
    replace: 'var existingEntry=entryOf(symName)&&GOT[symName].value!=-1;',
  },
  {
    why: 'and only the entries of the main module itself have theirs at the start;',
    find: 'assignWasmExports(wasmExports);updateGOT(origExports);',
    replace: 'assignWasmExports(wasmExports);linkMain();',
  },
  {
    why: 'they are among the symbols that are looked up by name here, without a list of them all',
    find: 'newSymIndex=Object.keys(lib.exports).indexOf(symbol);if(newSymIndex==-1||',
    replace: 'if(!defines(lib.exports,symbol)||',
  },
  {
    why: 'and by number here,',
    find: 'var symName=Object.keys(symDict)[symbolIndex];',
    replace: 'var symName=namesOf(symDict)[symbolIndex];',
  },
  {
    why: 'though only inherited by what has them,',
    find: 'function __dlsym_js(',
    replace:
      'var namesOf=symbols=>{var names=[];for(var name in symbols)names.push(name);return names};' +
      'var defines=(symbols,name)=>{for(;symbols&&symbols!==Object.prototype;symbols=Object.getPrototypeOf(symbols))' +
      'if(Object.hasOwn(symbols,name))return true;return false};function __dlsym_js(',
  },
  {
    why: 'and those that JavaScript calls with other signatures are not copied for it.',
    find: 'wasmExports=Object.assign({},wasmExports);',
    replace: 'const all=wasmExports;wasmExports=new Proxy({__proto__:null},{get:(own,name)=>own[name]??all[name]});',
  },
  {
    why: 'Nearly all of them are hidden (link.mjs), and exports again once the first library is loaded,',
    find: 'var loadWebAssemblyModule=(binary,flags,libName,localScope,handle)=>{',
    replace:
      'var hidden={__proto__:null};var showSymbols=()=>{if(!Module.symbols)return;' +
      'var{functions,data}=JSON.parse(Module.symbols);Module.symbols="";Object.assign(hidden,functions,data);' +
      'for(var name in functions)mainExports[name]=wasmTable.get(functions[name]);' +
      'for(var name in data)mainExports[name]=new WebAssembly.Global({value:"i32"},data[name])};' +
      'var loadWebAssemblyModule=(binary,flags,libName,localScope,handle)=>{showSymbols();',
  },
  {
    why: 'or a symbol is looked up.',
    find: 'var result;var newSymIndex;',
    replace: 'showSymbols();var result;',
  },
  {
    why: 'There is nothing here that its 274 functions of WebGL could draw on: pointers to them are null.',
    find: 'if(entry.value==-1){var value=resolveGlobalSymbol(symName,true).sym;',
    replace:
      'if(entry.value==-1){var value=symName.startsWith("emscripten_gl")?null:resolveGlobalSymbol(symName,true).sym;' +
      'if(value===null){entry.value=0;continue}',
  },
  {
    why: 'Each library that is loaded walked the entries of all before it: a tenth of the time of `import sklearn`.',
    find: 'for(var[symName,entry]of Object.entries(GOT)){if(entry.value==-1){',
    replace: 'for(var symName of unresolved){var entry=GOT[symName];if(entry.value==-1){',
  },
  {
    why: 'Now only those that have no address yet,',
    find: 'rtn=GOT[symName]=new WebAssembly.Global({value:"i32",mutable:true},-1)}',
    replace: 'rtn=GOT[symName]=new WebAssembly.Global({value:"i32",mutable:true},-1);unresolved.add(symName)}',
  },
  {
    why: 'which are all known afterwards, or else fail each library that comes later.',
    find: '`)}}}};var loadDylibs=',
    replace: '`)}}}unresolved.clear()};var unresolved=new Set;var loadDylibs=',
  },
  {
    why: 'Functions of JavaScript (they have a signature) are in the table if they were added: it is not searched for them,',
    find: 'var getFunctionAddress=func=>{if(!functionsInTableMap)',
    replace:
      'var added=new WeakMap;var getFunctionAddress=func=>{if(func.sig)return added.get(func)||0;if(!functionsInTableMap)',
  },
  {
    why: 'as those that were added are noted.',
    find: 'functionsInTableMap.set(func,ret);return ret};',
    replace: '(func.sig?added:functionsInTableMap).set(func,ret);return ret};',
  },
  {
    why: 'There may be nothing to forget.',
    find: 'functionsInTableMap.delete(getWasmTableEntry(index));',
    replace: 'functionsInTableMap?.delete(getWasmTableEntry(index));',
  },
  {
    why: 'This function is of a new instance: it cannot be in the table, which is not searched for it.',
    find: 'return addFunction(trampolineInstance.exports.trampoline_call)}',
    replace:
      'const slot=getEmptyTableSlot();setWasmTableEntry(slot,trampolineInstance.exports.trampoline_call);' +
      'functionsInTableMap?.set(trampolineInstance.exports.trampoline_call,slot);return slot}',
  },
];

/** @param {string} source @param {Patch[]} changes @returns {string} */
export function patch(source, changes) {
  for (const { why, find, replace } of changes) {
    const found = source.split(find).length - 1;
    if (found !== 1)
      throw new Error(`Pyodide has changed: found ${found} times instead of once, the place for: ${why}`);
    source = source.replace(find, () => replace);
  }
  return source;
}
