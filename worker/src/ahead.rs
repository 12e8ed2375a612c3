//! Isolates that are booted ahead of runs without a session, each in an object of its own ([`spare`](crate::spare)).
//!
//! They boot after a run, when nothing else goes on: in a local workerd, all isolates share one thread, and the next
//! call should not have to wait for a boot that is not for it.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use futures::{
    FutureExt, Stream, StreamExt,
    channel::oneshot,
    future::{self, LocalBoxFuture},
};
use js_sys::{ArrayBuffer, Reflect};
use mcp_run_python::{
    backend::{Backend, Going, Interpreter, NotTaken},
    handle,
    packages::PackageSet,
    platform::Platform,
    run::sandbox::{RunEvent, SandboxError},
    session::Ahead,
};
use worker::{Env, Method, RequestInit, Response, Result};

use crate::{
    code::Code,
    config::PLATFORM,
    isolate::{self, Abort, Events, Isolate, IsolateRun, Isolates},
    packages::Later,
    spare::path,
};

/// How long no call must arrive before isolates boot.
const QUIET: Duration = Duration::from_millis(20);

/// How often to wait for that.
const LOOKS: usize = 10;

/// Runs that have gone on for longer are not waited for; nor are those that were cut off and never reported their end.
const SHORT: Duration = Duration::from_secs(5);

/// How many objects there are for them. Their names are reused: only the name is left of an object that has ended.
const OBJECTS: u32 = 16;

/// How many objects are tried for one isolate: some have runs.
const ATTEMPTS: usize = 4;

thread_local! {
    /// Unused isolates, by the numbers of their objects. Other instances of this Worker may know the same ones: the
    /// object itself makes sure that its isolate is used once.
    static AHEAD: RefCell<Ahead<Code, u32>> = RefCell::new(Ahead::new(0, None));
    static NEXT: Cell<u32> = const { Cell::new(0) };
    /// Number of calls so far.
    static ARRIVED: Cell<u64> = const { Cell::new(0) };
    /// Number of runs that have begun.
    static BEGUN: Cell<u64> = const { Cell::new(0) };
    /// When each current run began, by its number.
    static GOING: RefCell<HashMap<u64, Duration>> = RefCell::default();
    static COUNTS: Cell<Counts> = const { Cell::new(Counts { booted: 0, taken: 0 }) };
}

/// How many isolates were booted ahead, and how many runs were given one.
#[derive(Clone, Copy, serde::Serialize)]
pub struct Counts {
    booted: u32,
    taken: u32,
}

/// For tests.
#[cfg(feature = "conformance")]
pub fn counts() -> Counts {
    COUNTS.get()
}

/// Notes that a call arrived. `limit`: how many isolates to boot ahead, as set.
pub fn arrived(limit: usize) {
    if limit > 0 {
        ARRIVED.set(ARRIVED.get() + 1);
        AHEAD.with_borrow_mut(|ahead| ahead.limit(limit));
    }
}

/// Backend for runs without a session: uses an isolate that was booted ahead, or starts one.
pub struct BootedAhead {
    /// Starts the isolates.
    pub isolates: Isolates,
    /// Boots some once a run is over.
    pub later: Later,
}

impl Backend for BootedAhead {
    type Parts = Code;
    type Interpreter = Ready;
    type Snapshot = ArrayBuffer;

    fn platform(&self) -> Platform {
        PLATFORM
    }

    fn parts(
        &self,
        packages: &PackageSet,
        from: Option<&ArrayBuffer>,
    ) -> LocalBoxFuture<'static, std::result::Result<Code, SandboxError>> {
        self.isolates.parts(packages, from)
    }

    fn spawn(&self, code: Code) -> Ready {
        let object = AHEAD.with_borrow_mut(|ahead| {
            ahead.expect(&code, (PLATFORM.now)());
            ahead.take(&code)
        });
        let (going, over) = oneshot::channel();
        let env = self.isolates.0.clone();
        (self.later)(
            async move {
                let _ = over.await;
                refill(&env).await;
            }
            .boxed_local(),
        );
        Ready { isolates: self.isolates.clone(), code, object: Cell::new(object), _going: Begun::new(going) }
    }

    fn build(&self) -> String {
        self.isolates.build()
    }

    fn take_snapshot(
        &self,
        code: Code,
        modules: &[String],
    ) -> LocalBoxFuture<'static, std::result::Result<(ArrayBuffer, usize), NotTaken>> {
        self.isolates.take_snapshot(code, modules)
    }

    fn keep(&self, key: &str, snapshot: &ArrayBuffer) -> LocalBoxFuture<'static, ()> {
        self.isolates.keep(key, snapshot)
    }

    fn kept(&self, key: &str) -> LocalBoxFuture<'static, Option<(ArrayBuffer, usize)>> {
        self.isolates.kept(key)
    }
}

/// Counts a run as going on until this is dropped.
struct Begun {
    id: u64,
    _over: oneshot::Sender<()>,
}

impl Begun {
    fn new(over: oneshot::Sender<()>) -> Self {
        let id = BEGUN.replace(BEGUN.get() + 1);
        GOING.with_borrow_mut(|going| going.insert(id, (PLATFORM.now)()));
        Self { id, _over: over }
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        GOING.with_borrow_mut(|going| going.remove(&self.id));
    }
}

fn is_busy() -> bool {
    let now = (PLATFORM.now)();
    GOING.with_borrow_mut(|going| {
        going.retain(|_, since| now.saturating_sub(*since) < SHORT);
        !going.is_empty()
    })
}

/// Boots the missing isolates once nothing else goes on.
async fn refill(env: &Env) {
    for _ in 0..LOOKS {
        let before = ARRIVED.get();
        (PLATFORM.sleep)(QUIET).await;
        // The end of that run calls this again.
        if is_busy() {
            return;
        }
        if ARRIVED.get() != before {
            continue;
        }
        let over = AHEAD.with_borrow_mut(|ahead| ahead.tidy((PLATFORM.now)()));
        for object in over {
            let _ = post(env, object, path::END, String::new(), None).await;
        }
        for code in AHEAD.with_borrow(Ahead::missing) {
            if ARRIVED.get() != before {
                return;
            }
            boot(env, code).await;
        }
        return;
    }
}

async fn boot(env: &Env, code: Code) {
    let Ok(packages) = serde_json::to_string(code.packages.wheels()) else { return };
    for _ in 0..ATTEMPTS {
        let object = NEXT.replace((NEXT.get() + 1) % OBJECTS);
        if AHEAD.with_borrow(|ahead| ahead.spares().any(|other| *other == object)) {
            continue;
        }
        // A run that arrives meanwhile waits for it.
        AHEAD.with_borrow_mut(|ahead| ahead.add(code.clone(), object));
        match post(env, object, path::BOOT, packages.clone(), None).await {
            Ok(response) if response.status_code() == 204 => {
                COUNTS.set(Counts { booted: COUNTS.get().booted + 1, ..COUNTS.get() });
                return;
            }
            _ => drop(AHEAD.with_borrow_mut(|ahead| ahead.remove(|other| *other == object))),
        }
    }
}

async fn post(env: &Env, object: u32, path: &str, body: String, abort: Option<&Abort>) -> Result<Response> {
    let stub = env.durable_object("SPARES")?.get_by_name(&format!("spare {object}"))?;
    let mut init = RequestInit::new();
    init.with_method(Method::Post).with_body(Some(body.into()));
    let init: web_sys::RequestInit = (&init).into();
    if let Some(abort) = abort {
        Reflect::set(&init, &"signal".into(), abort.signal().as_ref())?;
    }
    let request = web_sys::Request::new_with_str_and_init(&format!("http://spare{path}"), &init)?;
    stub.fetch_with_request(request.into()).await
}

/// An isolate that was booted ahead, or else one that starts with its run.
pub struct Ready {
    isolates: Isolates,
    code: Code,
    object: Cell<Option<u32>>,
    _going: Begun,
}

impl Interpreter for Ready {
    type Parts = Code;
    type Files = ArrayBuffer;
    type Run = ReadyRun;

    fn run(&self, request: &str) -> ReadyRun {
        let (isolates, code, request) = (self.isolates.clone(), self.code.clone(), request.to_owned());
        let object = self.object.take();
        let starting = async move {
            if let Some(object) = object
                && let Some(run) = SpareRun::start(&isolates.0, object, &code, &request).await?
            {
                return Ok(ReadyRun::InSpare(run));
            }
            let isolate = isolates.spawn(code);
            let run = isolate.run(&request);
            Ok(ReadyRun::InNew { run, _isolate: isolate })
        };
        ReadyRun::Starting(starting.boxed_local())
    }

    fn add(&self, _: Code) {}

    fn files(&self) -> LocalBoxFuture<'static, Option<ArrayBuffer>> {
        future::ready(None).boxed_local()
    }

    fn put_files(&self, _: &ArrayBuffer) {}
}

/// A run in a [`Ready`] isolate.
pub enum ReadyRun {
    Starting(LocalBoxFuture<'static, std::result::Result<ReadyRun, SandboxError>>),
    InSpare(SpareRun),
    InNew { run: IsolateRun, _isolate: Isolate },
    Over,
}

impl Stream for ReadyRun {
    type Item = std::result::Result<RunEvent, SandboxError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Self::Starting(starting) = &mut *self {
            match ready!(starting.poll_unpin(cx)) {
                Ok(started) => *self = started,
                Err(error) => {
                    *self = Self::Over;
                    return Poll::Ready(Some(Err(error)));
                }
            }
        }
        match &mut *self {
            Self::InSpare(run) => run.events.poll_next_unpin(cx),
            Self::InNew { run, .. } => run.poll_next_unpin(cx),
            Self::Starting(_) | Self::Over => Poll::Ready(None),
        }
    }
}

impl Going for ReadyRun {
    fn answer(&self, answer: &str) -> LocalBoxFuture<'static, ()> {
        match self {
            Self::InSpare(run) => run.answer(answer),
            Self::InNew { run, .. } => run.answer(answer),
            Self::Starting(_) | Self::Over => future::ready(()).boxed_local(),
        }
    }

    /// `false`: an isolate is for one run.
    fn stop(self) -> LocalBoxFuture<'static, bool> {
        future::ready(false).boxed_local()
    }
}

/// A run in an isolate that was booted ahead.
pub struct SpareRun {
    env: Env,
    object: u32,
    id: String,
    events: Events,
    _abort: Abort,
}

impl SpareRun {
    /// Starts the run; `None` if the isolate is gone, or was given to another run: nothing has run then.
    async fn start(
        env: &Env,
        object: u32,
        code: &Code,
        request: &str,
    ) -> std::result::Result<Option<Self>, SandboxError> {
        // **Boundary.** Only those who know a run's id can answer its calls.
        let id = handle::new_handle();
        let abort = Abort::new();
        let body = format!("{id}\n{}\n{request}", code.packages.hash());
        let response = post(env, object, path::RUN, body, Some(&abort)).await;
        let mut response = response.map_err(|error| SandboxError::Lost(error.to_string()))?;
        match response.status_code() {
            200 => {}
            409 => return Ok(None),
            status => return Err(crate::remote::refused(status, response.text().await.unwrap_or_default())),
        }
        COUNTS.set(Counts { taken: COUNTS.get().taken + 1, ..COUNTS.get() });
        let events = isolate::events(future::ready(Ok(response)));
        Ok(Some(Self { env: env.clone(), object, id, events, _abort: abort }))
    }

    fn answer(&self, answer: &str) -> LocalBoxFuture<'static, ()> {
        let (env, object, body) = (self.env.clone(), self.object, format!("{}\n{answer}", self.id));
        async move {
            // If the object is gone, the run reports that.
            let _ = post(&env, object, path::ANSWER, body, None).await;
        }
        .boxed_local()
    }
}
