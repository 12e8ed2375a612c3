// Writes JSON with every `bigint` as an integer: `JSON.stringify` takes none.

/** @typedef {import('./index.js').Json} Json */

const CONSTANTS = { true: 'true', false: 'false', null: 'null' };

/**
 * A value as JSON.
 * @param {Json} value
 * @param {(number: number) => string} number writes a `number`
 * @param {string} [indent] of each level; none: all is in one line
 * @param {string} [line] begins a line
 * @param {{ true: string, false: string, null: string }} [constants] how those are written
 * @returns {string}
 */
export function json(value, number, indent = '', line = indent && '\n', constants = CONSTANTS) {
  if (typeof value === 'bigint') return String(value);
  if (typeof value === 'number') return number(value);
  if (value === null || typeof value === 'boolean') return constants[`${value}`];
  if (typeof value === 'string') return JSON.stringify(value);
  const inner = line + indent;
  const write = (/** @type {Json} */ item) => json(item, number, indent, inner, constants);
  const [opening, closing, parts] = Array.isArray(value)
    ? ['[', ']', value.map(write)]
    : ['{', '}', Object.entries(value).map(([name, item]) => `${JSON.stringify(name)}:${indent && ' '}${write(item)}`)];
  return parts.length ? `${opening}${inner}${parts.join(`,${inner}`)}${line}${closing}` : opening + closing;
}

/** A float as Python's result has it: `3.0`, `1e16`. @param {number} number */
export function float(number) {
  const [digits, exponent] = number.toExponential().split('e');
  if (Number(exponent) < -5 || Number(exponent) > 15) return `${digits}e${Number(exponent)}`;
  const text = Object.is(number, -0) ? '-0' : String(number);
  return text.includes('.') ? text : `${text}.0`;
}
