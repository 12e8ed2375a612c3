//! A session of the legacy eras (2025-11-25, Transports, Session Management).
//!
//! Its owner keeps one object per `Mcp-Session-Id`, and stores its [`SessionRecord`], which is all that has to survive
//! a restart.

use std::{cell::RefCell, time::Duration};

use futures::channel::mpsc;
use http::{HeaderMap, Method, StatusCode};
use rmcp::{
    ErrorData,
    model::{InitializeRequestParams, LoggingLevel, ServerJsonRpcMessage},
    transport::common::http_header::HEADER_SESSION_ID,
};
use serde::{Deserialize, Serialize};

use super::{
    TransportOptions,
    access::{Entered, with_cors},
    headers::{Accept, check_get, check_post, legacy_version},
    http::{Request, Response},
    legacy::{InFlight, Initialized, Serving, initialize, is_initialize, send_initialized},
    message::{self, Message, Payload, Rejection, decode},
    modern,
    route::{self, Routed},
};
use crate::{auth::Principal, mcp::Server};

/// Most GET streams of one session. Nothing is ever sent on them; a client needs one.
const MAX_STREAMS: usize = 8;

/// Keep-alive period of GET streams: no run depends on it, so it has to satisfy proxies only.
const STREAM_KEEP_ALIVE: Duration = Duration::from_secs(25);

/// State that has to survive a restart of a session's owner.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SessionRecord {
    /// The parameters of `initialize`, with the version that was agreed on.
    client: InitializeRequestParams,
    /// The level that `logging/setLevel` set.
    level: LoggingLevel,
    /// The name of the session's principal.
    #[serde(default)]
    owner: String,
}

/// A change that the owner has to store before it sends the response.
#[derive(Debug)]
pub enum Change {
    /// The record is new, or changed.
    Save(Box<SessionRecord>),
    /// The session ended: forget it, and its interpreter.
    End,
}

impl SessionRecord {
    /// The principal of the session.
    #[must_use]
    pub fn owner(&self) -> Principal {
        Principal::named(&self.owner)
    }
}

/// A session that was initialized, and is to be kept.
#[derive(Debug)]
pub struct NewSession {
    /// Its record, for [`LegacySession::new`].
    pub record: Box<SessionRecord>,
    response: Response,
}

impl NewSession {
    /// Answers `initialize`. A client that cannot be served gets an answer, and no session.
    pub(super) async fn begin(
        server: &Server,
        options: &TransportOptions,
        accept: Accept,
        request: message::Request,
        owner: &Principal,
    ) -> Result<Routed, Response> {
        let server = server.for_another_client();
        let Initialized { response, client } = initialize(&server, request).await;
        let response = send_initialized(response, accept, options).await;
        let Some(client) = client else { return Ok(Routed::Answered(response)) };
        let record = SessionRecord { client, level: server.level(), owner: owner.name().to_owned() };
        Ok(Routed::NewSession(Self { record: Box::new(record), response }))
    }

    pub(super) fn for_page(self, request: &HeaderMap) -> Self {
        Self { response: with_cors(self.response, request), ..self }
    }

    /// The response to the client, once the session is kept under this id.
    #[must_use]
    pub fn answer(self, id: &str) -> Response {
        match http::HeaderName::from_bytes(HEADER_SESSION_ID.as_bytes()) {
            Ok(name) => self.response.with(name, id),
            Err(_) => self.response,
        }
    }
}

/// A legacy session.
pub struct LegacySession {
    server: Server,
    options: TransportOptions,
    owner: Principal,
    /// `None` once it ended.
    client: RefCell<Option<InitializeRequestParams>>,
    in_flight: InFlight,
    streams: RefCell<Vec<mpsc::UnboundedSender<ServerJsonRpcMessage>>>,
}

impl LegacySession {
    /// The session of this record, which is new, or was stored. `server` runs code in this session's own interpreter.
    #[must_use]
    pub fn new(server: Server, options: TransportOptions, record: SessionRecord) -> Self {
        server.restore_level(record.level);
        Self {
            server,
            options,
            owner: record.owner(),
            client: RefCell::new(Some(record.client)),
            in_flight: InFlight::default(),
            streams: RefCell::default(),
        }
    }

    /// The principal of the session.
    #[must_use]
    pub fn owner(&self) -> &Principal {
        &self.owner
    }

    /// Whether nothing is running and no GET stream is open: an idle session may be ended.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.in_flight.is_empty() && self.streams.borrow().iter().all(mpsc::UnboundedSender::is_closed)
    }

    /// Ends the session: its runs and its streams end, and later requests are answered by 404.
    pub fn end(&self) {
        self.client.take();
        self.in_flight.cancel_all();
        self.streams.take();
    }

    /// Answers one request of the session.
    pub async fn handle(&self, Entered { request, principal }: Entered) -> (Response, Option<Change>) {
        let headers = request.headers.clone();
        let (response, change) = self.method(request, principal).await;
        (with_cors(response, &headers), change)
    }

    async fn method(&self, request: Request, principal: Principal) -> (Response, Option<Change>) {
        // **Boundary.** The id of another principal's session gives no access.
        if self.owner != principal {
            return (Response::session_not_found(), None);
        }
        match request.method {
            Method::POST => self.post(request).await.unwrap_or_else(|response| (response, None)),
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

    /// Returns the client, if the session has not ended, and if the version header is right.
    fn live(&self, request: &Request) -> Result<InitializeRequestParams, Response> {
        let client = self.client.borrow().clone().ok_or_else(Response::session_not_found)?;
        legacy_version(&request.headers)?;
        Ok(client)
    }

    async fn post(&self, mut request: Request) -> Result<(Response, Option<Change>), Response> {
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
            // It has a session id, and so not the headers of its era: the answer says which are wrong.
            let response =
                modern::serve(&self.server, &self.options, &request.headers, accept, message, request.closed);
            return Ok((response.await, None));
        }
        // A session is not initialized again, not even once it has ended.
        if is_initialize(&payload)
            && self.client.borrow().is_some()
            && let Payload::One(Message::Request(initialization)) = payload
        {
            let error = ErrorData::invalid_request("Invalid Request: already initialized", None);
            return Err(Response::error(StatusCode::BAD_REQUEST, Some(initialization.id), error));
        }
        let client = self.live(&request)?;
        let level = self.server.level();
        let serving = Serving { server: &self.server, client, in_flight: self.in_flight.clone() };
        let response = serving.post(&self.options, accept, payload, request.closed).await;
        let change = (self.server.level() != level).then(|| self.record().map(Change::Save)).flatten();
        Ok((response, change))
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
        Some(Box::new(SessionRecord { client, level: self.server.level(), owner: self.owner.name().to_owned() }))
    }
}

/// The response to a body that cannot be decoded.
pub(super) fn malformed(Rejection { id, error }: Rejection) -> Response {
    Response::error(StatusCode::BAD_REQUEST, id, error)
}
