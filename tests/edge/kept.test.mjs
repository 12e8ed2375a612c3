// Files and output that are too large for results, which the edge keeps in an object of each principal; and what a deployed
// worker keeps.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KEPT, kept } from '../contract/kept.mjs';
import { DEPLOYED } from './deployed.mjs';
import { startWorker } from './worker.mjs';

kept('edge', () => startWorker(KEPT));

test('a deployed worker keeps what its memory has room for', () => {
  assert.equal(DEPLOYED.KEPT_FILES_LIMIT_MB, '8');
});
