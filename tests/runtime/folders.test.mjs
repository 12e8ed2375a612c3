// A table in docs/architecture.md says which folders of the core may use which: none uses others, and there are no cycles.
import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { circle } from './circles.mjs';

/** Files of tests, which may use every folder. */
const OF_TESTS = /(^|\/)(tests?|contract|fake)(\/|\.rs$)|_tests\.rs$|^virtual_clock\.rs$/;

/**
 * The modules right below the crate's root that a file names.
 * @param {string} text
 */
function used(text) {
  const code = text
    .replace(/^\s*\/\/.*$/gm, '')
    .replace(/#\[cfg\((test|doc)\)\]\s*use [^;]*;/g, '')
    .replace(/#\[cfg\(test\)\]\s*mod \w+ \{[\s\S]*/, '');
  /** @type {Set<string>} */
  const names = new Set();
  for (const { index, 0: start } of code.matchAll(/\bcrate::/g)) {
    const rest = code.slice(index + start.length);
    if (!rest.startsWith('{')) {
      names.add(/^\w+/.exec(rest)?.[0] ?? '');
      continue;
    }
    // A list in braces: names at its first level begin paths.
    let depth = 0;
    let begins = false;
    for (const [token] of rest.matchAll(/[{},]|\w+/g)) {
      if (token === '{') depth += 1;
      else if (token === '}') depth -= 1;
      if (depth === 0) break;
      if (begins && /\w/.test(token)) names.add(token);
      begins = depth === 1 && /[{,]/.test(token);
    }
  }
  return names;
}

/** The core's folders and what they use. A file of the root is a folder of its own. */
async function core() {
  /** @type {Map<string, Set<string>>} */
  const graph = new Map();
  for (const file of await readdir('src', { recursive: true })) {
    if (!file.endsWith('.rs') || file === 'lib.rs' || OF_TESTS.test(file)) continue;
    const folder = /^\w+/.exec(file)?.[0] ?? '';
    const known = graph.get(folder) ?? new Set();
    for (const name of used(await readFile(`src/${file}`, 'utf8'))) if (name !== folder) known.add(name);
    graph.set(folder, known);
  }
  return graph;
}

/** The table of docs/architecture.md. */
async function allowed() {
  const text = await readFile('docs/architecture.md', 'utf8');
  const [, table = ''] = /\| In `src\/` \| may use \|\n\|[-|]+\|\n((?:\|.*\|\n)+)/.exec(text) ?? [];
  return new Map(
    table
      .trim()
      .split('\n')
      .flatMap((row) => {
        const [folders, names] = row
          .split('|')
          .slice(1, 3)
          .map((cell) => [...cell.matchAll(/`(\w+)`/g)].map(([, name = '']) => name).sort());
        return (folders ?? []).map((folder) => /** @type {[string, string[]]} */ ([folder, names ?? []]));
      }),
  );
}

test('folders of the core use what docs/architecture.md allows', async () => {
  const graph = await core();
  const found = new Map([...graph].map(([folder, names]) => [folder, [...names].sort()]));
  assert.ok(found.size > 10 && found.get('transport')?.includes('mcp'));
  const table = await allowed();
  assert.deepEqual(Object.fromEntries([...found].sort()), Object.fromEntries([...table].sort()));
});

test('no folder of the core uses itself over others', async () => {
  const graph = new Map([...(await core())].map(([folder, names]) => [folder, [...names]]));
  assert.equal(circle(graph)?.join(' -> '), undefined);
});

test('what a file uses is found', () => {
  const text = `
use crate::{
    auth::Principal,
    run::{sandbox::{Run, RunEvent}, self},
    session,
};
use crate::limits::Limits;
// crate::no
#[cfg(test)]
use crate::tested;
fn f() -> crate::json::Shape {}
#[cfg(test)]
mod tests { use crate::fake; }
`;
  assert.deepEqual([...used(text)].sort(), ['auth', 'json', 'limits', 'run', 'session']);
});
