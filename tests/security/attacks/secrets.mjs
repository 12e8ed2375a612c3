// Goal: read what a program must not see: settings, bindings, headers of requests, paths of the machine. The harness
// plants secrets (each contains `{canary}`) in the settings and in the headers of the request that runs the program.

/** @typedef {import('./network.mjs').Attack} Attack */

/** Walks over everything that JavaScript can reach from some roots, and returns where a string has a secret in it. */
const WALK = `
import js
from pyodide.ffi import JsProxy
def walk(roots, most=4_000):
    seen, found, queue, count = js.Set.new(), [], list(roots), 0
    while queue and count < most:
        count += 1
        here, path = queue.pop(0)
        if seen.has(here):
            continue
        seen.add(here)
        for of in (here, js.Object.getPrototypeOf(js.Object(here))):
            if of is None:
                continue
            try:
                keys = js.Reflect.ownKeys(of)
            except BaseException:  # a symbol, a number
                continue
            for key in keys:
                try:
                    value = js.Reflect.get(of, key, here)
                except BaseException as error:
                    value = str(error)
                name = path + "." + str(key)
                if isinstance(value, str):
                    if mark in value or mark in str(key):
                        found.append(name)
                elif isinstance(value, JsProxy) and len(path) < 200:
                    queue.append((value, name))
    return count, found
mark = "{mark}"[::-1]
`;

/** The result of a search that found nothing, or did not finish. */
const NOTHING = /"return_value":(\[\d+,\[\]\]|0)|TimeoutError|ended the interpreter/;

/** @type {[string, string, RegExp?][]} */
const WAYS = [
  ['everything that globalThis leads to', `${WALK}\nwalk([(js.globalThis, "globalThis")])`, NOTHING],
  [
    'everything that Pyodide leads to',
    `${WALK}\nimport pyodide_js\nwalk([(pyodide_js, "pyodide"), (pyodide_js._api, "api"), (pyodide_js._module.FS, "FS")])`,
    NOTHING,
  ],
  [
    'all objects of Python',
    'import gc, sys\nmark = "{mark}"[::-1]\n[len(gc.get_objects()), [type(o).__name__ for o in gc.get_objects() if isinstance(o, dict) and any(isinstance(v, str) and mark in v for k, v in list(o.items()) if k != "mark" and not str(v).startswith("\\nimport"))][:5]]',
    NOTHING,
  ],
  ['the environment', 'import os\n[dict(os.environ), os.getcwd(), os.listdir("/")]'],
  [
    'the environment of JavaScript',
    'import js\n[str(js.process.env), str(js.process.argv), str(js.process.cwd())] if hasattr(js, "process") else "no process"',
  ],
  [
    'the bindings',
    'import js\n[str(js.Reflect.get(js.globalThis, name)) for name in ("env", "LOADER", "SESSIONS", "QUOTAS", "ASSETS", "ctx", "exports")]',
  ],
  [
    'the modules of the platform',
    'import js\n[str(js.process.getBuiltinModule(name)) for name in ("cloudflare:workers", "node:fs", "node:process", "cloudflare:sockets")] if hasattr(js, "process") else "no process"',
  ],
  [
    'files of the machine',
    'import os\n[os.path.exists(p) for p in ("/etc/passwd", "/root", "/proc/self/environ", "/work", "/Users", "/home/user")]',
  ],
  ['a stack trace of JavaScript', 'import js\njs.Error.new("x").stack'],
  [
    'a stack trace of an error deep below',
    'import js\njs.Reflect.construct(js.Reflect.get(js.globalThis, "URL"), js.Array.of(":"))',
  ],
  [
    'a stack trace by the engine',
    'import js\njs.Error.stackTraceLimit = 1000\ntry:\n    js.Reflect.apply(js.Reflect.get(js.Object.getPrototypeOf(js.globalThis), "fetch"), js.globalThis, js.Array.of("http://x/"))\nexcept Exception as e: pass\nimport asyncio\nstr(js.Error.new("x").stack)',
  ],
  ['memory below the heap', 'import ctypes\nbytes(ctypes.string_at(0, 4096)).count(b"{mark}"[::-1])', NOTHING],
];

/** @type {Attack[]} */
export const attacks = WAYS.map(([name, code, must]) => ({
  name,
  code,
  must,
  never: /node_modules|\/root|\/work\/|\/Users|\.cargo/,
}));

/** Marks that a search must find: the search's index, the code that plants the mark, and the result. @type {[number, string, RegExp][]} */
const PLANTS = [
  [0, 'js.planted = "{mark}"[::-1]', /"globalThis\.planted"/],
  [2, 'planted = {"planted": "{mark}"[::-1]}', /\["dict"/],
];

/** The same searches, with something to find. */
export const PLANTED = PLANTS.map(([way, plant, found]) => {
  const [name, code] = WAYS[way];
  return { name, code: `import js\n${plant}\n${code}`, found };
});

/**
 * For sessions only: the first program hooks a property that the isolate's own code reads when a run arrives; the second
 * returns what the hook saw at its own start.
 * @param {string} owner the class of the object in which a run arrives @param {string} property of it, that is read
 * @param {string} seen a Python expression for what to record of `this` and the property's `value`
 */
export const hooks = (owner, property, seen) => ({
  set: `
import builtins, js
from pyodide.ffi import create_proxy, to_js
builtins.seen = []
prototype = owner = js.${owner}.prototype
while not (real := js.Object.getOwnPropertyDescriptor(owner, "${property}")):
    owner = js.Object.getPrototypeOf(owner)
def hooked(this):
    value = js.Reflect.apply(real.get, this, js.Array.new())
    builtins.seen.append(${seen})
    return value
hook = {"get": create_proxy(hooked, capture_this=True), "configurable": True}
js.Reflect.defineProperty(prototype, "${property}", to_js(hook, dict_converter=js.Object.fromEntries))
"set"`,
  look: 'import builtins\nbuiltins.seen',
});
