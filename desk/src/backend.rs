//! The core's backend on the desk: interpreters in the pool's processes.

use std::{
    cell::{Cell, RefCell},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures::{
    FutureExt, Stream,
    future::{LocalBoxFuture, Shared},
};
use mcp_run_python::{
    backend::{Backend, Going, Interpreter as CoreInterpreter, NotTaken},
    limits::MAX_SNAPSHOT,
    packages::{InstallError, PackageSet, Packages},
    platform::Platform,
    run::sandbox::{RunEvent, SandboxError},
};

use crate::{
    interpreter::{Frames, NotBegun},
    packages::{self, Parts, Wheels, disk::Disk},
    platform::{PLATFORM, spawn},
    pool::{Lease, Pool},
    snapshots,
};

/// The backend of the desk: interpreters in workerd processes.
#[derive(Clone)]
pub struct Desk {
    /// The processes.
    pub pool: Pool,
    /// The prepared wheels.
    pub wheels: Wheels,
    /// Gets wheels again that were dropped meanwhile.
    pub packages: Option<Rc<Packages>>,
    /// The disk cache, which keeps snapshots.
    pub disk: Disk,
    /// Hash of what interpreters are made of besides packages.
    pub build: Rc<str>,
    /// Whether its interpreters are for more than one run.
    pub kept: bool,
}

impl Backend for Desk {
    type Parts = Parts;
    type Interpreter = Spawned;
    type Snapshot = Bytes;

    fn platform(&self) -> Platform {
        PLATFORM
    }

    fn parts(&self, set: &PackageSet, from: Option<&Bytes>) -> LocalBoxFuture<'static, Result<Parts, SandboxError>> {
        let (wheels, installer, set, from) = (self.wheels.clone(), self.packages.clone(), set.clone(), from.cloned());
        async move {
            let parts = || {
                let with_bytecode = installer.as_ref().is_some_and(|installer| installer.carries_bytecode(&set));
                packages::parts(&wheels, &set, with_bytecode)
            };
            if let Ok(parts) = parts() {
                return Ok(parts.from(from));
            }
            if let Some(installer) = &installer {
                installer.obtain(&set, &|_| {}).await.map_err(|InstallError(why)| SandboxError::Start(why))?;
            }
            Ok(parts()?.from(from))
        }
        .boxed_local()
    }

    fn build(&self) -> String {
        self.build.to_string()
    }

    fn take_snapshot(
        &self,
        parts: Parts,
        modules: &[String],
    ) -> LocalBoxFuture<'static, Result<(Bytes, usize), NotTaken>> {
        let (launch, modules) = (self.pool.launch().clone(), modules.to_vec());
        async move {
            let snapshot = snapshots::take(&launch, &parts, &modules).await?;
            let size = snapshot.len();
            Ok((snapshot, size))
        }
        .boxed_local()
    }

    fn takes_snapshots_aside(&self) -> bool {
        true
    }

    fn keep(&self, key: &str, snapshot: &Bytes) -> LocalBoxFuture<'static, ()> {
        let (disk, name, snapshot) = (self.disk.clone(), kept_name(key), snapshot.clone());
        async move { disk.write(&name, &snapshot).await }.boxed_local()
    }

    /// **Boundary.** Snapshots in the cache folder are trusted: it is its owner's alone.
    fn kept(&self, key: &str) -> LocalBoxFuture<'static, Option<(Bytes, usize)>> {
        let (disk, name) = (self.disk.clone(), kept_name(key));
        async move {
            let snapshot = disk.map(&name, MAX_SNAPSHOT).await?;
            let size = snapshot.len();
            Some((snapshot, size))
        }
        .boxed_local()
    }

    fn spawn(&self, parts: Parts) -> Spawned {
        let (pool, kept) = (self.pool.clone(), self.kept);
        // Without an installer, this backend compiles wheels or tries snapshots: nothing to repeat.
        let recurs = !kept && self.packages.is_some();
        let parts = Rc::new(parts);
        let taking = async move { pool.take(kept, recurs, &parts).await.map(Rc::new) }.boxed_local().shared();
        let lease = Rc::<RefCell<State>>::new(RefCell::new(State::Taking(taking.clone())));
        let place = Rc::downgrade(&lease);
        spawn(async move {
            let taken = taking.await;
            // If the interpreter was dropped meanwhile, so is `taken`, which ends it.
            if let Some(place) = place.upgrade() {
                place.replace(State::Taken(taken));
            }
        });
        Spawned { lease, files: Rc::default() }
    }
}

/// The name of a snapshot's file.
fn kept_name(key: &str) -> String {
    format!("snapshot-{key}")
}

type Taken = Result<Rc<Lease>, String>;

enum State {
    Taking(Shared<LocalBoxFuture<'static, Taken>>),
    Taken(Taken),
}

/// An interpreter from the pool, which may still be booting.
pub struct Spawned {
    lease: Rc<RefCell<State>>,
    /// Files of the session's previous interpreter, until they are put into this one.
    files: Rc<Cell<Option<Bytes>>>,
}

impl CoreInterpreter for Spawned {
    type Parts = Parts;
    type Files = Bytes;
    type Run = SpawnedRun;

    fn run(&self, request: &str) -> SpawnedRun {
        let (lease, files) = (Rc::downgrade(&self.lease), self.files.take());
        let request = Bytes::copy_from_slice(request.as_bytes());
        let lost = || SandboxError::Start("its interpreter is gone".into());
        let starting = async move {
            let taking = lease.upgrade().map(|lease| match &*lease.borrow() {
                State::Taking(taking) => taking.clone(),
                State::Taken(taken) => futures::future::ready(taken.clone()).boxed_local().shared(),
            });
            let taken = taking.ok_or_else(lost)?.await.map_err(SandboxError::Start)?;
            // If the interpreter was dropped meanwhile, it is to end: fail, and drop `taken`.
            lease.upgrade().ok_or_else(lost)?;
            let interpreter = taken.interpreter.clone();
            drop(taken);
            if let Some(files) = files {
                interpreter.put_files(files).await.map_err(SandboxError::Start)?;
            }
            interpreter.run(request).await.map_err(|error| match error {
                NotBegun::Elsewhere(why) => SandboxError::Start(why),
                NotBegun::AtFault(why) => SandboxError::Lost(why),
            })
        };
        SpawnedRun { state: RunState::Starting(starting.boxed_local()) }
    }

    fn is_alive(&self) -> bool {
        match &*self.lease.borrow() {
            State::Taking(_) => true,
            State::Taken(Ok(lease)) => lease.interpreter.is_alive(),
            State::Taken(Err(_)) => false,
        }
    }

    fn memory(&self) -> usize {
        match &*self.lease.borrow() {
            State::Taken(Ok(lease)) => lease.interpreter.memory(),
            _ => 0,
        }
    }

    fn add(&self, _: Parts) {}

    fn files(&self) -> LocalBoxFuture<'static, Option<Bytes>> {
        let interpreter = match &*self.lease.borrow() {
            State::Taken(Ok(lease)) => Some(lease.interpreter.clone()),
            _ => None,
        };
        async move { interpreter?.files().await }.boxed_local()
    }

    fn put_files(&self, files: &Bytes) {
        self.files.set(Some(files.clone()));
    }
}

/// A run that was started.
pub struct SpawnedRun {
    state: RunState,
}

enum RunState {
    Starting(LocalBoxFuture<'static, Result<Frames, SandboxError>>),
    Going(Frames),
    Over,
}

impl Stream for SpawnedRun {
    type Item = Result<RunEvent, SandboxError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let (state, event) = match &mut self.state {
            RunState::Starting(starting) => match ready!(starting.poll_unpin(cx)) {
                Ok(frames) => (RunState::Going(frames), Some(Ok(RunEvent::Began))),
                Err(error) => (RunState::Over, Some(Err(error))),
            },
            RunState::Going(frames) => match ready!(frames.poll_next(cx)) {
                Some(Ok(bytes)) => return Poll::Ready(Some(Ok(RunEvent::Frames(bytes.to_vec())))),
                Some(Err(why)) => (RunState::Over, Some(Err(SandboxError::Lost(why)))),
                None => (RunState::Over, None),
            },
            RunState::Over => return Poll::Ready(None),
        };
        self.state = state;
        Poll::Ready(event)
    }
}

impl Going for SpawnedRun {
    fn answer(&self, answer: &str) -> LocalBoxFuture<'static, ()> {
        let interpreter = match &self.state {
            RunState::Going(frames) => Some(frames.interpreter().clone()),
            _ => None,
        };
        let answer = Bytes::copy_from_slice(answer.as_bytes());
        async move {
            if let Some(interpreter) = interpreter {
                interpreter.answer(answer).await;
            }
        }
        .boxed_local()
    }

    fn stop(mut self) -> LocalBoxFuture<'static, bool> {
        let frames = match std::mem::replace(&mut self.state, RunState::Over) {
            RunState::Going(frames) => Some(frames),
            _ => None,
        };
        async move {
            match frames {
                Some(frames) => frames.stop().await,
                None => true,
            }
        }
        .boxed_local()
    }
}

impl Drop for SpawnedRun {
    fn drop(&mut self) {
        match std::mem::replace(&mut self.state, RunState::Over) {
            // A run can only be stopped once it has begun: wait for that.
            RunState::Starting(starting) => spawn(async move {
                if let Ok(frames) = starting.await {
                    frames.stop().await;
                }
            }),
            RunState::Going(frames) => spawn(async move {
                frames.stop().await;
            }),
            RunState::Over => {}
        }
    }
}
