// Patches that only make a start quicker. They belong with the build steps for the same purpose (link.rs, shake.mjs), and
// `build.mjs --plain` leaves out both.

/** In `pyodide.mjs`. @type {import('./patch.js').Patch[]} */
export const loaderStartup = [
  {
    why: 'The file system keeps the bytes of the standard library that it is given, and no copy.',
    find: '.zip`,r)',
    replace: '.zip`,r,{canOwn:true})',
  },
  {
    why: 'A worker without modules is as good here; and what tells it throws an error, for whose line V8 parses all of this again.',
    find: 'function ae(){try{return globalThis.importScripts("data:text/javascript,"),!0}catch{return!1}}',
    replace: 'function ae(){return!1}',
  },
];

/** In `pyodide.asm.mjs`, after those that are required. @type {import('./patch.js').Patch[]} */
export const startup = [
  {
    why: 'This file system is left out (shake.mjs).',
    find: 'IDBFS.quit();',
    replace: '',
  },
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
    find: '(),u}})()}var StackSwitching=',
    replace: '(),u}})()});var StackSwitching=',
  },
  // Emscripten links each of 8556 exports at each start, and hardly any is needed.
  {
    why: 'The main module has placed its exports in the table itself (xtask/src/link.rs). They are left where they are:',
    find: 'wasmExports=instance.exports;var origExports=wasmExports;mergeLibSymbols(wasmExports,"main");var metadata=',
    replace: 'wasmExports=instance.exports;mainSymbols.begin(wasmExports);var metadata=',
  },
  {
    why: 'a GOT entry has the address of one once somebody asks for it,',
    find: 'var GOT={};',
    replace:
      'var GOT={};var mainSymbols=new Module.hooks.MainExports(' +
      '()=>({GOT,wasmImports,wasmTable,addFunction,isInternalSym}),' +
      '()=>{const symbols=Module.symbols;Module.symbols="";return symbols});',
  },
  {
    why: 'be it a library that needs it,',
    find: 'get(weakImports,symName){var rtn=GOT[symName];',
    replace: 'get(weakImports,symName){var rtn=mainSymbols.entry(symName);',
  },
  {
    why: 'or one that defines it as well,',
    find: 'var existingEntry=GOT[symName]&&GOT[symName].value!=-1;',
    replace: 'var existingEntry=mainSymbols.entry(symName)&&GOT[symName].value!=-1;',
  },
  {
    why: 'and only the entries of the main module itself have theirs at the start;',
    find: 'assignWasmExports(wasmExports);updateGOT(origExports);',
    replace: 'assignWasmExports(wasmExports);mainSymbols.link();',
  },
  {
    why: 'they are among the symbols that are looked up by name here, without a list of them all',
    find: 'newSymIndex=Object.keys(lib.exports).indexOf(symbol);if(newSymIndex==-1||',
    replace: 'if(!Module.hooks.defines(lib.exports,symbol)||',
  },
  {
    why: 'and by number here,',
    find: 'var symName=Object.keys(symDict)[symbolIndex];',
    replace: 'var symName=Module.hooks.namesOf(symDict)[symbolIndex];',
  },
  {
    why: 'though only inherited by what has them,',
    find: 'HEAPU32[symbolIndex>>>2>>>0]=newSymIndex',
    replace: 'HEAPU32[symbolIndex>>>2>>>0]=Module.hooks.namesOf(lib.exports).indexOf(symbol)',
  },
  {
    why: 'and those that JavaScript calls with other signatures are not copied for it.',
    find: 'wasmExports=Object.assign({},wasmExports);',
    replace: 'wasmExports=Module.hooks.over(wasmExports);',
  },
  {
    why: 'Nearly all of them are hidden (xtask/src/link.rs), and exports again once the first library is loaded,',
    find: 'var loadWebAssemblyModule=(binary,flags,libName,localScope,handle)=>{',
    replace: 'var loadWebAssemblyModule=(binary,flags,libName,localScope,handle)=>{mainSymbols.show();',
  },
  {
    why: 'or a symbol is looked up.',
    find: 'var result;var newSymIndex;',
    replace: 'mainSymbols.show();var result;',
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
      'return Module.hooks.placed(trampolineInstance.exports.trampoline_call,' +
      '{take:getEmptyTableSlot,set:setWasmTableEntry,known:functionsInTableMap})}',
  },
];
