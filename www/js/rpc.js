// JSON-RPC as clients of a page send it: objects that were cloned, or JSON.

/** The most characters of a message, and how deep it may nest: `MAX_BODY` and `MAX_REQUEST_DEPTH` of src/limits.rs. */
const MAX_MESSAGE = 8 * 1024 * 1024;
const MAX_DEPTH = 128;

/**
 * A message as JSON: clients send either that, or the object.
 *
 * **Boundary.** A client may send anything that can be cloned: what JSON cannot carry throws here, and gets an error as its
 * answer; the content is decoded, and bounded, in the frame.
 * @param {unknown} data
 * @returns {string}
 */
export function text(data) {
  const json = typeof data === 'string' ? data : JSON.stringify(data);
  if (json === undefined) throw new TypeError('it is no message');
  if (json.length > MAX_MESSAGE) throw new RangeError(`it has more than ${MAX_MESSAGE} characters`);
  if (depth(json) > MAX_DEPTH) throw new RangeError(`it nests deeper than ${MAX_DEPTH}`);
  return json;
}

/** How deep a text of JSON nests. @param {string} json */
function depth(json) {
  let [now, most, inString] = [0, 0, false];
  for (let at = 0; at < json.length; at += 1) {
    const character = json[at];
    if (inString && character === '\\') at += 1;
    else if (character === '"') inString = !inString;
    else if (!inString && (character === '[' || character === '{')) most = Math.max(most, ++now);
    else if (!inString && (character === ']' || character === '}')) now -= 1;
  }
  return most;
}

/**
 * The answer to a message that is no JSON (JSON-RPC 2.0, section 5.1).
 * @param {unknown} error @param {string | number | null} [id] of the message, where it is known
 */
export function parseError(error, id = null) {
  const message = `Parse error: ${error instanceof Error ? error.message : 'it is no message'}`;
  return { jsonrpc: '2.0', id, error: { code: -32700, message } };
}

/** The answer to a call that nobody will answer otherwise. @param {string | number} id @param {string} message */
export function refusal(id, message) {
  return { jsonrpc: '2.0', id, error: { code: -32000, message } };
}

/** Whether a message is JSON-RPC: windows get many that are not for them. @param {any} data */
export function isRpc(data) {
  return typeof data === 'object' && data !== null && data.jsonrpc === '2.0';
}

/** The id of a call; `undefined` if it wants no answer. @param {any} message @returns {string | number | undefined} */
export function idOfCall({ id, method }) {
  return typeof method === 'string' && (typeof id === 'string' || typeof id === 'number') ? id : undefined;
}
