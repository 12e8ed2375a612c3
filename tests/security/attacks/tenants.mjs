// Goal: reach another tenant. `MARK` leaves traces everywhere that it can; `LOOK`, run as another principal, returns the traces
// that it finds, and has to find none.

export const MARK = `
import builtins, js, json, os, sys, random
from pyodide.ffi import create_proxy, to_js
done = []
def attempt(name, mark):
    try:
        mark()
        done.append(name)
    except BaseException as error:
        done.append(f"{name}: {type(error).__name__}")
builtins.tenant = json.tenant = 1
sys.modules["stolen"] = json
json.detect_encoding = lambda *args: "forged"
print_ = print
builtins.print = lambda *args, **kwargs: print_("forged")
for folder in ("/tmp", "/home/pyodide", "/lib/python3.14/site-packages", "/"):
    attempt(folder, lambda: open(f"{folder}/tenant.py", "w").write("x = 1"))
attempt("environment", lambda: os.environ.__setitem__("TENANT", "1"))
attempt("recursion", lambda: sys.setrecursionlimit(77))
js.tenant = 1
js.Object.prototype.tenant = 1
js.Array.prototype.tenant = 1
js.Error.tenant = 1
js.Promise.tenant = 1
js.Response.prototype.tenant = 1
js.WebAssembly.Module.tenant = 1
js.navigator.tenant = 1
js.crypto.tenant = 1
attempt("cache", lambda: js.caches.default.put("http://cache/tenant", js.Response.new("1")))
attempt("caches", lambda: js.caches.open("tenant"))
attempt("channel", lambda: js.BroadcastChannel.new("tenant").postMessage("1"))
attempt("storage", lambda: js.localStorage.setItem("tenant", "1"))
attempt("lock", lambda: js.navigator.locks.request("tenant", create_proxy(lambda lock: js.Promise.new(create_proxy(lambda *a: None)))))
attempt("memory", lambda: js.pyodide_mark)
import pyodide_js
pyodide_js.tenant = 1
pyodide_js._module.tenant = 1
done`;

export const LOOK = `
import builtins, js, json, os, sys
from pyodide.ffi import create_proxy
found = []
def look(name, there):
    try:
        if there():
            found.append(name)
    except BaseException as error:
        pass
look("builtins", lambda: hasattr(builtins, "tenant"))
look("json", lambda: hasattr(json, "tenant"))
look("json.detect_encoding", lambda: json.detect_encoding.__name__ == "<lambda>")
look("modules", lambda: "stolen" in sys.modules)
look("print", lambda: type(print).__name__ == "function")
for folder in ("/tmp", "/home/pyodide", "/lib/python3.14/site-packages", "/"):
    look(folder, lambda: os.path.exists(f"{folder}/tenant.py"))
look("environment", lambda: "TENANT" in os.environ)
look("recursion", lambda: sys.getrecursionlimit() == 77)
look("global", lambda: hasattr(js, "tenant"))
for name in ("Object", "Array", "Response"):
    look(name, lambda: js.Reflect.has(js.Reflect.get(js.globalThis, name).prototype, "tenant"))
for name in ("Error", "Promise", "navigator", "crypto"):
    look(name, lambda: js.Reflect.has(js.Reflect.get(js.globalThis, name), "tenant"))
look("WebAssembly", lambda: js.Reflect.has(js.WebAssembly.Module, "tenant"))
look("storage", lambda: js.localStorage.getItem("tenant") is not None)
try:
    if await js.caches.default.match("http://cache/tenant") is not None:
        found.append("cache")
except BaseException:
    pass
import pyodide_js
look("pyodide", lambda: js.Reflect.has(pyodide_js, "tenant") or js.Reflect.has(pyodide_js._module, "tenant"))
found`;

/** Variants of another's session id that an attacker may try. @param {string} id @returns {string[]} */
export function guesses(id) {
  const other = (/** @type {string} */ digit) => (digit === '0' ? '1' : '0');
  return [
    other(id[0]) + id.slice(1),
    id.slice(0, -1) + other(id.at(-1) ?? ''),
    id.slice(0, -1),
    `${id}0`,
    '0'.repeat(64),
    'f'.repeat(64),
    `../${id}`,
    `${id}/../../x`,
    `${id}\u0000`,
    ` ${id}`,
    'all',
    'of ',
    'new ',
    '__proto__',
    'constructor',
  ];
}
