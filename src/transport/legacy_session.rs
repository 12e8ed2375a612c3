//! A session of the legacy eras (2025-11-25, Transports, Session Management).
//!
//! Its owner keeps one object per `Mcp-Session-Id`, and stores its [`SessionRecord`]: that is all that
//! has to survive a restart.

use std::{cell::RefCell, time::Duration};

use futures::channel::mpsc;
use http::{Method, StatusCode, header};
use rmcp::{
    ErrorData,
    model::{InitializeRequestParams, LoggingLevel, ServerJsonRpcMessage},
    transport::common::http_header::HEADER_SESSION_ID,
};
use serde::{Deserialize, Serialize};

use super::{
    TransportOptions,
    access::{preflight, with_cors},
    door::Principal,
    headers::{check_get, check_post, legacy_version},
    http::{Request, Response},
    legacy::{InFlight, Initialized, Serving, initialize, is_initialize, send_initialized},
    message::{Message, Payload, Rejection, decode},
    modern, route,
};
use crate::server::Server;

/// Most GET streams of one session. Nothing is ever sent on them; a client needs one.
const MAX_STREAMS: usize = 8;

/// Keep-alive period of GET streams: no run waits to be ended by it, so it has to please proxies only.
const STREAM_KEEP_ALIVE: Duration = Duration::from_secs(25);

/// What has to survive a restart of a session's owner.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SessionRecord {
    /// What the client told, with the version that was agreed on.
    client: InitializeRequestParams,
    /// What `logging/setLevel` set.
    level: LoggingLevel,
    /// The name of whose session it is.
    #[serde(default)]
    owner: String,
}

/// What the owner has to store before it sends the response.
#[derive(Debug)]
pub enum Change {
    /// The record is new, or changed.
    Save(Box<SessionRecord>),
    /// The session ended: forget it, and its interpreter.
    End,
}

/// A legacy session.
pub struct LegacySession {
    id: String,
    server: Server,
    options: TransportOptions,
    owner: RefCell<Principal>,
    client: RefCell<Option<InitializeRequestParams>>,
    in_flight: InFlight,
    streams: RefCell<Vec<mpsc::UnboundedSender<ServerJsonRpcMessage>>>,
}

impl LegacySession {
    /// The session `id`: one to be initialized, or one restored from its record. `server` runs code in this
    /// session's own interpreter.
    #[must_use]
    pub fn new(id: String, server: Server, options: TransportOptions, record: Option<SessionRecord>) -> Self {
        if let Some(record) = &record {
            server.restore_level(record.level);
        }
        Self {
            id,
            server,
            options,
            owner: RefCell::new(record.as_ref().map(|record| Principal::named(&record.owner)).unwrap_or_default()),
            client: RefCell::new(record.map(|record| record.client)),
            in_flight: InFlight::default(),
            streams: RefCell::default(),
        }
    }

    /// Whose session it is, once it is initialized.
    #[must_use]
    pub fn owner(&self) -> Principal {
        self.owner.borrow().clone()
    }

    /// Whether nothing is running and no GET stream is open: an idle session may be ended.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.in_flight.is_empty() && self.streams.borrow().iter().all(mpsc::UnboundedSender::is_closed)
    }

    /// Ends the session: its runs and its streams end, and whatever comes is answered by 404.
    pub fn end(&self) {
        self.client.take();
        self.in_flight.cancel_all();
        self.streams.take();
    }

    /// Answers one request of the session.
    pub async fn handle(&self, request: Request) -> (Response, Option<Change>) {
        if let Err(response) = self.options.access.check(&request) {
            return (response, None);
        }
        let origin = request.headers.get(header::ORIGIN).cloned();
        let (response, change) = self.method(request).await;
        (with_cors(response, origin), change)
    }

    async fn method(&self, request: Request) -> (Response, Option<Change>) {
        if let Some(response) = preflight(&request) {
            return (response, None);
        }
        let principal = match self.options.access.admit(&request) {
            Ok(principal) => principal,
            Err(response) => return (response, None),
        };
        // **Boundary.** Who has the id of another's session has nothing.
        if self.client.borrow().is_some() && *self.owner.borrow() != principal {
            return (Response::session_not_found(), None);
        }
        match request.method {
            Method::POST => self.post(request, principal).await.unwrap_or_else(|response| (response, None)),
            Method::GET => (self.get(&request).unwrap_or_else(|response| response), None),
            Method::DELETE => match self.live(&request) {
                Ok(_) => {
                    self.end();
                    (Response::empty(StatusCode::OK), Some(Change::End))
                }
                Err(response) => (response, None),
            },
            _ => (Response::method_not_allowed("GET, POST, DELETE, OPTIONS"), None),
        }
    }

    /// The client, if the session was initialized and did not end, and if the version header is right.
    fn live(&self, request: &Request) -> Result<InitializeRequestParams, Response> {
        let client = self.client.borrow().clone().ok_or_else(Response::session_not_found)?;
        legacy_version(&request.headers)?;
        Ok(client)
    }

    async fn post(&self, mut request: Request, principal: Principal) -> Result<(Response, Option<Change>), Response> {
        let accept = check_post(&request.headers)?;
        let body = request.read_body(self.options.platform).await?;
        let payload = decode(&body).map_err(|rejection| match self.client.borrow().is_some() {
            true => malformed(rejection),
            false => Response::session_not_found(),
        })?;
        drop(body);
        if route::is_modern(&request.headers, &payload)
            && let Payload::One(message) = payload
        {
            // It has the id of a session, and so not the headers of its era: this says which.
            let response =
                modern::serve(&self.server, &self.options, &request.headers, accept, message, request.closed);
            return Ok((response.await, None));
        }
        // With an id it is for a session that was: that one is not begun again.
        if is_initialize(&payload)
            && (self.client.borrow().is_some() || !request.headers.contains_key(HEADER_SESSION_ID))
            && let Payload::One(Message::Request(initialization)) = payload
        {
            return Ok(self.initialize(accept, initialization, principal).await);
        }
        let client = self.live(&request)?;
        let level = self.server.level();
        let serving = Serving { server: &self.server, client, in_flight: self.in_flight.clone() };
        let response = serving.post(&self.options, accept, payload, request.closed).await;
        let change = (self.server.level() != level).then(|| self.record().map(Change::Save)).flatten();
        Ok((response, change))
    }

    async fn initialize(
        &self,
        accept: super::headers::Accept,
        request: super::message::Request,
        principal: Principal,
    ) -> (Response, Option<Change>) {
        let id = request.id.clone();
        let initialized =
            if self.client.borrow().is_some() { None } else { Some(initialize(&self.server, request).await) };
        // Looked at once more: another `initialize` may have come first.
        let Some(Initialized { response, client }) = initialized.filter(|_| self.client.borrow().is_none()) else {
            let error = ErrorData::invalid_request("Invalid Request: already initialized", None);
            return (Response::error(StatusCode::BAD_REQUEST, Some(id), error), None);
        };
        self.client.replace(client);
        self.owner.replace(principal);
        let change = self.record().map(Change::Save);
        let mut response = send_initialized(response, accept, &self.options).await;
        if change.is_some()
            && let (Ok(name), Ok(value)) =
                (http::HeaderName::from_bytes(HEADER_SESSION_ID.as_bytes()), http::HeaderValue::from_str(&self.id))
        {
            response.headers.insert(name, value);
        }
        (response, change)
    }

    /// The server's own stream. This server has nothing to say on it; it is kept open for clients that
    /// insist on one.
    fn get(&self, request: &Request) -> Result<Response, Response> {
        self.live(request)?;
        check_get(&request.headers)?;
        let mut streams = self.streams.borrow_mut();
        streams.retain(|stream| !stream.is_closed());
        if streams.len() >= MAX_STREAMS {
            return Err(Response::refusal(
                StatusCode::CONFLICT,
                format!("Conflict: at most {MAX_STREAMS} streams per session"),
            ));
        }
        let (sender, messages) = mpsc::unbounded();
        streams.push(sender);
        Ok(super::reply::events(messages, self.options.platform, STREAM_KEEP_ALIVE))
    }

    fn record(&self) -> Option<Box<SessionRecord>> {
        let client = self.client.borrow().clone()?;
        Some(Box::new(SessionRecord {
            client,
            level: self.server.level(),
            owner: self.owner.borrow().name().to_owned(),
        }))
    }
}

/// The response to a body that cannot be decoded.
pub(super) fn malformed(Rejection { id, error }: Rejection) -> Response {
    Response::error(StatusCode::BAD_REQUEST, id, error)
}
