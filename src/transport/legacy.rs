//! Serves messages of 2025-03-26, 2025-06-18 and 2025-11-25, with or without sessions.

use std::{
    cell::RefCell,
    collections::{HashMap, hash_map::Entry},
    io,
    rc::Rc,
};

use futures::{
    StreamExt,
    channel::oneshot,
    future::{self, LocalBoxFuture},
    stream::{self, LocalBoxStream},
};
use http::StatusCode;
use rmcp::{
    ErrorData,
    model::{
        ClientCapabilities, ClientRequest, ErrorCode, Implementation, InitializeRequestParams, JsonRpcMessage,
        ProtocolVersion, RequestId, ServerJsonRpcMessage, ServerResult,
    },
};

use super::{
    TransportOptions,
    headers::Accept,
    http::Response,
    message::{Message, Payload, Rejection, Request},
    message_loop::RequestLoop,
    reply::Answer,
};
use crate::mcp::Server;

/// The requests that are being served, each with the sender that cancels it.
#[derive(Clone, Default)]
pub(super) struct InFlight(Rc<RefCell<HashMap<RequestId, oneshot::Sender<()>>>>);

impl InFlight {
    /// Enters a request; `None` if its id is in use. The future resolves when the request is cancelled, and takes the
    /// entry out when it is dropped.
    fn enter(&self, id: &RequestId) -> Option<impl Future<Output = ()> + use<>> {
        let (cancel, cancelled) = oneshot::channel();
        match self.0.borrow_mut().entry(id.clone()) {
            Entry::Occupied(_) => return None,
            Entry::Vacant(entry) => entry.insert(cancel),
        };
        let entry = Entered { in_flight: self.clone(), id: id.clone() };
        Some(async move {
            let _entry = entry;
            if cancelled.await.is_err() {
                // The entry is replaced or gone without a cancellation.
                future::pending().await
            }
        })
    }

    fn cancel(&self, id: &RequestId) {
        let cancel = self.0.borrow_mut().remove(id);
        if let Some(cancel) = cancel {
            // If it is not received, the request was answered meanwhile.
            let _ = cancel.send(());
        }
    }

    /// Cancels all.
    pub(super) fn cancel_all(&self) {
        let all = std::mem::take(&mut *self.0.borrow_mut());
        for (_, cancel) in all {
            let _ = cancel.send(());
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.0.borrow().len()
    }

    /// Enters a request and returns its messages, until it is cancelled.
    pub(super) fn serve(
        &self,
        id: RequestId,
        start: impl FnOnce() -> io::Result<RequestLoop>,
    ) -> LocalBoxStream<'static, ServerJsonRpcMessage> {
        let Some(cancelled) = self.enter(&id) else {
            let error = ErrorData::invalid_request("Invalid Request: `id` is in use", None);
            return one_error(Some(id), error);
        };
        match start() {
            Ok(messages) => messages.take_until(Box::pin(cancelled)).boxed_local(),
            Err(error) => one_error(Some(id), ErrorData::internal_error(error.to_string(), None)),
        }
    }
}

struct Entered {
    in_flight: InFlight,
    id: RequestId,
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.in_flight.0.borrow_mut().remove(&self.id);
    }
}

/// Serves the messages of one initialized client.
pub(super) struct Serving<'a> {
    pub(super) server: &'a Server,
    /// The parameters of `initialize`, with the version that was agreed on.
    pub(super) client: InitializeRequestParams,
    pub(super) in_flight: InFlight,
}

impl Serving<'_> {
    /// Answers a POST that is not `initialize`.
    pub(super) async fn post(
        self,
        options: &TransportOptions,
        accept: Accept,
        payload: Payload,
        closed: LocalBoxFuture<'static, ()>,
    ) -> Response {
        let (items, batch) = match payload {
            Payload::One(message) => (vec![Ok(message)], false),
            Payload::Batch(items) => match self.check_batch() {
                Ok(()) => (items, true),
                Err(error) => return Response::error(StatusCode::BAD_REQUEST, None, error),
            },
        };
        let mut answers = Vec::new();
        for item in items {
            answers.extend(self.message(item));
        }
        if answers.is_empty() {
            return Response::empty(StatusCode::ACCEPTED);
        }
        let messages = stream::select_all(answers).boxed_local();
        Answer { messages, batch, ended: closed, status: |_| StatusCode::OK }
            .send(accept, options.platform, options.keep_alive)
            .await
    }

    /// Whether the client's version has batches.
    ///
    /// # Errors
    /// -32600.
    pub(super) fn check_batch(&self) -> Result<(), ErrorData> {
        let version = &self.client.protocol_version;
        if *version == ProtocolVersion::V_2025_03_26 {
            return Ok(());
        }
        let why = format!("Invalid Request: batches are of 2025-03-26 only, not of {version}");
        Err(ErrorData::invalid_request(why, None))
    }

    /// The messages that answer one; `None` if it wants no answer.
    pub(super) fn message(
        &self,
        item: Result<Message, Rejection>,
    ) -> Option<LocalBoxStream<'static, ServerJsonRpcMessage>> {
        let request = match item {
            Ok(Message::Request(request)) => request,
            Ok(Message::Notification(notification)) => {
                if let Some(id) = notification.cancels {
                    self.in_flight.cancel(&id);
                }
                return None;
            }
            Ok(Message::Response) => return None,
            Err(Rejection { id, error }) => return Some(one_error(id, error)),
        };
        if request.method == "initialize" {
            let error = ErrorData::invalid_request("Invalid Request: already initialized", None);
            return Some(one_error(Some(request.id), error));
        }
        let start = || RequestLoop::start(self.server.clone(), Some(self.client.clone()), request.rpc);
        Some(self.in_flight.serve(request.id, start))
    }
}

pub(super) fn one_error(id: Option<RequestId>, error: ErrorData) -> LocalBoxStream<'static, ServerJsonRpcMessage> {
    stream::once(future::ready(ServerJsonRpcMessage::error(error, id))).boxed_local()
}

/// The outcome of `initialize`.
pub(super) struct Initialized {
    /// The server's response.
    pub(super) response: ServerJsonRpcMessage,
    /// The client, with the version agreed on; `None` if the response is an error.
    pub(super) client: Option<InitializeRequestParams>,
}

/// Serves `initialize`.
pub(super) async fn initialize(server: &Server, request: Request) -> Initialized {
    let params = match &*request.rpc {
        JsonRpcMessage::Request(rpc) => match &rpc.request {
            ClientRequest::InitializeRequest(initialize) => Some(initialize.params.clone()),
            _ => None,
        },
        _ => None,
    };
    let response = match RequestLoop::start(server.clone(), None, request.rpc) {
        Ok(mut messages) => messages.next().await,
        Err(_) => None,
    };
    let response = response.unwrap_or_else(|| {
        ServerJsonRpcMessage::error(ErrorData::internal_error("not answered", None), Some(request.id))
    });
    let client = match (&response, params) {
        (ServerJsonRpcMessage::Response(response), Some(mut params)) => match &response.result {
            ServerResult::InitializeResult(result) => {
                params.protocol_version = result.protocol_version.clone();
                Some(params)
            }
            _ => None,
        },
        _ => None,
    };
    Initialized { response, client }
}

/// Sends the response to `initialize`.
pub(super) async fn send_initialized(
    response: ServerJsonRpcMessage,
    accept: Accept,
    options: &TransportOptions,
) -> Response {
    Answer {
        messages: stream::once(future::ready(response)).boxed_local(),
        batch: false,
        ended: Box::pin(future::pending()),
        status: |_| StatusCode::OK,
    }
    .send(accept, options.platform, options.keep_alive)
    .await
}

/// Whether the payload is a lone `initialize`.
pub(super) fn is_initialize(payload: &Payload) -> bool {
    matches!(payload, Payload::One(Message::Request(request)) if request.method == "initialize")
}

/// Serves a POST without a session, as the original's `streamable-http-stateless`: no session id is given
/// out, and every request has a sandbox of its own. `logging/setLevel` is taken and has no effect, and
/// nothing can be cancelled but by closing the connection.
pub(super) async fn stateless(
    server: &Server,
    options: &TransportOptions,
    version: ProtocolVersion,
    accept: Accept,
    payload: Payload,
    closed: LocalBoxFuture<'static, ()>,
) -> Response {
    let server = server.for_another_client();
    if is_initialize(&payload)
        && let Payload::One(Message::Request(request)) = payload
    {
        let Initialized { response, .. } = initialize(&server, request).await;
        return send_initialized(response, accept, options).await;
    }
    let serving = Serving { server: &server, client: unknown_client(version), in_flight: InFlight::default() };
    serving.post(options, accept, payload, closed).await
}

/// A client that did not describe itself.
pub(super) fn unknown_client(version: ProtocolVersion) -> InitializeRequestParams {
    let mut client = InitializeRequestParams::new(ClientCapabilities::default(), Implementation::new("unknown", ""));
    client.protocol_version = version;
    client
}

/// Refuses a request that lacks the id of its session.
pub(super) fn session_required(rpc: Option<RequestId>) -> Response {
    let error = ErrorData::new(ErrorCode(-32000), "Bad Request: Mcp-Session-Id header is required", None);
    Response::error(StatusCode::BAD_REQUEST, rpc, error)
}
