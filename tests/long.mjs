// Tests that only repeat what others prove, or that take long: `cargo xtask test --long` selects them. CONTRIBUTING.md lists
// each by its name, with the reason.
import { describe, test } from 'node:test';

/** Whether the long tests are selected. */
export const LONG = process.env.LONG === '1';

/** Registers nothing: a test that is not selected counts neither as passed nor as skipped. */
const none = () => {};

/** A test that only `--long` runs. @type {typeof test} */
export const longTest = LONG ? test : /** @type {any} */ (none);

/** A suite that only `--long` runs. @type {typeof describe} */
export const longDescribe = LONG ? describe : /** @type {any} */ (none);
