//! A new interpreter for each run.

use std::{
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use futures::{
    FutureExt, Stream, StreamExt,
    future::{self, LocalBoxFuture},
    select_biased,
};

use super::{places::Places, snapshots::Snapshots};
use crate::{
    backend::{Backend, Going, Interpreter},
    limits::{PARTS_TIME, START_TIME},
    packages::PackageSet,
    platform::Platform,
    run::sandbox::{Run, RunEvent, Running, Sandbox, SandboxError},
};

/// Starts an interpreter for each run, which ends with it.
pub struct Fresh<B: Backend>(Rc<Inner<B>>);

struct Inner<B: Backend> {
    backend: B,
    places: Places,
    snapshots: Snapshots<B::Snapshot>,
}

impl<B: Backend> Fresh<B> {
    /// Runs in interpreters of `backend`, as `places` allow, started from `snapshots`.
    pub fn new(backend: B, places: Places, snapshots: Snapshots<B::Snapshot>) -> Self {
        Self(Rc::new(Inner { backend, places, snapshots }))
    }
}

impl<B: Backend> Sandbox for Fresh<B> {
    fn run(&self, request: String, packages: PackageSet) -> Run {
        let starting = self.0.clone().start(request, packages).boxed_local();
        Box::new(FreshRun::<B::Interpreter>::Starting(starting))
    }

    fn is_fresh(&self) -> bool {
        true
    }

    fn platform(&self) -> Platform {
        self.0.backend.platform()
    }
}

/// A run, as its caller has it.
enum FreshRun<I: Interpreter> {
    Starting(LocalBoxFuture<'static, Result<Begun<I>, SandboxError>>),
    Going(Begun<I>),
    Over,
}

/// A run that has begun, and what ends when it is dropped, in this order.
struct Begun<I: Interpreter> {
    run: I::Run,
    _interpreter: I,
    _place: super::places::Place,
}

// Nothing in it is pinned in place.
impl<I: Interpreter> Unpin for FreshRun<I> {}

impl<I: Interpreter> Stream for FreshRun<I> {
    type Item = Result<RunEvent, SandboxError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match &mut *self {
            Self::Starting(starting) => {
                let (state, event) = match ready!(starting.poll_unpin(cx)) {
                    Ok(begun) => (Self::Going(begun), Ok(RunEvent::Began)),
                    Err(error) => (Self::Over, Err(error)),
                };
                *self = state;
                Poll::Ready(Some(event))
            }
            Self::Going(begun) => begun.run.poll_next_unpin(cx),
            Self::Over => Poll::Ready(None),
        }
    }
}

impl<I: Interpreter> Running for FreshRun<I> {
    fn answer(&self, answer: &str) -> LocalBoxFuture<'static, ()> {
        match self {
            Self::Going(begun) => begun.run.answer(answer),
            _ => future::ready(()).boxed_local(),
        }
    }
}

impl<B: Backend> Inner<B> {
    async fn start(
        self: Rc<Self>,
        request: String,
        packages: PackageSet,
    ) -> Result<Begun<B::Interpreter>, SandboxError> {
        let platform = self.backend.platform();
        let mut second = false;
        loop {
            let parts = select_biased! {
                parts = self.snapshots.parts(&self.backend, &packages).fuse() => parts?,
                () = (platform.sleep)(PARTS_TIME).fuse() => {
                    return Err(SandboxError::Start("its packages did not come in time".into()));
                }
            };
            let place = self.places.take(platform, None).await?;
            let interpreter = self.backend.spawn(parts);
            let mut run = interpreter.run(&request);
            let first = select_biased! {
                first = run.next().fuse() => first,
                () = (platform.sleep)(START_TIME).fuse() => Some(Err(SandboxError::Lost("it did not answer in time".into()))),
            };
            match first {
                Some(Ok(RunEvent::Began)) => {
                    return Ok(Begun { run, _interpreter: interpreter, _place: place });
                }
                // It did not begin: its process may have ended for another's sake, or the snapshot may be bad. Tries
                // once more.
                Some(Err(SandboxError::Start(_))) if !second => {
                    second = true;
                    self.snapshots.forget(&packages);
                }
                Some(Err(error)) => return Err(error),
                Some(Ok(RunEvent::Frames(_))) => {
                    return Err(SandboxError::Protocol("frames of a run that has not begun"));
                }
                None => return Err(SandboxError::Lost("it ended before its run began".into())),
            }
        }
    }
}
