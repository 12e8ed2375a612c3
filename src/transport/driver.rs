//! Runs rmcp's tokio tasks on whatever polls a future: a JavaScript event loop, or a test's executor.
//!
//! rmcp's service loop needs `tokio::task::spawn_local` and `JoinSet::spawn`; a [`LocalRuntime`] gives both. It must
//! never park, which traps on wasm, so it is never blocked on: [`Driver::poll`] runs every ready task and returns.
//! Where the poller itself runs in tokio, which takes no second runtime, a [`LocalSet`] does the same.
//!
//! tokio has no hook for "a task was woken from outside". So a future that the host may wake (a promise, a channel) is
//! wrapped by [`Signal::external`]: its waker wakes the task and the poller of the driver.

use std::{
    cell::RefCell,
    future::Future,
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use futures::task::AtomicWaker;
use tokio::{
    runtime::{Builder, Handle, LocalOptions, LocalRuntime},
    task::LocalSet,
};

/// How often the ready queue is drained before activity is looked at: tasks that used up tokio's
/// cooperative budget come back one drain later.
const DRAINS: usize = 4;

/// Runs tasks when it is polled. Dropping it drops its tasks.
pub(super) struct Driver {
    tasks: Tasks,
    signal: Arc<Signal>,
}

enum Tasks {
    /// Tasks of a runtime of their own.
    Own(LocalRuntime),
    /// Tasks of the poller's runtime. Tasks that a home has to run to their end
    /// ([`Platform::spawn`](crate::platform::Platform)) run outside of this set, which ends with its driver.
    Ambient(RefCell<LocalSet>),
}

/// Tells a [`Driver`] that there is something to do.
#[derive(Default)]
pub(super) struct Signal {
    poller: AtomicWaker,
    activity: AtomicU64,
}

impl Driver {
    /// A runtime without timers and I/O, which do not exist on wasm.
    pub(super) fn new() -> io::Result<Self> {
        if Handle::try_current().is_ok() {
            return Ok(Self { tasks: Tasks::Ambient(RefCell::default()), signal: Arc::default() });
        }
        let runtime = Builder::new_current_thread()
            // Drain the whole ready queue before looking at the future of `block_on` again.
            .event_interval(u32::MAX)
            .build_local(LocalOptions::default())?;
        Ok(Self { tasks: Tasks::Own(runtime), signal: Arc::default() })
    }

    pub(super) fn signal(&self) -> Arc<Signal> {
        self.signal.clone()
    }

    pub(super) fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        match &self.tasks {
            Tasks::Own(runtime) => drop(runtime.spawn_local(task)),
            Tasks::Ambient(tasks) => drop(tasks.borrow().spawn_local(task)),
        }
    }

    /// Runs every task that is ready. The task of `cx` is woken when there is more to do.
    pub(super) fn poll(&self, cx: &mut Context<'_>) {
        let runtime = match &self.tasks {
            Tasks::Own(runtime) => runtime,
            Tasks::Ambient(tasks) => {
                // A set without ready tasks is done; polled again, it runs tasks that were spawned or woken later.
                if let Ok(mut tasks) = tasks.try_borrow_mut() {
                    let _ = Pin::new(&mut *tasks).poll(cx);
                }
                return;
            }
        };
        self.signal.poller.register(cx.waker());
        loop {
            let before = self.signal.activity.load(Ordering::Relaxed);
            runtime.block_on(async {
                for _ in 0..DRAINS {
                    tokio::task::yield_now().await;
                }
            });
            if self.signal.activity.load(Ordering::Relaxed) == before {
                break;
            }
        }
    }
}

impl Signal {
    /// Notes that a task did something, so that its consequences are run in the same poll.
    pub(super) fn note_activity(&self) {
        self.activity.fetch_add(1, Ordering::Relaxed);
    }

    /// A future that may be woken from outside the runtime.
    pub(super) fn external<F: Future>(self: Arc<Self>, future: F) -> External<F> {
        External { signal: self, future: Box::pin(future) }
    }
}

/// See [`Signal::external`].
pub(super) struct External<F> {
    signal: Arc<Signal>,
    future: Pin<Box<F>>,
}

impl<F: Future> Future for External<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.signal.note_activity();
        let waker = Waker::from(Arc::new(Both { task: cx.waker().clone(), signal: self.signal.clone() }));
        self.future.as_mut().poll(&mut Context::from_waker(&waker))
    }
}

/// Wakes a task of the runtime and the poller of the runtime.
struct Both {
    task: Waker,
    signal: Arc<Signal>,
}

impl Wake for Both {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.task.wake_by_ref();
        self.signal.poller.wake();
    }
}
