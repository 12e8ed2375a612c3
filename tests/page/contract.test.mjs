// The contract of a home, on the page.
import { contract, GRACE } from '../contract/suite.mjs';
import { startPage } from './over-channel.mjs';

// The page has ten interpreters, one of which belongs to a handle's session for the whole suite.
contract('page', () => startPage({ graceSeconds: Number(GRACE) }), 9);
