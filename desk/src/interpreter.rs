//! One interpreter in a workerd process: booted, given runs one at a time, stopped, ended.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use futures::{
    FutureExt,
    channel::oneshot,
    future::{LocalBoxFuture, Shared},
};
use hyper::{Method, StatusCode};
use mcp_run_python::limits::{FILES_TIME, MAX_CARRIED, STOP_MARGIN};
use serde::Deserialize;
use tokio::{sync::watch, time::timeout};
use uuid::Uuid;

use crate::{
    packages::Parts,
    platform::spawn,
    workerd::{Answer, Workerd, envelope::Pieces},
};

/// How long an interpreter may take to boot.
const BOOT_LIMIT: Duration = Duration::from_secs(30);

/// How long a process may take to drop an interpreter that has run something. One that boots others is busy for a
/// while; one that takes longer is stuck in a loop in C.
const END_LIMIT: Duration = Duration::from_secs(5);

/// The reason given for a run that was lost through no fault of its own.
pub const BYSTANDER: &str = "another run in its process could not be stopped, and the process was ended";

/// An interpreter. Clones refer to the same one.
#[derive(Clone)]
pub struct Interpreter(Rc<Inner>);

struct Inner {
    name: String,
    workerd: Workerd,
    /// Whether anything has run in it.
    used: Cell<bool>,
    last_run: watch::Sender<LastRun>,
    ended: watch::Sender<bool>,
    /// By how much its process grew while it ran something, in bytes.
    held: Cell<usize>,
    /// How long a run that is stopped may take to end.
    patience: Cell<Duration>,
    booted: RefCell<Option<Booted>>,
}

/// State of an interpreter's last run.
#[derive(Clone, Copy, PartialEq, Eq)]
enum LastRun {
    /// It was sent, and the isolate has not answered yet.
    Starting,
    Begun,
    /// It has ended, or there was none.
    Over,
}

type Booted = Shared<LocalBoxFuture<'static, Result<(), String>>>;

/// The part of a run's request with its limits, in milliseconds.
#[derive(Deserialize)]
struct Request {
    limits: RunLimits,
}

#[derive(Deserialize)]
struct RunLimits {
    time: f64,
    grace: f64,
}

/// Why a run did not begin.
pub enum NotBegun {
    /// Another interpreter may take it.
    Elsewhere(String),
    /// The run itself is at fault: no other interpreter is tried.
    AtFault(String),
}

impl Interpreter {
    /// Begins to boot an interpreter.
    pub fn boot(workerd: Workerd, parts: &Parts) -> Self {
        let (ended, is_ended) = watch::channel(false);
        let name = Uuid::new_v4().to_string();
        let (process, place) = (workerd.clone(), format!("/{name}/boot"));
        let (names, bytes) = parts.sent();
        let libraries: Vec<_> = parts.libraries().cloned().collect();
        let boot = async move {
            process.ready().await?;
            let _turn = process.turn_to_boot().await;
            if *is_ended.borrow() {
                return Err("the interpreter was ended".to_owned());
            }
            process.has_libraries(libraries.iter()).await?;
            match process.status(&place, BOOT_LIMIT, Pieces::envelope(names, bytes)).await {
                Some(StatusCode::NO_CONTENT) => Ok(()),
                Some(status) => {
                    process.forget_libraries().await;
                    Err(format!("an interpreter did not boot ({})", status.as_u16()))
                }
                None => Err(process.ended().unwrap_or_else(|| "an interpreter did not boot in time".to_owned())),
            }
        };
        let booted = boot.boxed_local().shared();
        spawn(booted.clone().map(drop));
        Self(Rc::new(Inner {
            name,
            workerd,
            used: Cell::default(),
            last_run: watch::channel(LastRun::Over).0,
            held: Cell::default(),
            ended,
            patience: Cell::new(STOP_MARGIN),
            booted: RefCell::new(Some(booted)),
        }))
    }

    /// Resolves when it is booted, so that a run begins at once.
    ///
    /// # Errors
    /// Why it could not be booted.
    pub async fn booted(&self) -> Result<(), String> {
        let booted = self.0.booted.borrow().clone();
        match booted {
            Some(booted) => {
                booted.await?;
                // Frees its parts, which are no longer needed.
                drop(self.0.booted.take());
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Whether it is running something.
    pub fn is_busy(&self) -> bool {
        *self.0.last_run.borrow() != LastRun::Over
    }

    /// By how much its process grew while it ran something, in bytes. What ran beside it counts, too. If its process
    /// has hardly any room left, more than in any other process, as memory has to be freed there.
    pub fn memory(&self) -> usize {
        let held = self.0.held.get();
        if self.0.workerd.is_crowded() { held.saturating_add(usize::MAX / 2) } else { held }
    }

    /// Whether it may still take runs.
    pub fn is_alive(&self) -> bool {
        !self.is_ended() && self.0.workerd.ended().is_none()
    }

    fn is_ended(&self) -> bool {
        *self.0.ended.borrow()
    }

    fn path(&self, action: &str) -> String {
        format!("/{}/{action}", self.0.name)
    }

    /// Starts a run. Returns its frames once it has begun: an isolate answers before it runs anything.
    ///
    /// # Errors
    /// Why it has not begun.
    pub async fn run(&self, request: Bytes) -> Result<Frames, NotBegun> {
        // This JSON is the core's, not a program's.
        let limits = serde_json::from_slice(&request).map(|Request { limits }| limits);
        let limits = limits.map_err(|error| NotBegun::AtFault(error.to_string()))?;
        let [time, grace] = [limits.time, limits.grace].map(|time| Duration::try_from_secs_f64(time / 1000.0));
        let (time, grace) = (time.unwrap_or(Duration::ZERO), grace.unwrap_or(Duration::ZERO));
        self.0.patience.set(grace + STOP_MARGIN);
        let going = Going::new(self, time, grace);
        let mut ended = self.0.ended.subscribe();
        let path = self.path("run");
        let asked = self.0.workerd.ask(Method::POST, &path, Pieces::of(request));
        let answered = tokio::select! {
            biased;
            answered = asked => answered,
            // An interpreter that is ended before it has answered may never answer.
            _ = ended.wait_for(|ended| *ended) => return Err(NotBegun::Elsewhere("the interpreter was ended".into())),
        };
        self.0.used.set(true);
        let error = match answered {
            Ok(answer) if answer.status == StatusCode::OK => {
                self.0.last_run.send_replace(LastRun::Begun);
                return Ok(Frames { answer, going, losing: None });
            }
            Ok(answer) => format!("an interpreter answered {}", answer.status.as_u16()),
            Err(error) => error,
        };
        self.0.ended.send_replace(true);
        let why = going.why(error).await;
        Err(if why == BYSTANDER { NotBegun::Elsewhere(why) } else { NotBegun::AtFault(why) })
    }

    /// Stops the run, if there is one, which then gives its result. Ends the process if it does not answer. Returns
    /// whether the interpreter lives on.
    pub async fn stop(&self) -> bool {
        // **Boundary.** The isolate itself says whether it lives on. If it lies, it harms only the owner of its code.
        if self.is_ended() {
            return false;
        }
        let status = self.0.workerd.status(&self.path("stop"), self.0.patience.get(), Pieces::default()).await;
        if status.is_none() && !self.is_ended() {
            self.0.workerd.end(BYSTANDER);
        }
        status == Some(StatusCode::NO_CONTENT)
    }

    /// Stops the run that was sent to it, once it has begun: before that, the isolate would find nothing to stop.
    pub async fn interrupt(&self) {
        let mut last_run = self.0.last_run.subscribe();
        let begun = last_run.wait_for(|run| *run != LastRun::Starting).await;
        if begun.is_ok_and(|run| *run == LastRun::Begun) {
            self.stop().await;
        }
    }

    /// Sends the answer to one of its run's calls into the isolate, if that has not ended.
    pub async fn answer(&self, answer: Bytes) {
        if !self.is_ended() {
            // If the isolate is gone, its run reports that.
            let _ = self.0.workerd.status(&self.path("answer"), self.0.patience.get(), Pieces::of(answer)).await;
        }
    }

    /// The session's files, packed; `None` if the isolate does not give them, or they are too large.
    pub async fn files(&self) -> Option<Bytes> {
        let reading = async {
            let mut answer = self.0.workerd.ask(Method::GET, &self.path("files"), Pieces::default()).await.ok()?;
            let mut files = Vec::new();
            // **Boundary.** They go back into an isolate of the same session, and nowhere else.
            while let Some(bytes) = answer.next().await {
                files.extend_from_slice(&bytes.ok()?);
                if files.len() > MAX_CARRIED {
                    return None;
                }
            }
            (answer.status == StatusCode::OK).then(|| Bytes::from(files))
        };
        timeout(FILES_TIME, reading).await.ok().flatten()
    }

    /// Puts the files of the session's previous interpreter into this one.
    ///
    /// # Errors
    /// Why it did not take them.
    pub async fn put_files(&self, files: Bytes) -> Result<(), String> {
        match self.0.workerd.status(&self.path("files"), FILES_TIME, Pieces::of(files)).await {
            Some(StatusCode::NO_CONTENT) => Ok(()),
            status => {
                let status =
                    status.map_or_else(|| "no answer in time".to_owned(), |status| status.as_u16().to_string());
                Err(format!("the session's files could not be carried over ({status})"))
            }
        }
    }

    /// Ends the interpreter for good. If its process does not answer, ends that, with everything in it.
    pub async fn end(&self) {
        if !self.is_alive() {
            return;
        }
        self.0.ended.send_replace(true);
        // One that has run nothing cannot be what blocks the process, so there is no hurry.
        let limit = if self.0.used.get() { END_LIMIT } else { BOOT_LIMIT };
        if self.0.workerd.status(&self.path("end"), limit, Pieces::default()).await.is_none() {
            self.0.workerd.end(BYSTANDER);
        }
    }
}

/// A current run, with a watchdog that ends its process if the run does not end in time.
struct Going {
    interpreter: Interpreter,
    /// Stops the watchdog when it is dropped.
    _over: oneshot::Sender<()>,
    /// Memory of its process before the run, in bytes.
    before: usize,
    reason: Rc<RefCell<Option<String>>>,
}

impl Going {
    fn new(interpreter: &Interpreter, time: Duration, grace: Duration) -> Self {
        let reason = Rc::<RefCell<Option<String>>>::default();
        let before = interpreter.0.workerd.memory();
        let (workerd, told) = (interpreter.0.workerd.clone(), reason.clone());
        let (over, is_over) = oneshot::channel::<()>();
        spawn(async move {
            if timeout(time + grace + STOP_MARGIN, is_over).await.is_ok() {
                return;
            }
            let seconds = time.as_secs_f64();
            let why =
                format!("TimeoutError: the run took longer than {seconds} s, could not be stopped, and was ended");
            told.replace(Some(why));
            workerd.end(BYSTANDER);
        });
        interpreter.0.last_run.send_replace(LastRun::Starting);
        Self { interpreter: interpreter.clone(), _over: over, before, reason }
    }

    /// Finds out the reason for an error.
    fn why(&self, error: String) -> LocalBoxFuture<'static, String> {
        let (workerd, reason) = (self.interpreter.0.workerd.clone(), self.reason.clone());
        async move {
            let why = workerd.why(error).await;
            // If its own watchdog ended the process, the run is no bystander.
            let own = reason.borrow().clone().filter(|_| why == BYSTANDER);
            own.unwrap_or(why)
        }
        .boxed_local()
    }
}

impl Drop for Going {
    fn drop(&mut self) {
        let Inner { workerd, last_run, held, .. } = &*self.interpreter.0;
        last_run.send_replace(LastRun::Over);
        held.set(held.get().saturating_add(workerd.memory().saturating_sub(self.before)));
    }
}

/// The frames of one run.
pub struct Frames {
    answer: Answer,
    going: Going,
    /// Finds out why the run was lost, once it was.
    losing: Option<LocalBoxFuture<'static, String>>,
}

impl Frames {
    /// The next bytes, or why the run was lost; `None` at the end.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, String>>> {
        loop {
            if let Some(losing) = &mut self.losing {
                return losing.poll_unpin(cx).map(|why| Some(Err(why)));
            }
            match ready!(self.answer.poll_next(cx)) {
                Some(Err(error)) => self.losing = Some(self.going.why(error)),
                bytes => return Poll::Ready(bytes),
            }
        }
    }

    /// The interpreter that the run is in.
    pub fn interpreter(&self) -> &Interpreter {
        &self.going.interpreter
    }

    /// Stops a run whose output nobody wants, or else ends its interpreter. Returns whether the interpreter lives on.
    pub async fn stop(self) -> bool {
        let Self { mut answer, going, .. } = self;
        let interpreter = &going.interpreter;
        // Its remaining output is dropped, but read to the end: hanging up early would stop whatever runs by then.
        let limit = interpreter.0.patience.get() + END_LIMIT;
        spawn(async move {
            let _ = timeout(limit, answer.drain()).await;
        });
        let alive = interpreter.stop().await;
        if !alive {
            interpreter.end().await;
        }
        alive && interpreter.is_alive()
    }
}
