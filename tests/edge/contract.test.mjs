// The contract of a home, on the edge.
import { overHttp } from '../contract/over-http.mjs';
import { contract, GRACE } from '../contract/suite.mjs';
import { startWorker } from './worker.mjs';

contract('edge', async () => overHttp(await startWorker({ GRACE_SECONDS: GRACE })));
