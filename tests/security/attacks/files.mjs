// Goal: reach a file that is not one's own, or make the host hold, or believe, more than it should, by the files of sessions.

/** Paths that lead somewhere else, as a client may send them, percent-encoded. */
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

/** Programs that put links where a client looks for files. */
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

/** Behind them. */
export const BEHIND = ['root/etc/passwd', 'root', 'lib/os.py', 'deep/home/pyodide/deep/file', 'to-deep/file', 'file'];

/** What an isolate says in place of its answer about a file: expressions of Python. */
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

/** A program that has the isolate say it, whoever asks for a file that is not there. @param {string} bytes */
export const forging = (bytes) => `
import js
from pyodide.ffi import create_proxy, to_js
encode, encoder = js.TextEncoder.prototype.encode, js.TextEncoder.new()
forged = to_js(b'{"protocol":2}\\n' + ${bytes} + b'\\n')
def forge(text):
    return forged.slice() if '"refused"' in text else js.Reflect.apply(encode, encoder, to_js([text]))
js.TextEncoder.prototype.encode = create_proxy(forge)
1`;
