// Turns of the event loop for a run that never returns to it.
//
// A busy run is suspended (JSPI) every few milliseconds, so that its output leaves, a stop reaches it and others
// are served. To Python such a turn must be invisible: while it lasts, no timer may call into Python, or another
// asyncio task would run in the middle of a statement, and another suspended stack could take the interpreter's
// state with it. So timers that come due during a turn wait for its end.

const realSetTimeout = globalThis.setTimeout;
const realClearTimeout = globalThis.clearTimeout;
const RealMessageChannel = globalThis.MessageChannel;

/** Calls back after a turn of the event loop. @type {(then: () => void) => void} */
let next = (then) => void realSetTimeout(then, 0);

let turning = false;

/** Timers that were set through the global `setTimeout` and have not fired. @type {Map<number, Timer>} */
const timers = new Map();
let lastId = 0;

/** Callbacks that came due during a turn, in order: asyncio relies on it. @type {(() => void)[]} */
const held = [];

/** @typedef {{ callback: () => void, handle: any }} Timer */

/** @param {number} id */
function due(id) {
  if (turning || held.length) held.push(() => fire(id));
  else fire(id);
}

/** @param {number} id */
function fire(id) {
  const timer = timers.get(id);
  timers.delete(id);
  timer?.callback();
}

/** Fires what was held back, each in a task of its own. */
function release() {
  if (turning) return;
  const next = held.shift();
  if (held.length) releaseSoon();
  next?.();
}

/** Schedules `release` in a task of its own. @type {() => void} */
let releaseSoon = () => void realSetTimeout(release, 0);

Object.assign(globalThis, {
  /** @param {(...args: any[]) => void} callback @param {number} [delay] @param {any[]} args */
  setTimeout(callback, delay = 0, ...args) {
    const id = ++lastId;
    timers.set(id, { callback: () => callback(...args), handle: realSetTimeout(due, delay, id) });
    return id;
  },
  /** @param {number} id */
  clearTimeout(id) {
    realClearTimeout(timers.get(id)?.handle);
    timers.delete(id);
  },
});
// Pyodide prefers a MessageChannel for short delays; its messages could not be held back.
Object.defineProperty(globalThis, 'MessageChannel', { value: undefined });

/**
 * Lets the event loop turn once, with Python's timers held back until `endTurn`, and then calls `then`.
 * @param {() => void} then
 */
export function turn(then) {
  turning = true;
  next(then);
}

/** Makes turns, and what was held back, use messages: a browser delays a timer that was set by a timer by 4 ms. */
export function turnByMessages() {
  const { port1, port2 } = new RealMessageChannel();
  let callback = () => {};
  port1.onmessage = () => callback();
  next = (then) => {
    callback = then;
    port2.postMessage(0);
  };
  const releasing = new RealMessageChannel();
  releasing.port1.onmessage = release;
  releaseSoon = () => releasing.port2.postMessage(0);
}

/** Resolves at once, or when the current turn is over. @returns {Promise<void>} */
export function outsideOfTurns() {
  return turning || held.length ? new Promise((resolve) => held.push(resolve)) : Promise.resolve();
}

/** Ends a turn: Python runs again. */
export function endTurn() {
  turning = false;
  if (held.length) releaseSoon();
}

/** A timer that Python's code does not see and a turn does not hold back. */
export const hostTimer = {
  /** @param {() => void} callback @param {number} delay */
  set: (callback, delay) => realSetTimeout(callback, delay),
  /** @param {any} handle */
  clear: (handle) => realClearTimeout(handle),
};
