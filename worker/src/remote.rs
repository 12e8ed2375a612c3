//! Sessions as the stateless side sees them: Durable Objects, each reached by its id.
//!
//! A legacy session's object has a random id, the `Mcp-Session-Id`; that of a session that was asked for by argument is
//! found by a name made from its handle. Neither lets in anyone but the principal whose session it is.

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

/// Where a session's object takes what is not MCP. Clients cannot get there: only `/mcp` is forwarded to it.
pub mod path {
    /// POST: makes the new object a session that is known by its handle.
    pub const START: &str = "/start";
    /// POST, a [`SessionRecord`](mcp_run_python::transport::SessionRecord): makes it a legacy session.
    pub const BEGIN: &str = "/begin";
    /// POST: 204 if it is such a session, 410 and [`Ended`](mcp_run_python::session::Ended) if it was, else 404.
    pub const OPEN: &str = "/open";
    /// POST: ends such a session. Answered as [`OPEN`].
    pub const END: &str = "/end";
    /// POST: ends a session that nobody used lately, as another needs its place. 409 if it was used.
    pub const YIELD: &str = "/yield";
    /// POST, the id of a run that goes on, and the answer to one of its calls: a line each.
    pub const ANSWER: &str = "/answer";
    /// POST, the id of a run, its packages and itself, see [`decode`](super::decode): its frames.
    pub const RUN: &str = "/run";
    /// POST, the same, for the interpreter that a principal's runs of no session share: an object that is nobody's becomes
    /// his.
    pub const SHARED: &str = "/shared";
}

/// Tells a session's object who asks.
///
/// **Boundary.** Only this Worker reaches an object, and it sets the header on every request: what a client sends under
/// this name gets no further.
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

    /// The object of this id; `None` for what was never given out as one.
    pub fn find(&self, id: &str) -> Option<Stub> {
        self.objects.id_from_string(id).ok()?.get_stub().ok()
    }

    /// The object of this handle; `None` for what has not even the form of one.
    fn find_handle(&self, handle: &str) -> Option<Stub> {
        if !handle::is_handle(handle) {
            return None;
        }
        // Principals' own objects have other names, see `shared`.
        self.objects.id_from_name(&format!("handle {handle}")).ok()?.get_stub().ok()
    }

    /// Has the object of a legacy session answer a client's request, whose body was not touched.
    pub async fn forward(&self, session: Stub, request: Request, principal: &Principal) -> Result<Response> {
        let request = request.clone_mut()?;
        request.headers().set(PRINCIPAL, principal.name())?;
        session.fetch_with_request(request).await
    }

    /// Begins a legacy session, and gives its id.
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

    /// The interpreter that `principal`'s runs of no session share.
    ///
    /// **Boundary.** A principal has an object of its own name, which lets in nobody else; that there are tokens was seen
    /// to by the settings.
    pub fn shared(&self, principal: Principal) -> std::result::Result<Opened, SessionError> {
        let id = self.objects.id_from_name(&format!("of {}", principal.name())).map_err(failed)?;
        let session = Remote { run: path::SHARED, ..Remote::new(id.get_stub().map_err(failed)?, principal) };
        Ok(Opened { sandbox: Rc::new(session), handle: None })
    }

    /// Starts a session that is known by its handle.
    pub async fn start(&self, principal: Principal) -> std::result::Result<Opened, SessionError> {
        let handle = handle::new_handle();
        let id = self.objects.id_from_name(&format!("handle {handle}")).map_err(failed)?;
        self.count(&principal, &id.to_string(), true).await?;
        let session = Remote::new(id.get_stub().map_err(failed)?, principal);
        session.post(path::START, None, None).await.map_err(failed)?;
        Ok(Opened { sandbox: Rc::new(session), handle: Some(handle) })
    }

    /// Opens one that was started before.
    pub async fn open(&self, handle: &str, principal: Principal) -> std::result::Result<Opened, SessionError> {
        let session = self.reach(handle, principal, path::OPEN).await?;
        Ok(Opened { sandbox: Rc::new(session), handle: Some(handle.to_owned()) })
    }

    /// Ends one that was started before.
    pub async fn end(&self, handle: &str, principal: Principal) -> std::result::Result<(), SessionError> {
        self.reach(handle, principal, path::END).await.map(drop)
    }

    /// The session of this handle, whose object was asked at `path`.
    async fn reach(&self, handle: &str, principal: Principal, path: &str) -> std::result::Result<Remote, SessionError> {
        let session = Remote::new(self.find_handle(handle).ok_or(SessionError::Unknown)?, principal);
        let mut response = session.post(path, None, None).await.map_err(failed)?;
        match response.status_code() {
            204 => Ok(session),
            410 => Err(SessionError::Ended(response.json::<Ended>().await.map_err(failed)?)),
            _ => Err(SessionError::Unknown),
        }
    }

    /// Counts a new session. `has_run` if a run is about to come.
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

    /// Its object knows when it was used, and whose it is.
    async fn evict(&self, id: &str) -> std::result::Result<bool, SandboxError> {
        let Some(session) = self.find(id) else { return Ok(false) };
        let session = Remote::new(session, Principal::default());
        Ok(session.post(path::YIELD, None, None).await.map_err(lost)?.status_code() == 204)
    }
}

fn lost(error: worker::Error) -> SandboxError {
    SandboxError::Start(error.to_string())
}

/// The failure of an object.
pub fn failed(error: worker::Error) -> SessionError {
    SessionError::Sandbox(lost(error))
}

/// A run with its id and its packages, for [`path::RUN`]: a line of each, and the run.
fn encode(id: &str, request: &str, packages: &PackageSet) -> std::result::Result<String, SandboxError> {
    let wheels = serde_json::to_string(packages.wheels()).map_err(|error| SandboxError::Start(error.to_string()))?;
    Ok(format!("{id}\n{wheels}\n{request}"))
}

/// What [`path::RUN`] was sent.
pub fn decode(body: &str) -> Result<(&str, PackageSet, String)> {
    let (id, run) = body.split_once('\n').ok_or("a run without its id")?;
    let (wheels, request) = run.split_once('\n').ok_or("a run without its packages")?;
    let wheels: Vec<Wheel> = serde_json::from_str(wheels)?;
    Ok((id, PackageSet::new(wheels), request.to_owned()))
}

/// The interpreter of a session whose object is elsewhere.
#[derive(Clone)]
struct Remote {
    session: Rc<Stub>,
    principal: Principal,
    /// Where its object takes runs.
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
        // **Boundary.** Only the Worker reaches an object; and who does not know a run's id answers none of its calls.
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
        // Whatever is let go of is aborted: also a run that has not begun.
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
            // If the object is gone, the run says so.
            let _ = session.post(path::ANSWER, Some(body), None).await;
        }
        .boxed_local()
    }
}

/// How a session's object answers when a run did not begin.
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
