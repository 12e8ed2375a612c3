//! What a home must provide: a way to get one run into an isolate and its bytes out.

use std::{fmt, time::Duration};

use futures::{future::LocalBoxFuture, stream::LocalBoxStream};

use crate::packages::PackageSet;

/// Why a sandbox could not do its part. Never the fault of the Python code: that is an
/// [`Outcome`](crate::run::Outcome).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum SandboxError {
    /// The isolate could not be started.
    Start(String),
    /// The isolate went away, or was ended, before it gave a result.
    Lost(String),
    /// The isolate sent what no honest isolate sends. What it is, never what it says.
    Protocol(&'static str),
}

impl fmt::Display for SandboxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start(why) => write!(f, "the sandbox did not start: {why}"),
            Self::Lost(why) => write!(f, "the sandbox was lost: {why}"),
            Self::Protocol(what) => write!(f, "the sandbox broke its protocol: {what}"),
        }
    }
}

impl std::error::Error for SandboxError {}

/// Bytes that an isolate writes during one run: frames, a JSON object a line (see [`crate::run`]).
/// Dropping the stream ends the run.
pub type Frames = LocalBoxStream<'static, Result<Vec<u8>, SandboxError>>;

/// A place where Python runs: a fresh isolate for each run, or one session's interpreter.
///
/// A host is thin: it carries one run's JSON in and the isolate's bytes out, and looks at neither.
pub trait Sandbox {
    /// Starts one run. `request` is the JSON of a [`RunRequest`](crate::run::RunRequest), and `packages` are what can be
    /// imported besides the standard library.
    fn start(&self, request: String, packages: PackageSet) -> LocalBoxFuture<'static, Result<Frames, SandboxError>>;

    /// Resolves after `duration`. The host's own timer, as this target has none.
    fn sleep(&self, duration: Duration) -> LocalBoxFuture<'static, ()>;
}
