//! A channel of messages: both eras, at once, and what ends a run.

use std::{cell::RefCell, rc::Rc, time::Duration};

use serde_json::{Value, json};

use super::harness::{Home, Seen, initialize_request, now, request, run, run_params, sleep};
use crate::{
    limits::{MAX_BATCH, MAX_BODY, MAX_IN_FLIGHT},
    transport::{Channel, Platform},
};

/// A client's end of a channel.
pub(super) struct Line {
    pub(super) channel: Channel,
    fresh: Rc<Seen>,
    session: Rc<Seen>,
    sent: Rc<RefCell<Vec<Value>>>,
}

impl Line {
    pub(super) fn new() -> Self {
        let (fresh, session) = (Rc::new(Seen::default()), Rc::new(Seen::default()));
        let sent = Rc::new(RefCell::new(Vec::new()));
        let outbox = sent.clone();
        let platform = Platform { sleep, spawn: super::harness::spawn, now };
        let channel = Channel::new(
            Home::server(&fresh, true, None),
            Home::server(&session, false, None),
            platform,
            move |text| {
                assert!(!text.contains('\n'), "{text}");
                outbox.borrow_mut().push(serde_json::from_str(&text).unwrap());
            },
        );
        Self { channel, fresh, session, sent }
    }

    fn say(&self, message: &Value) {
        self.channel.receive(message.to_string().as_bytes());
    }

    /// Returns all that was sent, once nothing is going on.
    pub(super) async fn settle(&self) -> Vec<Value> {
        sleep(Duration::from_millis(1)).await;
        while !self.channel.is_idle() {
            sleep(Duration::from_secs(1)).await;
        }
        self.sent.take()
    }

    async fn ask(&self, message: &Value) -> Value {
        self.say(message);
        self.settle().await.pop().unwrap_or_default()
    }

    async fn initialize(&self, version: &str) {
        let answer = self.ask(&initialize_request(version)).await;
        assert_eq!(answer["result"]["protocolVersion"], version);
        self.say(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }));
    }
}

fn modern(id: i64, method: &str, mut params: Value) -> Value {
    params["_meta"]["io.modelcontextprotocol/protocolVersion"] = "2026-07-28".into();
    params["_meta"]["io.modelcontextprotocol/clientCapabilities"] = json!({});
    request(id, method, params)
}

fn logs(messages: &[Value]) -> Vec<&str> {
    let logs = messages.iter().filter(|message| message["method"] == "notifications/message");
    logs.map(|message| message["params"]["data"].as_str().unwrap()).collect()
}

#[test]
fn a_client_of_each_legacy_era_is_served_in_its_own_interpreter() {
    for version in ["2025-03-26", "2025-06-18", "2025-11-25"] {
        run(async move {
            let line = Line::new();
            line.initialize(version).await;
            assert_eq!(line.ask(&request(1, "ping", json!({}))).await["result"], json!({}));
            let list = line.ask(&request("two", "tools/list", json!({}))).await;
            assert_eq!(list["result"]["tools"][0]["name"], "run_python_code");
            let called = line.ask(&request(3, "tools/call", run_params("return 5"))).await;
            assert_eq!(called["result"]["structuredContent"]["return_value"], json!(5));
            assert_eq!((line.session.started.get(), line.fresh.started.get()), (1, 0));
            let again = line.ask(&initialize_request(version)).await;
            assert_eq!(again["error"]["code"], -32600);
        });
    }
}

#[test]
fn modern_requests_stand_for_themselves() {
    run(async {
        let line = Line::new();
        let discovered = line.ask(&modern(1, "server/discover", json!({}))).await;
        assert!(discovered["result"]["supportedVersions"].as_array().unwrap().contains(&json!("2026-07-28")));
        let params = json!({
            "name": "run_python_code",
            "arguments": { "python_code": "print a\nwarn b\nreturn 5" },
            "_meta": { "io.modelcontextprotocol/logLevel": "warning" },
        });
        line.say(&modern(2, "tools/call", params));
        let messages = line.settle().await;
        assert_eq!(logs(&messages), ["b"]);
        assert_eq!(messages.last().unwrap()["result"]["structuredContent"]["return_value"], json!(5));
        assert_eq!((line.session.started.get(), line.fresh.started.get()), (0, 1));
        assert_eq!(line.ask(&modern(3, "ping", json!({}))).await["error"]["code"], -32601);
        let mut unknown = modern(4, "tools/list", json!({}));
        unknown["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"] = "2099-01-01".into();
        assert_eq!(line.ask(&unknown).await["error"]["code"], -32022);
        let mut incomplete = modern(5, "tools/list", json!({}));
        incomplete["params"]["_meta"].as_object_mut().unwrap().remove("io.modelcontextprotocol/clientCapabilities");
        assert_eq!(line.ask(&incomplete).await["error"]["code"], -32602);
    });
}

#[test]
fn a_client_that_never_initializes_is_served() {
    run(async {
        let line = Line::new();
        let called = line.ask(&request(1, "tools/call", run_params("return 5"))).await;
        assert_eq!(called["result"]["structuredContent"]["return_value"], json!(5));
    });
}

#[test]
fn messages_that_come_at_once_are_answered_each() {
    run(async {
        let line = Line::new();
        line.say(&initialize_request("2025-11-25"));
        line.say(&request(1, "tools/call", run_params("sleep 30\nreturn 1")));
        line.say(&request(2, "tools/call", run_params("return 2")));
        line.say(&modern(3, "tools/call", run_params("return 3")));
        line.say(&request(1, "ping", json!({})));
        sleep(Duration::from_secs(1)).await;
        let sent = line.sent.take();
        let of = |id: i64| sent.iter().find(|message| message["id"] == id).unwrap();
        assert_eq!(sent.len(), 4);
        assert_eq!(of(1)["error"]["code"], -32600, "the ping's id is in use");
        for id in [2, 3] {
            assert_eq!(of(id)["result"]["structuredContent"]["return_value"], json!(id));
        }
        assert_eq!(line.settle().await[0]["result"]["structuredContent"]["return_value"], json!(1));
    });
}

#[test]
fn a_cancelled_request_ends_without_a_response() {
    run(async {
        let line = Line::new();
        line.initialize("2025-11-25").await;
        for message in
            [request(8, "tools/call", run_params("sleep 100")), modern(9, "tools/call", run_params("sleep 100"))]
        {
            line.say(&message);
        }
        sleep(Duration::from_secs(3)).await;
        for id in [8, 9] {
            let params = json!({ "requestId": id, "reason": "test" });
            line.say(&json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": params }));
        }
        sleep(Duration::from_millis(1)).await;
        assert_eq!((line.session.dropped.get(), line.fresh.dropped.get()), (1, 1));
        assert_eq!(line.settle().await, Vec::<Value>::new());
        assert!(now() < Duration::from_secs(4));
        let called = line.ask(&request(8, "tools/call", run_params("return 1"))).await;
        assert_eq!(called["result"]["structuredContent"]["return_value"], json!(1), "the id is free");
    });
}

#[test]
fn a_level_holds_for_the_connection() {
    run(async {
        let line = Line::new();
        line.initialize("2025-11-25").await;
        let call = request(1, "tools/call", run_params("print out\nwarn err\nreturn 1"));
        line.say(&call);
        assert_eq!(logs(&line.settle().await), Vec::<&str>::new(), "as the original, nothing until a level is set");
        assert_eq!(line.ask(&request(2, "logging/setLevel", json!({ "level": "info" }))).await["result"], json!({}));
        line.say(&call);
        assert_eq!(logs(&line.settle().await), ["out", "err"]);
    });
}

#[test]
fn a_batch_is_answered_by_an_array() {
    run(async {
        let line = Line::new();
        line.initialize("2025-03-26").await;
        let batch = json!([request(1, "ping", json!({})), 5, request(2, "tools/call", run_params("return 2"))]);
        let answer = line.ask(&batch).await;
        assert_eq!(answer.as_array().unwrap().len(), 3, "{answer}");
        let silent = json!([{ "jsonrpc": "2.0", "method": "notifications/initialized" }]);
        line.say(&silent);
        assert_eq!(line.settle().await, Vec::<Value>::new());
        let other = Line::new();
        other.initialize("2025-11-25").await;
        assert_eq!(other.ask(&batch).await["error"]["code"], -32600);
    });
}

#[test]
fn what_is_no_message_gets_a_precise_error() {
    run(async {
        let line = Line::new();
        for (message, code) in [
            (b"not json".to_vec(), -32700),
            (b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\xff\"}".to_vec(), -32700),
            (b"{}".to_vec(), -32600),
            (b"[]".to_vec(), -32600),
            (vec![b' '; MAX_BODY + 1], -32600),
            (request(1, "no/such", json!({})).to_string().into_bytes(), -32601),
            (request(1, "tools/call", json!({ "name": 5 })).to_string().into_bytes(), -32602),
        ] {
            line.channel.receive(&message);
            let answers = line.settle().await;
            assert_eq!(answers.len(), 1);
            assert_eq!(answers[0]["error"]["code"], code, "{}", answers[0]);
        }
        assert_eq!(line.ask(&request(2, "ping", json!({}))).await["result"], json!({}), "and the next one is served");
    });
}

#[test]
fn requests_at_once_are_bounded() {
    run(async {
        let line = Line::new();
        let most = i64::try_from(MAX_IN_FLIGHT).unwrap();
        for id in 0..most {
            line.say(&request(id, "tools/call", run_params("sleep 5")));
        }
        line.say(&request(most, "ping", json!({})));
        sleep(Duration::from_millis(1)).await;
        assert_eq!(line.sent.take()[0]["error"]["code"], -32000);
        assert_eq!(line.settle().await.len(), MAX_IN_FLIGHT);
    });
}

#[test]
fn requests_at_once_are_bounded_in_batches_too() {
    run(async {
        let line = Line::new();
        line.initialize("2025-03-26").await;
        let most = i64::try_from(MAX_IN_FLIGHT).unwrap();
        let size = i64::try_from(MAX_BATCH).unwrap();
        // The last batch has room for all of its requests but three.
        for first in (0..most + 3).step_by(MAX_BATCH) {
            let ids = first..(first + size).min(most + 3);
            let calls: Vec<_> = ids.map(|id| request(id, "tools/call", run_params("sleep 5\nreturn 1"))).collect();
            line.say(&json!(calls));
        }
        let answers: Vec<_> =
            line.settle().await.into_iter().flat_map(|batch| batch.as_array().unwrap().clone()).collect();
        assert_eq!(line.session.started.get(), MAX_IN_FLIGHT);
        let refused: Vec<_> = answers.iter().filter(|answer| answer["error"]["code"] == -32000).collect();
        assert_eq!(
            refused.iter().map(|answer| answer["id"].as_i64().unwrap()).collect::<Vec<_>>(),
            [most, most + 1, most + 2]
        );
        assert_eq!(answers.len(), MAX_IN_FLIGHT + 3);
    });
}

#[test]
fn closing_it_ends_what_it_was_asked_for() {
    run(async {
        let line = Line::new();
        line.say(&request(1, "tools/call", run_params("sleep 100")));
        sleep(Duration::from_secs(1)).await;
        line.channel.close();
        line.say(&request(2, "ping", json!({})));
        sleep(Duration::from_millis(1)).await;
        assert_eq!(line.session.dropped.get(), 1);
        assert_eq!(line.sent.take(), Vec::<Value>::new());
    });
}
