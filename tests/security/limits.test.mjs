// The limits of the worker, measured.
import { describe } from 'node:test';
import { during, startHome } from './home.mjs';
import { LIMITS, measureLimits } from './limits.mjs';

describe('the worker', () => {
  const home = during(() => startHome(LIMITS));
  measureLimits(home);
});
