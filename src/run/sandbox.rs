//! Where a call's run goes on, as the server sees it: a fresh isolate, a session's interpreter, or one that is elsewhere.

use std::{fmt, time::Duration};

use futures::{future::LocalBoxFuture, stream::LocalBoxStream};

use crate::packages::PackageSet;

/// Why a sandbox could not do its part. Never the fault of the Python code: that is an
/// [`Outcome`](crate::run::Outcome).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SandboxError {
    /// The run was not started, and will not be: it may be started elsewhere.
    Start(String),
    /// All places where it could run are taken. It was not started.
    Busy(String),
    /// The isolate went away, or was ended, before it gave a result. The run may have begun.
    Lost(String),
    /// The isolate sent what no honest isolate sends. Names the violation; never echoes isolate data.
    Protocol(&'static str),
}

impl fmt::Display for SandboxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start(why) => write!(f, "the sandbox did not start: {why}"),
            Self::Busy(why) => write!(f, "the sandbox is busy: {why}"),
            Self::Lost(why) => write!(f, "the sandbox was lost: {why}"),
            Self::Protocol(what) => write!(f, "the sandbox broke its protocol: {what}"),
        }
    }
}

impl std::error::Error for SandboxError {}

/// What becomes known of a run while it goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunEvent {
    /// From here on the program may have done something. Reported once, before the first frames.
    Began,
    /// Bytes that the isolate wrote: frames, a JSON object a line (see [`crate::run`]).
    Frames(Vec<u8>),
}

/// A run, from its birth on. Dropping it ends it, whether it has begun, waits for something, or is over.
pub type Run = LocalBoxStream<'static, Result<RunEvent, SandboxError>>;

/// Where Python runs.
pub trait Sandbox {
    /// A run. `request` is the JSON of a [`RunRequest`](crate::run::RunRequest), and `packages` are what can be
    /// imported besides the standard library. Nothing happens before the run is polled.
    fn run(&self, request: String, packages: PackageSet) -> Run;

    /// Whether each run has an interpreter of its own: one that failed leaves nothing behind, and may be run again.
    fn is_fresh(&self) -> bool;

    /// Resolves after `duration`. The home's own timer, as this target has none.
    fn sleep(&self, duration: Duration) -> LocalBoxFuture<'static, ()>;
}
