//! Turns a request's messages into an HTTP response: JSON if the answer is there at once, or if the client takes
//! nothing else; server-sent events otherwise.

use std::time::Duration;

use futures::{
    FutureExt, Stream, StreamExt,
    channel::{mpsc, oneshot},
    future::{self, LocalBoxFuture},
    select_biased, stream,
    stream::LocalBoxStream,
};
use http::{StatusCode, header};
use rmcp::{
    ErrorData,
    model::{ErrorCode, ServerJsonRpcMessage},
    transport::common::http_header::EVENT_STREAM_MIME_TYPE,
};

use super::{
    Platform,
    headers::Accept,
    http::{Body, Response},
    message_loop::is_final,
};
use crate::limits::FIRST_MESSAGE;

/// The messages that answer a POST, and how to send them.
pub(super) struct Answer {
    /// All messages, including responses. The stream ends after the last response; dropping it ends the runs.
    pub(super) messages: LocalBoxStream<'static, ServerJsonRpcMessage>,
    /// Whether responses are sent as a JSON array (a batch).
    pub(super) batch: bool,
    /// Ends the runs when it resolves: the client cancelled, or is gone.
    pub(super) ended: LocalBoxFuture<'static, ()>,
    /// The status of a response that is sent as JSON, alone.
    pub(super) status: fn(&ServerJsonRpcMessage) -> StatusCode,
}

impl Answer {
    /// Makes the response.
    ///
    /// The status has to be known before the first event is sent. So the first message is awaited, but no
    /// longer than [`FIRST_MESSAGE`]: the headers of a long quiet run are not held back.
    pub(super) async fn send(mut self, accept: Accept, platform: Platform, keep_alive: Duration) -> Response {
        let mut ended = self.ended.fuse();
        let mut wait: future::Fuse<LocalBoxFuture<'static, ()>> =
            if accept.events { (platform.sleep)(FIRST_MESSAGE).fuse() } else { future::Fuse::terminated() };
        let mut responses = Vec::new();
        let mut stream_from = None;
        loop {
            select_biased! {
                message = self.messages.next().fuse() => match message {
                    Some(message) if is_final(&message) => responses.push(message),
                    // A client that does not take events gets the response without the notifications.
                    Some(message) if accept.events => {
                        stream_from = Some(message);
                        break;
                    }
                    Some(_) => {}
                    None if accept.json => return json(&responses, self.batch, self.status),
                    None => break,
                },
                () = ended => return cancelled(),
                () = wait => break,
            }
        }
        let earlier = stream::iter(responses.into_iter().chain(stream_from));
        let messages = earlier.chain(self.messages).boxed_local();
        events(detach(messages, ended, platform), platform, keep_alive)
    }
}

fn json(responses: &[ServerJsonRpcMessage], batch: bool, status: fn(&ServerJsonRpcMessage) -> StatusCode) -> Response {
    match responses {
        _ if batch => Response::json(StatusCode::OK, &responses),
        [response] => Response::json(status(response), response),
        _ => {
            let error = ErrorData::internal_error("the request was not answered", None);
            Response::error(StatusCode::INTERNAL_SERVER_ERROR, None, error)
        }
    }
}

/// A cancelled request gets no response (Utilities, Cancellation); HTTP needs one all the same.
fn cancelled() -> Response {
    Response::error(StatusCode::OK, None, ErrorData::new(ErrorCode(-32000), "Request cancelled", None))
}

/// Drives `messages` by a task of its own. On workerd the response stream of a client that is gone is neither pulled
/// nor cancelled, so it can neither drive nor end the run.
fn detach(
    mut messages: LocalBoxStream<'static, ServerJsonRpcMessage>,
    mut ended: future::Fuse<LocalBoxFuture<'static, ()>>,
    platform: Platform,
) -> impl Stream<Item = ServerJsonRpcMessage> + 'static {
    let (sender, receiver) = mpsc::unbounded();
    let (body, body_dropped) = oneshot::channel::<()>();
    (platform.spawn)(Box::pin(async move {
        let mut body_dropped = body_dropped.fuse();
        loop {
            select_biased! {
                () = ended => break,
                _ = body_dropped => break,
                message = messages.next().fuse() => {
                    let Some(message) = message else { break };
                    // Messages that are not sent yet are bounded by the limits of a run's output.
                    if sender.unbounded_send(message).is_err() {
                        break;
                    }
                }
            }
        }
    }));
    receiver.map(move |message| {
        let _held = &body;
        message
    })
}

/// Server-sent events of `messages`, with a comment every `keep_alive`: it keeps proxies from closing the connection,
/// and on workerd only a write shows that the client is gone.
pub(super) fn events(
    messages: impl Stream<Item = ServerJsonRpcMessage> + 'static,
    platform: Platform,
    keep_alive: Duration,
) -> Response {
    let tick = move || (platform.sleep)(keep_alive).fuse();
    let state = (messages.boxed_local(), tick());
    let events = stream::unfold(state, move |(mut messages, mut due)| async move {
        let text = select_biased! {
            message = messages.next().fuse() => {
                let json = serde_json::to_string(&message?).ok()?;
                format!("event: message\ndata: {json}\n\n")
            }
            () = due => {
                due = tick();
                ": keep-alive\n\n".to_owned()
            }
        };
        Some((text, (messages, due)))
    });
    Response { status: StatusCode::OK, headers: Default::default(), body: Body::Events(events.boxed_local()) }
        .with(header::CONTENT_TYPE, EVENT_STREAM_MIME_TYPE)
        .with(header::CACHE_CONTROL, "no-cache, no-transform")
        .with(http::HeaderName::from_static("x-accel-buffering"), "no")
}
