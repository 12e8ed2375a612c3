// Prints the results of the suites (target/security.json) as the tables of docs/security.md.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const REPORT = fileURLToPath(new URL('../../target/security.json', import.meta.url));

/** @typedef {Record<string, Record<string, number | string>>} Lines by attack or limit, then by home */

const HOMES = ['edge', 'page', 'desk'];

/** @param {string} title @param {Lines} lines */
function table(title, lines) {
  const homes = HOMES.filter((home) => Object.values(lines).some((line) => home in line));
  const rows = Object.entries(lines).map(([name, line]) => [name, ...homes.map((home) => line[home] ?? '')]);
  const all = [[title, ...homes], ['---', ...homes.map(() => '---')], ...rows];
  return all.map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}

/** @type {{ attacks?: Lines, limits?: Lines }} */
const { attacks = {}, limits = {} } = JSON.parse(readFileSync(REPORT, 'utf8'));
console.log(`${table('Attacks tried, and held', attacks)}\n\n${table('Limit, and what was measured', limits)}`);
