//! The endpoint: determines the era of a request, and who answers it.

use http::{HeaderMap, Method, StatusCode};
use rmcp::{model::ProtocolVersion, transport::common::http_header::HEADER_SESSION_ID};

use super::{
    TransportOptions,
    access::{Entered, with_cors},
    files,
    headers::{self, check_post, legacy_version},
    http::{Request, Response},
    legacy::{is_initialize, session_required, stateless},
    legacy_session::{NewSession, malformed},
    message::{Message, Payload, decode},
    modern,
};
use crate::mcp::Server;

/// How a request is answered.
#[derive(Debug)]
pub enum Routed {
    /// It is answered.
    Answered(Response),
    /// The [`LegacySession`](super::LegacySession) of this id has to answer the request, whose body is untouched. An id
    /// that was not given out is answered by [`Response::session_not_found`].
    Session(String, Entered),
    /// A session has to be kept by this record, and its id told to the client.
    NewSession(NewSession),
}

/// The MCP endpoint, except the sessions of the legacy eras.
pub struct Endpoint {
    server: Server,
    options: TransportOptions,
}

impl Endpoint {
    /// An endpoint whose requests, other than those of sessions, are served by `server`.
    #[must_use]
    pub fn new(server: Server, options: TransportOptions) -> Self {
        Self { server, options }
    }

    /// Answers a request, or names the session that has to.
    pub async fn route(&self, entered: Entered) -> Routed {
        let headers = entered.request.headers.clone();
        match self.method(entered).await.unwrap_or_else(Routed::Answered) {
            Routed::Answered(response) => Routed::Answered(with_cors(response, &headers)),
            Routed::NewSession(session) => Routed::NewSession(session.for_page(&headers)),
            session @ Routed::Session(..) => session,
        }
    }

    async fn method(&self, entered: Entered) -> Result<Routed, Response> {
        let request = &entered.request;
        if request.uri.path().starts_with(files::PREFIX) {
            let answer = files::answer(self.server.files(), self.options.platform, entered.request);
            return Ok(Routed::Answered(answer.await));
        }
        let modern = headers::is_modern(&request.headers);
        let sessions = self.options.legacy_sessions && !modern;
        if sessions && let Some(id) = request.headers.get(HEADER_SESSION_ID) {
            let id = id.to_str().map(str::to_owned).map_err(|_| Response::session_not_found())?;
            return Ok(Routed::Session(id, entered));
        }
        match request.method {
            Method::POST => self.post(entered).await,
            Method::GET | Method::DELETE if sessions => Err(session_required(None)),
            _ if sessions => Err(Response::method_not_allowed("GET, POST, DELETE, OPTIONS")),
            _ => Err(Response::method_not_allowed("POST, OPTIONS")),
        }
    }

    async fn post(&self, Entered { mut request, principal }: Entered) -> Result<Routed, Response> {
        let accept = check_post(&request.headers)?;
        let body = request.read_body(self.options.platform).await?;
        let payload = decode(&body).map_err(malformed)?;
        drop(body);
        if is_modern(&request.headers, &payload) {
            let Payload::One(message) = payload else {
                return Err(batch_in_modern());
            };
            let Request { headers, closed, .. } = request;
            let response = modern::serve(&self.server, &self.options, &headers, accept, message, closed).await;
            return Ok(Routed::Answered(response));
        }
        if !self.options.legacy_sessions {
            let version = if is_initialize(&payload) {
                ProtocolVersion::LATEST_WITH_INITIALIZE
            } else {
                legacy_version(&request.headers)?
            };
            let Request { closed, .. } = request;
            let response = stateless(&self.server, &self.options, version, accept, payload, closed).await;
            return Ok(Routed::Answered(response));
        }
        match payload {
            Payload::One(Message::Request(request)) if request.method == "initialize" => {
                NewSession::begin(&self.server, &self.options, accept, request, &principal).await
            }
            Payload::One(Message::Request(request)) => Err(session_required(Some(request.id))),
            _ => Err(session_required(None)),
        }
    }
}

/// Whether a POST is of the stateless era: by its header, by its `_meta`, or because it asks for something that only
/// that era has.
pub(super) fn is_modern(headers: &HeaderMap, payload: &Payload) -> bool {
    let by_body = |method: &str, meta_version: &Option<String>| {
        method == "server/discover"
            || meta_version.as_ref().is_some_and(|version| {
                !ProtocolVersion::KNOWN_VERSIONS.iter().any(|known| known.as_str() == version && known.has_initialize())
            })
    };
    headers::is_modern(headers)
        || match payload {
            Payload::One(Message::Request(request)) => by_body(&request.method, &request.meta_version),
            Payload::One(Message::Notification(notification)) => {
                by_body(&notification.method, &notification.meta_version)
            }
            Payload::One(Message::Response) | Payload::Batch(_) => false,
        }
}

fn batch_in_modern() -> Response {
    let error =
        rmcp::ErrorData::invalid_request("Invalid Request: batches are of 2025-03-26 only, not of 2026-07-28", None);
    Response::error(StatusCode::BAD_REQUEST, None, error)
}
