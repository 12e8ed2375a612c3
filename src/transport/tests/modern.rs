//! 2026-07-28: routing, headers, errors and their statuses.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::harness::{Call, Home, Reply, initialize_request, request, run};
use crate::{limits::MAX_BODY, session::SessionChoice};

fn send(call: Call) -> Reply {
    run(async move { call.send(&Home::new()).await })
}

fn refused(call: Call, status: u16, code: i64) -> String {
    let reply = send(call);
    assert_eq!((reply.status.as_u16(), reply.error_code()), (status, code), "{reply:?}");
    reply.error_message()
}

#[test]
fn discover_tells_versions_and_may_be_cached() {
    let reply = send(Call::modern("server/discover", json!({})));
    let result = &reply.last()["result"];
    assert_eq!(reply.status, StatusCode::OK);
    assert!(result["supportedVersions"].as_array().unwrap().contains(&json!("2026-07-28")));
    assert_eq!(result["cacheScope"], "public");
    assert!(result["ttlMs"].as_u64().unwrap() > 0);
}

#[test]
fn tools_are_the_originals_and_may_be_cached() {
    let reply = send(Call::modern("tools/list", json!({})));
    let result = &reply.last()["result"];
    assert_eq!(result["cacheScope"], "public");
    assert!(result["ttlMs"].as_u64().unwrap() > 0);
    let tool = &result["tools"][0];
    assert_eq!(tool["name"], "run_python_code");
    assert_eq!(tool["title"], "Run Python code");
    assert!(
        tool["description"]
            .as_str()
            .unwrap()
            .starts_with("Tool to execute Python code and return stdout, stderr, and return value.\n\n")
    );
    assert_eq!(tool["inputSchema"]["required"], json!(["python_code"]));
    assert_eq!(tool["inputSchema"]["properties"]["global_variables"]["default"], json!({}));
    assert_eq!(tool["outputSchema"]["type"], "object");
    let tool = &result["tools"][1];
    assert_eq!(tool["name"], "end_python_session");
    assert_eq!(tool["inputSchema"]["required"], json!(["session"]));
    let hints = json!({
        "readOnlyHint": false, "destructiveHint": true, "idempotentHint": true, "openWorldHint": false,
    });
    assert_eq!(tool["annotations"], hints);
    assert_eq!(result["tools"].as_array().unwrap().len(), 2);
}

#[test]
fn a_session_is_ended_and_one_that_is_unknown_is_an_error_of_the_tool() {
    let end = |session: Value| {
        send(Call::modern("tools/call", json!({ "name": "end_python_session", "arguments": { "session": session } })))
    };
    for (session, is_error, text) in [
        ("h1", false, "the session has ended, with its variables and files"),
        ("h2", true, "there is no such session"),
        ("new", true, "there is no such session"),
    ] {
        let reply = end(session.into());
        let result = &reply.last()["result"];
        assert_eq!((&result["isError"], &result["content"][0]["text"]), (&json!(is_error), &json!(text)), "{session}");
        assert_eq!(result["content"].as_array().unwrap().len(), 1);
    }
    assert_eq!(end(json!(1)).error_code(), -32602);
}

#[test]
fn a_cursor_that_was_not_given_out_is_refused() {
    refused(Call::modern("tools/list", json!({ "cursor": "x" })), 200, -32602);
}

#[test]
fn a_quick_run_is_answered_by_json() {
    let reply = send(Call::modern_run("print hello\nreturn 2"));
    assert_eq!(reply.headers["content-type"], "application/json");
    assert_eq!(reply.structured()["output"], json!(["hello"]));
    assert_eq!(reply.structured()["return_value"], json!(2));
    assert_eq!(reply.last()["result"]["resultType"], "complete");
}

#[test]
fn numbers_keep_their_digits_both_ways() {
    let globals = r#"{"big":1267650600228229401496703205376,"power":10000000000000000000000000000000000000000,"float":3.0,"minus_zero":-0.0,"digits":0.1000000000000000055511151231257827,"exponent":1e+400,"nested":[[1.0,{"x":2.50}]]}"#;
    let body = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"run_python_code","arguments":{{"python_code":"globals","global_variables":{globals}}},"_meta":{{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{{}}}}}}}}"#
    );
    let call = Call::raw(body.into_bytes())
        .header("mcp-protocol-version", "2026-07-28")
        .header("mcp-method", "tools/call")
        .header("mcp-name", "run_python_code");
    let reply = send(call);
    assert!(reply.text.contains(&format!(r#""return_value":{globals}"#)), "{}", reply.text);
}

#[test]
fn each_header_is_checked_against_the_body() {
    let call = || Call::modern_run("return 1");
    for (call, message) in [
        (call().without("mcp-protocol-version"), "missing MCP-Protocol-Version header"),
        (call().without("mcp-method"), "missing Mcp-Method header"),
        (call().without("mcp-name"), "missing Mcp-Name header"),
        (call().header("mcp-method", "tools/list"), "does not match body"),
        (call().header("mcp-name", "other"), "does not match body"),
        (call().header("mcp-name", "=?base64?!!?="), "not valid Base64"),
        (call().header("mcp-protocol-version", "2027-01-01"), "does not match _meta"),
        (call().header("mcp-protocol-version", "2025-11-25"), "does not match _meta"),
    ] {
        let got = refused(call, 400, -32020);
        assert!(got.contains(message), "{got}");
    }
    let reply = send(call().header("mcp-name", "=?base64?cnVuX3B5dGhvbl9jb2Rl?="));
    assert_eq!(reply.status, StatusCode::OK, "{reply:?}");
}

#[test]
fn unsupported_versions_are_told_what_is_supported() {
    let mut body = request(7, "tools/list", json!({}));
    body["params"]["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": "2099-01-01",
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    let call = Call::post(&body).header("mcp-protocol-version", "2099-01-01").header("mcp-method", "tools/list");
    let reply = send(call);
    assert_eq!((reply.status.as_u16(), reply.error_code()), (400, -32022));
    assert_eq!(reply.last()["id"], 7);
    let data = &reply.last()["error"]["data"];
    assert_eq!(data["requested"], "2099-01-01");
    assert!(data["supported"].as_array().unwrap().contains(&json!("2026-07-28")));
}

#[test]
fn meta_is_required() {
    let call = Call::post(&request(1, "tools/list", json!({})))
        .header("mcp-protocol-version", "2026-07-28")
        .header("mcp-method", "tools/list");
    assert!(refused(call, 400, -32602).contains("clientCapabilities"));
}

#[test]
fn methods_of_other_eras_and_unknown_ones_are_not_found() {
    for method in ["ping", "logging/setLevel", "initialize", "no/such", "subscriptions/listen"] {
        let params = match method {
            "logging/setLevel" => json!({ "level": "info" }),
            "initialize" => initialize_request("2026-07-28")["params"].clone(),
            "subscriptions/listen" => json!({ "notifications": {} }),
            _ => json!({}),
        };
        refused(Call::modern(method, params), 404, -32601);
        refused(Call::modern(method, json!({})), 404, -32601);
    }
}

#[test]
fn tools_and_arguments_are_checked() {
    let call = |params| Call::modern("tools/call", params);
    assert!(refused(call(json!({ "name": "nope" })), 200, -32602).contains("Unknown tool: nope"));
    let run = |arguments: Value| call(json!({ "name": "run_python_code", "arguments": arguments }));
    assert!(refused(run(json!({})), 200, -32602).contains("`python_code`"));
    assert!(refused(run(json!([])), 400, -32602).contains("`arguments`"));
    assert!(refused(call(json!({})).header("mcp-name", "x"), 400, -32602).contains("`name`"));
    let long = run(json!({ "python_code": "a".repeat(2 << 20) }));
    assert!(refused(long, 200, -32602).contains("at most 1048576"));
}

#[test]
fn the_wrong_shape_of_known_parameters_is_invalid_params() {
    refused(Call::modern("tools/list", json!({ "cursor": 5 })), 400, -32602);
    let bad = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": [] });
    refused(Call::post(&bad), 400, -32602);
}

#[test]
fn what_is_no_message_gets_a_precise_error() {
    for (body, code) in [
        (&b"not json"[..], -32700),
        (b"", -32700),
        (b"\xff\xfe", -32700),
        (br#"{"jsonrpc":"2.0","id":1,"method":"\ud800"}"#, -32700),
        (b"5", -32600),
        (b"null", -32600),
        (b"[]", -32600),
        (br#"{"id":1,"method":"ping"}"#, -32600),
        (br#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#, -32600),
        (br#"{"jsonrpc":"2.0","id":1}"#, -32600),
        (br#"{"jsonrpc":"2.0","id":1,"method":5}"#, -32600),
        (br#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#, -32600),
        (br#"{"jsonrpc":"2.0","id":1.5,"method":"ping"}"#, -32600),
        (br#"{"jsonrpc":"2.0","id":{},"method":"ping"}"#, -32600),
    ] {
        refused(Call::raw(body.to_vec()), 400, code);
    }
    let deep = format!("{}1{}", "[".repeat(200), "]".repeat(200));
    assert!(refused(Call::raw(deep.into_bytes()), 400, -32700).contains("128"));
    let reply = send(Call::raw(br#"{"jsonrpc":"2.0","id":"x"}"#.to_vec()));
    assert_eq!(reply.last()["id"], "x", "the id is told where it can be read");
}

#[test]
fn batches_are_refused() {
    let batch = json!([request(1, "tools/list", json!({}))]);
    let call = Call::post(&batch).header("mcp-protocol-version", "2026-07-28");
    assert!(refused(call, 400, -32600).contains("2025-03-26"));
}

#[test]
fn a_body_is_bounded_by_its_header_and_while_it_is_read() {
    let declared = Call::raw(b"{}".to_vec()).header("content-length", &(MAX_BODY + 1).to_string());
    refused(declared, 413, -32000);
    refused(Call::raw(vec![b' '; MAX_BODY + 1]), 413, -32000);
}

#[test]
fn media_types_are_checked() {
    let call = || Call::modern("tools/list", json!({}));
    refused(call().header("content-type", "text/plain"), 415, -32000);
    refused(call().without("content-type"), 415, -32000);
    refused(call().header("accept", "text/html"), 406, -32000);
    for accept in ["application/json", "*/*", "Application/JSON;q=0.5, text/*"] {
        assert_eq!(send(call().header("accept", accept)).status, StatusCode::OK, "{accept}");
    }
    assert!(send(call().header("accept", "text/event-stream")).is_events());
}

#[test]
fn other_methods_are_not_allowed() {
    for method in [Method::GET, Method::DELETE, Method::PUT] {
        let reply = send(Call::new(method).header("mcp-protocol-version", "2026-07-28"));
        assert_eq!(reply.status, StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(reply.headers["allow"], "POST, OPTIONS");
    }
}

#[test]
fn notifications_are_accepted() {
    let body = json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": 1 } });
    let call = || Call::post(&body).header("mcp-protocol-version", "2026-07-28");
    assert_eq!(send(call()).status, StatusCode::ACCEPTED);
    refused(call().header("mcp-method", "other"), 400, -32020);
}

#[test]
fn sessions_are_asked_for_by_argument() {
    run(async {
        let home = Home::new();
        let call = |session: &str| {
            let arguments = json!({ "python_code": "return 1", "session": session });
            Call::modern("tools/call", json!({ "name": "run_python_code", "arguments": arguments }))
        };
        let reply = call("new").send(&home).await;
        assert_eq!(reply.structured()["session"], "h1");
        assert_eq!(call("h1").send(&home).await.structured()["session"], "h1");
        let reply = call("other").send(&home).await;
        assert_eq!(reply.error_code(), -32602);
        assert!(reply.error_message().contains("`session`"), "{reply:?}");
        let unnamed = Call::modern_run("return 1").send(&home).await;
        assert!(unnamed.structured().get("session").is_none());
        assert_eq!(
            *home.seen.opened.borrow(),
            [
                SessionChoice::New,
                SessionChoice::Handle("h1".into()),
                SessionChoice::Handle("other".into()),
                SessionChoice::Unnamed
            ]
        );
    });
}

#[test]
fn a_lost_sandbox_is_an_outcome() {
    let reply = send(Call::modern_run("print a\nlose"));
    assert_eq!(reply.structured()["status"], "run-error");
    assert_eq!(reply.structured()["output"], json!(["a"]), "what was printed is not lost");
    assert!(reply.structured()["error"].as_str().unwrap().contains("lost"), "{reply:?}");
    assert_eq!(reply.last()["result"]["isError"], false);
}
