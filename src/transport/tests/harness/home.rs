//! A home for tests, as `worker/` is on the edge.

use std::{cell::RefCell, collections::HashMap, rc::Rc};

use super::{
    now,
    sandbox::{Seen, TestHost},
    sleep, spawn,
};
use crate::{
    limits::Limits,
    mcp::{Server, ServerOptions},
    packages::{
        PackageOptions, PackageSet, Packages,
        lock::{Lock, tests::LOCK},
        supply::tests::AtHand,
    },
    run::result::ReturnMode,
    transport::{
        Change, Endpoint, Entered, LegacySession, Platform, Request, Response, Routed, SessionRecord, TransportOptions,
    },
};

/// A home: the endpoint, its sessions, and their stored records.
pub(in crate::transport::tests) struct Home {
    pub(in crate::transport::tests) seen: Rc<Seen>,
    options: TransportOptions,
    packages: Option<Rc<Packages>>,
    endpoint: Endpoint,
    sessions: RefCell<HashMap<String, Rc<LegacySession>>>,
    records: RefCell<HashMap<String, String>>,
}

impl Home {
    pub(in crate::transport::tests) fn new() -> Rc<Self> {
        Self::with(|_| {})
    }

    pub(in crate::transport::tests) fn with(configure: impl FnOnce(&mut TransportOptions)) -> Rc<Self> {
        let mut options = TransportOptions::new(Platform { sleep, spawn, now });
        configure(&mut options);
        Self::of(options, None)
    }

    /// A home that has the packages of [`LOCK`], as far as the settings allow.
    pub(in crate::transport::tests) fn with_packages(settings: PackageOptions) -> Rc<Self> {
        let lock = Rc::new(Lock::parse(LOCK).unwrap());
        let packages = Packages::new(lock, settings, PackageSet::default(), Rc::new(AtHand));
        Self::of(TransportOptions::new(Platform { sleep, spawn, now }), Some(Rc::new(packages)))
    }

    fn of(options: TransportOptions, packages: Option<Rc<Packages>>) -> Rc<Self> {
        let seen = Rc::new(Seen::default());
        Rc::new(Self {
            endpoint: Endpoint::new(Self::server(&seen, true, packages.as_ref()), options.clone()),
            seen,
            options,
            packages,
            sessions: RefCell::default(),
            records: RefCell::default(),
        })
    }

    /// A server whose runs are recorded in `seen`, and have an interpreter each if they are `fresh`.
    pub(in crate::transport::tests) fn server(seen: &Rc<Seen>, fresh: bool, packages: Option<&Rc<Packages>>) -> Server {
        let options = ServerOptions { limits: Limits::default(), return_mode: ReturnMode::Xml, has_data: false };
        let server = Server::new(Rc::new(TestHost { seen: seen.clone(), fresh }), options);
        match packages {
            Some(packages) => server.with_packages(packages.clone()),
            None => server,
        }
    }

    /// Serves a request as a real home does.
    pub(in crate::transport::tests) async fn serve(&self, request: Request) -> Response {
        let entered = match self.options.access.enter(request).await {
            Ok(entered) => entered,
            Err(response) => return response,
        };
        match self.endpoint.route(entered).await {
            Routed::Answered(response) => response,
            Routed::Session(id, request) => {
                let known = self.sessions.borrow().contains_key(&id) || self.records.borrow().contains_key(&id);
                if known { self.in_session(&id, request).await } else { Response::session_not_found() }
            }
            Routed::NewSession(session) => {
                let id = format!("s{}", self.records.borrow().len());
                self.records.borrow_mut().insert(id.clone(), serde_json::to_string(&session.record).unwrap());
                session.answer(&id)
            }
        }
    }

    /// The session of this id, which has a record.
    pub(in crate::transport::tests) fn session(&self, id: &str) -> Rc<LegacySession> {
        let mut sessions = self.sessions.borrow_mut();
        let session = sessions.entry(id.to_owned()).or_insert_with(|| {
            let record: SessionRecord = serde_json::from_str(&self.records.borrow()[id]).unwrap();
            let server = Self::server(&self.seen, false, self.packages.as_ref());
            Rc::new(LegacySession::new(server, self.options.clone(), record))
        });
        session.clone()
    }

    async fn in_session(&self, id: &str, request: Entered) -> Response {
        let (response, change) = self.session(id).handle(request).await;
        match change {
            Some(Change::Save(record)) => {
                let record = serde_json::to_string(&record).unwrap();
                self.records.borrow_mut().insert(id.to_owned(), record);
            }
            Some(Change::End) => {
                self.records.borrow_mut().remove(id);
            }
            None => {}
        }
        response
    }

    /// Forgets everything but the stored records.
    pub(in crate::transport::tests) fn restart(&self) {
        self.sessions.take();
    }
}
