// Markdown and LaTeX, as HTML.
import katex from 'katex';
import MarkdownIt from 'markdown-it';
import css from '#katex.css';
import { serve } from './worker.js';

/** The estimated height of a line of text, and of the margins around the whole, in pixels. */
const LINE = 26;
const MARGINS = 48;

const STYLE = `body { margin: 12px 16px; font: 15px/1.55 system-ui, sans-serif; color: #1c2128; overflow-wrap: anywhere }
pre, code { font: 13px/1.5 ui-monospace, monospace } pre { padding: 8px 12px; background: #f6f7f9; overflow: auto }
table { border-collapse: collapse } th, td { padding: 3px 12px 3px 0; border-bottom: 1px solid #d5dae0 }
blockquote { margin-inline: 0; padding-inline-start: 12px; border-inline-start: 3px solid #d5dae0 }
.katex-display { overflow: auto hidden }`;

/** Whether there is a formula: its style sheet is left out if not, as its fonts are large. */
let isSet = false;

/** @param {string} formula @param {boolean} displayMode */
function math(formula, displayMode) {
  isSet = true;
  // No commands that link elsewhere (`trust`), and bounds for commands that expand to much.
  const bounds = { maxExpand: 1000, maxSize: 50 };
  return katex.renderToString(formula, { displayMode, ...bounds, trust: false, throwOnError: false, strict: 'ignore' });
}

const markdown = MarkdownIt({ html: false, linkify: false });

/** `$...$` and `$$...$$`, as in notebooks: a dollar that ends before a digit, or is beside a space inside, stays a dollar. */
markdown.inline.ruler.after('escape', 'math', (state, silent) => {
  if (state.src[state.pos] !== '$') return false;
  const match = FORMULA.exec(state.src.slice(state.pos, state.posMax));
  if (!match) return false;
  if (!silent) {
    const token = state.push('math', '', 0);
    token.content = match[1] ?? match[2];
    token.hidden = match[1] !== undefined;
  }
  state.pos += match[0].length;
  return true;
});
const FORMULA = /^\$\$([^$]+)\$\$|^\$(?=[^\s$])((?:\\[\s\S]|[^$\\])*?)(?<=\S)\$(?!\d)/;
markdown.renderer.rules.math = (/** @type {any[]} */ tokens, /** @type {number} */ index) =>
  math(tokens[index].content, tokens[index].hidden);

/** Formulas: between dollars, `\(` and `\)` or `\[` and `\]`, or in an environment. Without any, all of the text is one. */
const PIECES =
  /\$\$([\s\S]+?)\$\$|\\\[([\s\S]+?)\\\]|\$((?:\\[\s\S]|[^$\\])+)\$|\\\(([\s\S]+?)\\\)|(\\begin\{(\w+\*?)\}[\s\S]*?\\end\{\6\})/g;

/** @param {string} text */
function latex(text) {
  const { escapeHtml } = markdown.utils;
  const parts = [];
  let end = 0;
  for (const {
    0: whole,
    1: displayed,
    2: bracketed,
    3: inline,
    4: parenthesised,
    5: environment,
    index,
  } of text.matchAll(PIECES)) {
    parts.push(escapeHtml(text.slice(end, index)));
    const block = displayed ?? bracketed ?? environment;
    parts.push(block === undefined ? math(inline ?? parenthesised, false) : math(block, true));
    end = index + whole.length;
  }
  return end ? parts.join('') + escapeHtml(text.slice(end)) : math(text, true);
}

serve((text, type) => {
  const html = type === 'text/latex' ? latex(text) : markdown.render(text);
  const lines = text.split('\n').length + (html.match(/<(?:h\d|tr|li|p)\b|\\frac|\\sum|\\int|\\\\/g)?.length ?? 0) / 2;
  return { markup: `<style>${STYLE}${isSet ? css : ''}</style>${html}`, height: MARGINS + LINE * lines };
});
