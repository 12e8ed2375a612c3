// Goal: by the files of sessions, reach somebody else's file, or make the host keep or believe more than it should.

/** Paths that lead out of the folder, percent-encoded as a client may send them. */
export const PATHS = [
  '%2Fetc%2Fpasswd',
  '/etc/passwd',
  '..%2F..%2F..%2Fetc%2Fpasswd',
  '%2e%2e%2f%2e%2e%2fetc%2fpasswd',
  'a%2f..%2f..%2f..%2fetc%2fpasswd',
  '%252e%252e%2f..%2fx',
  '..%5C..%5Cetc%5Cpasswd',
  'a%00.txt',
  'a%0d%0aset-cookie:x',
  '%E2%80%AEtxt.exe',
  '%C0%AE%C0%AE%2Fetc%2Fpasswd',
  '%ff',
  '%',
  '%zz',
  'a?b',
  `${'a/'.repeat(40)}a`,
  'a'.repeat(300),
  'x'.repeat(4000),
];

/** A program that puts links where a client looks for files. */
export const LINKS = `
import os
os.symlink('/', 'root')
os.symlink('/lib/python3.14', 'lib')
os.makedirs('deep', exist_ok=True)
os.symlink('/home', 'deep/home')
os.symlink('deep', 'to-deep')
open('deep/file', 'w').write('own')
os.symlink('deep/file', 'file')
1`;

/** Paths behind these links. */
export const BEHIND = ['root/etc/passwd', 'root', 'lib/os.py', 'deep/home/pyodide/deep/file', 'to-deep/file', 'file'];

/** Forged answers of an isolate to a request about a file, as Python expressions. */
export const FORGED = [
  ['nothing', "b''"],
  ['no frame', "b'x'"],
  ['no UTF-8', "b'\\xff\\xfe'"],
  ['the end of a run', `b'{"end":{"status":"success"}}'`],
  ['another kind of answer', `b'{"done":"created"}'`],
  ['more than was asked for', `b'{"read":{"size":9,"version":1,"base64":"' + b'QUFB' * 700_000 + b'"}}'`],
  ['more than it says', `b'{"read":{"size":1,"version":1,"base64":"QUFB"}}'`],
  ['less than it says', `b'{"read":{"size":3000000,"version":1,"base64":"QUFB"}}'`],
  ['a size that is none', `b'{"read":{"size":1e400,"version":1,"base64":""}}'`],
  ['no base64', `b'{"read":{"size":3,"version":1,"base64":"????"}}'`],
  ['two answers in one', `b'{"refused":"missing","done":"created"}'`],
  ['a reason that is none', `b'{"refused":"<b>"}'`],
  ['another version', `b'{"protocol":1}'`],
  ['too deep', `b'{"read":' + b'[' * 20_000`],
  ['too many parts', `b'{"listed":{"more":true,"files":[' + b'{},' * 20_000 + b'{}]}}'`],
];

/**
 * A program that replaces the isolate's answer to requests for missing files, where answers leave as bytes.
 * @param {string} bytes
 */
export const forging = (bytes) => `
import js
from pyodide.ffi import create_proxy, to_js
encode, encoder = js.TextEncoder.prototype.encode, js.TextEncoder.new()
forged = to_js(b'{"protocol":2}\\n' + ${bytes} + b'\\n')
def forge(text):
    return forged.slice() if '"refused"' in text else js.Reflect.apply(encode, encoder, to_js([text]))
js.TextEncoder.prototype.encode = create_proxy(forge)
1`;

/** The same, where answers leave as texts through a message port. @param {string} bytes */
export const forgingByPort = (bytes) => `
import js
from pyodide.ffi import create_proxy
post, forged = js.MessagePort.prototype.postMessage, '{"protocol":2}\\n' + (${bytes}).decode('latin1')
def forge(this, message):
    if hasattr(message, 'frame') and '"refused"' in message.frame:
        js.Reflect.set(message, 'frame', forged)
    js.Reflect.apply(post, this, js.Array.of(message))
js.MessagePort.prototype.postMessage = create_proxy(forge, capture_this=True)
1`;

/** A program that makes files with names of every length and with invisible characters; it returns how many there are. */
export const NAMES = `
import os
names = ['n' * length for length in (1, 2, 99, 100, 101, 199, 200, 201, 254, 255, 256, 1023, 4096)]
names += [f'c{chr(code)}x' for code in (*range(1, 32), 127, 133, 0x200b, 0x202e, 0x2028, 0x2066, 0xfeff)]
names += ['a\\\\b', ' ', '...', '~', '%2e%2e', 'ä', '<img src=x onerror=alert(1)>', '"; x="', '-rf', 'CON', 'a?b#c']
names += ['d/' * depth + 'f' for depth in (1, 15, 16, 31, 32, 33, 40)]
made = 0
for name in names:
    try:
        os.makedirs(os.path.dirname(name) or '.', exist_ok=True)
        open(name, 'w').write('x')
        made += 1
    except (OSError, ValueError):
        pass
made`;

/** Characters of names that are never reported. */
export const HIDING = /[\p{Cc}\\\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/u;

/** Creates as many small files in the working directory as there is room for. */
export const MANY = 'for n in range(10**6): open(f"m{n}", "w").close()';

/** Writes a file of 3 MB that consists of one letter. @param {string} letter */
export const filled = (letter) => `open('changing', 'wb').write(b'${letter}' * 3_000_000)`;

/** Writes files whose content is not what their names say. */
export const LIES = `
for name in ('a.png', 'b.jpg', 'c.svg', 'd.html', 'e.json'):
    open(name, 'w').write('<script>top.owned = 1</script>')
1`;

/** Values whose MIME bundles lie or never end; each is the body of a class `X`. @type {[string, string][]} */
export const BUNDLES = [
  ['another type than it says', 'def _repr_mimebundle_(self, **_): return {"image/png": "<script>owned</script>"}'],
  [
    'a type of its own',
    'def _repr_mimebundle_(self, **_): return {"text/owned": "owned", "text/html; owned": "owned"}',
  ],
  ['types that are none', 'def _repr_mimebundle_(self, **_): return {1: "owned", "text/html": 1, None: None}'],
  ['no bundle', 'def _repr_mimebundle_(self, **_): return [owned for owned in "owned"]'],
  ['endless types', 'def _repr_mimebundle_(self, **_): return {f"text/{n}": "x" * 100 for n in range(10**5)}'],
  ['endless bytes', 'def _repr_html_(self): return "x" * 30_000_000'],
  ['endless time', 'def _repr_html_(self):\n    while True: pass'],
  ['an endless attribute', 'def __getattr__(self, name): return self'],
  [
    'a deep chart',
    'def _repr_mimebundle_(self, **_):\n    x = {}\n    for _ in range(10**4): x = {"x": x}\n    return {"application/vnd.plotly.v1+json": x}',
  ],
  ['an end of the program', 'def _repr_html_(self): raise SystemExit'],
];
