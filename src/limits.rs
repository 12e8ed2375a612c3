//! Every limit of the core, with its reason. A limit that a host may set is a field of [`Limits`].

use std::time::Duration;

/// Largest body of one HTTP request, in bytes: room for 4 MiB of JSON-escaped code and variables.
/// Looked at before the body is held, for wasm memory never shrinks.
pub const MAX_BODY: usize = 8 * 1024 * 1024;

/// How much of a body that is too large is read, and dropped, before it is refused, in bytes.
pub const MAX_DRAINED: usize = 4 * MAX_BODY;

/// Deepest nesting of a client's JSON: what serde_json allows by default.
pub const MAX_REQUEST_DEPTH: usize = 128;

/// Most messages in one JSON-RPC batch (2025-03-26).
pub const MAX_BATCH: usize = 64;

/// Most requests of one channel that are served at once.
pub const MAX_IN_FLIGHT: usize = 256;

/// What a frame of an isolate may carry besides the output or the value, in bytes.
pub const FRAME_OVERHEAD: usize = 64 * 1024;

/// Deepest nesting of a returned value: where `pydantic_core.to_json` gives up too.
pub const MAX_VALUE_DEPTH: usize = 255;

/// How long the first message of a call is awaited before its status line is sent and SSE begins.
pub const FIRST_MESSAGE: Duration = Duration::from_millis(50);

/// How much longer than a run's own limits the host waits for its end: a busy machine's start of an isolate is in it.
pub const WATCHDOG_MARGIN: Duration = Duration::from_secs(10);

/// Limits of one run; a host may set each.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Wall-clock time of a run; then Python gets a `TimeoutError`.
    pub time: Duration,
    /// How long Python may clean up after that `TimeoutError`; then the interpreter is ended.
    pub grace: Duration,
    /// Bytes of `python_code`, UTF-8.
    pub code_bytes: usize,
    /// Bytes of all output lines together.
    pub output_bytes: usize,
    /// Bytes of the returned value's JSON, or of the error.
    pub value_bytes: usize,
    /// How many images a result may have.
    pub images: usize,
    /// Bytes of one image, as PNG.
    pub image_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            time: Duration::from_secs(60),
            grace: Duration::from_secs(1),
            code_bytes: 1024 * 1024,
            output_bytes: 2 * 1024 * 1024,
            value_bytes: 4 * 1024 * 1024,
            images: 16,
            image_bytes: 2 * 1024 * 1024,
        }
    }
}
