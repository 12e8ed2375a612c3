// Files of sessions on the edge.
import { uploads } from '../contract/uploads.mjs';
import { startWorker } from './worker.mjs';

uploads('edge', () => startWorker({ FILES_LIMIT_MB: '64' }));
