//! A client's side: requests, and responses read to their end.

use std::{net::IpAddr, time::Duration};

use futures::{StreamExt, future::LocalBoxFuture, stream::LocalBoxStream};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use serde_json::{Value, json};

use super::{home::Home, sleep};
use crate::transport::{Body, Request, Response};

/// A request being made.
pub(in crate::transport::tests) struct Call {
    method: Method,
    uri: String,
    headers: HeaderMap,
    body: Vec<u8>,
    peer: Option<IpAddr>,
    closed: LocalBoxFuture<'static, ()>,
}

impl Call {
    pub(in crate::transport::tests) fn new(method: Method) -> Self {
        Self {
            method,
            uri: "http://127.0.0.1:8787/mcp".into(),
            headers: HeaderMap::new(),
            body: Vec::new(),
            peer: None,
            closed: Box::pin(futures::future::pending()),
        }
        .header("host", "127.0.0.1:8787")
        .header("accept", "application/json, text/event-stream")
    }

    pub(in crate::transport::tests) fn post(body: &Value) -> Self {
        Self::raw(body.to_string().into_bytes())
    }

    pub(in crate::transport::tests) fn raw(body: Vec<u8>) -> Self {
        Self { body, ..Self::new(Method::POST) }.header("content-type", "application/json")
    }

    /// A modern request with its headers and `_meta`.
    pub(in crate::transport::tests) fn modern(method: &str, mut params: Value) -> Self {
        let meta = params.as_object_mut().unwrap().entry("_meta").or_insert_with(|| json!({}));
        meta["io.modelcontextprotocol/protocolVersion"] = "2026-07-28".into();
        meta["io.modelcontextprotocol/clientCapabilities"] = json!({});
        let name = params["name"].as_str().map(str::to_owned);
        let call = Self::post(&json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }))
            .header("mcp-protocol-version", "2026-07-28")
            .header("mcp-method", method);
        match name {
            Some(name) => call.header("mcp-name", &name),
            None => call,
        }
    }

    pub(in crate::transport::tests) fn modern_run(code: &str) -> Self {
        Self::modern("tools/call", run_params(code))
    }

    pub(in crate::transport::tests) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.insert(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap());
        self
    }

    pub(in crate::transport::tests) fn without(mut self, name: &str) -> Self {
        self.headers.remove(name);
        self
    }

    pub(in crate::transport::tests) fn session(self, id: &str) -> Self {
        self.header("mcp-session-id", id)
    }

    /// The client's address.
    pub(in crate::transport::tests) fn from(mut self, peer: Option<IpAddr>) -> Self {
        self.peer = peer;
        self
    }

    /// The client goes away at `time` from now.
    pub(in crate::transport::tests) fn closes_after(mut self, time: Duration) -> Self {
        self.closed = sleep(time);
        self
    }

    pub(in crate::transport::tests) async fn response(self, home: &Home) -> Response {
        let mut request = Request::new(self.method, self.uri.parse().unwrap(), self.headers, self.body);
        request.closed = self.closed;
        request.peer = self.peer;
        home.serve(request).await
    }

    pub(in crate::transport::tests) async fn send(self, home: &Home) -> Reply {
        Reply::read(self.response(home).await).await
    }
}

pub(in crate::transport::tests) fn run_params(code: &str) -> Value {
    json!({ "name": "run_python_code", "arguments": { "python_code": code } })
}

/// A response, read to its end.
#[derive(Debug)]
pub(in crate::transport::tests) struct Reply {
    pub(in crate::transport::tests) status: StatusCode,
    pub(in crate::transport::tests) headers: HeaderMap,
    pub(in crate::transport::tests) text: String,
    /// The messages of an event stream, or that of a JSON body.
    pub(in crate::transport::tests) messages: Vec<Value>,
    pub(in crate::transport::tests) keep_alives: usize,
}

impl Reply {
    async fn read(response: Response) -> Self {
        let Response { status, headers, body } = response;
        let mut reply = Self { status, headers, text: String::new(), messages: Vec::new(), keep_alives: 0 };
        match body {
            Body::Empty => {}
            Body::Full(bytes) => {
                reply.text = String::from_utf8(bytes).unwrap();
                reply.messages.push(serde_json::from_str(&reply.text).unwrap());
            }
            Body::Stream(_) => panic!("no file was asked for"),
            Body::Events(events) => reply.read_events(events).await,
        }
        reply
    }

    async fn read_events(&mut self, mut events: LocalBoxStream<'static, String>) {
        while let Some(event) = events.next().await {
            self.text.push_str(&event);
            match event.strip_prefix("event: message\ndata: ").and_then(|e| e.strip_suffix("\n\n")) {
                Some(data) => self.messages.push(serde_json::from_str(data).unwrap()),
                None => {
                    assert_eq!(event, ": keep-alive\n\n");
                    self.keep_alives += 1;
                }
            }
        }
    }

    pub(in crate::transport::tests) fn is_events(&self) -> bool {
        self.headers.get("content-type").is_some_and(|value| value == "text/event-stream")
    }

    /// The last message.
    pub(in crate::transport::tests) fn last(&self) -> &Value {
        self.messages.last().unwrap()
    }

    pub(in crate::transport::tests) fn error_code(&self) -> i64 {
        self.last()["error"]["code"].as_i64().unwrap_or_else(|| panic!("no error: {self:?}"))
    }

    pub(in crate::transport::tests) fn error_message(&self) -> String {
        self.last()["error"]["message"].as_str().unwrap().to_owned()
    }

    pub(in crate::transport::tests) fn structured(&self) -> &Value {
        &self.last()["result"]["structuredContent"]
    }

    /// The levels of log messages, and their data.
    pub(in crate::transport::tests) fn logs(&self) -> Vec<(String, String)> {
        self.messages
            .iter()
            .filter(|message| message["method"] == "notifications/message")
            .map(|message| {
                let text = |key: &str| message["params"][key].as_str().unwrap().to_owned();
                (text("level"), text("data"))
            })
            .collect()
    }
}

/// Initializes a legacy session; returns its id.
pub(in crate::transport::tests) async fn initialize(home: &Home, version: &str) -> String {
    let reply = Call::post(&initialize_request(version)).send(home).await;
    assert_eq!(reply.status, StatusCode::OK, "{reply:?}");
    assert_eq!(reply.last()["result"]["protocolVersion"], version);
    reply.headers["mcp-session-id"].to_str().unwrap().to_owned()
}

pub(in crate::transport::tests) fn initialize_request(version: &str) -> Value {
    json!({
        "jsonrpc": "2.0",
        "id": 0,
        "method": "initialize",
        "params": {
            "protocolVersion": version,
            "capabilities": {},
            "clientInfo": { "name": "test", "version": "1" },
        },
    })
}

pub(in crate::transport::tests) fn request(id: impl Into<Value>, method: &str, params: Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": id.into(), "method": method, "params": params })
}
