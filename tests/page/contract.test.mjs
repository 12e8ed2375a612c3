// The contract of a home, on the page.
import { contract, GRACE } from '../contract/suite.mjs';
import { startPage } from './over-channel.mjs';

// It has ten interpreters, and one of them belongs to a handle, whose session lasts.
contract('page', () => startPage({ graceSeconds: Number(GRACE) }), 9);
