//! The transports as a client meets it, in virtual time.

mod access;
mod auth;
mod channel;
mod fuzz;
mod harness;
mod legacy;
mod missed;
mod modern;
mod streams;
