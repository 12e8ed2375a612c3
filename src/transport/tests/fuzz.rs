//! Nothing that a client sends makes the decoder, the endpoint or a channel panic; every answer is well-formed.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{
    channel::Line,
    harness::{Call, Home, initialize_request, request, run, run_params},
};
use crate::transport::message::{Payload, decode};

fn valid_messages() -> Vec<Vec<u8>> {
    let mut call = run_params("return 1");
    call["arguments"]["global_variables"] = json!({ "x": [1, 2.5, null, "\u{1f40d}"] });
    call["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
        "progressToken": 1,
    });
    [
        initialize_request("2025-03-26"),
        request(1, "tools/call", call),
        request("a", "logging/setLevel", json!({ "level": "info" })),
        json!([request(1, "ping", json!({})), request(2, "tools/list", json!({ "cursor": "c" }))]),
        json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": 1 } }),
        json!({ "jsonrpc": "2.0", "id": 1, "result": {} }),
    ]
    .iter()
    .map(|message: &Value| message.to_string().into_bytes())
    .collect()
}

/// Pieces that break messages in interesting ways.
const PIECES: &[&str] = &[
    "null",
    "\"id\":",
    "[",
    "{",
    "}",
    "]",
    ",",
    "\\ud800",
    "\u{0}",
    "1e999",
    "-0.0",
    "99999999999999999999",
    "{\"$serde_json::private::Number\":\"x\"}",
    "{\"$serde_json::private::Number\":\"1\"}",
    "\"method\":\"tools/call\"",
    "\"params\":[]",
    "true",
];

fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let edit = (any::<prop::sample::Index>(), 0_usize..12, 0..PIECES.len(), any::<u8>());
    (prop::sample::select(valid_messages()), prop::collection::vec(edit, 1..5)).prop_map(|(mut bytes, edits)| {
        for (at, length, piece, byte) in edits {
            let at = at.index(bytes.len() + 1);
            let end = (at + length).min(bytes.len());
            let replacement = if byte % 4 == 0 { vec![byte] } else { PIECES[piece].as_bytes().to_vec() };
            bytes.splice(at..end, replacement);
        }
        bytes
    })
}

/// The messages of a batch, or the one message.
fn items(message: &Value) -> Vec<Value> {
    match message {
        Value::Array(items) => items.clone(),
        message => vec![message.clone()],
    }
}

/// Checks that the endpoint and a channel answer `body` with something well-formed.
fn check(body: Vec<u8>) {
    match decode(&body) {
        Ok(Payload::Batch(items)) => assert!(!items.is_empty()),
        Ok(Payload::One(_)) => {}
        Err(rejection) => {
            assert!(matches!(rejection.error.code.0, -32700 | -32600 | -32602), "{rejection:?}");
            assert!(!rejection.error.message.is_empty());
        }
    }
    let message = body.clone();
    run(async move {
        let line = Line::new();
        line.channel.receive(&message);
        for message in line.settle().await.iter().flat_map(items) {
            assert_eq!(message["jsonrpc"], "2.0", "{message}");
        }
    });
    run(async move {
        for sessions in [true, false] {
            let home = Home::with(|options| options.legacy_sessions = sessions);
            for version in [None, Some("2025-03-26"), Some("2026-07-28")] {
                let call = Call::raw(body.clone());
                let call = match version {
                    Some(version) => call.header("mcp-protocol-version", version),
                    None => call,
                };
                let reply = call.send(&home).await;
                assert!(reply.status.as_u16() < 500, "{reply:?}");
                for message in reply.messages.iter().flat_map(items) {
                    assert_eq!(message["jsonrpc"], "2.0", "{message}");
                }
            }
        }
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_are_answered(body in prop::collection::vec(any::<u8>(), 0..200)) {
        check(body);
    }

    #[test]
    fn mutated_messages_are_answered(body in mutated()) {
        check(body);
    }
}
