// Written by the core's tests, from src/run/protocol.rs.

/** The version of the protocol. */
export const VERSION = 2;
