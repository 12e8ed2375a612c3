// Calls out of a running program, on the page, in a build with the test tools: no client of a page can allow calls yet.
import { execFileSync } from 'node:child_process';
import { contractOfCalls, TIME_LIMIT } from '../contract/calls.mjs';
import { LONG } from '../long.mjs';
import { PORT } from '../security/attacks/host.mjs';
import { startPage } from './over-channel.mjs';

if (LONG) {
  const site = execFileSync(/** @type {string} */ (process.env.XTASK), ['testing-page'], { encoding: 'utf8' }).trim();
  contractOfCalls('page', () => startPage({ timeLimitSeconds: TIME_LIMIT }, site), PORT);
}
