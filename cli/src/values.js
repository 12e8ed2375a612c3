// Converts values between Python and JavaScript. A `number` holds integers only up to 2^53: larger ones are a `bigint`.
import { randomUUID } from 'node:crypto';

/** Digits of the longest `bigint`: the time to parse one grows with the square of its length. */
const MAX_DIGITS = 100_000;

/** The strings and numbers of a JSON text. */
const TOKENS = /"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*/g;

/** JSON as `JSON.stringify` writes it; a `bigint` is an integer. @param {unknown} value @returns {string} */
export function stringify(value) {
  // Random, so that nothing in the value looks like it.
  const mark = randomUUID();
  const text = JSON.stringify(value, function (key, given) {
    // `this[key]`: a program may have given BigInt a `toJSON`.
    const own = this[key];
    return typeof own === 'bigint' ? mark + own + mark : given;
  });
  return text.replaceAll(`"${mark}`, '').replaceAll(`${mark}"`, '');
}

/**
 * Parses a message whose returned value may have integers that no `number` holds. The rest of it has none.
 * @param {string} text
 * @param {boolean} exact whether every integer of the value is a `bigint`
 * @returns {any}
 */
export function parse(text, exact) {
  const mark = randomUUID();
  const marked = text.replace(TOKENS, (token) =>
    isBigint(token, exact) && (exact || token.length > 15) ? `"${mark}${token}"` : token,
  );
  const message = JSON.parse(marked);
  const structured = message.result?.structuredContent;
  const value = structured?.return_value;
  if (structured) delete structured.return_value;
  const others = revived(message, mark, Number);
  if (structured && value !== undefined) structured.return_value = revived(value, mark, bigint);
  return others;
}

/** @param {string} token @param {boolean} exact */
function isBigint(token, exact) {
  // Python writes a float with a point or an exponent.
  return /^-?\d+$/.test(token) && (exact || !Number.isSafeInteger(Number(token)));
}

/** @param {string} digits */
function bigint(digits) {
  return digits.length > MAX_DIGITS ? digits : BigInt(digits);
}

/**
 * @param {any} value
 * @param {string} mark before the digits of a number
 * @param {(digits: string) => unknown} number
 * @returns {any}
 */
function revived(value, mark, number) {
  if (typeof value === 'string') return value.startsWith(mark) ? number(value.slice(mark.length)) : value;
  if (typeof value !== 'object' || value === null) return value;
  // `__proto__` sets no prototype here: `JSON.parse` has made it a member like any other.
  for (const [name, member] of Object.entries(value)) value[name] = revived(member, mark, number);
  return value;
}
