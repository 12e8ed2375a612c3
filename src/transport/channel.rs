//! MCP over a channel of messages, such as stdio, or a page's own memory: both eras, side by side on one connection.
//!
//! A request of 2026-07-28 says so in its `_meta`, and stands for itself. All other messages belong to the one client
//! that `initialize` describes, and run in that client's interpreter. A client that never initializes is served as
//! well, as by the original.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

use futures::{FutureExt, StreamExt, stream, stream::LocalBoxStream};
use http::HeaderMap;
use rmcp::{
    ErrorData,
    model::{ErrorCode, InitializeRequestParams, ProtocolVersion, ServerJsonRpcMessage},
};

use super::{
    Platform,
    headers::check_meta,
    legacy::{InFlight, Initialized, Serving, initialize, is_initialize, one_error, unknown_client},
    message::{Message, Payload, REMOVED, Rejection, Request, decode},
    message_loop::{RequestLoop, is_final},
    route::is_modern,
};
use crate::{
    limits::{MAX_BODY, MAX_IN_FLIGHT},
    mcp::Server,
};

/// The server's end of a channel. Dropping it, or [`Self::close`], ends its requests.
pub struct Channel(Rc<Inner>);

struct Inner {
    /// Serves requests that stand for themselves.
    fresh: Server,
    /// Serves requests of the client that `initialize` describes.
    session: Server,
    platform: Platform,
    client: RefCell<Option<InitializeRequestParams>>,
    in_flight: InFlight,
    send: Box<dyn Fn(String)>,
    closed: Cell<bool>,
}

/// Messages that answer one message of the client, and whether their responses are sent as a JSON array.
type Answers = (LocalBoxStream<'static, ServerJsonRpcMessage>, bool);

impl Channel {
    /// A channel to one client. `fresh` serves requests of 2026-07-28, `session` those of the eras before, in an
    /// interpreter that is this client's own. `send` takes each message to it: JSON without a newline.
    #[must_use]
    pub fn new(fresh: Server, session: Server, platform: Platform, send: impl Fn(String) + 'static) -> Self {
        Self(Rc::new(Inner {
            fresh,
            session,
            platform,
            client: RefCell::default(),
            in_flight: InFlight::default(),
            send: Box::new(send),
            closed: Cell::default(),
        }))
    }

    /// Takes a message of the client: one JSON text. Answers are sent as they come.
    pub fn receive(&self, message: &[u8]) {
        if self.0.closed.get() {
            return;
        }
        let Some((messages, batch)) = self.0.answer(message) else { return };
        let inner = self.0.clone();
        (self.0.platform.spawn)(Box::pin(async move { inner.deliver(messages, batch).await }));
    }

    /// Whether nothing is being answered.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.0.in_flight.is_empty()
    }

    /// Ends the channel and its runs; sends nothing more.
    pub fn close(&self) {
        self.0.closed.set(true);
        self.0.in_flight.cancel_all();
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        self.close();
    }
}

impl Inner {
    /// Returns the messages that answer a message; `None` if it wants no answer.
    fn answer(&self, message: &[u8]) -> Option<Answers> {
        let payload = match bounded(message).and_then(decode) {
            Ok(payload) => payload,
            Err(rejection) => return Some(refused(rejection)),
        };
        let modern = is_modern(&HeaderMap::new(), &payload);
        let initialized = self.client.borrow().is_some();
        match payload {
            Payload::One(Message::Request(request)) if self.is_full() => Some(refused(too_many(&request))),
            Payload::One(Message::Request(request)) if modern => Some((self.modern(request), false)),
            payload if is_initialize(&payload) && !initialized => match payload {
                Payload::One(Message::Request(request)) => Some((self.initialize(request), false)),
                _ => None,
            },
            Payload::One(message) => Some((self.serving().message(Ok(message))?, false)),
            Payload::Batch(items) => {
                let serving = self.serving();
                if let Err(error) = serving.check_batch() {
                    return Some(refused(Rejection { id: None, error }));
                }
                // Each of its requests is in flight from here on, and counts against those that follow.
                let answers: Vec<_> = items
                    .into_iter()
                    .filter_map(|item| match item {
                        Ok(Message::Request(request)) if self.is_full() => Some(refused(too_many(&request)).0),
                        item => serving.message(item),
                    })
                    .collect();
                Some((stream::select_all(answers).boxed_local(), true))
            }
        }
    }

    fn is_full(&self) -> bool {
        self.in_flight.len() >= MAX_IN_FLIGHT
    }

    fn serving(&self) -> Serving<'_> {
        let client = self.client.borrow().clone();
        Serving {
            server: &self.session,
            client: client.unwrap_or_else(|| unknown_client(ProtocolVersion::V_2025_03_26)),
            in_flight: self.in_flight.clone(),
        }
    }

    /// Serves a request that stands for itself.
    fn modern(&self, request: Request) -> LocalBoxStream<'static, ServerJsonRpcMessage> {
        if let Err(error) = check_meta(&request, request.meta_version.as_deref()) {
            return one_error(Some(request.id), error);
        }
        if REMOVED.contains(&request.method.as_str()) {
            return one_error(Some(request.id), ErrorData::new(ErrorCode::METHOD_NOT_FOUND, request.method, None));
        }
        self.in_flight.serve(request.id, || RequestLoop::start(self.fresh.for_another_client(), None, request.rpc))
    }

    /// Awaits nothing: the next message finds the client initialized.
    fn initialize(&self, request: Request) -> LocalBoxStream<'static, ServerJsonRpcMessage> {
        let id = request.id.clone();
        match initialize(&self.session, request).now_or_never() {
            Some(Initialized { response, client }) => {
                self.client.replace(client);
                stream::iter([response]).boxed_local()
            }
            None => one_error(Some(id), ErrorData::internal_error("not answered", None)),
        }
    }

    async fn deliver(&self, mut messages: LocalBoxStream<'static, ServerJsonRpcMessage>, batch: bool) {
        let mut responses = Vec::new();
        while let Some(message) = messages.next().await {
            if batch && is_final(&message) {
                responses.push(message);
            } else {
                self.send(&message);
            }
        }
        if !responses.is_empty() {
            self.send(&responses);
        }
    }

    fn send(&self, message: &impl serde::Serialize) {
        if !self.closed.get()
            && let Ok(text) = serde_json::to_string(message)
        {
            (self.send)(text);
        }
    }
}

/// Refuses a message that is too large before it is parsed.
fn bounded(message: &[u8]) -> Result<&[u8], Rejection> {
    if message.len() <= MAX_BODY {
        return Ok(message);
    }
    let why = format!("Invalid Request: a message may have {MAX_BODY} bytes");
    Err(Rejection::new(None, ErrorCode::INVALID_REQUEST, why))
}

fn too_many(request: &Request) -> Rejection {
    let why = format!("at most {MAX_IN_FLIGHT} requests are served at once");
    Rejection::new(Some(request.id.clone()), ErrorCode(-32000), why)
}

fn refused(Rejection { id, error }: Rejection) -> Answers {
    (one_error(id, error), false)
}
