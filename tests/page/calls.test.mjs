// Calls out of a running program, on the page: of a build with the tools that tests need.
import { contractOfCalls, TIME_LIMIT } from '../contract/calls.mjs';
import { PORT } from '../security/attacks/host.mjs';
import { startPage } from './over-channel.mjs';

contractOfCalls('page', () => startPage({ timeLimitSeconds: TIME_LIMIT }, process.env.TESTING_SITE), PORT);
