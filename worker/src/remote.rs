//! Sessions as the stateless side sees them: Durable Objects, each reached by its id.
//!
//! An id is the `Mcp-Session-Id` of a legacy session, or the handle of one that was asked for by argument.
//! It is 32 random bytes, and nothing else lets anyone in.

use std::{rc::Rc, time::Duration};

use futures::{FutureExt, future::LocalBoxFuture};
use mcp_run_python::{
    packages::{PackageSet, Wheel},
    sandbox::{Frames, Sandbox, SandboxError},
    session::{Opened, SessionError},
};
use worker::{Env, Method, ObjectNamespace, Request, RequestInit, Response, Result, Stub};

use crate::{config::PLATFORM, isolate};

/// Where a session's object takes what is not MCP. Clients cannot get there: only `/mcp` is forwarded to it.
pub mod path {
    /// POST: makes the new object a session that is known by its handle.
    pub const START: &str = "/start";
    /// POST: 204 if it is such a session and did not end, else 404.
    pub const OPEN: &str = "/open";
    /// POST, packages and a run, see [`decode`](super::decode): its frames.
    pub const RUN: &str = "/run";
}

/// The binding `SESSIONS`.
#[derive(Clone)]
pub struct Sessions(Rc<ObjectNamespace>);

impl Sessions {
    /// Takes the binding out of the Worker's environment.
    pub fn new(env: &Env) -> Result<Self> {
        Ok(Self(Rc::new(env.durable_object("SESSIONS")?)))
    }

    /// The object of this id; `None` for what was never given out as one.
    pub fn find(&self, id: &str) -> Option<Stub> {
        self.0.id_from_string(id).ok()?.get_stub().ok()
    }

    /// A new object.
    pub fn create(&self) -> Result<Stub> {
        self.0.unique_id()?.get_stub()
    }

    /// Starts a session that is known by its handle.
    pub async fn start(&self) -> std::result::Result<Opened, SessionError> {
        let start = async {
            let id = self.0.unique_id()?;
            let session = Remote::new(id.get_stub()?);
            session.post(path::START, None).await?;
            Ok::<_, worker::Error>(Opened { sandbox: Rc::new(session), handle: Some(id.to_string()) })
        };
        start.await.map_err(failed)
    }

    /// Opens one that was started before.
    pub async fn open(&self, handle: &str) -> std::result::Result<Opened, SessionError> {
        let session = Remote::new(self.find(handle).ok_or(SessionError::Unknown)?);
        match session.post(path::OPEN, None).await.map_err(failed)?.status_code() {
            204 => Ok(Opened { sandbox: Rc::new(session), handle: Some(handle.to_owned()) }),
            _ => Err(SessionError::Unknown),
        }
    }
}

fn failed(error: worker::Error) -> SessionError {
    SessionError::Sandbox(SandboxError::Start(error.to_string()))
}

/// A run with its packages, for [`path::RUN`]: a line of JSON, and the run.
fn encode(request: &str, packages: &PackageSet) -> std::result::Result<String, SandboxError> {
    let wheels = serde_json::to_string(packages.wheels()).map_err(|error| SandboxError::Start(error.to_string()))?;
    Ok(format!("{wheels}\n{request}"))
}

/// What [`path::RUN`] was sent.
pub fn decode(body: String) -> Result<(PackageSet, String)> {
    let (wheels, request) = body.split_once('\n').ok_or("a run without its packages")?;
    let wheels: Vec<Wheel> = serde_json::from_str(wheels)?;
    Ok((PackageSet::new(wheels), request.to_owned()))
}

/// The interpreter of a session whose object is elsewhere.
struct Remote(Rc<Stub>);

impl Remote {
    fn new(session: Stub) -> Self {
        Self(Rc::new(session))
    }

    async fn post(&self, path: &str, body: Option<String>) -> Result<Response> {
        let mut init = RequestInit::new();
        init.with_method(Method::Post).with_body(body.map(Into::into));
        self.0.fetch_with_request(Request::new_with_init(&format!("http://session{path}"), &init)?).await
    }
}

impl Sandbox for Remote {
    fn start(
        &self,
        request: String,
        packages: PackageSet,
    ) -> LocalBoxFuture<'static, std::result::Result<Frames, SandboxError>> {
        let session = Self(self.0.clone());
        async move {
            let response = session.post(path::RUN, Some(encode(&request, &packages)?)).await;
            let response = response.map_err(|error| SandboxError::Start(error.to_string()))?;
            match response.status_code() {
                200 => isolate::body(response, ()).map_err(|error| SandboxError::Start(error.to_string())),
                404 => Err(SandboxError::Lost("its session has ended".into())),
                _ => Err(SandboxError::Start("its session could not start it".into())),
            }
        }
        .boxed_local()
    }

    fn sleep(&self, duration: Duration) -> LocalBoxFuture<'static, ()> {
        (PLATFORM.sleep)(duration)
    }
}
