//! Where a run takes place, as the server sees it: in a fresh isolate, in a session's interpreter, or elsewhere.

use std::fmt;

use futures::{Stream, future::LocalBoxFuture};

use super::protocol::VERSION;
use crate::{packages::PackageSet, platform::Platform};

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
    /// The isolate is of another build: it speaks this version of the protocol.
    Version(u32),
}

impl fmt::Display for SandboxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start(why) => write!(f, "the sandbox did not start: {why}"),
            Self::Busy(why) => write!(f, "the sandbox is busy: {why}"),
            Self::Lost(why) => write!(f, "the sandbox was lost: {why}"),
            Self::Protocol(what) => write!(f, "the sandbox broke its protocol: {what}"),
            Self::Version(version) => write!(
                f,
                "the sandbox broke its protocol: it is of another build, as it speaks version {version} and not {VERSION}"
            ),
        }
    }
}

impl std::error::Error for SandboxError {}

/// Events of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunEvent {
    /// From here on the program may have done something. Reported once, before the first frames.
    Began,
    /// Bytes that the isolate wrote: frames, a JSON object a line (see [`crate::run`]).
    Frames(Vec<u8>),
}

/// A run. Dropping it ends it at any time, whether it has begun, waits for something, or is over.
pub type Run = Box<dyn Running>;

/// The [`RunEvent`]s of a [`Run`], and a way back for the answers to the program's calls.
pub trait Running: Stream<Item = Result<RunEvent, SandboxError>> + Unpin {
    /// Passes an answer to one of the run's calls, as JSON, into the isolate. Resolves once it is there, or cannot get
    /// there; if the interpreter is gone, the run itself says so. If the future is dropped, the answer may get there or
    /// not.
    fn answer(&self, answer: &str) -> LocalBoxFuture<'static, ()>;
}

/// Where Python runs.
pub trait Sandbox {
    /// A run. `request` is the JSON of a [`RunRequest`](crate::run::RunRequest), and `packages` are what can be
    /// imported besides the standard library. Nothing happens before the run is polled.
    fn run(&self, request: String, packages: PackageSet) -> Run;

    /// Whether each run has an interpreter of its own: a failed run leaves nothing behind, and may be repeated.
    fn is_fresh(&self) -> bool;

    /// The home's timers, tasks and clock.
    fn platform(&self) -> Platform;
}

/// A run that takes no answers.
#[cfg(test)]
pub(crate) struct Deaf<S>(pub(crate) S);

#[cfg(test)]
impl<S: Stream<Item = Result<RunEvent, SandboxError>> + Unpin> Stream for Deaf<S> {
    type Item = S::Item;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        std::pin::Pin::new(&mut self.0).poll_next(cx)
    }
}

#[cfg(test)]
impl<S: Stream<Item = Result<RunEvent, SandboxError>> + Unpin> Running for Deaf<S> {
    fn answer(&self, _: &str) -> LocalBoxFuture<'static, ()> {
        Box::pin(std::future::ready(()))
    }
}
