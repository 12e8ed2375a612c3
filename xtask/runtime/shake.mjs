// Removes from Pyodide's JavaScript what nothing in a sandbox can call, as each isolate parses all of it at its start.
import ts from 'typescript';

/** Functions for a screen, a speaker, a keyboard or a page around it: libraries may import them, but there are none here. */
const FOR_DEVICES = new RegExp(
  [
    /^(emscripten_)?(gl[A-Z]|webgl_|glut|glfw|GLU|egl|SDL_|Mix_|IMG_|TTF_|X[A-Z][a-z]|alc?[A-Z])|RGBA$/,
    /^_?emscripten_.*(callback_on_thread|_event|fullscreen|pointerlock|orientation|battery|gamepad|vibrate|canvas|webgl)/,
    /^_?emscripten_.*(element_css_size|pixel_ratio|screen_size|window_title|visibility|hide_mouse|event_listeners?)/,
    /^_?emscripten_.*(websocket|_socket_|wget|main_loop|_worker|load_script|preload|animation_frame)/,
    /^(box|ellipse|filledEllipse|line|rectangle)Color$|^(roto)?zoomSurface$|^setNetworkCallback$|^_gl/,
  ]
    .map(({ source }) => source)
    .join('|'),
);

/** Objects for the same devices, or for other file systems: code that names them finds them empty. */
const EMPTY = new Set(['SDL', 'Browser', 'GL', 'IDBFS', 'NODEFS', 'PROXYFS', 'WORKERFS']);

/** Kinds of initial values without side effects. */
const INERT = new Set([
  ts.SyntaxKind.ArrowFunction,
  ts.SyntaxKind.FunctionExpression,
  ts.SyntaxKind.ClassExpression,
  ts.SyntaxKind.ObjectLiteralExpression,
  ts.SyntaxKind.ArrayLiteralExpression,
  ts.SyntaxKind.Identifier,
  ts.SyntaxKind.NumericLiteral,
  ts.SyntaxKind.StringLiteral,
]);

/**
 * Something that is kept or left out as a whole.
 * @typedef {object} Part
 * @property {string} text
 * @property {Set<string>} words in it
 * @property {string[]} names by which others reach it; none: it is kept in any case
 */

/**
 * @param {string} source of `pyodide.asm.mjs` @param {string} others that name things in it, too
 * @returns {string}
 */
export function shake(source, others) {
  const file = ts.createSourceFile('pyodide.asm.mjs', source, ts.ScriptTarget.ESNext, false, ts.ScriptKind.JS);
  const main = file.statements.find(ts.isFunctionDeclaration)?.body ?? fail('there is no function');
  const part = (/** @type {ts.Node} */ node, /** @type {string[]} */ names) => {
    const empty = ts.isVariableStatement(node) && EMPTY.has(names[0]);
    const text = empty ? `var ${names[0]}={};` : source.slice(node.pos, node.end);
    return { text, words: wordsOf(text), names };
  };
  const table = /var wasmImports=\{([^{}]*)\};/.exec(source) ?? fail('what libraries import is no simple table');
  const imported = table[1].split(',').filter((entry) => !FOR_DEVICES.test(entry.split(':')[0]));
  const imports = `var wasmImports={${imported.join(',')}};`;
  const parts = main.statements.map((statement) => part(statement, namesOf(statement)));
  const at = parts.findIndex(({ text }) => text.startsWith('var wasmImports='));
  if (at < 0) fail('what libraries import is declared elsewhere');
  parts[at] = { text: imports, words: wordsOf(imports), names: [] };

  /** @type {Map<string, Part[]>} */
  const named = new Map();
  for (const part of parts) for (const name of part.names) named.set(name, [...(named.get(name) ?? []), part]);
  const open = [...wordsOf(others)];
  const kept = new Set();
  const keep = (/** @type {Part} */ part) => {
    if (kept.has(part)) return;
    kept.add(part);
    open.push(...part.words);
  };
  parts.filter(({ names }) => !names.length).forEach(keep);
  for (let word = open.pop(); word !== undefined; word = open.pop()) {
    named.get(word)?.forEach(keep);
    named.delete(word);
  }
  const text = parts.filter((part) => kept.has(part)).map(({ text }) => text);
  return source.slice(0, main.statements.pos) + text.join('') + source.slice(main.statements.end);
}

/**
 * Puts the only function into brackets: then V8 compiles it when it first reads it, instead of reading all of it twice.
 * @param {string} source of `pyodide.asm.mjs`
 */
export function compileEagerly(source) {
  const [, rest] =
    /^async function \w+(\(.*\})export default \w+;\s*$/s.exec(source) ?? fail('there is more than a function');
  return `export default (async function${rest});\n`;
}

/**
 * Removes from `assignWasmExports` what no JavaScript names: nearly all of it, which is a third of the whole text.
 * @param {string} source of `pyodide.asm.mjs` @param {string} others that may name more
 */
export function trimExports(source, others) {
  const start = source.indexOf('function assignWasmExports(wasmExports){');
  const end = source.indexOf('}var wasmImports={', start);
  const declared = source.lastIndexOf(';var ', start);
  if (start < 0 || end < 0 || declared < 0) fail('its exports are assigned elsewhere');
  const named = wordsOf([source.slice(0, declared), source.slice(end), others].join('\n'));
  /** @type {Set<string>} */
  const unnamed = new Set();
  const assignments = source
    .slice(start, end)
    .replace(/([\w$]+)=Module\["([\w$]+)"\]=wasmExports\["[\w$]+"\](?:\.value>>>0)?;/g, (all, name, member) => {
      if (named.has(name) || named.has(member)) return all;
      unnamed.add(name);
      return '';
    });
  if (unnamed.size < 4000) fail(`only ${unnamed.size} exports are of no use`);
  const variables = source.slice(declared + ';var '.length, start - 1).split(',');
  const kept = variables.filter((name) => !unnamed.has(name)).join(',');
  return `${source.slice(0, declared)};var ${kept};${assignments}${source.slice(end)}`;
}

/** The names that a statement defines, if it does nothing else. @param {ts.Statement} statement @returns {string[]} */
function namesOf(statement) {
  if (ts.isFunctionDeclaration(statement)) return statement.name ? [statement.name.text] : [];
  if (ts.isVariableStatement(statement)) {
    const [only, another] = statement.declarationList.declarations;
    const inert = only.initializer && INERT.has(only.initializer.kind);
    return inert && !another && ts.isIdentifier(only.name) ? [only.name.text] : [];
  }
  if (!ts.isExpressionStatement(statement) || !ts.isBinaryExpression(statement.expression)) return [];
  const { left, right } = statement.expression;
  // `x.sig="vi"`
  if (ts.isPropertyAccessExpression(left) && ts.isIdentifier(left.expression) && ts.isStringLiteral(right))
    return [left.expression.text];
  // `Module["x"]=x`
  const member = ts.isElementAccessExpression(left) && ts.isIdentifier(left.expression) && left.argumentExpression;
  return member && ts.isStringLiteral(member) && ts.isIdentifier(right) ? [member.text, right.text] : [];
}

/** @param {string} text */
export const wordsOf = (text) => new Set(text.match(/[A-Za-z_$][\w$]*/g));

/** Stops the build. @param {string} why @returns {never} */
function fail(why) {
  throw new Error(`Pyodide's module has changed: ${why}`);
}
