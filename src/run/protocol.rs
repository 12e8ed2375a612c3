//! The messages between this core and an isolate, and their version: `docs/protocol.md` says who may send which, and when.
//!
//! The types for the JavaScript in an isolate are generated from the ones here: see the test `types`.

use std::time::Duration;

use serde::{Deserialize, Serialize};
#[cfg(test)]
use ts_rs::TS;

use super::{
    RunRequest,
    asking::FileRequest,
    files::{Change, PlacedFile},
    sandbox::SandboxError,
};
use crate::limits::{CallLimits, Limits, MAX_DISPLAY, MAX_DISPLAYED, MAX_DISPLAYS, MAX_EMBEDDED, PART_BYTES};

/// The version of the protocol. Core and isolate come from one build, so each understands only this version.
pub const VERSION: u32 = 2;

/// Message that starts a run.
#[derive(Serialize)]
#[cfg_attr(test, derive(TS))]
pub(super) struct Request<'a> {
    /// The version of the protocol.
    protocol: u32,
    /// Python source.
    code: &'a str,
    /// JSON of the global variables, as text: only Python parses it, so that its numbers stay exact.
    globals: &'a str,
    /// Whether the run uses the namespace of the run before it.
    keep: bool,
    /// Files that are placed in the program's folder first.
    files: &'a [PlacedFile],
    limits: RunLimits,
    /// What the run may call; absent if nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional))]
    calls: Option<Callable>,
}

/// Limits of a run. Times are milliseconds.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(TS), ts(rename = "Limits"))]
struct RunLimits {
    /// Wall clock until Python gets a `TimeoutError`.
    time: u64,
    /// Time for cleaning up after that, before the interpreter is ended.
    grace: u64,
    /// How often CPython may check for signals.
    fuel: u64,
    /// Bytes of the interpreter's memory.
    memory: usize,
    /// Bytes of that memory, the packages' archives and the files, together.
    budget: Option<usize>,
    /// Bytes of output.
    output: usize,
    /// Lines of output.
    lines: usize,
    /// Bytes of one line.
    line: usize,
    /// Bytes of the returned value or the error.
    value: usize,
    /// Images.
    images: usize,
    /// Bytes of one image.
    image_bytes: usize,
    /// MIME bundles that are displayed.
    displays: usize,
    /// Bytes of one MIME type of a bundle.
    display_bytes: usize,
    /// Bytes of the frames of all bundles.
    display_all: usize,
    /// Rows of a table.
    table_rows: usize,
    /// Columns of a table.
    table_columns: usize,
    /// Depth of nesting of the returned value.
    depth: usize,
    /// Files and folders, besides those that exist at the start.
    files: usize,
    /// Bytes of all these files.
    file_bytes: usize,
    /// Created, changed or deleted files that are reported.
    files_told: usize,
    /// Bytes of one file that is sent with its report.
    embed_bytes: usize,
    /// Bytes of all files that are sent so.
    embed_all: usize,
    /// Bytes of all larger files, which follow in parts.
    kept_bytes: usize,
    /// Bytes of one part.
    part_bytes: usize,
}

/// What a run may call, and how much.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(TS))]
pub(super) struct Callable {
    pub(super) names: Vec<String>,
    /// Calls that may wait for their answers at once.
    at_once: usize,
    /// Calls in all.
    in_all: usize,
    /// Bytes of the arguments of one call.
    argument_bytes: usize,
    /// How long the run's clock may stand still in all while it waits for answers, in milliseconds.
    wait: u64,
}

impl Callable {
    pub(super) fn new(names: Vec<String>, limits: &CallLimits) -> Self {
        let CallLimits { at_once, in_all, argument_bytes, wait, .. } = *limits;
        Self { names, at_once, in_all, argument_bytes, wait: milliseconds(wait) }
    }
}

/// Message that asks for files, instead of a [`Request`]: see [`FileRequest`].
#[derive(Serialize)]
#[cfg_attr(test, derive(TS))]
pub(super) struct FileRun<'a> {
    /// The first member: it tells this message from a [`Request`].
    file: &'a FileRequest,
    /// The version of the protocol.
    protocol: u32,
    limits: RunLimits,
}

/// Output of an isolate: one JSON object with one member per line.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(test, derive(TS))]
pub(super) enum Frame {
    /// The first frame: the isolate's version of the protocol.
    Protocol(u32),
    /// Lines of `sys.stdout`, without their newlines.
    Stdout(Vec<String>),
    /// Lines of `sys.stderr`.
    Stderr(Vec<String>),
    /// A PNG or a JPEG, in base64.
    Image(String),
    Display(DisplayFrame),
    File(FileFrame),
    /// Bytes of the file before it, in base64.
    Part(String),
    /// How many more files were created, changed or deleted than are reported.
    Omitted(u64),
    Call(CallFrame),
    /// Id of a call whose answer is no longer awaited.
    Cancel(u64),
    /// The last frame.
    End(EndFrame),
}

/// A displayed value: texts, and JSON as text, by MIME type.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(TS))]
pub(super) struct DisplayFrame {
    #[serde(rename = "text/html")]
    #[cfg_attr(test, ts(optional))]
    pub(super) html: Option<String>,
    #[serde(rename = "text/markdown")]
    #[cfg_attr(test, ts(optional))]
    pub(super) markdown: Option<String>,
    #[serde(rename = "text/latex")]
    #[cfg_attr(test, ts(optional))]
    pub(super) latex: Option<String>,
    #[serde(rename = "image/svg+xml")]
    #[cfg_attr(test, ts(optional))]
    pub(super) svg: Option<String>,
    #[serde(rename = "application/vnd.plotly.v1+json")]
    #[cfg_attr(test, ts(optional))]
    pub(super) plotly: Option<String>,
    #[serde(rename = "application/vnd.vegalite.v5+json")]
    #[cfg_attr(test, ts(optional))]
    pub(super) vega_lite_5: Option<String>,
    #[serde(rename = "application/vnd.vegalite.v6+json")]
    #[cfg_attr(test, ts(optional))]
    pub(super) vega_lite_6: Option<String>,
}

/// A file that was created, changed or deleted.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(TS))]
pub(super) struct FileFrame {
    pub(super) path: String,
    pub(super) change: Change,
    /// Size in bytes.
    pub(super) size: u64,
    /// Its bytes in base64, if they are sent.
    #[cfg_attr(test, ts(optional))]
    pub(super) base64: Option<String>,
}

/// A call out of the program.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(TS))]
pub(super) struct CallFrame {
    /// Higher than the id of any call before it.
    pub(super) id: u64,
    /// One of the names in the request.
    pub(super) name: String,
    /// JSON of the arguments, an object.
    pub(super) arguments: String,
}

/// How a run ended: with a value or without, or with an error.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(TS))]
pub(super) struct EndFrame {
    pub(super) status: Status,
    /// The value, if it is a `str`.
    #[cfg_attr(test, ts(optional))]
    pub(super) text: Option<String>,
    /// JSON of any other value.
    #[cfg_attr(test, ts(optional))]
    pub(super) json: Option<String>,
    #[cfg_attr(test, ts(optional))]
    pub(super) error: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(test, derive(TS))]
pub(super) enum Status {
    Success,
    RunError,
}

/// The answer to a call.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(TS))]
pub(super) struct Answer {
    /// The id of the call.
    pub(super) id: u64,
    #[serde(flatten)]
    #[cfg_attr(test, ts(flatten))]
    pub(super) answered: Answered,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(test, derive(TS))]
pub(super) enum Answered {
    /// JSON of what the function returned.
    Value(String),
    /// The exception that Python raises.
    Error(CallError),
}

/// Why a call failed: the exception that Python raises.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(TS))]
pub struct CallError {
    /// The name of a built-in exception, such as `ValueError`. Python raises a `RuntimeError` instead of one that it does
    /// not accept from outside.
    #[serde(rename = "type")]
    pub kind: String,
    /// The exception's text.
    pub message: String,
}

/// Returns the JSON that starts a run.
pub(super) fn to_isolate(
    request: &RunRequest,
    limits: Limits,
    calls: Option<Callable>,
) -> Result<String, SandboxError> {
    serde_json::to_string(&Request {
        protocol: VERSION,
        code: &request.code,
        globals: &request.globals,
        keep: request.keep_variables,
        files: &request.files,
        limits: RunLimits::new(limits),
        calls,
    })
    .map_err(|error| SandboxError::Start(error.to_string()))
}

/// Returns the JSON that asks for files.
pub(super) fn file_request(request: &FileRequest, limits: Limits) -> Result<String, SandboxError> {
    serde_json::to_string(&FileRun { file: request, protocol: VERSION, limits: RunLimits::new(limits) })
        .map_err(|error| SandboxError::Start(error.to_string()))
}

/// Whether the JSON of a request, which the core wrote, asks for files and runs nothing.
pub(crate) fn asks_for_files(request: &str) -> bool {
    request.starts_with(r#"{"file":"#)
}

impl RunLimits {
    fn new(limits: Limits) -> Self {
        Self {
            time: milliseconds(limits.time),
            grace: milliseconds(limits.grace),
            fuel: limits.fuel,
            memory: limits.memory,
            budget: limits.budget,
            output: limits.output_bytes,
            lines: limits.output_lines,
            line: limits.line_bytes,
            value: limits.value_bytes,
            images: limits.images,
            image_bytes: limits.image_bytes,
            displays: MAX_DISPLAYS,
            display_bytes: MAX_DISPLAY,
            display_all: MAX_DISPLAYED,
            table_rows: limits.table_rows,
            table_columns: limits.table_columns,
            depth: limits.value_depth,
            files: limits.files,
            file_bytes: limits.file_bytes,
            files_told: limits.files_told,
            embed_bytes: limits.embed_bytes,
            embed_all: MAX_EMBEDDED,
            kept_bytes: limits.kept_bytes,
            part_bytes: PART_BYTES,
        }
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[path = "protocol_tests.rs"]
mod tests;
