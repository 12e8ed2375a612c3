// The functions that patches in Pyodide's own JavaScript call. Every run tests that they serve their purpose.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compiled, suspender, unsuspended } from '../../runtime/js/hooks/required.js';
import { defines, MainExports, namesOf, over, placed } from '../../runtime/js/hooks/startup.js';
import { POLL_WASM } from '../../runtime/js/poll_wasm.js';

test('a stack that is put aside is taken up as it was', () => {
  /** @type {unknown[]} */
  const done = [];
  const stacks = {
    StackState: class {
      restore() {
        done.push('stack');
      }
    },
    suspenderGlobal: { value: /** @type {unknown} */ ('mine') },
    validSuspender: { value: true },
    _PyInterpreterState_Get: () => 1,
    _PyThreadState_New: (/** @type {number} */ interpreter) => done.push(`new of ${interpreter}`) && 99,
    _PyThreadState_Swap: (/** @type {number} */ thread) => done.push(`swap to ${thread}`) && 7,
  };
  const suspend = suspender(() => stacks);
  const resume = suspend();
  stacks.suspenderGlobal.value = 'of another';
  stacks.validSuspender.value = false;
  resume();
  assert.deepEqual(done, ['new of 1', 'swap to 99', 'stack', 'swap to 7']);
  assert.deepEqual([stacks.suspenderGlobal.value, stacks.validSuspender.value], ['mine', true]);
  suspend();
  assert.equal(done.filter((what) => what === 'new of 1').length, 1, 'one thread state is spare');
});

test('while JavaScript is above it, no stack says that it could be suspended', () => {
  const valid = { value: true };
  const seen = unsuspended(
    () => valid.value,
    () => valid,
  );
  assert.equal(seen(), false);
  assert.equal(valid.value, true);
  const fails = unsuspended(
    () => {
      throw new Error('x');
    },
    () => valid,
  );
  assert.throws(fails);
  assert.equal(valid.value, true);
});

test('libraries are those that are compiled already', async () => {
  const library = new WebAssembly.Module(Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0));
  const libraries = new Map([['a.so', library]]);
  assert.equal(compiled(libraries, 'a.so', {}), library);
  assert.equal(await compiled(libraries, 'a.so', { loadAsync: true }), library);
  assert.equal(compiled(libraries, 'b.so', { loadAsync: true }), undefined);
  assert.equal(compiled(undefined, 'a.so', {}), undefined);
});

test('exports get an entry once somebody asks, and hidden ones once they are shown', () => {
  // Two functions of WebAssembly: `POLL_WASM`, which exports one, is instantiated twice.
  const make = () => {
    const imports = { e: { poll: () => 1, turn: () => 0, back: () => 0 } };
    return /** @type {Function} */ (new WebAssembly.Instance(new WebAssembly.Module(POLL_WASM), imports).exports.poll);
  };
  const [shown, hidden] = [make(), make()];
  const wasmTable = new WebAssembly.Table({ element: 'anyfunc', initial: 8 });
  wasmTable.set(4, hidden);
  /** @type {import('../../runtime/js/hooks/startup.js').Linker} */
  const linker = {
    GOT: { known: new WebAssembly.Global({ value: 'i32', mutable: true }, -1) },
    wasmImports: { shown: { stub: true }, own: 1 },
    wasmTable,
    addFunction: (call) => (call === shown ? 3 : 0),
    isInternalSym: (name) => name.startsWith('__'),
  };
  let symbols = JSON.stringify({ functions: { hidden: 4 }, data: { place: 1234 } });
  const main = new MainExports(
    () => linker,
    () => {
      const taken = symbols;
      symbols = '';
      return taken;
    },
  );
  const address = new WebAssembly.Global({ value: 'i32' }, 77);
  main.begin({ shown, known: address, __internal: shown });
  main.link();
  assert.equal(linker.GOT.known?.value, 77);
  assert.equal(linker.wasmImports.shown, shown, 'a stub is replaced');
  assert.equal(main.entry('shown')?.value, 3);
  assert.equal(main.entry('shown'), linker.GOT.shown);
  for (const name of ['hidden', 'place', '__internal', 'nothing']) assert.equal(main.entry(name), undefined, name);
  main.show();
  main.show();
  assert.deepEqual([main.entry('hidden')?.value, main.entry('place')?.value], [4, 1234]);
  assert.equal(linker.wasmImports.hidden, hidden, 'imports inherit what is exported');
});

test('names are found whether they are inherited or not', () => {
  const symbols = Object.assign(Object.create({ inherited: 1 }), { own: 2 });
  assert.deepEqual(namesOf(symbols), ['own', 'inherited']);
  assert.ok(defines(symbols, 'own') && defines(symbols, 'inherited'));
  assert.ok(!defines(symbols, 'toString') && !defines(/** @type {any} */ (undefined), 'own'));
  const above = over(symbols);
  above.own = 3;
  assert.deepEqual([above.own, above.inherited, symbols.own], [3, 1, 2]);
});

test('a new function has a place of its own', () => {
  const known = new WeakMap();
  const places = new Map();
  const call = () => 1;
  const set = (/** @type {number} */ place, /** @type {Function} */ set) => places.set(place, set);
  assert.equal(placed(call, { take: () => 5, set, known }), 5);
  assert.deepEqual([places.get(5), known.get(call)], [call, 5]);
  assert.equal(placed(call, { take: () => 6, set }), 6);
});
