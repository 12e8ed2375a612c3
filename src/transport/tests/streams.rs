//! Messages of a run that goes on: log messages, progress, keep-alives; and what ends the run.

use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};

use super::harness::{Call, Home, initialize, now, request, run, run_params, sleep, spawn};
use crate::limits::Limits;

fn with_meta(code: &str, meta: Value) -> Value {
    let mut params = run_params(code);
    params["_meta"] = meta;
    params
}

fn logging(code: &str) -> Call {
    Call::modern("tools/call", with_meta(code, json!({ "io.modelcontextprotocol/logLevel": "info" })))
}

#[test]
fn lines_come_while_the_run_goes_on() {
    run(async {
        let home = Home::new();
        let reply = logging("print a\nsleep 3\nwarn b\nsleep 3\nreturn 7").send(&home).await;
        assert!(reply.is_events());
        assert_eq!(reply.logs(), [("info".into(), "a".into()), ("warning".into(), "b".into())]);
        assert_eq!(reply.structured()["return_value"], json!(7));
        assert_eq!(now(), Duration::from_secs(6));
        assert!(reply.keep_alives >= 2, "{reply:?}");
    });
}

#[test]
fn a_modern_request_has_its_own_level() {
    run(async {
        let home = Home::new();
        let code = "print a\nwarn b\nreturn 1";
        assert_eq!(Call::modern_run(code).send(&home).await.logs(), []);
        let meta = json!({ "io.modelcontextprotocol/logLevel": "warning" });
        let reply = Call::modern("tools/call", with_meta(code, meta)).send(&home).await;
        assert_eq!(reply.logs(), [("warning".into(), "b".into())]);
    });
}

#[test]
fn many_lines_at_once_all_come_up_to_a_limit() {
    run(async {
        let home = Home::new();
        let limit = Limits::default().logs_per_second;
        let lines = |from: usize, to: usize| (from..to).map(|n| format!("print {n}\n")).collect::<String>();
        let code = lines(0, limit) + "sleep 1.5\n" + &lines(limit, 2 * limit + 700);
        let reply = logging(&code).send(&home).await;
        let texts: Vec<_> = reply.logs().into_iter().map(|(_, text)| text).collect();
        let mut expected: Vec<_> = (0..2 * limit).map(|n| n.to_string()).collect();
        expected.push("[700 more lines: the result has them]".into());
        assert!(texts == expected, "{} messages, the last {:?}", texts.len(), texts.last());
        // The result has all lines.
        assert_eq!(reply.structured()["output"].as_array().unwrap().len(), 2 * limit + 700);
    });
}

#[test]
fn lines_below_the_level_do_not_use_up_the_limit() {
    run(async {
        let home = Home::new();
        let limit = Limits::default().logs_per_second;
        let code = "print x\n".repeat(2 * limit) + "warn real";
        let meta = json!({ "io.modelcontextprotocol/logLevel": "warning" });
        let reply = Call::modern("tools/call", with_meta(&code, meta)).send(&home).await;
        assert_eq!(reply.logs(), [("warning".into(), "real".into())]);
    });
}

#[test]
fn someone_who_takes_json_only_gets_the_result_alone() {
    run(async {
        let home = Home::new();
        let call = logging("print a\nsleep 3\nreturn 7").header("accept", "application/json");
        let reply = call.send(&home).await;
        assert_eq!(reply.messages.len(), 1);
        assert_eq!(reply.structured()["return_value"], json!(7));
    });
}

#[test]
fn a_quiet_run_opens_its_stream_soon() {
    run(async {
        let home = Home::new();
        let response = Call::modern_run("sleep 30").response(&home).await;
        assert_eq!(response.status, StatusCode::OK);
        assert_eq!(now(), crate::limits::FIRST_MESSAGE);
    });
}

#[test]
fn progress_grows_and_tells_the_time() {
    run(async {
        let home = Home::new();
        let id = initialize(&home, "2025-11-25").await;
        for modern in [true, false] {
            let params = with_meta("sleep 5\nreturn 1", json!({ "progressToken": "t" }));
            let call = if modern {
                Call::modern("tools/call", params)
            } else {
                Call::post(&request(1, "tools/call", params)).session(&id)
            };
            let reply = call.send(&home).await;
            let progress: Vec<_> = reply
                .messages
                .iter()
                .filter(|message| message["method"] == "notifications/progress")
                .map(|message| {
                    assert_eq!(message["params"]["progressToken"], "t");
                    assert!(message["params"]["message"].is_string());
                    message["params"]["progress"].as_f64().unwrap()
                })
                .collect();
            assert_eq!(progress, [0.0, 2.0, 4.0]);
        }
    });
}

#[test]
fn a_client_that_goes_ends_its_run_in_both_eras() {
    run(async {
        let home = Home::new();
        let id = initialize(&home, "2025-11-25").await;
        let after = Duration::from_secs(5);
        let modern = Call::modern_run("sleep 100").closes_after(after);
        let legacy = Call::post(&request(1, "tools/call", run_params("sleep 100"))).session(&id).closes_after(after);
        let responses = (modern.response(&home).await, legacy.response(&home).await);
        assert_eq!((home.seen.started.get(), home.seen.dropped.get()), (2, 0));
        sleep(Duration::from_secs(6)).await;
        assert_eq!(home.seen.dropped.get(), 2);
        drop(responses);
    });
}

#[test]
fn a_client_that_goes_before_the_first_message_ends_its_run_too() {
    run(async {
        let home = Home::new();
        let call =
            Call::modern_run("sleep 100").header("accept", "application/json").closes_after(Duration::from_secs(1));
        call.send(&home).await;
        assert_eq!((now(), home.seen.dropped.get()), (Duration::from_secs(1), 1));
    });
}

#[test]
fn dropping_the_response_ends_the_run() {
    run(async {
        let home = Home::new();
        let response = Call::modern_run("sleep 100").response(&home).await;
        drop(response);
        sleep(Duration::from_millis(1)).await;
        assert_eq!(home.seen.dropped.get(), 1);
    });
}

#[test]
fn a_long_run_holds_nobody_up() {
    run(async {
        let home = Home::new();
        let id = initialize(&home, "2025-11-25").await;
        let long = Call::post(&request(1, "tools/call", run_params("sleep 30"))).session(&id);
        let in_task = home.clone();
        spawn(Box::pin(async move {
            long.send(&in_task).await;
        }));
        sleep(Duration::from_secs(1)).await;
        let start = now();
        let list = Call::post(&request(2, "tools/list", json!({}))).session(&id).send(&home).await;
        assert_eq!(list.status, StatusCode::OK);
        assert_eq!(Call::modern_run("return 1").send(&home).await.status, StatusCode::OK);
        assert_eq!(now(), start);
    });
}
