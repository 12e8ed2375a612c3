//! Makes the host's interpreters a backend of the core.

use std::{
    convert::Infallible,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use futures::{
    FutureExt, Stream, StreamExt,
    future::{self, LocalBoxFuture},
    stream,
    stream::LocalBoxStream,
};
use js_sys::Array;
use mcp_run_python::{
    backend::{Backend, Going, Interpreter},
    home::{self, Home},
    kept::{Kept, Memory, Shelf},
    packages::{InstallError, PackageSet, Packages},
    platform::Platform,
    run::sandbox::{RunEvent, SandboxError},
    session::Snapshots,
    settings::Config,
};
use wasm_bindgen::JsValue;
use wasm_bindgen_futures::spawn_local;

use crate::{
    PLATFORM,
    host::{HostInterpreter, HostRun, SandboxHost, message},
    packages::{self, Wheels},
};

/// The backend whose interpreters are the host's.
#[derive(Clone)]
pub struct HostBackend {
    pub host: SandboxHost,
    pub wheels: Wheels,
    /// Gets wheels again that were dropped meanwhile.
    pub packages: Option<Rc<Packages>>,
    /// Whether its interpreters are for more than one run.
    pub kept: bool,
}

/// A home with the host's interpreters.
///
/// # Errors
/// The host's lock file cannot be read.
pub fn home(host: SandboxHost, config: Config) -> Result<Home<HostBackend>, String> {
    let wheels = packages::wheels();
    let packages = packages::installer(&host, config.packages.clone(), config.server.limits, wheels.clone())?;
    let (places, keeps_sessions) = (host.all_places(config.quotas.evictable_after), host.keeps_sessions());
    let snapshots = Snapshots::default();
    let kept = HostBackend { host, wheels, packages: packages.clone(), kept: true };
    let fresh = HostBackend { kept: false, ..kept.clone() };
    let store = Shelf::new(Memory::default(), PLATFORM, config.kept);
    let store = Some(Rc::new(store) as Rc<dyn Kept>);
    Ok(Home::new(home::Parts { kept, fresh, places, snapshots, packages, store, keeps_sessions }, config))
}

impl Backend for HostBackend {
    type Parts = Array;
    type Interpreter = Spawned;
    /// The page keeps snapshots of its own.
    type Snapshot = Infallible;

    fn platform(&self) -> Platform {
        PLATFORM
    }

    fn adds_packages(&self) -> bool {
        self.host.adds_packages()
    }

    fn parts(&self, set: &PackageSet, _: Option<&Infallible>) -> LocalBoxFuture<'static, Result<Array, SandboxError>> {
        let (wheels, installer, set) = (self.wheels.clone(), self.packages.clone(), set.clone());
        async move {
            let parts = || {
                let with_bytecode = installer.as_ref().is_some_and(|installer| installer.carries_bytecode(&set));
                packages::parts(&wheels, &set, with_bytecode)
            };
            if let Ok(parts) = parts() {
                return Ok(parts);
            }
            if let Some(installer) = &installer {
                installer.obtain(&set, &|_| {}).await.map_err(|InstallError(why)| SandboxError::Start(why))?;
            }
            parts()
        }
        .boxed_local()
    }

    fn spawn(&self, parts: Array) -> Spawned {
        let spawned = self.host.spawn(&parts, self.kept);
        Spawned(spawned.map_err(|error| SandboxError::Start(message(&error))))
    }
}

/// One of the host's interpreters; dropping it ends it.
pub struct Spawned(Result<HostInterpreter, SandboxError>);

impl Drop for Spawned {
    fn drop(&mut self) {
        if let Ok(interpreter) = &self.0 {
            // An interpreter that cannot be ended was lost.
            let _ = interpreter.end();
        }
    }
}

impl Interpreter for Spawned {
    type Parts = Array;
    type Files = JsValue;
    type Run = SpawnedRun;

    fn run(&self, request: &str) -> SpawnedRun {
        let (interpreter, request) = (self.0.clone(), request.to_owned());
        let alive = interpreter.clone().ok();
        let starting = async move { interpreter?.start(request).await }.boxed_local();
        SpawnedRun { alive, state: State::Starting(starting) }
    }

    fn is_alive(&self) -> bool {
        self.0.as_ref().is_ok_and(HostInterpreter::is_alive)
    }

    fn add(&self, parts: Array) {
        if let Ok(interpreter) = &self.0 {
            // If this fails, the run that needs the packages fails, and says so.
            let _ = interpreter.add(&parts);
        }
    }

    fn files(&self) -> LocalBoxFuture<'static, Option<JsValue>> {
        let interpreter = self.0.clone();
        async move { interpreter.ok()?.written().await }.boxed_local()
    }

    fn put_files(&self, files: &JsValue) {
        if let Ok(interpreter) = &self.0 {
            // As with `add`.
            let _ = interpreter.put_files(files);
        }
    }
}

/// A run. Dropping it cancels what JavaScript does for it, as a promise cannot be dropped.
pub struct SpawnedRun {
    alive: Option<HostInterpreter>,
    state: State,
}

enum State {
    Starting(LocalBoxFuture<'static, Result<HostRun, SandboxError>>),
    Going(HostRun, LocalBoxStream<'static, Result<Vec<u8>, SandboxError>>),
    Over,
}

impl Stream for SpawnedRun {
    type Item = Result<RunEvent, SandboxError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let (state, event) = match &mut self.state {
            State::Starting(starting) => match ready!(starting.poll_unpin(cx)) {
                Ok(run) => {
                    let next = |run: HostRun| async move { run.next().await.map(|chunk| (chunk, run)) };
                    let frames = stream::unfold(run.clone(), next).boxed_local();
                    (State::Going(run, frames), Some(Ok(RunEvent::Began)))
                }
                Err(error) => (State::Over, Some(Err(error))),
            },
            State::Going(_, frames) => match ready!(frames.poll_next_unpin(cx)) {
                Some(Ok(frames)) => return Poll::Ready(Some(Ok(RunEvent::Frames(frames)))),
                over => (State::Over, over.map(|over| over.map(RunEvent::Frames))),
            },
            State::Over => return Poll::Ready(None),
        };
        self.state = state;
        Poll::Ready(event)
    }
}

impl Going for SpawnedRun {
    fn answer(&self, answer: &str) -> LocalBoxFuture<'static, ()> {
        if let (State::Going(..), Some(interpreter)) = (&self.state, &self.alive) {
            // A run whose interpreter is gone ends by itself.
            let _ = interpreter.answer(answer);
        }
        future::ready(()).boxed_local()
    }

    fn stop(mut self) -> LocalBoxFuture<'static, bool> {
        let (state, alive) = (std::mem::replace(&mut self.state, State::Over), self.alive.clone());
        async move {
            if let State::Going(run, _) = state {
                run.cancel().await;
            }
            alive.is_some_and(|interpreter| interpreter.is_alive())
        }
        .boxed_local()
    }
}

impl Drop for SpawnedRun {
    fn drop(&mut self) {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Starting(starting) => spawn_local(async move {
                if let Ok(run) = starting.await {
                    run.cancel().await;
                }
            }),
            State::Going(run, _) => spawn_local(async move { run.cancel().await }),
            State::Over => {}
        }
    }
}
