//! HTTP types without sockets: requests from a home, and responses to it.

use std::{fmt, net::IpAddr, time::Duration};

use futures::{
    FutureExt, StreamExt,
    future::{self, LocalBoxFuture},
    select_biased,
    stream::{self, LocalBoxStream},
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use rmcp::{
    ErrorData,
    model::{ErrorCode, JsonRpcError, RequestId},
};

use crate::{
    limits::{BODY_TIME, MAX_BODY, MAX_DRAINED},
    platform::Platform,
    session::SessionError,
};

/// A request. Its body is polled only if it is needed, so a request that is to be forwarded is untouched.
pub struct Request {
    /// The method.
    pub method: Method,
    /// The whole URI, with scheme and authority where the home knows them: they show whether a page is of the same
    /// origin.
    pub uri: Uri,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, in pieces, or an error of reading it.
    pub body: LocalBoxStream<'static, Result<Vec<u8>, String>>,
    /// The client's address, where the home knows it.
    pub peer: Option<IpAddr>,
    /// Resolves when the client is gone; pending forever if that cannot be known.
    pub closed: LocalBoxFuture<'static, ()>,
}

impl Request {
    /// A request whose body is complete, and whose client stays.
    #[must_use]
    pub fn new(method: Method, uri: Uri, headers: HeaderMap, body: Vec<u8>) -> Self {
        Self {
            method,
            uri,
            headers,
            body: stream::once(future::ready(Ok(body))).boxed_local(),
            peer: None,
            closed: Box::pin(future::pending()),
        }
    }

    /// Reads the body, never holding more than [`MAX_BODY`], nor for longer than [`BODY_TIME`].
    ///
    /// # Errors
    /// 413, 408, or 400 if the body could not be read.
    pub(super) async fn read_body(&mut self, platform: Platform) -> Result<Vec<u8>, Response> {
        let mut late = (platform.sleep)(BODY_TIME).fuse();
        select_biased! {
            body = self.read().fuse() => body,
            () = late => Err(Response::refusal(
                StatusCode::REQUEST_TIMEOUT,
                format!("Request Timeout: the body did not come within {} s", BODY_TIME.as_secs()),
            )),
        }
    }

    async fn read(&mut self) -> Result<Vec<u8>, Response> {
        if self.declared().is_some_and(|length| length > MAX_BODY as u64) {
            self.drain(0, MAX_DRAINED).await;
            return Err(too_large());
        }
        let mut body = Vec::new();
        while let Some(piece) = self.body.next().await {
            let piece = piece.map_err(|error| {
                Response::refusal(StatusCode::BAD_REQUEST, format!("the body could not be read: {error}"))
            })?;
            let size = body.len() + piece.len();
            if size > MAX_BODY {
                drop(body);
                self.drain(size, MAX_DRAINED).await;
                return Err(too_large());
            }
            body.extend_from_slice(&piece);
        }
        Ok(body)
    }

    /// The length of its body, by `Content-Length`.
    pub(super) fn declared(&self) -> Option<u64> {
        self.headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
    }

    /// Drops the rest of an unwanted body, of which `size` bytes have come, until there are `most`: many clients look
    /// for a response only after they have sent their request. The caller bounds the time.
    pub(super) async fn drain(&mut self, mut size: usize, most: usize) {
        while size < most
            && let Some(Ok(piece)) = self.body.next().await
        {
            size += piece.len();
        }
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("uri", &self.uri)
            .field("headers", &self.headers)
            .finish_non_exhaustive()
    }
}

fn too_large() -> Response {
    let why = format!(
        "Payload Too Large: a body may have {MAX_BODY} bytes; larger files are uploaded to a session: PUT /files/HANDLE/PATH"
    );
    Response::refusal(StatusCode::PAYLOAD_TOO_LARGE, why)
}

/// The body of a [`Response`].
pub enum Body {
    /// None.
    Empty,
    /// The whole body.
    Full(Vec<u8>),
    /// Bytes as they are read; an error means that some are missing. Dropping the stream ends its source.
    Stream(LocalBoxStream<'static, Result<Vec<u8>, String>>),
    /// Server-sent events as they come, UTF-8. Dropping the stream ends its source.
    Events(LocalBoxStream<'static, String>),
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("Empty"),
            Self::Full(bytes) => f.debug_tuple("Full").field(&String::from_utf8_lossy(bytes)).finish(),
            Self::Stream(_) => f.write_str("Stream"),
            Self::Events(_) => f.write_str("Events"),
        }
    }
}

/// A response.
#[derive(Debug)]
pub struct Response {
    /// The status.
    pub status: StatusCode,
    /// The headers, `Content-Type` among them.
    pub headers: HeaderMap,
    /// The body.
    pub body: Body,
}

impl Response {
    /// A response without a body.
    #[must_use]
    pub fn empty(status: StatusCode) -> Self {
        Self { status, headers: HeaderMap::new(), body: Body::Empty }
    }

    /// A response whose body is `body` as JSON.
    #[must_use]
    pub fn json(status: StatusCode, body: &impl serde::Serialize) -> Self {
        match serde_json::to_vec(body) {
            Ok(bytes) => Self { status, headers: HeaderMap::new(), body: Body::Full(bytes) }
                .with(header::CONTENT_TYPE, "application/json"),
            Err(_) => Self::empty(StatusCode::INTERNAL_SERVER_ERROR),
        }
    }

    /// A JSON-RPC error.
    #[must_use]
    pub fn error(status: StatusCode, id: Option<RequestId>, error: ErrorData) -> Self {
        Self::json(status, &JsonRpcError::new(id, error))
    }

    /// Refuses a request before any message of it is decoded. -32000 is what MCP's SDKs use for that.
    #[must_use]
    pub fn refusal(status: StatusCode, why: impl Into<String>) -> Self {
        Self::error(status, None, ErrorData::new(ErrorCode(-32000), why.into(), None))
    }

    /// 404 for a session that never was, or has ended: the client should initialize anew (2025-11-25, Session
    /// Management).
    #[must_use]
    pub fn session_not_found() -> Self {
        let error = ErrorData::new(ErrorCode(-32001), "Session not found", None);
        Self::error(StatusCode::NOT_FOUND, None, error)
    }

    /// 429: the limit is reached. The client may try again after `wait`.
    #[must_use]
    pub fn too_many(why: &SessionError, wait: Duration) -> Self {
        Self::refusal(StatusCode::TOO_MANY_REQUESTS, format!("Too Many Requests: {why}"))
            .with(header::RETRY_AFTER, wait.as_secs().max(1).to_string())
    }

    /// 405, naming what is allowed.
    #[must_use]
    pub fn method_not_allowed(allow: &'static str) -> Self {
        Self::refusal(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed").with(header::ALLOW, allow)
    }

    /// The same with one more header; a value that no header can hold is left out.
    #[must_use]
    pub fn with(mut self, name: HeaderName, value: impl AsRef<str>) -> Self {
        if let Ok(value) = HeaderValue::from_str(value.as_ref()) {
            self.headers.insert(name, value);
        }
        self
    }
}
