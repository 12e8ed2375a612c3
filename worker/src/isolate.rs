//! A fresh isolate for each run.

use std::{rc::Rc, time::Duration};

use futures::{FutureExt, StreamExt, future::LocalBoxFuture, select_biased};
use mcp_run_python::{
    config::Isolation,
    limits::Quotas,
    packages::PackageSet,
    quota::Runs,
    sandbox::{Frames, Sandbox, SandboxError},
    session::{Host, Opened, SessionChoice, SessionError},
    transport::Principal,
};
use wasm_bindgen::JsValue;
use web_sys::ReadableStream;
use worker::{AbortController, AbortSignal, Env, Method, RequestInit, Response, Result};

use crate::{
    code,
    config::PLATFORM,
    loader::{Fetcher, WorkerLoader},
    remote::Sessions,
};

/// Where an isolate takes runs, see `runtime/isolate.js`.
const RUN: &str = "http://sandbox/run";

/// How long an isolate may take to boot.
const START_LIMIT: Duration = Duration::from_secs(30);

thread_local! {
    /// The runs of this instance of the Worker. The platform may have several, each with a count of its own.
    pub static RUNS: Runs = Runs::default();
}

/// Serves calls of one principal that are not of a legacy session.
pub struct EdgeHost {
    env: Env,
    sessions: Sessions,
    principal: Principal,
    quotas: Quotas,
    isolation: Isolation,
}

impl EdgeHost {
    /// A host that starts isolates by the bindings of `env`.
    pub fn new(env: Env, sessions: Sessions, principal: Principal, quotas: Quotas, isolation: Isolation) -> Rc<Self> {
        Rc::new(Self { env, sessions, principal, quotas, isolation })
    }
}

impl Host for EdgeHost {
    fn offers_sessions(&self) -> bool {
        true
    }

    fn open(&self, choice: SessionChoice) -> LocalBoxFuture<'static, std::result::Result<Opened, SessionError>> {
        let slot = RUNS.with(|runs| runs.enter(&self.principal, &self.quotas));
        let (env, sessions, principal) = (self.env.clone(), self.sessions.clone(), self.principal.clone());
        let isolation = self.isolation;
        async move {
            let slot = slot?;
            let Opened { sandbox, handle } = match choice {
                SessionChoice::Unnamed if isolation == Isolation::Principal => sessions.shared(principal)?,
                SessionChoice::Unnamed => Opened { sandbox: Rc::new(FreshIsolate(env)), handle: None },
                SessionChoice::New => sessions.start(principal).await?,
                SessionChoice::Handle(handle) => sessions.open(&handle, principal).await?,
            };
            Ok(Opened { sandbox: slot.hold(sandbox), handle })
        }
        .boxed_local()
    }
}

/// An isolate of its own for each run. It ends with its run: nothing holds it any longer.
struct FreshIsolate(Env);

impl Sandbox for FreshIsolate {
    fn start(
        &self,
        request: String,
        packages: PackageSet,
    ) -> LocalBoxFuture<'static, std::result::Result<Frames, SandboxError>> {
        let env = self.0.clone();
        let started = async move {
            let code = code::python(&env, &packages).await?;
            let isolate = WorkerLoader::new(&env)?.load(&code.worker)?;
            let (abort, signal) = Abort::new();
            body(run(&isolate.entrypoint()?, code.first(&request), Some(signal.as_ref())).await?, abort)
        };
        started.map(|frames| frames.map_err(|error| SandboxError::Start(error.to_string()))).boxed_local()
    }

    fn sleep(&self, duration: Duration) -> LocalBoxFuture<'static, ()> {
        (PLATFORM.sleep)(duration)
    }
}

/// Hands a run, in its envelope, to an isolate; its frames are the response's body. `signal` aborts the request.
///
/// # Errors
/// Also when no response comes in time: the code of a session may have changed what answers.
pub async fn run(isolate: &Fetcher, envelope: ReadableStream, signal: Option<&JsValue>) -> Result<Response> {
    let mut init = RequestInit::new();
    init.with_method(Method::Post).with_body(Some(envelope.into()));
    let response = select_biased! {
        response = isolate.fetch(RUN, &init, signal).fuse() => response?,
        () = (PLATFORM.sleep)(START_LIMIT).fuse() => return Err("it did not answer in time".into()),
    };
    match response.status_code() {
        200 => Ok(response),
        status => Err(format!("it answered {status}").into()),
    }
}

/// The body of a response as frames, for as long as which `held` is held.
pub fn body(mut response: Response, held: impl Sized + 'static) -> Result<Frames> {
    let chunks = response.stream()?.map(move |chunk| {
        let _held = &held;
        chunk.map_err(|error| SandboxError::Lost(error.to_string()))
    });
    Ok(chunks.boxed_local())
}

/// Aborts a request when it is dropped, and with it everything that goes on in an isolate that serves no
/// other.
struct Abort(Option<AbortController>);

impl Abort {
    fn new() -> (Self, AbortSignal) {
        let controller = AbortController::default();
        let signal = controller.signal();
        (Self(Some(controller)), signal)
    }
}

impl Drop for Abort {
    fn drop(&mut self) {
        if let Some(controller) = self.0.take() {
            controller.abort();
        }
    }
}
