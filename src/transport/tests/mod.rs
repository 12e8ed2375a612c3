//! The HTTP layer as a client meets it, in virtual time.

mod access;
mod fuzz;
mod harness;
mod legacy;
mod modern;
mod streams;
