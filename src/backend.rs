//! What a home implements: interpreters, and how bytes get into them and out. `session::contract` says what each method
//! promises, and in which order; everything else about sessions and runs is the core's.

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
    /// What an interpreter is made of. Holds its wheels, so that no cache drops them meanwhile.
    type Parts: 'static;
    /// An interpreter.
    type Interpreter: Interpreter<Parts = Self::Parts>;
    /// The memory of an interpreter that has imported packages, as the home holds it. Never looked at.
    type Snapshot: Clone + 'static;

    /// The home's timers, tasks and clock.
    fn platform(&self) -> Platform;

    /// Whether an interpreter that is alive takes further packages ([`Interpreter::add`]).
    fn adds_packages(&self) -> bool {
        false
    }

    /// Brings together what an interpreter with these packages is made of. It starts from a snapshot of the first of
    /// them, if there is one. May fetch; dropping it is no harm.
    fn parts(
        &self,
        packages: &PackageSet,
        from: Option<&Self::Snapshot>,
    ) -> LocalBoxFuture<'static, Result<Self::Parts, SandboxError>>;

    /// An interpreter, at once: it boots on its own, or with its first run, which is told when that fails.
    fn spawn(&self, parts: Self::Parts) -> Self::Interpreter;

    /// Names what interpreters are built of besides packages: a snapshot is for the same build only.
    fn build(&self) -> String {
        String::new()
    }

    /// Takes a snapshot, and its size in bytes, of an interpreter of these parts that has imported these modules, in this
    /// order, and did nothing else. Dropping it ends that.
    fn take_snapshot(
        &self,
        parts: Self::Parts,
        modules: &[String],
    ) -> LocalBoxFuture<'static, Result<(Self::Snapshot, usize), NotTaken>> {
        let _ = (parts, modules);
        future::ready(Err(NotTaken::Failed)).boxed_local()
    }

    /// Whether a snapshot is taken where nobody waits for it.
    fn takes_snapshots_aside(&self) -> bool {
        false
    }

    /// Keeps a snapshot beyond this process, as far as the home likes.
    fn keep(&self, key: &str, snapshot: &Self::Snapshot) -> LocalBoxFuture<'static, ()> {
        let _ = (key, snapshot);
        future::ready(()).boxed_local()
    }

    /// A snapshot that was kept, and its size.
    fn kept(&self, key: &str) -> LocalBoxFuture<'static, Option<(Self::Snapshot, usize)>> {
        let _ = key;
        future::ready(None).boxed_local()
    }
}

/// Why a snapshot was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotTaken {
    /// The import of this module draws random numbers, which would be the same in every interpreter: it may be taken without.
    Without(String),
    /// It cannot be taken.
    Failed,
}

/// One interpreter. It takes one run at a time; whoever has it sees to that. Dropping it ends it, and whatever goes on in
/// it.
pub trait Interpreter: 'static {
    /// See [`Backend::Parts`].
    type Parts: 'static;
    /// What a session has written, packed. Goes into an interpreter of the same session, and is never looked at.
    type Files: 'static;
    /// A run.
    type Run: Going;

    /// A run, at once. `request` is the JSON of a [`RunRequest`](crate::run::RunRequest).
    fn run(&self, request: &str) -> Self::Run;

    /// Whether it may still take runs, as far as is known without asking it.
    fn is_alive(&self) -> bool {
        true
    }

    /// How many bytes it holds, or those that end with it, as the home knows by itself; 0 if it does not know.
    fn memory(&self) -> usize {
        0
    }

    /// Gives it further packages: only where [`Backend::adds_packages`] says so.
    fn add(&self, parts: Self::Parts);

    /// Its session's files; `None` if it does not give them, or they are too large.
    fn files(&self) -> LocalBoxFuture<'static, Option<Self::Files>>;

    /// Takes the files of the interpreter before it, before its first run: which fails when they cannot be had.
    fn put_files(&self, files: &Self::Files);
}

/// A run in an interpreter: yields [`RunEvent::Began`] once, then what the isolate writes, and ends when the interpreter
/// is ready for its next run. [`SandboxError::Start`] before `Began` says that the run did not begin, and never will;
/// any other error, that this is not known.
///
/// Dropping it ends the run as soon as that can be done.
pub trait Going: Stream<Item = Result<RunEvent, SandboxError>> + Unpin + 'static {
    /// Brings an answer to one of the run's calls, as JSON, into the isolate: see [`Running::answer`]. One that comes too
    /// late, or twice, is dropped there.
    fn answer(&self, answer: &str) -> LocalBoxFuture<'static, ()>;

    /// Stops a run that has begun. Resolves to whether the interpreter is ready for its next run: `false`, or no
    /// answer, if it is of no more use.
    fn stop(self) -> LocalBoxFuture<'static, bool>;
}
