//! One run of Python: what goes into an isolate, what comes out of it, and how that is decoded.
//!
//! **Boundary.** Every byte read here was written by the code that was run. It is decoded strictly,
//! bounded, and can become nothing but the output and the result of its own run.

use std::rc::Rc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{limits::Limits, sandbox::{Sandbox, SandboxError}};

/// What a client asked to be run.
#[derive(Debug, Clone, Serialize)]
pub struct RunRequest {
    /// Python source; its last expression is the returned value.
    pub code: String,
    /// Global variables, besides `__name__`, of the run's fresh namespace.
    pub globals: Map<String, Value>,
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
    /// Where it was written to.
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
    /// Anything else: JSON as `pydantic_core.to_json(indent=2)` writes it, checked to be JSON.
    Json(String),
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
    /// How it ended.
    pub ending: Ending,
}

/// Runs `request` in `sandbox` and gives each line to `on_line` as it comes.
///
/// Dropping the future ends the run.
///
/// # Errors
/// [`SandboxError`] when the isolate failed; a Python error is an [`Outcome`].
pub async fn execute(
    sandbox: Rc<dyn Sandbox>,
    request: RunRequest,
    limits: Limits,
    on_line: impl FnMut(&Line),
) -> Result<Outcome, SandboxError> {
    let _ = (sandbox, request, limits, on_line);
    Err(SandboxError::Protocol("not there yet"))
}
