// Attacks through the files of sessions.
import { describe } from 'node:test';
import { attackFiles } from './file-suite.mjs';
import { during, startHome } from './home.mjs';

describe('attacks by files', () => {
  const home = during(() => startHome({ FILES_LIMIT_MB: '8' }));
  attackFiles(home);
});
