//! The sessions of a home: those of the legacy eras, by `Mcp-Session-Id`, and those that were asked for by argument, by
//! their handles. They live in memory, as long as the home.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    rc::Rc,
    time::Duration,
};

use futures::{FutureExt, future::LocalBoxFuture};
use http::StatusCode;
use mcp_run_python::{
    config::Config,
    limits::Quotas,
    quota::Runs,
    sandbox::Sandbox,
    server::Server,
    session::{
        self, Ended, Fresh, Host, Known, Opened, Places, Remembered, SessionChoice, SessionError, SessionInterpreter,
    },
    transport::{Change, Channel, Endpoint, LegacySession, Principal, Request, Response},
};
use uuid::Uuid;

use crate::{PLATFORM, backend::HostBackend, connection::Connection, host::SandboxHost, packages};

/// A session's interpreter.
pub type Interpreter = SessionInterpreter<HostBackend>;

/// All sessions. Clones are of the same.
#[derive(Clone)]
pub struct Sessions(Rc<Inner>);

struct Inner {
    backend: HostBackend,
    places: Places,
    fresh: Rc<dyn Sandbox>,
    config: Config,
    runs: Runs,
    by_id: RefCell<HashMap<String, Rc<Session>>>,
    ended: RefCell<Remembered>,
    /// Counts connections. Requests over HTTP are of none: 0.
    clients: Cell<u32>,
}

struct Session {
    /// `None`: it was asked for by argument.
    legacy: Option<LegacySession>,
    owner: Principal,
    interpreter: Interpreter,
    seen_at: Cell<Duration>,
}

impl Sessions {
    /// None yet; their interpreters will be those of `host`.
    ///
    /// # Errors
    /// The host's lock file is none.
    pub fn new(host: SandboxHost, config: Config) -> Result<Self, String> {
        let wheels = packages::wheels();
        let packages = packages::installer(&host, config.packages.clone(), config.server.limits, wheels.clone())?;
        let places = host.all_places(config.quotas.evictable_after);
        let backend = HostBackend { host, wheels, packages, kept: true };
        let fresh = Fresh::new(HostBackend { kept: false, ..backend.clone() }, places.clone());
        Ok(Self(Rc::new(Inner {
            backend,
            places,
            fresh: Rc::new(fresh),
            config,
            runs: Runs::default(),
            by_id: RefCell::default(),
            ended: RefCell::default(),
            clients: Cell::default(),
        })))
    }

    /// A server whose code runs where `host` says, with packages.
    fn serve(&self, host: Rc<dyn Host>) -> Server {
        let server = Server::new(host, self.0.config.server);
        match &self.0.backend.packages {
            Some(packages) => server.with_packages(packages.clone()),
            None => server,
        }
    }

    fn interpreter(&self, client: u32) -> Interpreter {
        let Inner { backend, places, config, .. } = &*self.0;
        Interpreter::new(backend.clone(), places.clone(), client, config.server.limits.grace, false)
    }

    /// Whether a session can be asked for.
    pub fn are_offered(&self) -> bool {
        self.0.backend.host.keeps_sessions()
    }

    /// Opens where a run of `principal` goes on, and counts the run for as long as that is held.
    ///
    /// # Errors
    /// That of `open`, or too many runs are going on.
    pub fn enter(
        &self,
        principal: &Principal,
        open: impl FnOnce() -> Result<Opened, SessionError>,
    ) -> Result<Opened, SessionError> {
        let slot = self.0.runs.enter(principal, &self.0.config.quotas)?;
        let Opened { sandbox, handle } = open()?;
        Ok(Opened { sandbox: slot.hold(sandbox), handle })
    }

    /// Opens a session that `principal` asks for by argument, on the connection `client`.
    ///
    /// # Errors
    /// It is unknown, it ended, or there are too many.
    pub fn open(&self, choice: SessionChoice, principal: &Principal, client: u32) -> Result<Opened, SessionError> {
        let id = match choice {
            SessionChoice::Handle(handle) => handle,
            SessionChoice::New | SessionChoice::Unnamed => {
                let id = session::new_handle();
                self.add(&id, self.interpreter(client), None, principal)?;
                id
            }
        };
        // **Boundary.** Who has the handle of another's session has nothing.
        let session = self
            .find(&id)
            .filter(|session| session.legacy.is_none() && session.owner == *principal)
            .ok_or_else(|| match self.0.ended.borrow().find(&id, principal) {
                Some(why) => SessionError::Ended(why),
                None => SessionError::Unknown,
            })?;
        Ok(Opened { sandbox: Rc::new(session.interpreter.clone()), handle: Some(id) })
    }

    /// What answers a request over HTTP, and who makes it. Who is not let in is told so by the endpoint.
    pub fn endpoint(&self, request: &Request) -> (Endpoint, Principal) {
        let transport = self.0.config.transport.clone();
        let principal = transport.access.admit(request).unwrap_or_default();
        (Endpoint::new(self.server(None, principal.clone(), 0), transport), principal)
    }

    /// A connection to one client, with an interpreter of its own.
    pub fn connect(&self, send: impl Fn(String) + 'static) -> Connection {
        let client = self.0.clients.get().wrapping_add(1);
        self.0.clients.set(client);
        let (nobody, interpreter) = (Principal::default(), self.interpreter(client));
        let (fresh, server) =
            (self.server(None, nobody.clone(), client), self.server(Some(&interpreter), nobody, client));
        let channel = Channel::new(fresh, server, PLATFORM, send);
        Connection::new(channel, interpreter)
    }

    /// Begins a legacy session of `principal` with its `initialize`.
    pub async fn begin(&self, request: Request, principal: &Principal) -> Response {
        let id = unguessable();
        let interpreter = self.interpreter(0);
        let options = self.0.config.transport.clone();
        let server = self.server(Some(&interpreter), principal.clone(), 0);
        let legacy = LegacySession::new(id.clone(), server, options, None);
        match self.add(&id, interpreter, Some(legacy), principal) {
            Ok(()) => {}
            Err(why) => return Response::too_many(&why, self.0.config.session_idle),
        }
        let response = self.answer(&id, request).await;
        if response.status != StatusCode::OK || !response.headers.contains_key("mcp-session-id") {
            self.end(&id);
        }
        response
    }

    /// Answers a request of a legacy session.
    pub async fn answer(&self, id: &str, request: Request) -> Response {
        let Some(session) = self.find(id) else { return Response::session_not_found() };
        let Some(legacy) = &session.legacy else { return Response::session_not_found() };
        let (response, change) = legacy.handle(request).await;
        if matches!(change, Some(Change::End)) {
            self.end(id);
        }
        response
    }

    /// Ends the sessions that have been idle for too long.
    pub fn end_idle(&self) {
        let limit = self.0.config.session_idle;
        let now = (PLATFORM.now)();
        let idle: Vec<String> = self
            .0
            .by_id
            .borrow()
            .iter()
            .filter(|(_, session)| session.is_idle() && now.saturating_sub(session.used_at()) >= limit)
            .map(|(id, _)| id.clone())
            .collect();
        for id in idle {
            self.end_because(&id, Ended::Idle(limit));
        }
    }

    /// Ends all.
    pub fn end_all(&self) {
        let all: Vec<String> = self.0.by_id.borrow().keys().cloned().collect();
        for id in all {
            self.end(&id);
        }
    }

    /// A server for the client `client` of `principal`, with an interpreter of its `own`, or with one for each run.
    fn server(&self, own: Option<&Interpreter>, principal: Principal, client: u32) -> Server {
        self.serve(Rc::new(HomeHost { own: own.cloned(), sessions: self.clone(), principal, client }))
    }

    fn find(&self, id: &str) -> Option<Rc<Session>> {
        let session = self.0.by_id.borrow().get(id).cloned()?;
        session.seen_at.set((PLATFORM.now)());
        Some(session)
    }

    fn add(
        &self,
        id: &str,
        interpreter: Interpreter,
        legacy: Option<LegacySession>,
        owner: &Principal,
    ) -> Result<(), SessionError> {
        self.end_idle();
        let Quotas { sessions, sessions_each, .. } = self.0.config.quotas;
        self.make_room(sessions_each, "yours", |session| session.owner == *owner)?;
        self.make_room(sessions, "all clients", |_| true)?;
        let (owner, seen_at) = (owner.clone(), (PLATFORM.now)().into());
        self.0.by_id.borrow_mut().insert(id.to_owned(), Rc::new(Session { legacy, owner, interpreter, seen_at }));
        Ok(())
    }

    /// Has there be fewer than `limit` of the sessions that are `counted`: one that nobody needs is ended, if need be.
    fn make_room(
        &self,
        limit: usize,
        whose: &'static str,
        counted: impl Fn(&Session) -> bool,
    ) -> Result<(), SessionError> {
        let counted: Vec<_> = self
            .0
            .by_id
            .borrow()
            .iter()
            .filter(|(_, session)| counted(session))
            .map(|(id, s)| (id.clone(), s.clone()))
            .collect();
        if counted.len() < limit {
            return Ok(());
        }
        let idle =
            counted.into_iter().filter(|(_, session)| session.is_idle()).map(|(id, session)| (id, session.known()));
        let first = session::evictable(idle, (PLATFORM.now)(), self.0.config.quotas.evictable_after).next();
        let first = first.ok_or(SessionError::TooManySessions { limit, whose })?;
        self.end_because(&first, Ended::Evicted);
        Ok(())
    }

    /// Ends a session of which its owner is told why, if he comes again.
    fn end_because(&self, id: &str, why: Ended) {
        let Some(session) = self.end(id) else { return };
        if session.legacy.is_none() {
            self.0.ended.borrow_mut().add(id.to_owned(), session.owner.clone(), why);
        }
    }

    fn end(&self, id: &str) -> Option<Rc<Session>> {
        let session = self.0.by_id.borrow_mut().remove(id)?;
        if let Some(legacy) = &session.legacy {
            legacy.end();
        }
        session.interpreter.end();
        Some(session)
    }
}

impl Session {
    fn is_idle(&self) -> bool {
        self.interpreter.is_idle() && self.legacy.as_ref().is_none_or(LegacySession::is_idle)
    }

    fn used_at(&self) -> Duration {
        self.seen_at.get().max(self.interpreter.used_at())
    }

    fn known(&self) -> Known {
        // Whoever asks for one by argument has a run for it.
        Known { used_at: self.used_at(), has_run: self.legacy.is_none() || self.interpreter.is_used() }
    }
}

/// 244 random bits.
fn unguessable() -> String {
    format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple())
}

/// Serves the calls of one client.
struct HomeHost {
    /// Where those run that name no session, if not in an interpreter each.
    own: Option<Interpreter>,
    sessions: Sessions,
    principal: Principal,
    client: u32,
}

impl Host for HomeHost {
    fn offers_sessions(&self) -> bool {
        self.sessions.are_offered()
    }

    fn open(&self, choice: SessionChoice) -> LocalBoxFuture<'static, Result<Opened, SessionError>> {
        let opened = self.sessions.enter(&self.principal, || match (choice, &self.own) {
            (SessionChoice::Unnamed, Some(own)) if self.sessions.are_offered() => {
                Ok(Opened { sandbox: Rc::new(own.clone()), handle: None })
            }
            (SessionChoice::Unnamed, _) => Ok(Opened { sandbox: self.sessions.0.fresh.clone(), handle: None }),
            (named, _) => self.sessions.open(named, &self.principal, self.client),
        });
        futures::future::ready(opened).boxed_local()
    }
}
