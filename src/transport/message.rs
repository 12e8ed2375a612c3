//! Decodes a client's bytes to JSON-RPC messages, strictly, with a precise error for each way to be wrong.
//!
//! Text becomes a [`Value`] before it becomes a type: numbers keep their digits only that way
//! (serde_json's `arbitrary_precision`). A tool's arguments skip rmcp's types, which would round them,
//! and travel beside the message as [`RawArguments`].

use rmcp::{
    ErrorData,
    model::{
        CallToolRequestParams, ClientJsonRpcMessage, CompleteRequestParams, ErrorCode, GetExtensions,
        GetPromptRequestParams, InitializeRequestParams, JsonRpcMessage, PaginatedRequestParams,
        ReadResourceRequestParams, RequestId, SetLevelRequestParams,
    },
};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::{
    json::shape,
    limits::{MAX_BATCH, MAX_REQUEST_DEPTH, MAX_REQUEST_ITEMS},
    mcp::RawArguments,
};

/// The `_meta` key that makes a request a modern one (2026-07-28, Versioning).
pub(super) const META_PROTOCOL_VERSION: &str = "io.modelcontextprotocol/protocolVersion";

/// Methods of the legacy eras that are gone in 2026-07-28.
pub(super) const REMOVED: &[&str] =
    &["initialize", "ping", "logging/setLevel", "resources/subscribe", "resources/unsubscribe"];

/// A body, decoded.
#[derive(Debug)]
pub(super) enum Payload {
    One(Message),
    /// JSON-RPC batch, 2025-03-26 only. Never empty.
    Batch(Vec<Result<Message, Rejection>>),
}

/// One message of a client.
#[derive(Debug)]
pub(super) enum Message {
    Request(Request),
    Notification(Notification),
    /// An answer. This server asks nothing of clients, so there is nothing to do with it.
    Response,
}

/// A message that wants an answer.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) id: RequestId,
    pub(super) method: String,
    /// The value that `Mcp-Name` repeats: the name of a tool or prompt, or the URI of a resource.
    pub(super) target: Option<String>,
    /// `_meta`'s protocol version: there is one in modern requests only.
    pub(super) meta_version: Option<String>,
    /// Boxed: it is large.
    pub(super) rpc: Box<ClientJsonRpcMessage>,
}

/// A message that wants no answer.
#[derive(Debug)]
pub(super) struct Notification {
    pub(super) method: String,
    pub(super) meta_version: Option<String>,
    /// The request that `notifications/cancelled` names.
    pub(super) cancels: Option<RequestId>,
}

/// Why a message is not served.
#[derive(Debug)]
pub(super) struct Rejection {
    /// The message's id, if that could be read.
    pub(super) id: Option<RequestId>,
    pub(super) error: ErrorData,
}

impl Rejection {
    pub(super) fn new(id: Option<RequestId>, code: ErrorCode, message: impl Into<String>) -> Self {
        Self { id, error: ErrorData::new(code, message.into(), None) }
    }
}

/// Decodes the body of a POST.
///
/// # Errors
/// -32700 for text that is not JSON, -32600 for JSON that is no message, -32602 for wrong parameters.
pub(super) fn decode(body: &[u8]) -> Result<Payload, Rejection> {
    let parse_error = |why: String| Rejection::new(None, ErrorCode::PARSE_ERROR, why);
    let text = std::str::from_utf8(body)
        .map_err(|error| parse_error(format!("Parse error: invalid UTF-8 at byte {}", error.valid_up_to())))?;
    let items = shape(body).items;
    if items > MAX_REQUEST_ITEMS {
        return Err(invalid_request(None, format!("{items} values, at most {MAX_REQUEST_ITEMS} are taken")));
    }
    // serde_json refuses lone surrogates, and nesting deeper than MAX_REQUEST_DEPTH.
    let value: Value = serde_json::from_str(text).map_err(|error| {
        let why = error.to_string();
        parse_error(if why.starts_with("recursion limit") {
            format!("Parse error: nested deeper than {MAX_REQUEST_DEPTH} levels")
        } else {
            format!("Parse error: {why}")
        })
    })?;
    match value {
        Value::Array(items) if items.is_empty() => Err(invalid_request(None, "empty batch")),
        Value::Array(items) if items.len() > MAX_BATCH => {
            Err(invalid_request(None, format!("batch of {} messages, at most {MAX_BATCH} are taken", items.len())))
        }
        Value::Array(items) => Ok(Payload::Batch(items.into_iter().map(message).collect())),
        value => message(value).map(Payload::One),
    }
}

fn invalid_request(id: Option<RequestId>, why: impl Into<String>) -> Rejection {
    Rejection::new(id, ErrorCode::INVALID_REQUEST, format!("Invalid Request: {}", why.into()))
}

fn message(value: Value) -> Result<Message, Rejection> {
    let Value::Object(mut object) = value else {
        return Err(invalid_request(None, "a message is a JSON object"));
    };
    let raw_id = object.get("id").cloned();
    let id = raw_id.clone().and_then(|id| serde_json::from_value::<RequestId>(id).ok());
    if object.get("jsonrpc").and_then(Value::as_str) != Some("2.0") {
        return Err(invalid_request(id, "`jsonrpc` must be \"2.0\""));
    }
    if raw_id.is_some() && id.is_none() {
        return Err(invalid_request(None, "`id` must be a string or an integer"));
    }
    let method = match object.get("method") {
        Some(Value::String(method)) => method.clone(),
        Some(_) => return Err(invalid_request(id, "`method` must be a string")),
        None if id.is_some() && (object.contains_key("result") || object.contains_key("error")) => {
            return Ok(Message::Response);
        }
        None => return Err(invalid_request(id, "`method` is missing")),
    };
    if object.get("params").is_some_and(|params| !params.is_object()) {
        return Err(Rejection::new(id, ErrorCode::INVALID_PARAMS, "Invalid params: `params` must be an object"));
    }
    let meta_version = object
        .get("params")
        .and_then(|params| params.get("_meta"))
        .and_then(|meta| meta.get(META_PROTOCOL_VERSION))
        .map(|version| version.as_str().unwrap_or_default().to_owned());
    match id {
        Some(id) => request(id, method, meta_version, object).map(Message::Request),
        None => {
            let cancels = (method == "notifications/cancelled")
                .then(|| object.get_mut("params")?.get_mut("requestId").map(Value::take))
                .flatten()
                .and_then(|id| serde_json::from_value(id).ok());
            Ok(Message::Notification(Notification { method, meta_version, cancels }))
        }
    }
}

fn request(
    id: RequestId,
    method: String,
    meta_version: Option<String>,
    mut object: Map<String, Value>,
) -> Result<Request, Rejection> {
    let invalid_params =
        |why: String| Rejection::new(Some(id.clone()), ErrorCode::INVALID_PARAMS, format!("Invalid params: {why}"));
    let params = object.get_mut("params").and_then(Value::as_object_mut);
    let target = params
        .as_ref()
        .and_then(|params| params.get(if method == "resources/read" { "uri" } else { "name" }))
        .and_then(Value::as_str)
        .map(str::to_owned);
    let mut arguments = RawArguments::default();
    if method == "tools/call" {
        let Some(params) = params else { return Err(invalid_params("missing `name`".into())) };
        match params.get("name") {
            Some(Value::String(_)) => {}
            Some(_) => return Err(invalid_params("`name` must be a string".into())),
            None => return Err(invalid_params("missing `name`".into())),
        }
        match params.remove("arguments") {
            None => {}
            Some(Value::Object(map)) => arguments = RawArguments(map),
            Some(_) => return Err(invalid_params("`arguments` must be an object".into())),
        }
    }
    let params = object.get("params").cloned().unwrap_or_else(|| Value::Object(Map::new()));
    // A removed method is "not found", before its parameters are checked.
    let removed = meta_version.is_some() && REMOVED.contains(&method.as_str());
    let checked = if removed { Ok(()) } else { check_params(&method, params) };
    checked.map_err(|error| invalid_params(error.to_string()))?;
    let mut rpc: ClientJsonRpcMessage =
        serde_json::from_value(Value::Object(object)).map_err(|error| invalid_params(error.to_string()))?;
    if let JsonRpcMessage::Request(request) = &mut rpc {
        request.request.extensions_mut().insert(arguments);
    }
    Ok(Request { id, method, target, meta_version, rpc: Box::new(rpc) })
}

/// Checks the parameters of the methods that rmcp knows. rmcp's union of all requests would take a request with wrong
/// parameters for one of an unknown method, or drop optional parameters.
fn check_params(method: &str, params: Value) -> serde_json::Result<()> {
    fn check<T: DeserializeOwned>(params: Value) -> serde_json::Result<()> {
        serde_json::from_value::<T>(params).map(drop)
    }
    match method {
        "initialize" => check::<InitializeRequestParams>(params),
        "logging/setLevel" => check::<SetLevelRequestParams>(params),
        "tools/call" => check::<CallToolRequestParams>(params),
        "tools/list" | "prompts/list" | "resources/list" | "resources/templates/list" => {
            check::<PaginatedRequestParams>(params)
        }
        "prompts/get" => check::<GetPromptRequestParams>(params),
        "resources/read" => check::<ReadResourceRequestParams>(params),
        "completion/complete" => check::<CompleteRequestParams>(params),
        _ => Ok(()),
    }
}
