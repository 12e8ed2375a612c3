//! A session's interpreter. It starts with the session's first run, lives until it is lost or the session ends, and takes
//! one run at a time.

use std::{
    cell::{Cell, RefCell},
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures::{
    Stream, StreamExt,
    future::LocalBoxFuture,
    lock::{Mutex, OwnedMutexGuard},
    stream,
};
use mcp_run_python::{
    packages::PackageSet,
    sandbox::{Frames, Sandbox, SandboxError},
    session::{MORE_PACKAGES, RESTARTED},
};

use crate::{
    PLATFORM,
    host::{Run, SandboxHost, to_its_end},
    packages::Wheels,
};

/// A session's interpreter. Runs wait for each other.
#[derive(Clone)]
pub struct Interpreter(Rc<Inner>);

struct Inner {
    host: SandboxHost,
    /// The client whose it is.
    owner: u32,
    wheels: Wheels,
    /// What it can import.
    packages: RefCell<PackageSet>,
    turn: Arc<Mutex<()>>,
    /// The host's name for it.
    name: RefCell<Option<String>>,
    used: Cell<bool>,
    ended: Cell<bool>,
    used_at: Cell<f64>,
}

impl Interpreter {
    /// One of the client `owner`, which starts with its first run.
    pub fn new(host: SandboxHost, wheels: Wheels, owner: u32) -> Self {
        Self(Rc::new(Inner {
            host,
            owner,
            wheels,
            packages: RefCell::default(),
            turn: Arc::default(),
            name: RefCell::default(),
            used: Cell::default(),
            ended: Cell::default(),
            used_at: Cell::new(js_sys::Date::now()),
        }))
    }

    /// Whether no run is going on.
    pub fn is_idle(&self) -> bool {
        self.0.turn.try_lock().is_some()
    }

    /// When a run last started or ended, in milliseconds since 1970.
    pub fn used_at(&self) -> f64 {
        self.0.used_at.get()
    }

    /// Ends it for good.
    pub fn end(&self) {
        self.0.ended.set(true);
        let inner = self.0.clone();
        if let Some(name) = self.0.name.take() {
            wasm_bindgen_futures::spawn_local(async move { inner.host.end(&name).await });
        }
    }
}

impl Sandbox for Interpreter {
    fn start(&self, request: String, packages: PackageSet) -> LocalBoxFuture<'static, Result<Frames, SandboxError>> {
        let inner = self.0.clone();
        to_its_end(async move { inner.start(request, packages).await })
    }

    fn sleep(&self, duration: Duration) -> LocalBoxFuture<'static, ()> {
        (PLATFORM.sleep)(duration)
    }
}

impl Inner {
    async fn start(self: Rc<Self>, request: String, packages: PackageSet) -> Result<Frames, SandboxError> {
        let turn = self.turn.clone().lock_owned().await;
        self.used_at.set(js_sys::Date::now());
        let alive = self.name.borrow().clone();
        let had = self.packages.borrow().clone();
        let packages = packages.with(&had);
        let mut before = None;
        if let Some(name) = alive {
            let wheels = self.wheels.of(&packages)?;
            // What was imported stays imported: another version of it cannot be added.
            let fits = had.contains(&packages) || self.host.adds_packages() && packages.contains(&had);
            // One that was lost since its last run fails, or is not there.
            if fits
                && self.host.has(&name).await
                && let Ok(run) = self.host.run(&request, Some(&name), &wheels).await
            {
                self.packages.replace(packages);
                return Ok(self.frames(run, turn));
            }
            self.name.take();
            before = Some((name, fits));
        }
        if self.ended.get() {
            if let Some((before, _)) = before {
                self.host.end(&before).await;
            }
            return Err(SandboxError::Lost("its session has ended".into()));
        }
        let wheels = self.wheels.of(&packages)?;
        let name = self.host.open(self.owner).await?;
        let mut kept = false;
        if let Some((before, fits)) = before {
            // **Boundary.** What an isolate gives as its files goes into one of the same session, and nowhere else.
            kept = !fits && self.host.carry_files(&before, &name).await;
            self.host.end(&before).await;
        }
        self.name.replace(Some(name.clone()));
        let frames = self.clone().frames(self.host.run(&request, Some(&name), &wheels).await?, turn);
        self.packages.replace(packages);
        if self.ended.get() {
            // Meanwhile.
            self.host.end(&name).await;
        }
        if !self.used.replace(true) {
            return Ok(frames);
        }
        let notice = if kept { MORE_PACKAGES } else { RESTARTED };
        let notice = stream::once(async move { Ok(notice.as_bytes().to_vec()) });
        Ok(notice.chain(frames).boxed_local())
    }

    fn frames(self: Rc<Self>, run: Run, turn: OwnedMutexGuard<()>) -> Frames {
        let chunks = stream::unfold(run.clone(), |run| async move { run.next().await.map(|chunk| (chunk, run)) });
        Turn { chunks: chunks.boxed_local(), run, interpreter: self, turn: Some(turn) }.boxed_local()
    }
}

/// The frames of a run, and its turn, which lasts until the interpreter is ready for the next.
struct Turn {
    chunks: Frames,
    run: Run,
    interpreter: Rc<Inner>,
    turn: Option<OwnedMutexGuard<()>>,
}

impl Stream for Turn {
    type Item = Result<Vec<u8>, SandboxError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.chunks.poll_next_unpin(cx)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.interpreter.used_at.set(js_sys::Date::now());
        let (run, turn) = (self.run.clone(), self.turn.take());
        wasm_bindgen_futures::spawn_local(async move {
            run.cancel().await;
            drop(turn);
        });
    }
}
