//! The transports as a client sees them, in virtual time.

mod access;
mod auth;
mod channel;
mod fuzz;
mod harness;
mod legacy;
mod missed;
mod modern;
mod streams;
