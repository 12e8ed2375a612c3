// Packages that one file of tests has had compiled are there for the next.

/**
 * The folder where workers keep them, whose files are tested one after the other; `cargo xtask test` clears it. Without it
 * each worker has a folder of its own, as those have that test what is kept.
 */
export const COMPILED = process.env.COMPILED;
