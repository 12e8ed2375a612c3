//! An executor with virtual time.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    pin::Pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use futures::{
    channel::oneshot,
    executor::{LocalPool, LocalSpawner},
    future::LocalBoxFuture,
    task::LocalSpawnExt,
};

use crate::platform::Platform;

thread_local! {
    static NOW: Cell<Duration> = const { Cell::new(Duration::ZERO) };
    static TIMERS: RefCell<BTreeMap<(Duration, u64), Waker>> = RefCell::default();
    static SPAWNER: RefCell<Option<LocalSpawner>> = RefCell::default();
    static NEXT: Cell<u64> = const { Cell::new(0) };
}

/// The virtual clock as a platform.
pub(crate) const PLATFORM: Platform = Platform { sleep, spawn, now };

/// Runs `future` and whatever it spawns, until `future` is done.
pub(crate) fn run<T: 'static>(future: impl Future<Output = T> + 'static) -> T {
    let mut pool = LocalPool::new();
    NOW.set(Duration::ZERO);
    TIMERS.take();
    SPAWNER.set(Some(pool.spawner()));
    let (sender, mut result) = oneshot::channel();
    spawn(Box::pin(async move {
        let _ = sender.send(future.await);
    }));
    loop {
        pool.run_until_stalled();
        if let Some(result) = result.try_recv().unwrap() {
            return result;
        }
        let ((due, _), waker) = TIMERS.with_borrow_mut(BTreeMap::pop_first).expect("something must be going to happen");
        NOW.set(due);
        waker.wake();
    }
}

pub(crate) fn now() -> Duration {
    NOW.get()
}

pub(crate) fn spawn(task: LocalBoxFuture<'static, ()>) {
    // A task that is spawned after the executor's end is not run.
    let _ = SPAWNER.with_borrow(|spawner| spawner.as_ref().unwrap().spawn_local(task));
}

pub(crate) fn sleep(duration: Duration) -> LocalBoxFuture<'static, ()> {
    let id = NEXT.replace(NEXT.get() + 1);
    Box::pin(Sleep { key: (NOW.get() + duration, id) })
}

struct Sleep {
    key: (Duration, u64),
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if NOW.get() >= self.key.0 {
            return Poll::Ready(());
        }
        TIMERS.with_borrow_mut(|timers| timers.insert(self.key, cx.waker().clone()));
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        // At a thread's end the timers may be gone first.
        let _ = TIMERS.try_with(|timers| timers.borrow_mut().remove(&self.key));
    }
}
