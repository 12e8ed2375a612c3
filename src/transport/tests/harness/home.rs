//! A home: what `worker/` is on the edge.

use std::{cell::RefCell, collections::HashMap, rc::Rc};

use super::{
    now,
    sandbox::{Seen, TestHost},
    sleep, spawn,
};
use crate::{
    limits::Limits,
    report::ReturnMode,
    server::{Server, ServerOptions},
    transport::{
        Change, Endpoint, LegacySession, Platform, Request, Response, Routed, SessionRecord, TransportOptions,
    },
};

/// A home: the endpoint, its sessions, and their stored records.
pub(in crate::transport::tests) struct Home {
    pub(in crate::transport::tests) seen: Rc<Seen>,
    options: TransportOptions,
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
        let seen = Rc::new(Seen::default());
        Rc::new(Self {
            endpoint: Endpoint::new(Self::server(&seen), options.clone()),
            seen,
            options,
            sessions: RefCell::default(),
            records: RefCell::default(),
        })
    }

    /// A server whose runs are noted in `seen`.
    pub(in crate::transport::tests) fn server(seen: &Rc<Seen>) -> Server {
        let options = ServerOptions { limits: Limits::default(), return_mode: ReturnMode::Xml };
        Server::new(Rc::new(TestHost(seen.clone())), options)
    }

    /// What a real home does with a request.
    pub(in crate::transport::tests) async fn serve(&self, request: Request) -> Response {
        let (method, uri, headers) = (request.method.clone(), request.uri.clone(), request.headers.clone());
        match self.endpoint.route(request).await {
            Routed::Answered(response) => response,
            Routed::Session(id, request) => {
                let known = self.sessions.borrow().contains_key(&id) || self.records.borrow().contains_key(&id);
                if known { self.in_session(&id, request).await } else { Response::session_not_found() }
            }
            Routed::NewSession(body) => {
                let id = format!("s{}", self.sessions.borrow().len());
                self.in_session(&id, Request::new(method, uri, headers, body)).await
            }
        }
    }

    async fn in_session(&self, id: &str, request: Request) -> Response {
        let session = self.sessions.borrow().get(id).cloned();
        let session = session.unwrap_or_else(|| {
            let record = self.records.borrow().get(id).cloned();
            let record = record.map(|record| serde_json::from_str::<SessionRecord>(&record).unwrap());
            Rc::new(LegacySession::new(id.to_owned(), Self::server(&self.seen), self.options.clone(), record))
        });
        self.sessions.borrow_mut().insert(id.to_owned(), session.clone());
        let (response, change) = session.handle(request).await;
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

    pub(in crate::transport::tests) fn session(&self, id: &str) -> Rc<LegacySession> {
        self.sessions.borrow()[id].clone()
    }
}
