//! One run of Python: a client's request, and its outcome.
//!
//! [`execute`] runs a request in a [`Sandbox`], with the messages of [`protocol`]; `decoder` reads what comes back,
//! [`calls`] has the program's calls answered, and [`result`] writes the outcome for a client.

pub mod asking;
pub mod calls;
mod decoder;
pub mod display;
pub mod files;
mod keeping;
pub mod protocol;
pub mod result;
pub mod result_limit;
pub mod sandbox;
pub mod uri;

use std::{rc::Rc, time::Duration};

use futures::{FutureExt, StreamExt, future::LocalBoxFuture, select_biased};
use serde::Deserialize;
use serde_json::Value;

use self::{
    calls::{Caller, Calls},
    decoder::Decoder,
    display::{Displayed, Image},
    files::{Changes, PlacedFile},
    keeping::Keeping,
    protocol::{Answer, to_isolate},
    sandbox::{RunEvent, Sandbox, SandboxError},
};
use crate::{
    kept::Keeper,
    limits::{Limits, MAX_QUEUE, WATCHDOG_MARGIN},
    packages::{PackageSet, Programs},
};

/// A client's request to run code.
#[derive(Debug, Clone)]
pub struct RunRequest {
    /// Python source; its last expression is the returned value.
    pub code: String,
    /// Global variables, besides `__name__`, of the run's fresh namespace: the JSON of an object. Only Python parses
    /// it, so that its numbers stay what they are.
    pub globals: String,
    /// Whether the namespace is that of the run before, as in a session that was asked for by handle.
    pub keep_variables: bool,
    /// Files that are placed in the program's folder before it runs.
    pub files: Vec<PlacedFile>,
}

/// Which of Python's two streams a line was written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stream {
    /// `sys.stdout`, an `info` log message.
    Stdout,
    /// `sys.stderr`, a `warning` log message.
    Stderr,
}

/// A line of output, as it comes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The stream that it was written to.
    pub stream: Stream,
    /// The line without its newline.
    pub text: String,
}

/// A value that Python returned.
#[derive(Debug, Clone, PartialEq)]
pub enum Returned {
    /// `None`.
    None,
    /// A `str`: in XML mode returned as it is.
    Text(String),
    /// Anything else.
    Json {
        /// As `pydantic_core.to_json(indent=2)` writes it.
        text: String,
        /// The same, parsed.
        value: Value,
    },
}

/// How a run ended, as the original names it.
#[derive(Debug, Clone, PartialEq)]
pub enum Ending {
    /// `success`
    Success(Returned),
    /// `run-error`: a traceback, or what ended the run.
    RunError(String),
    /// `install-error`: the run was not started.
    InstallError(String),
}

/// The result of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// Lines of stdout and stderr in the order in which they were written.
    pub output: Vec<String>,
    /// Text and JSON that it displayed.
    pub displayed: Displayed,
    /// Figures and images that it showed.
    pub images: Vec<Image>,
    /// Its changes to files in its folder.
    pub changes: Changes,
    /// How it ended.
    pub ending: Ending,
}

impl Outcome {
    /// The outcome of a run that showed nothing but its output, and left no files.
    #[must_use]
    pub fn without_files(output: Vec<String>, ending: Ending) -> Self {
        Self { output, displayed: Displayed::default(), images: Vec::new(), changes: Changes::default(), ending }
    }
}

/// Runs `request` in `sandbox`, with `packages`, and passes each line to `on_line` as it comes. `caller` says what the
/// program may call, and answers it; without one it may call nothing. Files that are too large for the result go to
/// `keeper`; a run of a session has none, as its files stay where they can be read.
///
/// Dropping the future ends the run.
///
/// # Errors
/// [`SandboxError`] when the isolate failed; a Python error is an [`Outcome`].
pub async fn execute(
    sandbox: Rc<dyn Sandbox>,
    request: &RunRequest,
    packages: PackageSet,
    mut limits: Limits,
    caller: Option<&dyn Caller>,
    keeper: Option<&Keeper>,
    on_line: impl FnMut(&Line),
) -> Result<Outcome, SandboxError> {
    enum Step {
        Event(Option<Result<RunEvent, SandboxError>>),
        Answer(Answer),
        Overdue,
    }
    let platform = sandbox.platform();
    if keeper.is_none() {
        limits.kept_bytes = 0;
    }
    let mut keeping = Keeping::new(keeper);
    let mut calls = Calls::new(caller, &limits, platform);
    let mut run = sandbox.run(to_isolate(request, limits, calls.callable())?, packages);
    // The runs before it in its session are bounded themselves; this is for one that no longer does what it should.
    let mut overdue = (platform.sleep)(MAX_QUEUE).fuse();
    let allowed = limits.time + limits.grace + WATCHDOG_MARGIN;
    let mut began_at = None;
    let mut decoder = Decoder::new(limits, on_line);
    loop {
        let step = select_biased! {
            () = overdue => Step::Overdue,
            event = run.next().fuse() => Step::Event(event),
            answer = calls.next().fuse() => Step::Answer(answer),
        };
        let event = match (step, began_at) {
            (Step::Event(event), _) => event,
            (Step::Answer(answer), _) => {
                let failed = |error: serde_json::Error| SandboxError::Lost(error.to_string());
                calls.send(run.answer(&serde_json::to_string(&answer).map_err(failed)?));
                continue;
            }
            (Step::Overdue, None) => return Err(SandboxError::Busy("the runs before it took too long".into())),
            (Step::Overdue, Some(began_at)) => {
                let left = (allowed + calls.waited()).saturating_sub((platform.now)().saturating_sub(began_at));
                if calls.waited().is_zero() || left.is_zero() {
                    return Err(SandboxError::Lost("it did not end in time".into()));
                }
                // While an answer is awaited, the time that is left does not shrink.
                overdue = (platform.sleep)(left.max(Duration::from_secs(1))).fuse();
                continue;
            }
        };
        match event {
            // An isolate ends its run by itself; this timer is for one that does not.
            Some(Ok(RunEvent::Began)) if began_at.is_none() => {
                began_at = Some((platform.now)());
                overdue = (platform.sleep)(allowed).fuse();
            }
            Some(Ok(RunEvent::Frames(chunk))) if began_at.is_some() => {
                let outcome = decoder.push(&chunk, &mut calls)?;
                for part in decoder.take_parts() {
                    keeping.take(part).await;
                }
                if let Some(mut outcome) = outcome {
                    keeping.tell(&mut outcome.changes);
                    return Ok(outcome);
                }
            }
            Some(Ok(_)) => return Err(SandboxError::Protocol("a run that begins in the wrong order")),
            Some(Err(error)) => return Err(error),
            None => return Err(SandboxError::Lost("it ended without a result".into())),
        }
    }
}

/// Runs programs in a sandbox in which every run is fresh.
pub struct InSandbox(pub Rc<dyn Sandbox>);

impl Programs for InSandbox {
    fn returned(
        &self,
        code: &str,
        globals: String,
        packages: PackageSet,
        limits: Limits,
    ) -> LocalBoxFuture<'static, Option<String>> {
        let request = RunRequest { code: code.to_owned(), globals, keep_variables: false, files: Vec::new() };
        let sandbox = self.0.clone();
        async move {
            match execute(sandbox, &request, packages, limits, None, None, |_| {}).await.ok()?.ending {
                Ending::Success(Returned::Text(text)) => Some(text),
                _ => None,
            }
        }
        .boxed_local()
    }
}
