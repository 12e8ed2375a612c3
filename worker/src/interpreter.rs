//! A session's interpreter: a facet of the session's Durable Object, of a class from a dynamic isolate. It
//! lives from the session's first run on, until it is lost or the session ends.

use std::{
    cell::{Cell, RefCell},
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures::{
    FutureExt, Stream, StreamExt,
    future::LocalBoxFuture,
    lock::{Mutex, OwnedMutexGuard},
    select_biased, stream,
};
use mcp_run_python::{
    packages::PackageSet,
    sandbox::{Frames, Sandbox, SandboxError},
    session::{MORE_PACKAGES, RESTARTED},
};
use web_sys::ReadableStream;
use worker::{Date, Env, Method, RequestInit, Result, State, Storage};

use crate::{
    code,
    config::PLATFORM,
    isolate::{self, body},
    loader::{Facets, Fetcher, WorkerLoader},
    packages,
};

/// The facet's name. One at a time, and each start of it loads an isolate of its own.
const FACET: &str = "python";

/// Where an isolate is told to stop its run, see `runtime/isolate.js`.
const STOP: &str = "http://sandbox/stop";

/// Where it gives its files, and takes those of the one before.
const FILES: &str = "http://sandbox/files";

/// How many bytes of files are carried over into a new interpreter at most.
const MAX_FILES: usize = 32 * 1024 * 1024;

/// Set once the session has had an interpreter.
const USED: &str = "used";

/// Between two wake-ups of an object with an interpreter: workerd evicts one that gets nothing for 10 s.
pub const KEEP_ALIVE: Duration = Duration::from_secs(8);

/// How long the body of a run that gave its result may take to end.
const LAST_BYTE: Duration = Duration::from_millis(50);

/// A session's interpreter. Runs wait for each other.
#[derive(Clone)]
pub struct Interpreter(Rc<Inner>);

struct Inner {
    env: Env,
    facets: Facets,
    storage: Storage,
    /// How long a run that is stopped may take to end.
    patience: Duration,
    turn: Arc<Mutex<()>>,
    facet: RefCell<Option<Fetcher>>,
    /// What the facet can import.
    packages: RefCell<PackageSet>,
    used: Cell<bool>,
    used_at: Cell<u64>,
    /// Whether nobody is told that it was restarted.
    quiet: Cell<bool>,
}

impl Interpreter {
    /// That of the object whose state this is; it starts with its first run.
    pub async fn new(state: &State, env: Env, grace: Duration) -> Result<Self> {
        let storage = state.storage();
        let used = storage.get(USED).await?.unwrap_or(false);
        Ok(Self(Rc::new(Inner {
            env,
            facets: Facets::new(state)?,
            storage,
            patience: grace + Duration::from_millis(1500),
            turn: Arc::default(),
            facet: RefCell::default(),
            packages: RefCell::default(),
            used: Cell::new(used),
            used_at: Cell::new(0),
            quiet: Cell::default(),
        })))
    }

    /// From now on, nobody is told that it was restarted: those whose runs stand for themselves expect nothing of it.
    pub fn restart_quietly(&self) {
        self.0.quiet.set(true);
    }

    /// Whether it has started and was not lost.
    pub fn is_alive(&self) -> bool {
        self.0.facet.borrow().is_some()
    }

    /// Whether no run is going on.
    pub fn is_idle(&self) -> bool {
        self.0.turn.try_lock().is_some()
    }

    /// When a run last started or ended, in milliseconds since 1970; 0 for never.
    pub fn used_at(&self) -> u64 {
        self.0.used_at.get()
    }

    /// Ends it for good, with whatever it stored.
    pub fn end(&self) -> Result<()> {
        self.0.discard("its session ended");
        self.0.facets.delete(FACET)
    }
}

impl Sandbox for Interpreter {
    fn start(
        &self,
        request: String,
        packages: PackageSet,
    ) -> LocalBoxFuture<'static, std::result::Result<Frames, SandboxError>> {
        let inner = self.0.clone();
        async move { inner.start(request, packages).await.map_err(|error| SandboxError::Start(error.to_string())) }
            .boxed_local()
    }

    fn sleep(&self, duration: Duration) -> LocalBoxFuture<'static, ()> {
        (PLATFORM.sleep)(duration)
    }
}

impl Inner {
    async fn start(self: Rc<Self>, request: String, packages: PackageSet) -> Result<Frames> {
        let turn = self.turn.clone().lock_owned().await;
        self.used_at.set(Date::now().as_millis());
        let alive = self.facet.borrow().clone();
        let (facet, frames) = match alive {
            Some(facet) if !self.packages.borrow().contains(&packages) => {
                self.restart_with(&facet, &request, packages).await?
            }
            Some(facet) => match self.run(&facet, code::later(&request)).await {
                Ok(frames) => (facet, frames),
                Err(_) => {
                    // It was lost since its last run: with its isolate, or by what the code did to it.
                    self.discard("it does not answer");
                    self.restart(&request, packages, None).await?
                }
            },
            None => self.restart(&request, packages, None).await?,
        };
        Ok(Run { interpreter: self, facet, going: Some((frames, turn)) }.boxed_local())
    }

    /// Replaces the interpreter by one that has more packages, and the same files.
    async fn restart_with(&self, facet: &Fetcher, request: &str, packages: PackageSet) -> Result<(Fetcher, Frames)> {
        let packages = packages.with(&self.packages.borrow());
        // What cannot be had must not cost the interpreter that there is.
        packages::obtain(&self.env, &packages).await?;
        // **Boundary.** What the isolate gives as its files goes back into one of the same session, and nowhere else.
        let files = select_biased! {
            files = files(facet).fuse() => files.ok(),
            () = (PLATFORM.sleep)(self.patience).fuse() => None,
        };
        self.discard("it needs more packages");
        self.restart(request, packages, files).await
    }

    /// Starts the facet and a run in it, which says so if it is not the session's first. `files` are those of the
    /// interpreter before.
    async fn restart(&self, request: &str, packages: PackageSet, files: Option<Vec<u8>>) -> Result<(Fetcher, Frames)> {
        let code = code::python(&self.env, &packages).await?;
        let env = self.env.clone();
        let kept = files.is_some();
        let first = code.clone();
        let facet = self.facets.get(FACET, move || WorkerLoader::new(&env)?.load(&code.worker)?.class("Python"))?;
        let started = async {
            let Some(files) = files else { return self.run(&facet, first.first(request)).await };
            let mut init = RequestInit::new();
            let files = js_sys::Uint8Array::from(files.as_slice()).buffer();
            init.with_method(Method::Post).with_body(Some(first.first_with_files(&files).into()));
            if facet.fetch(FILES, &init, None).await?.status_code() != 204 {
                return Err("the session's files could not be carried over".into());
            }
            self.run(&facet, code::later(request)).await
        };
        let frames = match started.await {
            Ok(frames) => frames,
            Err(error) => {
                self.discard("it did not start");
                return Err(error);
            }
        };
        self.facet.replace(Some(facet.clone()));
        self.packages.replace(packages);
        self.storage.set_alarm(KEEP_ALIVE).await?;
        let first = !self.used.replace(true);
        if first {
            self.storage.put(USED, true).await?;
        }
        if first || self.quiet.get() {
            return Ok((facet, frames));
        }
        let notice = if kept { MORE_PACKAGES } else { RESTARTED };
        let notice = stream::once(async move { Ok(notice.as_bytes().to_vec()) });
        Ok((facet, notice.chain(frames).boxed_local()))
    }

    async fn run(&self, facet: &Fetcher, envelope: ReadableStream) -> Result<Frames> {
        body(isolate::run(facet, envelope, None).await?, ())
    }

    /// Waits for the end of a run that nobody follows any longer; or stops it; or gives the interpreter up.
    async fn settle(&self, facet: &Fetcher, mut frames: Frames) {
        select_biased! {
            chunk = frames.next().fuse() => if chunk.is_none() { return },
            () = (PLATFORM.sleep)(LAST_BYTE).fuse() => {}
        }
        let mut init = RequestInit::new();
        init.with_method(Method::Post);
        let stopped = select_biased! {
            response = facet.fetch(STOP, &init, None).fuse() => response.is_ok_and(|response| response.status_code() == 204),
            () = (PLATFORM.sleep)(self.patience).fuse() => false,
        };
        // **Boundary.** Whether it lives is the isolate's own word. One that lies harms the session that it is
        // of, which is whose code runs in it.
        if !stopped {
            self.discard("its run did not end");
        }
    }

    fn discard(&self, reason: &str) {
        self.facet.take();
        if let Err(error) = self.facets.abort(FACET, reason) {
            worker::console_error!("an interpreter could not be ended: {error}");
        }
    }
}

/// The files of an interpreter, packed.
async fn files(facet: &Fetcher) -> Result<Vec<u8>> {
    let mut response = facet.fetch(FILES, &RequestInit::new(), None).await?;
    if response.status_code() != 200 {
        return Err("it does not give its files".into());
    }
    let mut chunks = response.stream()?;
    let mut files = Vec::new();
    while let Some(chunk) = chunks.next().await {
        files.extend_from_slice(&chunk?);
        if files.len() > MAX_FILES {
            return Err("its files are too large".into());
        }
    }
    Ok(files)
}

/// The frames of a run, and its turn, which lasts until the interpreter is ready for the next.
struct Run {
    interpreter: Rc<Inner>,
    facet: Fetcher,
    going: Option<(Frames, OwnedMutexGuard<()>)>,
}

impl Stream for Run {
    type Item = std::result::Result<Vec<u8>, SandboxError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some((frames, _turn)) = &mut self.going else { return Poll::Ready(None) };
        let next = frames.poll_next_unpin(cx);
        if let Poll::Ready(None) = next {
            self.going = None;
        }
        next
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let interpreter = self.interpreter.clone();
        interpreter.used_at.set(Date::now().as_millis());
        if let Some((frames, turn)) = self.going.take() {
            let facet = self.facet.clone();
            wasm_bindgen_futures::spawn_local(async move {
                interpreter.settle(&facet, frames).await;
                drop(turn);
            });
        }
    }
}
