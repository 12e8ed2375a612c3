//! The services of a platform that the core needs.

use std::time::Duration;

use futures::future::LocalBoxFuture;

/// Timers, tasks and the clock of a platform: this target has none of its own.
#[derive(Debug, Clone, Copy)]
pub struct Platform {
    /// Resolves after a duration.
    pub sleep: fn(Duration) -> LocalBoxFuture<'static, ()>,
    /// Runs a task to its end in the background. (`wasm_bindgen_futures::spawn_local`)
    pub spawn: fn(LocalBoxFuture<'static, ()>),
    /// Time since 1970. It may stand still while code runs.
    pub now: fn() -> Duration,
}
