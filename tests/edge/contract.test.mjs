// The contract of a home, on the edge.
import { contract } from '../contract/suite.mjs';
import { startWorker } from './worker.mjs';

contract('edge', () => startWorker());
