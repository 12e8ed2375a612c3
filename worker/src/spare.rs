//! Isolates that were booted ahead: each in a Durable Object, as a stub of an isolate can be used only where it was
//! made.
//!
//! **Boundary.** An object boots one isolate, gives it to one run, and then aborts itself: all of its memory goes, with
//! the isolate, and the next request starts the object anew. So nothing of a run is left for another. It also aborts
//! itself if no run comes for [`AHEAD_TIME`].

use std::{cell::RefCell, time::Duration};

use futures::StreamExt;
use js_sys::{Function, Reflect};
use mcp_run_python::{
    backend::{Going, Interpreter},
    limits::AHEAD_TIME,
    packages::{PackageSet, Wheel},
    run::sandbox::{RunEvent, SandboxError},
};
use wasm_bindgen::{JsCast, JsValue};
use worker::{Date, DurableObject, Env, Error, Request, Response, ResponseBuilder, Result, State, durable_object};

use crate::{
    config::{self, PLATFORM},
    isolate::{Isolate, IsolateRun, Isolates, KEEP_ALIVE},
    packages, remote,
    taken::{self, Taken},
};

/// The paths of an object. Clients cannot reach them.
pub mod path {
    /// POST, JSON of its packages: boots an isolate. 409: it has one already, or is ending.
    pub const BOOT: &str = "/boot";
    /// POST, the id of a run, the hash of its packages, and the run: a line each. Returns its frames. 409: there is no
    /// such isolate, and nothing has run.
    pub const RUN: &str = "/run";
    /// POST, the id of the current run, and the answer to one of its calls: a line each.
    pub const ANSWER: &str = "/answer";
    /// POST: ends an isolate that no run will use.
    pub const END: &str = "/end";
}

/// How often to check whether a run is over.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The Durable Object class.
#[durable_object]
pub struct Spare {
    state: State,
    env: Env,
    holds: RefCell<Holds>,
}

enum Holds {
    Nothing,
    Booting,
    /// `since`: milliseconds since 1970.
    Ready {
        isolate: Isolate,
        packages: PackageSet,
        since: u64,
    },
    Running {
        id: String,
        run: Taken<IsolateRun>,
    },
    /// The object is about to be aborted.
    Over,
}

impl DurableObject for Spare {
    fn new(state: State, env: Env) -> Self {
        Self { state, env, holds: RefCell::new(Holds::Nothing) }
    }

    async fn fetch(&self, mut request: Request) -> Result<Response> {
        let body = request.text().await?;
        match request.path().as_str() {
            path::BOOT => self.boot(&body).await,
            path::RUN => self.run(&body).await,
            path::ANSWER => {
                let (id, answer) = body.split_once('\n').ok_or("an answer without its run")?;
                let answering = match &*self.holds.borrow() {
                    Holds::Running { id: own, run } if own == id => run.answer(|run| run.answer(answer)),
                    _ => None,
                };
                if let Some(answering) = answering {
                    answering.await;
                }
                status(204)
            }
            path::END => {
                if matches!(&*self.holds.borrow(), Holds::Ready { .. }) {
                    self.end()?;
                }
                status(204)
            }
            _ => status(404),
        }
    }

    async fn alarm(&self) -> Result<Response> {
        let since = match &*self.holds.borrow() {
            Holds::Ready { since, .. } => *since,
            _ => return status(204),
        };
        let left = AHEAD_TIME.saturating_sub(Duration::from_millis(Date::now().as_millis().saturating_sub(since)));
        if left.is_zero() {
            self.end()?;
        } else {
            self.state.storage().set_alarm(left.min(KEEP_ALIVE)).await?;
        }
        status(204)
    }
}

impl Spare {
    async fn boot(&self, packages: &str) -> Result<Response> {
        if !matches!(&*self.holds.borrow(), Holds::Nothing) {
            return status(409);
        }
        self.holds.replace(Holds::Booting);
        match self.booted(packages).await {
            Ok(ready) => {
                self.holds.replace(ready);
                status(204)
            }
            Err(error) => {
                self.end()?;
                Err(error)
            }
        }
    }

    async fn booted(&self, packages: &str) -> Result<Holds> {
        let wheels: Vec<Wheel> = serde_json::from_str(packages)?;
        let packages = PackageSet::new(wheels);
        // workerd evicts an object that gets no request for a while.
        self.state.storage().set_alarm(KEEP_ALIVE).await?;
        let options = config::read(&self.env).map_err(Error::RustError)?.packages;
        let isolates = Isolates(self.env.clone());
        let code = packages::snapshots(&options).parts(&isolates, &packages).await;
        let isolate = isolates.boot(code.map_err(|error| Error::RustError(error.to_string()))?).await?;
        Ok(Holds::Ready { isolate, packages, since: Date::now().as_millis() })
    }

    async fn run(&self, body: &str) -> Result<Response> {
        let (id, run) = body.split_once('\n').ok_or("a run without its id")?;
        let (packages, run) = run.split_once('\n').ok_or("a run without its packages")?;
        let isolate = {
            let mut holds = self.holds.borrow_mut();
            match &*holds {
                Holds::Ready { packages: own, .. } if own.hash() == packages => {}
                _ => return status(409),
            }
            // From here on, the isolate is this run's.
            match std::mem::replace(&mut *holds, Holds::Over) {
                Holds::Ready { isolate, .. } => isolate,
                _ => return status(409),
            }
        };
        let mut run = isolate.run(run);
        let error = match run.next().await {
            Some(Ok(RunEvent::Began)) => {
                let (taken, response) = taken::response(run)?;
                let (over, abort) = (taken.clone(), abort(&self.state)?);
                self.holds.replace(Holds::Running { id: id.to_owned(), run: taken });
                // Polled, not triggered by the drop of the run, which may happen in a request of another object.
                wasm_bindgen_futures::spawn_local(async move {
                    while !over.is_over() {
                        (PLATFORM.sleep)(LOOK_EVERY).await;
                    }
                    let _ = later(&abort);
                });
                return Ok(response);
            }
            Some(Err(error)) => error,
            _ => SandboxError::Lost("it ended before its run began".into()),
        };
        self.end()?;
        remote::refusal(&error)
    }

    /// Aborts the object soon.
    fn end(&self) -> Result<()> {
        self.holds.replace(Holds::Over);
        later(&abort(&self.state)?)
    }
}

/// The function that aborts the object.
fn abort(state: &State) -> Result<Function> {
    let state: &JsValue = state.as_raw();
    let abort: Function = Reflect::get(state, &"abort".into())?.dyn_into()?;
    Ok(abort.bind0(state))
}

/// Calls the function once none of our own code is on the stack.
fn later(call: &Function) -> Result<()> {
    let set_timeout: Function = Reflect::get(&js_sys::global(), &"setTimeout".into())?.dyn_into()?;
    set_timeout.call3(&JsValue::UNDEFINED, call, &0.into(), &"its isolate is of no more use".into())?;
    Ok(())
}

fn status(status: u16) -> Result<Response> {
    Ok(ResponseBuilder::new().with_status(status).empty())
}
