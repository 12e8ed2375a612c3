//! 2026-07-28: every request stands for itself.

use futures::{StreamExt, future::LocalBoxFuture};
use http::{HeaderMap, StatusCode};
use rmcp::{
    ErrorData,
    model::{ErrorCode, ServerJsonRpcMessage},
};

use super::{
    TransportOptions,
    headers::{Accept, check_modern, check_modern_notification},
    http::Response,
    message::{Message, REMOVED, Rejection},
    message_loop::RequestLoop,
    reply::Answer,
};
use crate::mcp::Server;

/// Answers one message.
pub(super) async fn serve(
    server: &Server,
    options: &TransportOptions,
    headers: &HeaderMap,
    accept: Accept,
    message: Message,
    closed: LocalBoxFuture<'static, ()>,
) -> Response {
    let request = match message {
        Message::Request(request) => request,
        Message::Notification(notification) => {
            // Nothing to do: a request is cancelled by closing its connection.
            return match check_modern_notification(headers, &notification) {
                Ok(()) => Response::empty(StatusCode::ACCEPTED),
                Err(rejection) => rejected(rejection),
            };
        }
        Message::Response => {
            let error = ErrorData::invalid_request("Invalid Request: no response was asked for", None);
            return Response::error(StatusCode::BAD_REQUEST, None, error);
        }
    };
    if let Err(rejection) = check_modern(headers, &request) {
        return rejected(rejection);
    }
    if REMOVED.contains(&request.method.as_str()) {
        let error = ErrorData::new(ErrorCode::METHOD_NOT_FOUND, request.method, None);
        return Response::error(StatusCode::NOT_FOUND, Some(request.id), error);
    }
    match RequestLoop::start(server.for_another_client(), None, request.rpc) {
        Ok(messages) => {
            Answer { messages: messages.boxed_local(), batch: false, ended: closed, status }
                .send(accept, options.platform, options.keep_alive)
                .await
        }
        Err(_) => Response::empty(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

fn rejected(Rejection { id, error }: Rejection) -> Response {
    Response::error(StatusCode::BAD_REQUEST, id, error)
}

/// The HTTP status of a response (Transports, Streamable HTTP, Error Handling).
fn status(message: &ServerJsonRpcMessage) -> StatusCode {
    let ServerJsonRpcMessage::Error(error) = message else { return StatusCode::OK };
    match error.error.code {
        ErrorCode::UNSUPPORTED_PROTOCOL_VERSION
        | ErrorCode::MISSING_REQUIRED_CLIENT_CAPABILITY
        | ErrorCode::HEADER_MISMATCH => StatusCode::BAD_REQUEST,
        ErrorCode::METHOD_NOT_FOUND => StatusCode::NOT_FOUND,
        _ => StatusCode::OK,
    }
}
