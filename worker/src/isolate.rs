//! Interpreters in dynamic isolates: one that ends with its run, or a facet of a session's Durable Object.

use std::{
    cell::{Cell, RefCell},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use futures::{FutureExt, Stream, StreamExt, future::LocalBoxFuture, stream, stream::LocalBoxStream};
use js_sys::{ArrayBuffer, Uint8Array};
use mcp_run_python::{
    backend::{Backend, Going, Interpreter, NotTaken},
    limits::{MAX_CARRIED, MAX_SNAPSHOT},
    packages::PackageSet,
    platform::Platform,
    run::sandbox::{RunEvent, SandboxError},
};
use wasm_bindgen::JsValue;
use web_sys::ReadableStream;
use worker::{AbortController, AbortSignal, Env, Method, RequestInit, Response, Result, State, Storage};

use crate::{
    code::{self, Code},
    config::PLATFORM,
    loader::{Facets, Fetcher, WorkerLoader},
    packages,
};

/// Address that boots an isolate ahead of its first run.
const BOOT: &str = "http://sandbox/boot";

/// Address that takes runs, see `runtime/js/isolate.js`.
const RUN: &str = "http://sandbox/run";

/// Address that stops the run.
const STOP: &str = "http://sandbox/stop";

/// Address that takes the answers to the run's calls.
const ANSWER: &str = "http://sandbox/answer";

/// Address that returns the isolate's files, and takes those of the previous one.
const FILES: &str = "http://sandbox/files";

/// The facet's name. There is one at a time, and each start of it loads an isolate of its own.
const FACET: &str = "python";

/// Storage key that is set once the session has had an interpreter.
const USED: &str = "used";

/// Time between wake-ups of an object with an interpreter: workerd evicts an object that gets no request for 10 s.
pub const KEEP_ALIVE: Duration = Duration::from_secs(8);

/// Address that returns a snapshot.
const SNAPSHOT: &str = "http://sandbox/snapshot";

/// Longest name of a module, in bytes.
const MAX_MODULE_NAME: usize = 256;

/// Starts isolates that belong to nobody else.
#[derive(Clone)]
pub struct Isolates(pub Env);

/// Starts the facet of one Durable Object.
pub struct Facet {
    env: Env,
    of: Rc<Object>,
}

/// A Durable Object, for its facet.
struct Object {
    facets: Facets,
    storage: Storage,
    used: Cell<bool>,
}

impl Facet {
    /// The facet of the object with this state.
    pub async fn new(state: &State, env: Env) -> Result<Self> {
        let storage = state.storage();
        let used = Cell::new(storage.get(USED).await?.unwrap_or(false));
        Ok(Self { env, of: Rc::new(Object { facets: Facets::new(state)?, storage, used }) })
    }

    /// Whether the session has had an interpreter.
    pub fn was_used(&self) -> bool {
        self.of.used.get()
    }

    /// Deletes everything that the facet stored.
    pub fn delete(&self) -> Result<()> {
        self.of.facets.delete(FACET)
    }
}

impl Object {
    /// Notes that the facet has begun its first run.
    async fn began(&self) -> Result<()> {
        self.storage.set_alarm(KEEP_ALIVE).await?;
        if !self.used.replace(true) {
            self.storage.put(USED, true).await?;
        }
        Ok(())
    }
}

impl Backend for Isolates {
    type Parts = Code;
    type Interpreter = Isolate;
    type Snapshot = ArrayBuffer;

    fn platform(&self) -> Platform {
        PLATFORM
    }

    fn parts(
        &self,
        packages: &PackageSet,
        from: Option<&ArrayBuffer>,
    ) -> LocalBoxFuture<'static, std::result::Result<Code, SandboxError>> {
        parts(&self.0, packages, from)
    }

    fn spawn(&self, code: Code) -> Isolate {
        let isolate = WorkerLoader::new(&self.0).and_then(|loader| loader.load(&code.worker)?.entrypoint());
        Isolate::new(isolate, code, None)
    }

    fn build(&self) -> String {
        code::build()
    }

    fn take_snapshot(
        &self,
        code: Code,
        modules: &[String],
    ) -> LocalBoxFuture<'static, std::result::Result<(ArrayBuffer, usize), NotTaken>> {
        let (env, modules) = (self.0.clone(), modules.to_vec());
        async move { snapshot(&env, &code, &modules).await.unwrap_or(Err(NotTaken::Failed)) }.boxed_local()
    }

    fn keep(&self, key: &str, snapshot: &ArrayBuffer) -> LocalBoxFuture<'static, ()> {
        packages::keep_snapshot(key.to_owned(), snapshot.clone()).boxed_local()
    }

    fn kept(&self, key: &str) -> LocalBoxFuture<'static, Option<(ArrayBuffer, usize)>> {
        packages::kept_snapshot(key.to_owned()).boxed_local()
    }
}

impl Backend for Facet {
    type Parts = Code;
    type Interpreter = Isolate;
    type Snapshot = ArrayBuffer;

    fn platform(&self) -> Platform {
        PLATFORM
    }

    fn parts(
        &self,
        packages: &PackageSet,
        from: Option<&ArrayBuffer>,
    ) -> LocalBoxFuture<'static, std::result::Result<Code, SandboxError>> {
        parts(&self.env, packages, from)
    }

    fn build(&self) -> String {
        code::build()
    }

    fn kept(&self, key: &str) -> LocalBoxFuture<'static, Option<(ArrayBuffer, usize)>> {
        packages::kept_snapshot(key.to_owned()).boxed_local()
    }

    fn spawn(&self, code: Code) -> Isolate {
        let (env, worker) = (self.env.clone(), code.worker.clone());
        let facet = self.of.facets.get(FACET, move || WorkerLoader::new(&env)?.load(&worker)?.class("Python"));
        Isolate::new(facet, code, Some(self.of.clone()))
    }
}

fn parts(
    env: &Env,
    packages: &PackageSet,
    from: Option<&ArrayBuffer>,
) -> LocalBoxFuture<'static, std::result::Result<Code, SandboxError>> {
    let (env, packages, from) = (env.clone(), packages.clone(), from.cloned());
    async move { code::python(&env, &packages, from).await.map_err(not_begun) }.boxed_local()
}

/// Takes a snapshot of an isolate that has imported these modules, and done nothing else.
async fn snapshot(
    env: &Env,
    code: &Code,
    modules: &[String],
) -> Result<std::result::Result<(ArrayBuffer, usize), NotTaken>> {
    let isolate = WorkerLoader::new(env)?.load(&code.worker)?.entrypoint()?;
    let abort = Abort::new();
    let body = post(Some(code.snapshot(modules).into()));
    let mut response = isolate.fetch(SNAPSHOT, &body, Some(abort.signal().as_ref())).await?;
    match response.status_code() {
        200 => {
            let (snapshot, size) = code::read(&mut response, MAX_SNAPSHOT).await?;
            Ok(Ok((snapshot, size)))
        }
        409 => {
            let (name, _) = code::read(&mut response, MAX_MODULE_NAME).await?;
            let name = String::from_utf8_lossy(&Uint8Array::new(&name).to_vec()).into_owned();
            Ok(Err(NotTaken::Without(name)))
        }
        _ => Ok(Err(NotTaken::Failed)),
    }
}

fn not_begun(error: worker::Error) -> SandboxError {
    SandboxError::Start(error.to_string())
}

/// An isolate with an interpreter.
pub struct Isolate {
    fetcher: std::result::Result<Fetcher, SandboxError>,
    /// The code that its first request has to carry, and the files of the session's previous isolate.
    first: RefCell<Option<Code>>,
    files: RefCell<Option<ArrayBuffer>>,
    object: Option<Rc<Object>>,
}

impl Isolate {
    fn new(fetcher: Result<Fetcher>, code: Code, object: Option<Rc<Object>>) -> Self {
        let (first, files) = (RefCell::new(Some(code)), RefCell::default());
        Self { fetcher: fetcher.map_err(not_begun), first, files, object }
    }
}

impl Isolates {
    /// Boots an isolate that has run nothing yet.
    pub async fn boot(&self, code: Code) -> Result<Isolate> {
        let isolate = self.spawn(code);
        let fetcher = isolate.fetcher.clone().map_err(|error| worker::Error::RustError(error.to_string()))?;
        let body = isolate.first.take().map(|code| code.boot().into());
        match fetcher.fetch(BOOT, &post(body), None).await?.status_code() {
            204 => Ok(isolate),
            status => Err(format!("it answered {status}").into()),
        }
    }
}

impl Drop for Isolate {
    fn drop(&mut self) {
        // Without an object, the isolate ends when nothing holds it any longer.
        let Some(object) = &self.object else { return };
        if let Err(error) = object.facets.abort(FACET, "the interpreter was ended") {
            worker::console_error!("an interpreter could not be ended: {error}");
        }
    }
}

impl Interpreter for Isolate {
    type Parts = Code;
    type Files = ArrayBuffer;
    type Run = IsolateRun;

    fn run(&self, request: &str) -> IsolateRun {
        let fetcher = self.fetcher.clone();
        let (first, files) = (self.first.take(), self.files.take());
        let (request, object) = (request.to_owned(), self.object.clone());
        // A request to a facet is never aborted: that would end the facet.
        let abort = object.is_none().then(Abort::new);
        let signal = abort.as_ref().map(Abort::signal);
        let (isolate, is_kept) = (fetcher.clone().ok(), object.is_some());
        let started = async move {
            let fetcher = fetcher?;
            let response = async {
                let boots = first.is_some();
                let body = match (first, files) {
                    (Some(code), None) => code.first(&request).into(),
                    (Some(code), Some(files)) => {
                        put_files(&fetcher, code.first_with_files(&files)).await?;
                        JsValue::from(&request)
                    }
                    (None, _) => JsValue::from(&request),
                };
                let response = fetcher.fetch(RUN, &post(Some(body)), signal.as_deref().map(AsRef::as_ref)).await?;
                match response.status_code() {
                    200 => Ok((boots, response)),
                    status => Err(format!("it answered {status}").into()),
                }
            };
            // An isolate answers before it runs anything, see `runtime/js/isolate.js`.
            let (boots, response) = response.await.map_err(not_begun)?;
            if let Some(object) = object.filter(|_| boots) {
                object.began().await.map_err(|error| SandboxError::Lost(error.to_string()))?;
            }
            Ok(response)
        };
        IsolateRun { events: events(started), isolate, is_kept, _abort: abort }
    }

    fn add(&self, _: Code) {}

    fn files(&self) -> LocalBoxFuture<'static, Option<ArrayBuffer>> {
        let fetcher = self.fetcher.clone();
        async move { files(&fetcher.ok()?).await.ok() }.boxed_local()
    }

    fn put_files(&self, files: &ArrayBuffer) {
        self.files.replace(Some(files.clone()));
    }
}

fn post(body: Option<JsValue>) -> RequestInit {
    let mut init = RequestInit::new();
    init.with_method(Method::Post).with_body(body);
    init
}

async fn put_files(isolate: &Fetcher, envelope: ReadableStream) -> Result<()> {
    match isolate.fetch(FILES, &post(Some(envelope.into())), None).await?.status_code() {
        204 => Ok(()),
        _ => Err("the session's files could not be carried over".into()),
    }
}

/// The files of an interpreter, packed.
async fn files(isolate: &Fetcher) -> Result<ArrayBuffer> {
    let mut response = isolate.fetch(FILES, &RequestInit::new(), None).await?;
    match response.status_code() {
        200 => Ok(code::read(&mut response, MAX_CARRIED).await?.0),
        _ => Err("it does not give its files".into()),
    }
}

/// A run in an isolate.
pub struct IsolateRun {
    events: Events,
    isolate: Option<Fetcher>,
    /// Whether the isolate is a session's.
    is_kept: bool,
    _abort: Option<Abort>,
}

impl Stream for IsolateRun {
    type Item = std::result::Result<RunEvent, SandboxError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.events.poll_next_unpin(cx)
    }
}

impl Going for IsolateRun {
    /// Sends a second request while the response to the first comes in. Both are made within the same request to this
    /// Worker: an isolate without an object cannot be reached from another one.
    fn answer(&self, answer: &str) -> LocalBoxFuture<'static, ()> {
        let (isolate, answer) = (self.isolate.clone(), answer.to_owned());
        async move {
            let Some(isolate) = isolate else { return };
            let mut init = RequestInit::new();
            init.with_method(Method::Post).with_body(Some(answer.into()));
            // If the isolate is gone, its run reports that.
            let _ = isolate.fetch(ANSWER, &init, None).await;
        }
        .boxed_local()
    }

    fn stop(self) -> LocalBoxFuture<'static, bool> {
        async move {
            let Some(kept) = self.isolate.as_ref().filter(|_| self.is_kept) else { return false };
            kept.fetch(STOP, &post(None), None).await.is_ok_and(|response| response.status_code() == 204)
        }
        .boxed_local()
    }
}

/// The events of a run.
pub type Events = LocalBoxStream<'static, std::result::Result<RunEvent, SandboxError>>;

/// The events of a run whose frames are the body of a response. It has begun once there is a response.
pub fn events(response: impl Future<Output = std::result::Result<Response, SandboxError>> + 'static) -> Events {
    let lost = |error: worker::Error| SandboxError::Lost(error.to_string());
    stream::once(response)
        .flat_map(move |response| match response.and_then(|mut response| response.stream().map_err(lost)) {
            Ok(body) => {
                let frames = body.map(move |chunk| chunk.map(RunEvent::Frames).map_err(lost));
                stream::once(async { Ok(RunEvent::Began) }).chain(frames).boxed_local()
            }
            Err(error) => stream::once(async { Err(error) }).boxed_local(),
        })
        .boxed_local()
}

/// Aborts a request when dropped, and with it everything in an isolate that serves no other request.
pub struct Abort(Option<AbortController>);

impl Abort {
    /// For a request that takes its [`signal`](Self::signal).
    pub fn new() -> Self {
        Self(Some(AbortController::default()))
    }

    /// The request's signal.
    pub fn signal(&self) -> AbortSignal {
        self.0.as_ref().map(AbortController::signal).unwrap_or_else(AbortSignal::abort)
    }
}

impl Drop for Abort {
    fn drop(&mut self) {
        if let Some(controller) = self.0.take() {
            controller.abort();
        }
    }
}
