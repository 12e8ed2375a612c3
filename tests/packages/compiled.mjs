// Lets a test file reuse the packages that an earlier one compiled.

/**
 * The folder for compiled packages that workers share, whose test files run one after the other; `cargo xtask test` clears it.
 * If unset, each worker has a folder of its own, as do always the workers of tests that are about what is kept.
 */
export const COMPILED = process.env.COMPILED;
