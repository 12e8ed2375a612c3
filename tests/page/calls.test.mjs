// Calls out of a running program, on the page, in a build with the test tools.
import { contractOfCalls, TIME_LIMIT } from '../contract/calls.mjs';
import { PORT } from '../security/attacks/host.mjs';
import { startPage } from './over-channel.mjs';

contractOfCalls('page', () => startPage({ timeLimitSeconds: TIME_LIMIT }, process.env.TESTING_SITE), PORT);
