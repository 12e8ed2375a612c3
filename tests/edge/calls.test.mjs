// Calls out of a running program, on the edge.
import { contractOfCalls, TIME_LIMIT } from '../contract/calls.mjs';
import { overHttp } from '../contract/over-http.mjs';
import { RESPONSE } from '../security/attacks/host.mjs';
import { startWorker } from './worker.mjs';

contractOfCalls('edge', async () => overHttp(await startWorker({ TIME_LIMIT_SECONDS: String(TIME_LIMIT) })), RESPONSE);
