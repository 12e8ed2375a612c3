//! Timers, tasks and the clock: tokio's, on the one thread that runs the core.

use std::{
    cell::RefCell,
    time::{Duration, SystemTime},
};

use futures::{FutureExt, future::LocalBoxFuture};
use mcp_run_python::platform::Platform;
use tokio::sync::mpsc;

/// The core's platform, implemented with tokio.
pub const PLATFORM: Platform = Platform {
    sleep: |duration| tokio::time::sleep(duration).boxed_local(),
    spawn: |task| spawn(task),
    now: || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO),
};

thread_local! {
    static TASKS: RefCell<Option<mpsc::UnboundedSender<LocalBoxFuture<'static, ()>>>> = const { RefCell::new(None) };
}

/// Runs a task to its end, even if nobody waits for it. (The core polls some tasks in `LocalSet`s of its own. With
/// tokio's `spawn_local`, what they start would join that set, and end with it.)
pub fn spawn(task: impl Future<Output = ()> + 'static) {
    TASKS.with_borrow(|tasks| {
        if let Some(tasks) = tasks {
            // Once the program is ending, nothing new is started.
            let _ = tasks.send(task.boxed_local());
        }
    });
}

/// From now on, spawned tasks run in the `LocalSet` that this is called in.
pub fn start() {
    let (send, mut started) = mpsc::unbounded_channel();
    TASKS.set(Some(send));
    tokio::task::spawn_local(async move {
        while let Some(task) = started.recv().await {
            tokio::task::spawn_local(task);
        }
    });
}
