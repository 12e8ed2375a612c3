//! Sessions: each is a Durable Object with one interpreter.
//!
//! A legacy session gets the client's own requests, and answers them as the protocol says. A session that was asked for
//! by argument gets runs, sent by its handle. An object never changes its kind. Before its start and after its end it
//! has none: then there is no such session. With ISOLATION=principal, each principal has one more object, for its runs
//! without a session.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    rc::Rc,
    time::Duration,
};

use futures::{StreamExt, lock::Mutex};
use mcp_run_python::{
    auth::Principal,
    handle,
    mcp::Server,
    run::sandbox::{Run, RunEvent, Sandbox},
    session::{Ended, Known, Places, SessionInterpreter},
    settings::Config,
    transport::{Change, Entered, LegacySession, Response as CoreResponse, SessionRecord},
};
use worker::{Date, DurableObject, Env, Error, Request, Response, ResponseBuilder, Result, State, durable_object};

use crate::{
    config::{self, PLATFORM},
    host::EdgeHost,
    http,
    isolate::{Facet, KEEP_ALIVE},
    kept::KeptElsewhere,
    packages,
    quota::SessionQuotas,
    remote::{self, PRINCIPAL, Sessions, path},
    taken::{self, Taken},
};

/// Keys of a session's storage.
mod key {
    /// JSON of a legacy session's [`SessionRecord`](mcp_run_python::transport::SessionRecord).
    pub const RECORD: &str = "record";
    /// The owner's name, of a session with a handle.
    pub const HANDLE: &str = "handle";
    /// Whether it is the interpreter that a principal's runs without a session share: no session, and counted as none.
    pub const SHARED: &str = "shared";
    /// JSON of who owned the session with a handle, and why it ended.
    pub const ENDED: &str = "ended";
    /// When it was last used, as of the last wake-up; milliseconds since 1970.
    pub const SEEN: &str = "seen";
}

/// How long the reason for a session's end is remembered.
const REMEMBERED: Duration = Duration::from_secs(24 * 60 * 60);

/// The Durable Object class of sessions.
#[durable_object]
pub struct Session {
    state: State,
    env: Env,
    live: Mutex<Option<Rc<Live>>>,
}

/// State of an object while it is in memory.
struct Live {
    /// The protocol's side of it, if it is a legacy session.
    legacy: RefCell<Option<Rc<LegacySession>>>,
    /// The owner, if it is a session with a handle.
    handle: RefCell<Option<Principal>>,
    /// Whether it is no session, but the interpreter that runs without a session share.
    shared: Cell<bool>,
    interpreter: SessionInterpreter<Facet>,
    /// The runs whose frames are being taken, by the ids that the stateless side gave them.
    runs: RefCell<HashMap<String, Taken<Run>>>,
    quotas: SessionQuotas,
    /// Who owned the session with a handle, and why it ended.
    ended: RefCell<Option<(Principal, Ended)>>,
    idle_limit: Duration,
    evictable_after: Duration,
    /// Whether the [`Quota`](crate::quota::Quota) objects know that it has run something.
    run_told: Cell<bool>,
    seen: Cell<u64>,
    /// When it stops to count as an open session; milliseconds since 1970.
    counted_until: Cell<u64>,
}

impl DurableObject for Session {
    fn new(state: State, env: Env) -> Self {
        Self { state, env, live: Mutex::default() }
    }

    async fn fetch(&self, mut request: Request) -> Result<Response> {
        let live = self.live().await?;
        let path = request.path();
        if path == path::YIELD {
            return self.make_room(&live).await;
        }
        // **Boundary.** The stateless side authenticated the principal, and nothing else reaches this object.
        let principal = Principal::named(&request.headers().get(PRINCIPAL)?.unwrap_or_default());
        // Only its owner keeps a session from being idle. One that begins has no owner yet.
        if live.owned_by().is_none_or(|owner| owner == principal) {
            live.seen.set(Date::now().as_millis());
        }
        if path == path::BEGIN {
            return self.begin(&live, &request.text().await?).await;
        }
        if ![path::START, path::OPEN, path::END, path::RUN, path::ANSWER, path::SHARED].contains(&path.as_str()) {
            return self.mcp(&live, request, principal).await;
        }
        let shared = path == path::SHARED;
        if path == path::START || (shared && live.handle.borrow().is_none()) {
            self.state.storage().put(key::HANDLE, principal.name()).await?;
            if shared {
                self.state.storage().put(key::SHARED, true).await?;
                live.shared.set(true);
            }
            live.handle.replace(Some(principal.clone()));
            self.sleep(&live).await?;
        }
        if path == path::START {
            return status(204);
        }
        if let Some((owner, why)) = &*live.ended.borrow()
            && *owner == principal
        {
            return Ok(Response::from_json(why)?.with_status(410));
        }
        // **Boundary.** The handle of another principal's session gives no access.
        if live.handle.borrow().as_ref() != Some(&principal) {
            return status(404);
        }
        if path == path::OPEN {
            return status(204);
        }
        if path == path::END {
            self.end_because(&live, Ended::Asked).await?;
            return status(204);
        }
        let body = request.text().await?;
        if path == path::ANSWER {
            let (id, answer) = body.split_once('\n').ok_or("an answer without its run")?;
            let answering = live.runs.borrow().get(id).and_then(|run| run.answer(|run| run.answer(answer)));
            if let Some(answering) = answering {
                answering.await;
            }
            return status(204);
        }
        let (id, packages, run) = remote::decode(&body)?;
        if shared {
            live.interpreter.restart_quietly();
        }
        let mut run = live.interpreter.run(run, packages);
        match run.next().await {
            Some(Ok(RunEvent::Began)) => {}
            Some(Err(error)) => return remote::refusal(&error),
            _ => return status(500),
        }
        let (taken, response) = taken::response(run)?;
        let mut runs = live.runs.borrow_mut();
        runs.retain(|_, run| !run.is_over());
        runs.insert(id.to_owned(), taken);
        Ok(response)
    }

    async fn alarm(&self) -> Result<Response> {
        let live = self.live().await?;
        if live.ended.take().is_some() {
            self.state.storage().delete_all().await?;
            return status(204);
        }
        if live.is_busy() {
            live.seen.set(Date::now().as_millis());
        }
        if live.idle_for() >= live.idle_limit {
            self.end_because(&live, Ended::Idle(live.idle_limit)).await?;
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
        let facet = Facet::new(&self.state, self.env.clone()).await?;
        let used = facet.was_used();
        let interpreter = {
            let (places, snapshots) = (Places::default(), packages::snapshots(&config.packages));
            SessionInterpreter::new(facet, places, snapshots, 0, config.server.limits.grace, used)
        };
        let legacy = match storage.get::<String>(key::RECORD).await? {
            Some(record) => Some(self.legacy(&config, &interpreter, &record)?),
            None => None,
        };
        let handle: Option<String> = storage.get(key::HANDLE).await?;
        let ended = match storage.get::<String>(key::ENDED).await? {
            Some(ended) => Some(serde_json::from_str(&ended)?),
            None => None::<(String, Ended)>,
        };
        let loaded = Rc::new(Live {
            legacy: RefCell::new(legacy),
            handle: RefCell::new(handle.as_deref().map(Principal::named)),
            shared: Cell::new(storage.get::<bool>(key::SHARED).await?.unwrap_or_default()),
            interpreter,
            runs: RefCell::default(),
            quotas: SessionQuotas::new(&self.env, config.quotas)?,
            counted_until: Cell::default(),
            ended: RefCell::new(ended.map(|(owner, why)| (Principal::named(&owner), why))),
            idle_limit: config.session_idle,
            evictable_after: config.quotas.evictable_after,
            run_told: Cell::default(),
            seen: Cell::new(match storage.get::<f64>(key::SEEN).await? {
                Some(seen) => seen as u64,
                None => Date::now().as_millis(),
            }),
        });
        Ok(live.insert(loaded).clone())
    }

    /// The protocol's side of a legacy session, made from its record.
    fn legacy(
        &self,
        config: &Config,
        interpreter: &SessionInterpreter<Facet>,
        record: &str,
    ) -> Result<Rc<LegacySession>> {
        // Through a `Value`, as for all JSON here, so that numbers keep their digits.
        let record: SessionRecord = serde_json::from_value(serde_json::from_str(record)?)?;
        let host = Rc::new(EdgeHost {
            unnamed: Some(Rc::new(interpreter.clone())),
            own: Some((handle::new_handle(), interpreter.clone())),
            sessions: Sessions::new(&self.env, config.quotas)?,
            kept: KeptElsewhere::new(&self.env, config.kept)?,
            principal: record.owner(),
            quotas: config.quotas,
        });
        // An object's tasks go on after its response.
        let later = Rc::new(PLATFORM.spawn);
        let packages = packages::compiling(config.packages.clone(), config.server.limits, &self.env, later)?;
        let server = Server::new(host, config.server).with_packages(packages);
        Ok(Rc::new(LegacySession::new(server, config.transport.clone(), record)))
    }

    /// Makes a new object a legacy session.
    async fn begin(&self, live: &Live, record: &str) -> Result<Response> {
        let config = config::read(&self.env).map_err(Error::RustError)?;
        live.legacy.replace(Some(self.legacy(&config, &live.interpreter, record)?));
        // The platform writes this to disk before the response leaves the object.
        self.state.storage().put(key::RECORD, record).await?;
        self.sleep(live).await?;
        status(204)
    }

    async fn mcp(&self, live: &Live, request: Request, principal: Principal) -> Result<Response> {
        let legacy = live.legacy.borrow().clone();
        let Some(legacy) = legacy else { return http::response(CoreResponse::session_not_found()) };
        let (response, change) = legacy.handle(Entered { request: http::request(&request)?, principal }).await;
        match change {
            Some(Change::Save(record)) => {
                self.state.storage().put(key::RECORD, serde_json::to_string(&record)?).await?;
                self.sleep(live).await?;
            }
            Some(Change::End) => self.end(live).await?,
            None if live.interpreter.is_used() && !live.run_told.replace(true) => self.keep(live).await?,
            None => {}
        }
        http::response(response)
    }

    /// Ends the session, if it is allowed to, as another needs its place.
    async fn make_room(&self, live: &Live) -> Result<Response> {
        let now = Duration::from_millis(Date::now().as_millis());
        if live.is_busy() || !live.known().may_go(now, live.evictable_after) {
            self.keep(live).await?;
            return status(409);
        }
        self.end_because(live, Ended::Evicted).await?;
        status(204)
    }

    /// Sets the next wake-up, which checks whether the session is idle, and keeps an interpreter in memory.
    async fn sleep(&self, live: &Live) -> Result<()> {
        let storage = self.state.storage();
        storage.put(key::SEEN, live.used_at() as f64).await?;
        let left = live.idle_limit.saturating_sub(live.idle_for());
        let now = Date::now().as_millis();
        if !live.shared.get() && live.counted_until.get() < now + left.as_millis() as u64 {
            self.keep(live).await?;
        }
        storage.set_alarm(if live.interpreter.is_alive() { left.min(KEEP_ALIVE) } else { left }).await
    }

    /// Tells the quotas that the session goes on.
    async fn keep(&self, live: &Live) -> Result<()> {
        let time = 2 * live.idle_limit;
        live.quotas.keep(&live.owner(), &self.state.id().to_string(), live.known(), time).await?;
        live.counted_until.set(Date::now().as_millis() + time.as_millis() as u64);
        Ok(())
    }

    /// Ends the session. If it has a handle, the reason is stored for its owner.
    async fn end_because(&self, live: &Live, why: Ended) -> Result<()> {
        if let Some(legacy) = &*live.legacy.borrow() {
            legacy.end();
        }
        let owner = live.handle.borrow().clone().filter(|_| !live.shared.get());
        self.end(live).await?;
        if let Some(owner) = owner {
            let storage = self.state.storage();
            storage.put(key::ENDED, serde_json::to_string(&(owner.name(), why))?).await?;
            storage.set_alarm(REMEMBERED).await?;
            live.ended.replace(Some((owner, why)));
        }
        Ok(())
    }

    async fn end(&self, live: &Live) -> Result<()> {
        if !live.shared.take() {
            let id = self.state.id().to_string();
            live.quotas.end(Some(&live.owner()), &id).await?;
            live.quotas.end(None, &id).await?;
        }
        live.handle.take();
        live.legacy.take();
        live.interpreter.end();
        live.interpreter.backend().delete()?;
        let storage = self.state.storage();
        storage.delete_alarm().await?;
        storage.delete_all().await
    }
}

impl Live {
    fn owner(&self) -> Principal {
        self.owned_by().unwrap_or_default()
    }

    fn owned_by(&self) -> Option<Principal> {
        let of_legacy = || self.legacy.borrow().as_ref().map(|legacy| legacy.owner().clone());
        self.handle.borrow().clone().or_else(of_legacy)
    }

    fn used_at(&self) -> u64 {
        self.seen.get().max(self.interpreter.used_at().as_millis() as u64)
    }

    fn is_busy(&self) -> bool {
        self.legacy.borrow().as_ref().is_some_and(|legacy| !legacy.is_idle()) || !self.interpreter.is_idle()
    }

    fn known(&self) -> Known {
        let used_at = Duration::from_millis(self.used_at());
        // A session with a handle was started for a run.
        Known { used_at, has_run: self.handle.borrow().is_some() || self.interpreter.is_used() }
    }

    fn idle_for(&self) -> Duration {
        Duration::from_millis(Date::now().as_millis().saturating_sub(self.used_at()))
    }
}

fn status(status: u16) -> Result<Response> {
    Ok(ResponseBuilder::new().with_status(status).empty())
}
