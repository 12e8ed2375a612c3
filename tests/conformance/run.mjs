// The official conformance suite, against the running worker with the tools that the suite calls.
//
// A check may fail only if baseline.json lists its scenario, or the check itself, with the reason. A listed check that
// does not fail is an error, too.
import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const REVISIONS = ['2025-11-25', '2026-07-28'];

/** @typedef {{ id: string, status: string, description: string, errorMessage?: string }} Check */

/** @type {Record<string, string[]>} scenarios, or checks as `scenario/check`, by reason */
const baseline = JSON.parse(readFileSync(new URL('baseline.json', import.meta.url), 'utf8'));
const allowed = new Set(Object.values(baseline).flat());
const used = new Set();
const total = { passed: 0, failed: 0 };

for (const revision of REVISIONS) {
  const folder = mkdtempSync(join(tmpdir(), 'conformance-'));
  try {
    await suite(revision, folder);
    const count = { passed: 0, failed: 0, excused: 0 };
    for (const result of readdirSync(folder)) {
      // `server-<scenario>-<when>`
      const scenario = result.replace(/^server-/, '').replace(/-\d{4}-\d\d-\d\dT[\d-]+Z$/, '');
      /** @type {Check[]} */
      const checks = JSON.parse(readFileSync(join(folder, result, 'checks.json'), 'utf8'));
      for (const check of checks) {
        if (check.status === 'SUCCESS') count.passed++;
        if (check.status !== 'FAILURE') continue;
        const excuse = [scenario, `${scenario}/${check.id}`].find((name) => allowed.has(name));
        if (excuse) {
          used.add(excuse);
          count.excused++;
        } else {
          count.failed++;
          console.log(`${revision} ${scenario} ${check.id}: ${check.description}\n    ${check.errorMessage}`);
        }
      }
    }
    if (!count.passed) throw new Error(`nothing passed for ${revision}: did the suite run?`);
    console.log(
      `${revision}: ${count.passed} checks passed, ${count.failed} failed, ${count.excused} are of other features`,
    );
    total.passed += count.passed;
    total.failed += count.failed;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

for (const name of allowed) {
  if (used.has(name)) continue;
  console.log(`${name} does not fail: it must not be in baseline.json`);
  total.failed++;
}
console.log(`${total.passed} passed, ${total.failed} failed`);
process.exitCode = total.failed ? 1 : 0;

/**
 * Runs all checks that a revision requires. The suite does not know the baseline, so its exit status is ignored.
 * @param {string} revision @param {string} folder for the results
 */
function suite(revision, folder) {
  const args = ['server', '--url', process.env.MCP_URL ?? '', '--requirements', revision, '--output-dir', folder];
  const child = spawn('conformance', args, { stdio: ['ignore', 'ignore', 'inherit'] });
  return new Promise((resolve, reject) => child.on('error', reject).on('exit', resolve));
}
