//! The legacy eras: sessions, batches, cancellation, and the mode without sessions.

use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::harness::{Call, Home, initialize, initialize_request, now, request, run, run_params, sleep, spawn};
use crate::limits::MAX_BATCH;

const VERSIONS: [&str; 3] = ["2025-03-26", "2025-06-18", "2025-11-25"];

#[test]
fn a_session_from_initialize_to_delete() {
    for version in VERSIONS {
        run(async move {
            let home = Home::new();
            let id = initialize(&home, version).await;
            let post = |body: Value| Call::post(&body).session(&id).header("mcp-protocol-version", version);
            let initialized = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
            assert_eq!(post(initialized).send(&home).await.status, StatusCode::ACCEPTED);
            let ping = post(request(1, "ping", json!({}))).send(&home).await;
            assert_eq!(*ping.last(), json!({ "jsonrpc": "2.0", "id": 1, "result": {} }));
            let list = post(request("two", "tools/list", json!({}))).send(&home).await;
            assert_eq!(list.last()["result"]["tools"][0]["name"], "run_python_code");
            assert!(list.last()["result"].get("ttlMs").is_none(), "of 2026-07-28 only");
            let called = post(request(3, "tools/call", run_params("return 5"))).send(&home).await;
            assert_eq!(called.structured()["return_value"], json!(5));
            assert!(called.last()["result"].get("resultType").is_none(), "of 2026-07-28 only");

            let delete = || Call::new(Method::DELETE).session(&id);
            assert_eq!(delete().send(&home).await.status, StatusCode::OK);
            for call in [delete(), Call::new(Method::GET).session(&id), post(request(4, "ping", json!({})))] {
                assert_eq!(call.send(&home).await.status, StatusCode::NOT_FOUND);
            }
            let again = post(initialize_request(version)).send(&home).await;
            assert_eq!(again.status, StatusCode::NOT_FOUND, "an id is not used twice");
        });
    }
}

#[test]
fn initialize_answers_with_the_originals_words_and_a_version_that_it_speaks() {
    run(async {
        let home = Home::new();
        let reply = Call::post(&initialize_request("1.0.0")).send(&home).await;
        let result = &reply.last()["result"];
        assert_eq!(result["protocolVersion"], "2025-11-25");
        assert_eq!(result["serverInfo"]["name"], "MCP Run Python");
        let instructions = result["instructions"].as_str().unwrap();
        assert!(instructions.starts_with(
            "Call the \"run_python_code\" tool with the Python code to run, in a sandbox without network"
        ));
        assert!(instructions.ends_with("Nothing can be installed."));
    });
}

#[test]
fn a_session_is_initialized_once() {
    run(async {
        let home = Home::new();
        let id = initialize(&home, "2025-11-25").await;
        let reply = Call::post(&initialize_request("2025-11-25")).session(&id).send(&home).await;
        assert_eq!((reply.status.as_u16(), reply.error_code()), (400, -32600));
        let wrong = request(1, "initialize", json!({ "protocolVersion": 1 }));
        let reply = Call::post(&wrong).send(&home).await;
        assert_eq!((reply.status.as_u16(), reply.error_code()), (400, -32602), "{reply:?}");
        assert!(reply.headers.get("mcp-session-id").is_none());
    });
}

#[test]
fn sessions_that_are_unknown_or_missing() {
    run(async {
        let home = Home::new();
        let ping = request(9, "ping", json!({}));
        let reply = Call::post(&ping).session("nope").send(&home).await;
        assert_eq!((reply.status.as_u16(), reply.error_code()), (404, -32001));
        let reply = Call::post(&ping).send(&home).await;
        assert_eq!((reply.status.as_u16(), reply.last()["id"].as_i64()), (400, Some(9)));
        for method in [Method::GET, Method::DELETE] {
            let reply = Call::new(method).send(&home).await;
            assert_eq!(reply.status, StatusCode::BAD_REQUEST);
        }
        let reply = Call::new(Method::PUT).send(&home).await;
        assert_eq!(reply.status, StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(reply.headers["allow"], "GET, POST, DELETE, OPTIONS");
    });
}

#[test]
fn the_version_header_is_checked() {
    run(async {
        let home = Home::new();
        let id = initialize(&home, "2025-06-18").await;
        let ping =
            |version| Call::post(&request(1, "ping", json!({}))).session(&id).header("mcp-protocol-version", version);
        assert_eq!(ping("2025-06-18").send(&home).await.status, StatusCode::OK);
        assert_eq!(ping("1999-01-01").send(&home).await.status, StatusCode::BAD_REQUEST);
    });
}

#[test]
fn log_messages_are_sent_once_asked_for_and_the_level_survives_a_restart() {
    run(async {
        let home = Home::new();
        let id = initialize(&home, "2025-11-25").await;
        let code = "print out\nwarn err\nreturn 1";
        let logs = async || {
            let call = Call::post(&request(1, "tools/call", run_params(code))).session(&id);
            call.send(&home).await.logs()
        };
        let set_level = async |level: &str| {
            let body = request(2, "logging/setLevel", json!({ "level": level }));
            let reply = Call::post(&body).session(&id).send(&home).await;
            assert_eq!(reply.last()["result"], json!({}));
        };
        assert_eq!(logs().await, [], "as the original, nothing until a level is set");
        set_level("info").await;
        let both = [("info".into(), "out".into()), ("warning".into(), "err".into())];
        assert_eq!(logs().await, both);
        home.restart();
        assert_eq!(logs().await, both);
        set_level("warning").await;
        assert_eq!(logs().await, both[1..]);
        let other = initialize(&home, "2025-11-25").await;
        let call = Call::post(&request(1, "tools/call", run_params(code))).session(&other);
        assert_eq!(call.send(&home).await.logs(), [], "a level is its session's");
    });
}

#[test]
fn a_batch_is_answered_by_an_array() {
    run(async {
        let home = Home::new();
        let id = initialize(&home, "2025-03-26").await;
        let batch = json!([
            request(1, "ping", json!({})),
            { "jsonrpc": "2.0", "method": "notifications/initialized" },
            request(2, "tools/call", run_params("return 2")),
            request(3, "no/such", json!({})),
            request(4, "initialize", initialize_request("2025-03-26")["params"].clone()),
            5,
        ]);
        let reply = Call::post(&batch).session(&id).send(&home).await;
        assert_eq!(reply.status, StatusCode::OK);
        let responses = reply.last().as_array().unwrap();
        let of = |id: i64| responses.iter().find(|r| r["id"] == id).unwrap();
        assert_eq!(responses.len(), 5, "{reply:?}");
        assert_eq!(of(1)["result"], json!({}));
        assert_eq!(of(2)["result"]["structuredContent"]["return_value"], json!(2));
        assert_eq!(of(3)["error"]["code"], -32601);
        assert_eq!(of(4)["error"]["code"], -32600);
        assert!(responses.iter().any(|r| r.get("id").is_none() && r["error"]["code"] == -32600));

        let silent = json!([{ "jsonrpc": "2.0", "method": "notifications/initialized" }]);
        let reply = Call::post(&silent).session(&id).send(&home).await;
        assert_eq!(reply.status, StatusCode::ACCEPTED);
        let many: Vec<_> = (0..=MAX_BATCH).map(|id| request(id, "ping", json!({}))).collect();
        let reply = Call::post(&json!(many)).session(&id).send(&home).await;
        assert_eq!((reply.status.as_u16(), reply.error_code()), (400, -32600));
    });
}

#[test]
fn batches_are_of_one_version_only() {
    run(async {
        let home = Home::new();
        for version in ["2025-06-18", "2025-11-25"] {
            let id = initialize(&home, version).await;
            let batch = json!([request(1, "ping", json!({}))]);
            let reply = Call::post(&batch).session(&id).send(&home).await;
            assert_eq!((reply.status.as_u16(), reply.error_code()), (400, -32600));
        }
    });
}

#[test]
fn a_cancelled_run_ends_without_a_response() {
    run(async {
        let home = Home::new();
        let id = initialize(&home, "2025-11-25").await;
        let cancel = json!({
            "jsonrpc": "2.0",
            "method": "notifications/cancelled",
            "params": { "requestId": 8, "reason": "test" },
        });
        let canceller = Call::post(&cancel).session(&id);
        let in_task = home.clone();
        spawn(Box::pin(async move {
            sleep(Duration::from_secs(3)).await;
            assert_eq!(canceller.send(&in_task).await.status, StatusCode::ACCEPTED);
        }));
        assert!(home.session(&id).is_idle());
        let call = Call::post(&request(8, "tools/call", run_params("sleep 100"))).session(&id);
        let reply = call.send(&home).await;
        assert_eq!(now(), Duration::from_secs(3));
        assert_eq!(reply.messages, Vec::<Value>::new());
        assert_eq!(home.seen.dropped.get(), 1);
        assert!(home.session(&id).is_idle());
        let call = Call::post(&request(8, "tools/call", run_params("return 1"))).session(&id);
        assert_eq!(call.send(&home).await.structured()["return_value"], json!(1), "the id is free");
    });
}

#[test]
fn an_id_in_use_is_refused_and_delete_ends_runs() {
    run(async {
        let home = Home::new();
        let id = initialize(&home, "2025-11-25").await;
        let long = || Call::post(&request(1, "tools/call", run_params("sleep 100"))).session(&id);
        let first = long().response(&home).await;
        assert!(!home.session(&id).is_idle());
        let second = long().send(&home).await;
        assert_eq!(second.error_code(), -32600, "{second:?}");
        Call::new(Method::DELETE).session(&id).send(&home).await;
        sleep(Duration::from_millis(1)).await;
        assert_eq!(home.seen.dropped.get(), 1);
        drop(first);
    });
}

#[test]
fn the_get_stream_stays_open_until_delete() {
    run(async {
        let home = Home::new();
        let id = initialize(&home, "2025-11-25").await;
        let get = || Call::new(Method::GET).session(&id);
        assert_eq!(get().header("accept", "application/json").send(&home).await.status, StatusCode::NOT_ACCEPTABLE);
        let in_task = home.clone();
        let delete = Call::new(Method::DELETE).session(&id);
        spawn(Box::pin(async move {
            sleep(Duration::from_secs(60)).await;
            delete.send(&in_task).await;
        }));
        let reply = get().send(&home).await;
        assert!(reply.is_events());
        assert_eq!((now(), reply.keep_alives), (Duration::from_secs(60), 2));
    });
}

#[test]
fn get_streams_are_bounded() {
    run(async {
        let home = Home::new();
        let id = initialize(&home, "2025-11-25").await;
        let mut open = Vec::new();
        loop {
            let response = Call::new(Method::GET).session(&id).response(&home).await;
            if response.status == StatusCode::CONFLICT {
                break;
            }
            open.push(response);
            assert!(open.len() < 100);
        }
        open.pop();
        let response = Call::new(Method::GET).session(&id).response(&home).await;
        assert_eq!(response.status, StatusCode::OK, "one that was closed makes room");
    });
}

#[test]
fn modern_metadata_in_a_session_is_a_mismatch() {
    run(async {
        let home = Home::new();
        let id = initialize(&home, "2025-11-25").await;
        let call = Call::modern_run("return 1").session(&id).without("mcp-protocol-version");
        let reply = call.send(&home).await;
        assert_eq!((reply.status.as_u16(), reply.error_code()), (400, -32020));
        let reply = Call::modern_run("return 1").session(&id).send(&home).await;
        assert_eq!(reply.status, StatusCode::OK, "with its header it is a modern request");
    });
}

#[test]
fn without_sessions_every_request_stands_for_itself() {
    run(async {
        let home = Home::with(|options| options.legacy_sessions = false);
        let reply = Call::post(&initialize_request("2025-06-18")).send(&home).await;
        assert_eq!(reply.last()["result"]["protocolVersion"], "2025-06-18");
        assert!(reply.headers.get("mcp-session-id").is_none());
        let call = Call::post(&request(1, "tools/call", run_params("return 1")))
            .session("ignored")
            .header("mcp-protocol-version", "2025-06-18");
        assert_eq!(call.send(&home).await.structured()["return_value"], json!(1));
        let batch = json!([request(1, "ping", json!({})), request(2, "ping", json!({}))]);
        let reply = Call::post(&batch).send(&home).await;
        assert_eq!(reply.last().as_array().unwrap().len(), 2);
        for method in [Method::GET, Method::DELETE] {
            let reply = Call::new(method).send(&home).await;
            assert_eq!(reply.status, StatusCode::METHOD_NOT_ALLOWED);
            assert_eq!(reply.headers["allow"], "POST, OPTIONS");
        }
    });
}
