// The limits of the worker, measured.
import { after, before, describe } from 'node:test';
import { startHome } from './home.mjs';
import { LIMITS, measureLimits } from './limits.mjs';

describe('the worker', () => {
  /** @type {Awaited<ReturnType<typeof startHome>>} */
  let home;
  before(async () => {
    home = await startHome(LIMITS);
  });
  after(() => home?.stop());

  measureLimits(() => home);
});
