// The messages between a page and its frame, and what each must look like: docs/page.md has them as a table.
//
// **Boundary.** Each side checks incoming messages here, once, before anything is done with them. A port proves nothing: a
// message may come from anyone who got hold of its other end.

/** Longest text of an error, of a line, of a name, in characters; the core's own limits are tighter. */
const MAX_TEXT = 32 * 1024 * 1024;

/** Longest address, in characters. */
const MAX_ADDRESS = 4096;

/** Largest file that the frame may ask for, in bytes, and the longest time that it may take, in milliseconds. */
const MAX_FILE = 64 * 1024 * 1024;
const MAX_FETCH_TIME = 120_000;

/** Most wheels of a snapshot, and its largest size in bytes. */
const MAX_WHEELS = 256;
const MAX_SNAPSHOT = 512 * 1024 * 1024;

/** The longest question to a person, and the longest answer, in characters. */
const MAX_PROMPT = 16 * 1024;
export const MAX_ANSWER = 32 * 1024;

/** @typedef {{ accept?: string, maxBytes: number, milliseconds: number }} FetchLimits */
/** @typedef {{ message: string, name?: string, status?: number }} PlainError */
/**
 * @typedef {{ type: 'result', id: number, value?: any }
 *   | { type: 'error', id: number, message: string }
 *   | { type: 'event', id: number, event: { output?: import('./index.js').OutputLine, progress?: import('./index.js').Progress } }
 *   | { type: 'ask', id: number, method: 'fetch', args: [string, FetchLimits] }
 *   | { type: 'ask', id: number, method: 'findSnapshot', args: [string] }
 *   | { type: 'ask', id: number, method: 'keepSnapshot', args: [string, Blob] }
 *   | { type: 'ask', id: number, method: 'input', args: [string] }
 *   | { type: 'cancel', id: number }
 *   | { type: 'pong' }} FromFrame
 */
/**
 * @typedef {{ type: 'call', id: number, method: string, args: any[] }
 *   | { type: 'connect', port: MessagePort }
 *   | { type: 'answer', id: number, value?: any, error?: PlainError }
 *   | { type: 'ping' }} FromPage
 */

/** @param {any} data @returns {FromFrame | null} `null`: it is none */
export function fromFrame(data) {
  if (!isObject(data)) return null;
  const { type, id, event, message, method, args } = data;
  if (type === 'pong') return data;
  if (!isId(id)) return null;
  if (type === 'result' || type === 'cancel') return data;
  if (type === 'error') return isText(message) ? data : null;
  if (type === 'event') return isEvent(event) ? data : null;
  return type === 'ask' && isAsk(method, args) ? data : null;
}

/** @param {any} data @returns {FromPage | null} `null`: it is none */
export function fromPage(data) {
  if (!isObject(data)) return null;
  const { type, id, method, args, port, error } = data;
  if (type === 'ping') return data;
  if (type === 'connect') return port instanceof MessagePort ? data : null;
  if (!isId(id)) return null;
  if (type === 'call') return isText(method, 100) && Array.isArray(args) ? data : null;
  if (type !== 'answer') return null;
  return error === undefined || (isObject(error) && isText(error.message)) ? data : null;
}

/** @param {any} event */
function isEvent(event) {
  if (!isObject(event)) return false;
  const { output, progress } = event;
  if (isObject(output)) return (output.stream === 'stdout' || output.stream === 'stderr') && isText(output.text);
  return isObject(progress) && isText(progress.message) && isNumber(progress.loaded) && isNumber(progress.total);
}

/** @param {any} method @param {any} args */
function isAsk(method, args) {
  if (!Array.isArray(args)) return false;
  const [first, second] = args;
  switch (method) {
    case 'fetch':
      return (
        isText(first, MAX_ADDRESS) &&
        isObject(second) &&
        (second.accept === undefined || isText(second.accept, MAX_ADDRESS)) &&
        isNumber(second.maxBytes, MAX_FILE) &&
        isNumber(second.milliseconds, MAX_FETCH_TIME)
      );
    case 'input':
      return isText(first, MAX_PROMPT);
    case 'findSnapshot':
      return isKey(first);
    case 'keepSnapshot':
      return isKey(first) && second instanceof Blob && second.size <= MAX_SNAPSHOT;
    default:
      return false;
  }
}

/** The sha256 of each wheel, in hexadecimal digits. @param {any} key */
function isKey(key) {
  return isText(key, MAX_WHEELS * 65) && /^[0-9a-f]{64}( [0-9a-f]{64})*$/.test(key);
}

/** @param {any} value */
function isObject(value) {
  return typeof value === 'object' && value !== null;
}

/** @param {any} value @param {number} [longest] */
function isText(value, longest = MAX_TEXT) {
  return typeof value === 'string' && value.length <= longest;
}

/** @param {any} value @param {number} [largest] */
function isNumber(value, largest = Number.MAX_SAFE_INTEGER) {
  return typeof value === 'number' && value >= 0 && value <= largest;
}

/** @param {any} value */
function isId(value) {
  return Number.isSafeInteger(value) && value >= 0;
}
