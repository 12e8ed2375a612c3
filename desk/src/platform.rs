//! Timers, tasks and the clock: tokio's, on the one thread that runs the core.

use std::{
    cell::RefCell,
    time::{Duration, SystemTime},
};

use futures::{FutureExt, future::LocalBoxFuture};
use mcp_run_python::platform::Platform;
use tokio::sync::mpsc;

/// What the core asks of a platform, by tokio.
pub const PLATFORM: Platform = Platform {
    sleep: |duration| tokio::time::sleep(duration).boxed_local(),
    spawn: |task| spawn(task),
    now: || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO),
};

thread_local! {
    static TASKS: RefCell<Option<mpsc::UnboundedSender<LocalBoxFuture<'static, ()>>>> = const { RefCell::new(None) };
}

/// Runs a task to its end, whoever listens. (tokio's own `spawn_local` would end those that a request of the core starts
/// with that request, whose tasks are a set of their own.)
pub fn spawn(task: impl Future<Output = ()> + 'static) {
    TASKS.with_borrow(|tasks| {
        if let Some(tasks) = tasks {
            // At the very end nothing is begun any longer.
            let _ = tasks.send(task.boxed_local());
        }
    });
}

/// Has tasks run, from now on, where this is called.
pub fn start() {
    let (send, mut started) = mpsc::unbounded_channel();
    TASKS.set(Some(send));
    tokio::task::spawn_local(async move {
        while let Some(task) = started.recv().await {
            tokio::task::spawn_local(task);
        }
    });
}
