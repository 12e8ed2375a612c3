//! An interpreter of its own for each run.

use std::{rc::Rc, time::Duration};

use futures::{FutureExt, StreamExt, future::LocalBoxFuture, select_biased, stream};

use super::{places::Places, snapshots::Snapshots};
use crate::{
    backend::{Backend, Interpreter},
    limits::{PARTS_TIME, START_TIME},
    packages::PackageSet,
    run::sandbox::{Run, RunEvent, Sandbox, SandboxError},
};

/// Starts an interpreter for each run, which ends with it.
pub struct Fresh<B: Backend>(Rc<Inner<B>>);

struct Inner<B: Backend> {
    backend: B,
    places: Places,
    snapshots: Snapshots<B::Snapshot>,
}

impl<B: Backend> Fresh<B> {
    /// Those of `backend`, as far as there are `places`. They start from `snapshots`.
    pub fn new(backend: B, places: Places, snapshots: Snapshots<B::Snapshot>) -> Self {
        Self(Rc::new(Inner { backend, places, snapshots }))
    }
}

impl<B: Backend> Sandbox for Fresh<B> {
    fn run(&self, request: String, packages: PackageSet) -> Run {
        let started = self.0.clone().start(request, packages);
        stream::once(started)
            .flat_map(|started| match started {
                Ok(begun) => {
                    let begun = stream::unfold(begun, |mut begun| async move {
                        if !begun.told {
                            begun.told = true;
                            return Some((Ok(RunEvent::Began), begun));
                        }
                        Some((begun.run.next().await?, begun))
                    });
                    begun.boxed_local()
                }
                Err(error) => stream::once(async { Err(error) }).boxed_local(),
            })
            .boxed_local()
    }

    fn is_fresh(&self) -> bool {
        true
    }

    fn sleep(&self, duration: Duration) -> LocalBoxFuture<'static, ()> {
        (self.0.backend.platform().sleep)(duration)
    }
}

/// A run that has begun, with what ends when it is dropped: in this order.
struct Begun<I: Interpreter> {
    told: bool,
    run: I::Run,
    _interpreter: I,
    _place: super::places::Place,
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
                    return Ok(Begun { told: false, run, _interpreter: interpreter, _place: place });
                }
                // It did not begin: its process ended for another's sake, say. Elsewhere it may go well.
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
