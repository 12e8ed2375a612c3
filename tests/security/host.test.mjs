// Attacks on the host: whatever a hostile isolate sends in place of frames only affects its own run's result.
import { describe } from 'node:test';
import { during, startHome } from './home.mjs';
import { attackHost } from './suites.mjs';

describe('attacks on the worker', () => {
  const home = during(() => startHome());
  attackHost(home);
});
