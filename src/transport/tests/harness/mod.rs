//! A whole server in a test: the transport, a home that does what a real one does, and a sandbox whose
//! "Python" is a few words. Time is virtual: it jumps to the next timer whenever nothing else can happen.

mod call;
mod home;
mod sandbox;

pub(super) use self::{
    call::{Call, Reply, initialize, initialize_request, request, run_params},
    home::Home,
    sandbox::Seen,
};
pub(super) use crate::virtual_clock::{now, run, sleep, spawn};
