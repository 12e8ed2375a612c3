//! A home whose sessions live in memory, like those of a page and the desk: everything but its interpreters.
//!
//! It has legacy sessions, by `Mcp-Session-Id`, and sessions that were asked for by argument, by their handles. They
//! live as long as the home.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    rc::Rc,
    time::Duration,
};

use futures::{
    FutureExt,
    future::{self, LocalBoxFuture},
};

use crate::{
    auth::Principal,
    backend::Backend,
    handle::new_handle,
    kept::{Keeper, Kept},
    mcp::Server,
    packages::Packages,
    platform::Platform,
    run::{
        calls::Callers,
        sandbox::{Sandbox, SandboxError},
    },
    session::{
        Ended, Fresh, Host, Known, Opened, Own, Places, Remembered, SessionChoice, SessionError, SessionInterpreter,
        Snapshots,
        quota::Runs,
        registry::{Count, Register, admit, evictable},
    },
    settings::Config,
    transport::{
        Change, Channel, Endpoint, Entered, LegacySession, NewSession, Request, Response, Routed, SessionRecord,
    },
};

/// A home. Clones share it.
pub struct Home<B: Backend>(Rc<Inner<B>>);

impl<B: Backend> Clone for Home<B> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

struct Inner<B: Backend> {
    backend: B,
    places: Places,
    snapshots: Snapshots<B::Snapshot>,
    packages: Option<Rc<Packages>>,
    keeps_sessions: bool,
    config: Config,
    fresh: Rc<dyn Sandbox>,
    runs: Runs,
    store: Option<Rc<dyn Kept>>,
    sessions: RefCell<HashMap<String, Rc<Session<B>>>>,
    ended: RefCell<Remembered>,
    /// Counts connections. HTTP requests have no connection: 0.
    clients: Cell<u32>,
}

struct Session<B: Backend> {
    /// `None`: the session was asked for by argument.
    legacy: Option<LegacySession>,
    owner: Principal,
    interpreter: SessionInterpreter<B>,
    seen_at: Cell<Duration>,
}

/// The parts of a home.
pub struct Parts<B: Backend> {
    /// Interpreters for sessions.
    pub kept: B,
    /// Interpreters for one run each.
    pub fresh: B,
    /// How many of both it has room for.
    pub places: Places,
    /// Snapshots that they start from.
    pub snapshots: Snapshots<B::Snapshot>,
    /// Installs packages, if it can.
    pub packages: Option<Rc<Packages>>,
    /// Keeps what is too large for results, if anything does.
    pub store: Option<Rc<dyn Kept>>,
    /// Whether its interpreters take more than one run. If not, there are no sessions.
    pub keeps_sessions: bool,
}

impl<B: Backend + Clone> Home<B> {
    /// A home without sessions.
    pub fn new(parts: Parts<B>, config: Config) -> Self {
        let Parts { kept, fresh, places, snapshots, packages, store, keeps_sessions } = parts;
        Self(Rc::new(Inner {
            backend: kept,
            fresh: Rc::new(Fresh::new(fresh, places.clone(), snapshots.clone())),
            places,
            snapshots,
            packages,
            keeps_sessions,
            store: store.filter(|_| config.kept.each > 0),
            config,
            runs: Runs::default(),
            sessions: RefCell::default(),
            ended: RefCell::default(),
            clients: Cell::default(),
        }))
    }

    /// Opens a connection to one client, with an interpreter of its own. `send` sends a message to the client.
    pub fn connect(&self, send: impl Fn(String) + 'static) -> Connection<B> {
        self.connect_with(None, send)
    }

    /// The same, for a library of the home: `callers` answer what runs in that interpreter ask a person.
    pub fn connect_with(&self, callers: Option<Callers>, send: impl Fn(String) + 'static) -> Connection<B> {
        let client = self.0.clients.get().wrapping_add(1);
        self.0.clients.set(client);
        let (nobody, interpreter) = (Principal::default(), self.interpreter(client));
        let fresh = self.server(None, nobody.clone(), client);
        let own = self.server(Some(&interpreter), nobody, client);
        let own = match callers {
            Some(callers) => own.with_callers(callers),
            None => own,
        };
        Connection { channel: Channel::new(fresh, own, self.platform(), send), interpreter }
    }

    /// Answers a request to the MCP endpoint (streamable HTTP).
    pub async fn handle(&self, request: Request) -> Response {
        let transport = self.0.config.transport.clone();
        let entered = match transport.access.enter(request).await {
            Ok(entered) => entered,
            Err(response) => return response,
        };
        let principal = entered.principal.clone();
        let endpoint = Endpoint::new(self.server(None, principal.clone(), 0), transport);
        match endpoint.route(entered).await {
            Routed::Answered(response) => response,
            Routed::Session(id, request) => self.answer(&id, request).await,
            Routed::NewSession(session) => self.begin(session, principal).await,
        }
    }

    /// Ends the sessions that have been idle for too long.
    pub fn end_idle(&self) {
        let limit = self.0.config.session_idle;
        let now = self.now();
        for (id, session) in self.sessions_where(|session| session.is_idle()) {
            if now.saturating_sub(session.used_at()) >= limit {
                self.end_because(&id, Ended::Idle(limit));
            }
        }
    }

    /// Ends all sessions. Connections are closed by their owners.
    pub fn end_all(&self) {
        for (id, _) in self.sessions_where(|_| true) {
            self.end(&id);
        }
    }

    fn platform(&self) -> Platform {
        self.0.backend.platform()
    }

    fn now(&self) -> Duration {
        (self.platform().now)()
    }

    fn interpreter(&self, client: u32) -> SessionInterpreter<B> {
        let Inner { backend, places, snapshots, config, .. } = &*self.0;
        let grace = config.server.limits.grace;
        SessionInterpreter::new(backend.clone(), places.clone(), snapshots.clone(), client, grace, false)
    }

    /// A server for the connection `client` of `principal`. Runs without a session use `own`, or a fresh interpreter
    /// each.
    fn server(&self, own: Option<&SessionInterpreter<B>>, principal: Principal, client: u32) -> Server {
        let own = own.map(|own| (new_handle(), own.clone()));
        let host = Rc::new(Client { own, home: self.clone(), principal, client });
        let server = Server::new(host, self.0.config.server);
        match &self.0.packages {
            Some(packages) => server.with_packages(packages.clone()),
            None => server,
        }
    }

    /// Keeps a legacy session that was initialized.
    async fn begin(&self, new: NewSession, principal: Principal) -> Response {
        let id = new_handle();
        let interpreter = self.interpreter(0);
        let server = self.server(Some(&interpreter), principal, 0);
        let legacy = LegacySession::new(server, self.0.config.transport.clone(), SessionRecord::clone(&new.record));
        let owner = legacy.owner().clone();
        match self.add(&id, Session { legacy: Some(legacy), owner, interpreter, seen_at: self.now().into() }).await {
            Ok(()) => new.answer(&id),
            Err(why) => Response::too_many(&why, self.0.config.session_idle),
        }
    }

    /// Answers a request of a legacy session.
    async fn answer(&self, id: &str, request: Entered) -> Response {
        let found = self.find(id, &request.principal);
        let Some(session) = found else { return Response::session_not_found() };
        let Some(legacy) = &session.legacy else { return Response::session_not_found() };
        let (response, change) = legacy.handle(request).await;
        if matches!(change, Some(Change::End)) {
            self.end(id);
        }
        response
    }

    /// Opens a session that `principal` asks for by argument, on the connection `client`.
    async fn open(&self, choice: SessionChoice, principal: Principal, client: u32) -> Result<Opened, SessionError> {
        let id = match choice {
            SessionChoice::Handle(handle) => handle,
            SessionChoice::New | SessionChoice::Unnamed => {
                let (id, interpreter) = (new_handle(), self.interpreter(client));
                let owner = principal.clone();
                self.add(&id, Session { legacy: None, owner, interpreter, seen_at: self.now().into() }).await?;
                id
            }
        };
        let session = self.find_own(&id, &principal)?;
        Ok(Opened { sandbox: Rc::new(session.interpreter.clone()), handle: Some(id) })
    }

    /// Returns `principal`'s session with this handle.
    ///
    /// **Boundary.** The handle of another principal's session gives no access.
    fn find_own(&self, handle: &str, principal: &Principal) -> Result<Rc<Session<B>>, SessionError> {
        let session = self.find(handle, principal).filter(|session| session.legacy.is_none());
        session.ok_or_else(|| match self.0.ended.borrow().find(handle, principal) {
            Some(why) => SessionError::Ended(why),
            None => SessionError::Unknown,
        })
    }

    /// Returns the session with this id if it is `principal`'s. Only its owner's requests count as use.
    fn find(&self, id: &str, principal: &Principal) -> Option<Rc<Session<B>>> {
        let session = self.0.sessions.borrow().get(id).filter(|session| session.owner == *principal).cloned()?;
        session.seen_at.set(self.now());
        Some(session)
    }

    async fn add(&self, id: &str, session: Session<B>) -> Result<(), SessionError> {
        self.end_idle();
        admit(self, &session.owner, id, session.known(), &self.0.config.quotas).await?;
        self.0.sessions.borrow_mut().insert(id.to_owned(), Rc::new(session));
        Ok(())
    }

    fn sessions_where(&self, chosen: impl Fn(&Session<B>) -> bool) -> Vec<(String, Rc<Session<B>>)> {
        let sessions = self.0.sessions.borrow();
        sessions
            .iter()
            .filter(|(_, session)| chosen(session))
            .map(|(id, session)| (id.clone(), session.clone()))
            .collect()
    }

    /// Ends a session. One that was asked for by argument is remembered, so that its owner can be told why.
    fn end_because(&self, id: &str, why: Ended) {
        let Some(session) = self.end(id) else { return };
        if session.legacy.is_none() {
            self.0.ended.borrow_mut().add(id.to_owned(), session.owner.clone(), why);
        }
    }

    fn end(&self, id: &str) -> Option<Rc<Session<B>>> {
        let session = self.0.sessions.borrow_mut().remove(id)?;
        if let Some(legacy) = &session.legacy {
            legacy.end();
        }
        session.interpreter.end();
        Some(session)
    }
}

/// There is no separate register: the sessions in the map are counted.
impl<B: Backend + Clone> Register for Home<B> {
    async fn count(&self, _: &str, _: Known, count: &Count<'_>) -> Result<Option<Vec<String>>, SandboxError> {
        let counted = self.sessions_where(|session| count.of.is_none_or(|owner| session.owner == *owner));
        if counted.len() < count.limit {
            return Ok(None);
        }
        let idle = counted.into_iter().filter(|(_, session)| session.is_idle());
        let idle = idle.map(|(id, session)| (id, session.known()));
        Ok(Some(evictable(idle, self.now(), self.0.config.quotas.evictable_after).collect()))
    }

    async fn forget(&self, _: &str, _: &Count<'_>) -> Result<(), SandboxError> {
        Ok(())
    }

    async fn evict(&self, id: &str) -> Result<bool, SandboxError> {
        self.end_because(id, Ended::Evicted);
        Ok(true)
    }
}

impl<B: Backend> Session<B> {
    fn is_idle(&self) -> bool {
        self.interpreter.is_idle() && self.legacy.as_ref().is_none_or(LegacySession::is_idle)
    }

    fn used_at(&self) -> Duration {
        self.seen_at.get().max(self.interpreter.used_at())
    }

    fn known(&self) -> Known {
        // A session by argument is opened for a run.
        Known { used_at: self.used_at(), has_run: self.legacy.is_none() || self.interpreter.is_used() }
    }
}

/// A connection to one client, over a channel of messages. Its interpreter lives as long as the connection.
pub struct Connection<B: Backend> {
    channel: Channel,
    interpreter: SessionInterpreter<B>,
}

impl<B: Backend> Connection<B> {
    /// Takes a message of the client: bytes that should be one JSON text.
    pub fn receive(&self, message: &[u8]) {
        self.channel.receive(message);
    }

    /// Whether nothing is being answered.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.channel.is_idle()
    }

    /// Ends the connection, its runs and its interpreter: nothing more is sent.
    pub fn close(&self) {
        self.channel.close();
        self.interpreter.end();
    }
}

impl<B: Backend> Drop for Connection<B> {
    fn drop(&mut self) {
        self.close();
    }
}

/// Serves the calls of one client.
struct Client<B: Backend> {
    /// Interpreter for calls that name no session, and the handle that names its files. `None`: an interpreter each.
    own: Option<(String, SessionInterpreter<B>)>,
    home: Home<B>,
    principal: Principal,
    client: u32,
}

impl<B: Backend + Clone> Host for Client<B> {
    fn offers_sessions(&self) -> bool {
        self.home.0.keeps_sessions
    }

    fn open(&self, choice: SessionChoice) -> LocalBoxFuture<'static, Result<Opened, SessionError>> {
        let Inner { runs, config, fresh, .. } = &*self.home.0;
        let slot = match runs.enter(&self.principal, &config.quotas) {
            Ok(slot) => slot,
            Err(error) => return future::ready(Err(error)).boxed_local(),
        };
        let unnamed: Rc<dyn Sandbox> = match &self.own {
            Some((_, own)) if self.offers_sessions() => Rc::new(own.clone()),
            _ => fresh.clone(),
        };
        let (home, principal, client) = (self.home.clone(), self.principal.clone(), self.client);
        async move {
            let Opened { sandbox, handle } = match choice {
                SessionChoice::Unnamed => Opened { sandbox: unnamed, handle: None },
                named => home.open(named, principal, client).await?,
            };
            Ok(Opened { sandbox: slot.hold(sandbox), handle })
        }
        .boxed_local()
    }

    fn keeper(&self) -> Option<Keeper> {
        self.home.0.store.clone().map(|store| Keeper::new(store, self.principal.clone(), self.home.platform()))
    }

    fn own(&self) -> Option<Own> {
        let (handle, own) = self.own.as_ref().filter(|_| self.offers_sessions())?;
        Some(Own { handle: handle.clone(), is_started: own.is_alive() })
    }

    fn end(&self, handle: String) -> LocalBoxFuture<'static, Result<(), SessionError>> {
        let found = self.home.find_own(&handle, &self.principal);
        future::ready(found.map(|_| self.home.end_because(&handle, Ended::Asked))).boxed_local()
    }
}
