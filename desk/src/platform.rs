//! Timers, tasks and the clock: tokio's, on the one thread that runs the core.

use std::time::{Duration, SystemTime};

use futures::FutureExt;
use mcp_run_python::backend::Platform;

/// For the core.
pub const PLATFORM: Platform = Platform {
    sleep: |duration| tokio::time::sleep(duration).boxed_local(),
    spawn: |task| {
        tokio::task::spawn_local(task);
    },
    now: || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO),
};
