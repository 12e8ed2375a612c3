//! A session: one Durable Object, with one interpreter.
//!
//! A legacy session gets the client's own requests, and answers them as the protocol says. One that was asked
//! for by argument gets runs, from whoever has its handle. An object is of one kind for good, and of neither
//! before it was started and after it ended: then there is no such session.

use std::{cell::Cell, rc::Rc, time::Duration};

use futures::{FutureExt, StreamExt, future::LocalBoxFuture, lock::Mutex};
use mcp_run_python::{
    sandbox::Sandbox,
    server::Server,
    session::{Host, Opened, SessionChoice, SessionError},
    transport::{Change, LegacySession, SessionRecord},
};
use worker::{Date, DurableObject, Env, Error, Request, Response, ResponseBuilder, Result, State, durable_object};

use crate::{
    config, http,
    interpreter::{Interpreter, KEEP_ALIVE},
    packages,
    remote::{self, Sessions, path},
};

/// What is stored of a session, by key.
mod key {
    /// JSON of a legacy session's [`SessionRecord`](mcp_run_python::transport::SessionRecord).
    pub const RECORD: &str = "record";
    /// Set for a session that is known by its handle.
    pub const HANDLE: &str = "handle";
    /// When it was last used, as far as the last wake-up knew; milliseconds since 1970.
    pub const SEEN: &str = "seen";
}

/// The Durable Object class of sessions.
#[durable_object]
pub struct Session {
    state: State,
    env: Env,
    live: Mutex<Option<Rc<Live>>>,
}

/// What an object keeps while it is in memory.
struct Live {
    legacy: LegacySession,
    handle: Cell<bool>,
    interpreter: Interpreter,
    idle_limit: Duration,
    seen: Cell<u64>,
}

impl DurableObject for Session {
    fn new(state: State, env: Env) -> Self {
        Self { state, env, live: Mutex::default() }
    }

    async fn fetch(&self, mut request: Request) -> Result<Response> {
        let live = self.live().await?;
        live.seen.set(Date::now().as_millis());
        match request.path().as_str() {
            path::START => {
                live.handle.set(true);
                self.state.storage().put(key::HANDLE, true).await?;
                self.sleep(&live).await?;
                status(204)
            }
            path::OPEN if live.handle.get() => status(204),
            path::RUN if live.handle.get() => {
                let (packages, run) = remote::decode(request.text().await?)?;
                let frames =
                    live.interpreter.start(run, packages).await.map_err(|error| Error::RustError(error.to_string()))?;
                ResponseBuilder::new()
                    .from_stream(frames.map(|chunk| chunk.map_err(|error| Error::RustError(error.to_string()))))
            }
            path::OPEN | path::RUN => status(404),
            _ => self.mcp(&live, request).await,
        }
    }

    async fn alarm(&self) -> Result<Response> {
        let live = self.live().await?;
        let busy = !live.legacy.is_idle() || !live.interpreter.is_idle();
        if busy {
            live.seen.set(Date::now().as_millis());
        }
        if live.idle_for() >= live.idle_limit {
            live.legacy.end();
            self.end(&live).await?;
        } else {
            self.sleep(&live).await?;
        }
        status(204)
    }
}

impl Session {
    async fn live(&self) -> Result<Rc<Live>> {
        let mut live = self.live.lock().await;
        if let Some(live) = &*live {
            return Ok(live.clone());
        }
        let storage = self.state.storage();
        let config = config::read(&self.env).map_err(Error::RustError)?;
        let interpreter = Interpreter::new(&self.state, self.env.clone(), config.server.limits.grace).await?;
        let record = match storage.get::<String>(key::RECORD).await? {
            // Through a `Value`, as all JSON is read here: numbers keep their digits.
            Some(record) => Some(serde_json::from_value(serde_json::from_str(&record)?)?),
            None => None::<SessionRecord>,
        };
        let host = SessionHost { interpreter: interpreter.clone(), sessions: Sessions::new(&self.env)? };
        let server = Server::new(Rc::new(host), config.server).with_packages(packages::packages(config.packages)?);
        let loaded = Rc::new(Live {
            legacy: LegacySession::new(self.state.id().to_string(), server, config.transport, record),
            handle: Cell::new(storage.get(key::HANDLE).await?.unwrap_or(false)),
            interpreter,
            idle_limit: config.session_idle,
            seen: Cell::new(match storage.get::<f64>(key::SEEN).await? {
                Some(seen) => seen as u64,
                None => Date::now().as_millis(),
            }),
        });
        Ok(live.insert(loaded).clone())
    }

    async fn mcp(&self, live: &Live, request: Request) -> Result<Response> {
        let (response, change) = live.legacy.handle(http::request(&request)?).await;
        match change {
            // Whatever is written here is on disk before the response leaves the object.
            Some(Change::Save(record)) => {
                self.state.storage().put(key::RECORD, serde_json::to_string(&record)?).await?;
                self.sleep(live).await?;
            }
            Some(Change::End) => self.end(live).await?,
            None => {}
        }
        http::response(response)
    }

    /// Sets the next wake-up: to look whether the session is idle, and to keep an interpreter in memory.
    async fn sleep(&self, live: &Live) -> Result<()> {
        let storage = self.state.storage();
        storage.put(key::SEEN, live.used_at() as f64).await?;
        let left = live.idle_limit.saturating_sub(live.idle_for());
        storage.set_alarm(if live.interpreter.is_alive() { left.min(KEEP_ALIVE) } else { left }).await
    }

    async fn end(&self, live: &Live) -> Result<()> {
        live.handle.set(false);
        live.interpreter.end()?;
        let storage = self.state.storage();
        storage.delete_alarm().await?;
        storage.delete_all().await
    }
}

impl Live {
    fn used_at(&self) -> u64 {
        self.seen.get().max(self.interpreter.used_at())
    }

    fn idle_for(&self) -> Duration {
        Duration::from_millis(Date::now().as_millis().saturating_sub(self.used_at()))
    }
}

fn status(status: u16) -> Result<Response> {
    Ok(ResponseBuilder::new().with_status(status).empty())
}

/// Serves the calls of a legacy session: in its own interpreter, unless they name another session.
struct SessionHost {
    interpreter: Interpreter,
    sessions: Sessions,
}

impl Host for SessionHost {
    fn offers_sessions(&self) -> bool {
        true
    }

    fn open(&self, choice: SessionChoice) -> LocalBoxFuture<'static, std::result::Result<Opened, SessionError>> {
        let sessions = self.sessions.clone();
        match choice {
            SessionChoice::Unnamed => {
                let opened = Opened { sandbox: Rc::new(self.interpreter.clone()), handle: None };
                futures::future::ready(Ok(opened)).boxed_local()
            }
            SessionChoice::New => async move { sessions.start().await }.boxed_local(),
            SessionChoice::Handle(handle) => async move { sessions.open(&handle).await }.boxed_local(),
        }
    }
}
