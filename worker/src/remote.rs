//! Sessions as the stateless side of the Worker sees them: Durable Objects, each reached by its id.
//!
//! A legacy session's object has a random id, the `Mcp-Session-Id`; the object of a session that was asked for by
//! argument has a name made from its handle. Either lets in only the principal that owns the session.

use std::{
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use futures::{FutureExt, Stream, StreamExt, future::LocalBoxFuture};
use js_sys::Reflect;
use mcp_run_python::{
    auth::Principal,
    handle,
    limits::Quotas,
    packages::{PackageSet, Wheel},
    platform::Platform,
    run::sandbox::{Run, RunEvent, Running, Sandbox, SandboxError},
    session::{
        Ended, Known, Opened, SessionError,
        registry::{Count, Register, admit},
    },
    transport::SessionRecord,
};
use wasm_bindgen::JsValue;
use worker::{Env, Method, ObjectNamespace, Request, RequestInit, Response, Result, Stub};

use crate::{
    config::PLATFORM,
    isolate::{self, Abort, Events},
    quota::SessionQuotas,
};

/// The paths of a session's object that are not MCP. Clients cannot get there: only `/mcp` is forwarded to it.
pub mod path {
    /// POST: makes the new object a session with a handle.
    pub const START: &str = "/start";
    /// POST, a [`SessionRecord`](mcp_run_python::transport::SessionRecord): makes it a legacy session.
    pub const BEGIN: &str = "/begin";
    /// POST: 204 if it is a session with a handle, 410 and [`Ended`](mcp_run_python::session::Ended) if it was, else
    /// 404.
    pub const OPEN: &str = "/open";
    /// POST: ends a session with a handle. Answered as [`OPEN`].
    pub const END: &str = "/end";
    /// POST: ends a session that was not used lately, as another needs its place. 409 if it was used.
    pub const YIELD: &str = "/yield";
    /// POST, the id of a current run, and the answer to one of its calls: a line each.
    pub const ANSWER: &str = "/answer";
    /// POST, a run with its id and packages, see [`decode`](super::decode): returns its frames.
    pub const RUN: &str = "/run";
    /// POST, the same, for the interpreter that a principal's runs without a session share: an object without an owner
    /// becomes the principal's.
    pub const SHARED: &str = "/shared";
}

/// Header that tells a session's object which principal asks.
///
/// **Boundary.** Only this Worker reaches an object, and it sets the header on every request: a client's own value gets
/// no further.
pub const PRINCIPAL: &str = "x-principal";

/// The binding `SESSIONS`.
#[derive(Clone)]
pub struct Sessions {
    objects: Rc<ObjectNamespace>,
    quotas: SessionQuotas,
}

impl Sessions {
    /// Takes the binding out of the Worker's environment.
    pub fn new(env: &Env, quotas: Quotas) -> Result<Self> {
        Ok(Self { objects: Rc::new(env.durable_object("SESSIONS")?), quotas: SessionQuotas::new(env, quotas)? })
    }

    /// The object of this id; `None` for an id that was never given out.
    pub fn find(&self, id: &str) -> Option<Stub> {
        self.objects.id_from_string(id).ok()?.get_stub().ok()
    }

    /// The object of this handle; `None` if it does not have the form of a handle.
    fn find_handle(&self, handle: &str) -> Option<Stub> {
        if !handle::is_handle(handle) {
            return None;
        }
        // Objects that principals' runs share have other names, see `shared`.
        self.objects.id_from_name(&format!("handle {handle}")).ok()?.get_stub().ok()
    }

    /// Forwards a client's request, whose body was not touched, to the object of a legacy session.
    pub async fn forward(&self, session: Stub, request: Request, principal: &Principal) -> Result<Response> {
        let request = request.clone_mut()?;
        request.headers().set(PRINCIPAL, principal.name())?;
        session.fetch_with_request(request).await
    }

    /// Begins a legacy session, and returns its id.
    ///
    /// # Errors
    /// [`SessionError::TooManySessions`].
    pub async fn begin(
        &self,
        principal: &Principal,
        record: &SessionRecord,
    ) -> std::result::Result<String, SessionError> {
        let record = serde_json::to_string(record).map_err(|error| failed(error.into()))?;
        let id = self.objects.unique_id().map_err(failed)?;
        self.count(principal, &id.to_string(), false).await?;
        let session = Remote::new(id.get_stub().map_err(failed)?, principal.clone());
        session.post(path::BEGIN, Some(record), None).await.map_err(failed)?;
        Ok(id.to_string())
    }

    /// The interpreter that `principal`'s runs without a session share.
    ///
    /// **Boundary.** Each principal has an object of its own name, which lets in nobody else. The settings make sure
    /// that there are tokens.
    pub fn shared(&self, principal: Principal) -> std::result::Result<Opened, SessionError> {
        let id = self.objects.id_from_name(&format!("of {}", principal.name())).map_err(failed)?;
        let session = Remote { run: path::SHARED, ..Remote::new(id.get_stub().map_err(failed)?, principal) };
        Ok(Opened { sandbox: Rc::new(session), handle: None })
    }

    /// Starts a session with a handle.
    pub async fn start(&self, principal: Principal) -> std::result::Result<Opened, SessionError> {
        let handle = handle::new_handle();
        let id = self.objects.id_from_name(&format!("handle {handle}")).map_err(failed)?;
        self.count(&principal, &id.to_string(), true).await?;
        let session = Remote::new(id.get_stub().map_err(failed)?, principal);
        session.post(path::START, None, None).await.map_err(failed)?;
        Ok(Opened { sandbox: Rc::new(session), handle: Some(handle) })
    }

    /// Opens a session that was started before.
    pub async fn open(&self, handle: &str, principal: Principal) -> std::result::Result<Opened, SessionError> {
        let session = self.reach(handle, principal, path::OPEN).await?;
        Ok(Opened { sandbox: Rc::new(session), handle: Some(handle.to_owned()) })
    }

    /// Ends a session that was started before.
    pub async fn end(&self, handle: &str, principal: Principal) -> std::result::Result<(), SessionError> {
        self.reach(handle, principal, path::END).await.map(drop)
    }

    /// Asks the object of this handle at `path`, and returns its session.
    async fn reach(&self, handle: &str, principal: Principal, path: &str) -> std::result::Result<Remote, SessionError> {
        let session = Remote::new(self.find_handle(handle).ok_or(SessionError::Unknown)?, principal);
        let mut response = session.post(path, None, None).await.map_err(failed)?;
        match response.status_code() {
            204 => Ok(session),
            410 => Err(SessionError::Ended(response.json::<Ended>().await.map_err(failed)?)),
            _ => Err(SessionError::Unknown),
        }
    }

    /// Counts a new session. `has_run` if a run is about to follow.
    async fn count(&self, principal: &Principal, id: &str, has_run: bool) -> std::result::Result<(), SessionError> {
        let known = Known { used_at: (PLATFORM.now)(), has_run };
        admit(self, principal, id, known, &self.quotas.quotas).await
    }
}

impl Register for Sessions {
    async fn count(
        &self,
        id: &str,
        known: Known,
        count: &Count<'_>,
    ) -> std::result::Result<Option<Vec<String>>, SandboxError> {
        self.quotas.begin(count, id, known).await.map_err(lost)
    }

    async fn forget(&self, id: &str, count: &Count<'_>) -> std::result::Result<(), SandboxError> {
        self.quotas.end(count.of, id).await.map_err(lost)
    }

    /// Asks the session's object, which knows when it was used, and whose it is.
    async fn evict(&self, id: &str) -> std::result::Result<bool, SandboxError> {
        let Some(session) = self.find(id) else { return Ok(false) };
        let session = Remote::new(session, Principal::default());
        Ok(session.post(path::YIELD, None, None).await.map_err(lost)?.status_code() == 204)
    }
}

fn lost(error: worker::Error) -> SandboxError {
    SandboxError::Start(error.to_string())
}

/// Turns the failure of an object into a session's error.
pub fn failed(error: worker::Error) -> SessionError {
    SessionError::Sandbox(lost(error))
}

/// The body for [`path::RUN`]: a line with the run's id, one with its packages, and the run.
fn encode(id: &str, request: &str, packages: &PackageSet) -> std::result::Result<String, SandboxError> {
    let wheels = serde_json::to_string(packages.wheels()).map_err(|error| SandboxError::Start(error.to_string()))?;
    Ok(format!("{id}\n{wheels}\n{request}"))
}

/// Reads the body of [`path::RUN`].
pub fn decode(body: &str) -> Result<(&str, PackageSet, String)> {
    let (id, run) = body.split_once('\n').ok_or("a run without its id")?;
    let (wheels, request) = run.split_once('\n').ok_or("a run without its packages")?;
    let wheels: Vec<Wheel> = serde_json::from_str(wheels)?;
    Ok((id, PackageSet::new(wheels), request.to_owned()))
}

/// A session's interpreter, in an object elsewhere.
#[derive(Clone)]
struct Remote {
    session: Rc<Stub>,
    principal: Principal,
    /// The object's path for runs.
    run: &'static str,
}

impl Remote {
    fn new(session: Stub, principal: Principal) -> Self {
        Self { session: Rc::new(session), principal, run: path::RUN }
    }

    async fn post(&self, path: &str, body: Option<String>, signal: Option<&JsValue>) -> Result<Response> {
        let mut init = RequestInit::new();
        init.with_method(Method::Post).with_body(body.map(Into::into));
        init.headers.set(PRINCIPAL, self.principal.name())?;
        let init: web_sys::RequestInit = (&init).into();
        if let Some(signal) = signal {
            Reflect::set(&init, &"signal".into(), signal)?;
        }
        let request = web_sys::Request::new_with_str_and_init(&format!("http://session{path}"), &init)?;
        self.session.fetch_with_request(request.into()).await
    }
}

impl Sandbox for Remote {
    fn run(&self, request: String, packages: PackageSet) -> Run {
        let session = self.clone();
        // **Boundary.** Only the Worker reaches an object, and only those who know a run's id can answer its calls.
        let id = handle::new_handle();
        let run = id.clone();
        let abort = Abort::new();
        let signal = abort.signal();
        let started = async move {
            let body = Some(encode(&run, &request, &packages)?);
            let response = session.post(session.run, body, Some(signal.as_ref())).await;
            let mut response = response.map_err(|error| SandboxError::Lost(error.to_string()))?;
            match response.status_code() {
                200 => Ok(response),
                404 => Err(SandboxError::Lost("its session has ended".into())),
                status => Err(refused(status, response.text().await.unwrap_or_default())),
            }
        };
        // Dropping the run aborts it, even before it has begun.
        Box::new(RemoteRun { events: isolate::events(started), session: self.clone(), id, _abort: abort })
    }

    fn is_fresh(&self) -> bool {
        false
    }

    fn platform(&self) -> Platform {
        PLATFORM
    }
}

/// A run in an object that is elsewhere.
struct RemoteRun {
    events: Events,
    session: Remote,
    id: String,
    _abort: Abort,
}

impl Stream for RemoteRun {
    type Item = std::result::Result<RunEvent, SandboxError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.events.poll_next_unpin(cx)
    }
}

impl Running for RemoteRun {
    fn answer(&self, answer: &str) -> LocalBoxFuture<'static, ()> {
        let (session, body) = (self.session.clone(), format!("{}\n{answer}", self.id));
        async move {
            // If the object is gone, the run reports that.
            let _ = session.post(path::ANSWER, Some(body), None).await;
        }
        .boxed_local()
    }
}

/// The response of a session's object when a run did not begin.
pub fn refusal(error: &SandboxError) -> Result<Response> {
    let (status, why) = match error {
        SandboxError::Busy(why) => (503, why.as_str()),
        SandboxError::Lost(why) => (502, why.as_str()),
        SandboxError::Start(why) => (500, why.as_str()),
        _ => return Response::error(error.to_string(), 502),
    };
    Response::error(why, status)
}

pub fn refused(status: u16, why: String) -> SandboxError {
    match status {
        503 => SandboxError::Busy(why),
        502 => SandboxError::Lost(why),
        _ => SandboxError::Start(why),
    }
}
