// Attacks on the host: what a hostile isolate sends in place of frames becomes nothing but its own run's result.
import { after, before, describe } from 'node:test';
import { startHome } from './home.mjs';
import { attackHost } from './suites.mjs';

describe('attacks on the worker', () => {
  /** @type {Awaited<ReturnType<typeof startHome>>} */
  let home;
  before(async () => {
    home = await startHome();
  });
  after(() => home?.stop());

  attackHost(() => home);
});
