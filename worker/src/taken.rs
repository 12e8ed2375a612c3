//! A run in an object, whose frames are the body of the response to the request for it.

use std::{
    cell::RefCell,
    rc::{Rc, Weak},
    task::Poll,
    time::Duration,
};

use futures::{Stream, StreamExt, future::LocalBoxFuture, stream};
use mcp_run_python::run::sandbox::{RunEvent, SandboxError};
use worker::{Error, Response, ResponseBuilder, Result};

use crate::config::PLATFORM;

/// How long the frames of a run that has begun may wait to be read.
const UNTAKEN: Duration = Duration::from_secs(2);

/// A weak reference to a run whose frames are being read.
pub struct Taken<R>(Weak<RefCell<Inner<R>>>);

struct Inner<R> {
    run: Option<R>,
    is_taken: bool,
}

impl<R> Clone for Taken<R> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<R> Taken<R> {
    /// Whether the run is over, or was dropped.
    pub fn is_over(&self) -> bool {
        self.0.strong_count() == 0
    }

    /// Brings an answer to the run with the function `by`; `None` if the run is over.
    pub fn answer(&self, by: impl FnOnce(&R) -> LocalBoxFuture<'static, ()>) -> Option<LocalBoxFuture<'static, ()>> {
        let run = self.0.upgrade()?;
        run.borrow().run.as_ref().map(by)
    }
}

/// A response with the frames of a run that has begun. A run whose frames nobody reads is dropped: a response whose
/// client was gone before it began is neither read nor cancelled.
pub fn response<R>(run: R) -> Result<(Taken<R>, Response)>
where
    R: Stream<Item = std::result::Result<RunEvent, SandboxError>> + Unpin + 'static,
{
    let shared = Rc::new(RefCell::new(Inner { run: Some(run), is_taken: false }));
    let (taken, watched) = (Taken(Rc::downgrade(&shared)), Rc::downgrade(&shared));
    wasm_bindgen_futures::spawn_local(async move {
        (PLATFORM.sleep)(UNTAKEN).await;
        let run = watched.upgrade().and_then(|shared| match &mut *shared.borrow_mut() {
            Inner { run, is_taken: false } => run.take(),
            _ => None,
        });
        drop(run);
    });
    let events = stream::poll_fn(move |cx| match &mut *shared.borrow_mut() {
        Inner { run: Some(run), is_taken } => {
            *is_taken = true;
            run.poll_next_unpin(cx)
        }
        _ => Poll::Ready(None),
    });
    let frames = events.filter_map(async |event| match event {
        Ok(RunEvent::Frames(chunk)) => Some(Ok(chunk)),
        Ok(RunEvent::Began) => None,
        Err(error) => Some(Err(Error::RustError(error.to_string()))),
    });
    Ok((taken, ResponseBuilder::new().from_stream(frames.boxed_local())?))
}
