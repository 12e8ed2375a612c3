// What only repeats what other tests prove, or goes on for long: `cargo xtask test --long` selects it. CONTRIBUTING.md lists
// each by its name, with the reason.
import { describe, test } from 'node:test';

/** Whether this is the long form. */
export const LONG = process.env.LONG === '1';

/** Registers nothing: what is not selected is neither passed nor skipped. */
const none = () => {};

/** A test of the long form only. @type {typeof test} */
export const longTest = LONG ? test : /** @type {any} */ (none);

/** Tests of the long form only. @type {typeof describe} */
export const longDescribe = LONG ? describe : /** @type {any} */ (none);
