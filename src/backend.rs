//! Interface that a home implements: interpreters, and how bytes get into and out of them. `session::contract` says
//! what each method promises, and in which order; everything else about sessions and runs is in the core.

use futures::{
    FutureExt, Stream,
    future::{self, LocalBoxFuture},
};

#[cfg(doc)]
use crate::run::sandbox::Running;
use crate::{
    packages::PackageSet,
    platform::Platform,
    run::sandbox::{RunEvent, SandboxError},
};

/// A home's interpreters.
pub trait Backend: 'static {
    /// The parts of an interpreter. They hold its wheels, so that no cache drops them meanwhile.
    type Parts: 'static;
    /// An interpreter.
    type Interpreter: Interpreter<Parts = Self::Parts>;
    /// The memory of an interpreter that has imported packages, as the home holds it. Opaque to the core.
    type Snapshot: Clone + 'static;

    /// The home's timers, tasks and clock.
    fn platform(&self) -> Platform;

    /// Whether a live interpreter can take further packages ([`Interpreter::add`]).
    fn adds_packages(&self) -> bool {
        false
    }

    /// Gathers the parts of an interpreter with these packages. `from` is a snapshot of the first of them to start
    /// from. May fetch; can be dropped at any time.
    fn parts(
        &self,
        packages: &PackageSet,
        from: Option<&Self::Snapshot>,
    ) -> LocalBoxFuture<'static, Result<Self::Parts, SandboxError>>;

    /// Returns an interpreter at once. It boots on its own or with its first run; that run reports a failed boot.
    fn spawn(&self, parts: Self::Parts) -> Self::Interpreter;

    /// Names the build of interpreters, without packages: a snapshot fits only the same build.
    fn build(&self) -> String {
        String::new()
    }

    /// Takes a snapshot of an interpreter with these parts that has imported these modules, in this order, and done
    /// nothing else. Returns it with its size in bytes. Dropping the future cancels it.
    fn take_snapshot(
        &self,
        parts: Self::Parts,
        modules: &[String],
    ) -> LocalBoxFuture<'static, Result<(Self::Snapshot, usize), NotTaken>> {
        let _ = (parts, modules);
        future::ready(Err(NotTaken::Failed)).boxed_local()
    }

    /// Whether snapshots are taken in the background, where no run waits for them.
    fn takes_snapshots_aside(&self) -> bool {
        false
    }

    /// Keeps a snapshot beyond this process, if the home does so.
    fn keep(&self, key: &str, snapshot: &Self::Snapshot) -> LocalBoxFuture<'static, ()> {
        let _ = (key, snapshot);
        future::ready(()).boxed_local()
    }

    /// Returns a kept snapshot and its size.
    fn kept(&self, key: &str) -> LocalBoxFuture<'static, Option<(Self::Snapshot, usize)>> {
        let _ = key;
        future::ready(None).boxed_local()
    }
}

/// Why a snapshot was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotTaken {
    /// The import of this module draws random numbers, which would be the same in every interpreter: leave it out.
    Without(String),
    /// It cannot be taken.
    Failed,
}

/// One interpreter. It takes one run at a time, which its owner sees to. Dropping it ends it and everything that goes
/// on in it.
pub trait Interpreter: 'static {
    /// See [`Backend::Parts`].
    type Parts: 'static;
    /// A session's files, packed. They go into another interpreter of the same session; opaque to the core.
    type Files: 'static;
    /// A run.
    type Run: Going;

    /// Starts a run and returns it at once. `request` is the JSON of a [`RunRequest`](crate::run::RunRequest).
    fn run(&self, request: &str) -> Self::Run;

    /// Whether it can still take runs, as far as is known without asking it.
    fn is_alive(&self) -> bool {
        true
    }

    /// Bytes that it holds, or that are freed when it ends, as far as the home knows; 0 if it does not.
    fn memory(&self) -> usize {
        0
    }

    /// Adds further packages; called only where [`Backend::adds_packages`] says so.
    fn add(&self, parts: Self::Parts);

    /// Returns its session's files; `None` if it does not give them, or they are too large.
    fn files(&self) -> LocalBoxFuture<'static, Option<Self::Files>>;

    /// Takes the files of the interpreter before it, before its first run; that run fails if they cannot be had.
    fn put_files(&self, files: &Self::Files);
}

/// A run in an interpreter. Yields [`RunEvent::Began`] once, then what the isolate writes, and ends when the
/// interpreter is ready for its next run. [`SandboxError::Start`] before `Began` means that the run did not begin and
/// never will; after any other error, this is not known.
///
/// Dropping it ends the run as soon as that can be done.
pub trait Going: Stream<Item = Result<RunEvent, SandboxError>> + Unpin + 'static {
    /// Passes an answer to one of the run's calls, as JSON, into the isolate: see [`Running::answer`]. The isolate
    /// drops answers that come too late or twice.
    fn answer(&self, answer: &str) -> LocalBoxFuture<'static, ()>;

    /// Stops a run that has begun. Resolves to whether the interpreter is ready for its next run; `false`, or no
    /// answer, means that it is of no more use.
    fn stop(self) -> LocalBoxFuture<'static, bool>;
}
