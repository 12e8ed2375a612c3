//! Sessions that are ended by their handles, in a home whose sessions live in memory.

use http::{HeaderMap, Method};
use serde_json::json;

use super::*;
use crate::{
    home::{Home, Parts},
    settings::Config,
    transport::{Body, Request},
    virtual_clock::PLATFORM,
};

/// sha256 of `secret-of-ann` and `secret-of-bob`.
const TOKENS: &str = "ann:70b418541da77d413246ec0d700eebb8b23852493cfaa4ab4f39009cd68360f0, \
    bob:f6dbcfeb957b327b63c0705f1348f75715f09f5020903b696c43e66a53d0f189";

pub(super) fn home(fake: &Fake) -> Home<Fake> {
    home_that(fake, true)
}

fn home_that(fake: &Fake, keeps_sessions: bool) -> Home<Fake> {
    let setting = |name: &str| match name {
        "ACCESS" => Some("token".to_owned()),
        "ACCESS_TOKENS" => Some(TOKENS.to_owned()),
        "FILES_LIMIT_MB" => Some("4".to_owned()),
        "SESSIONS_LIMIT_EACH" => Some("1".to_owned()),
        _ => None,
    };
    let parts = Parts {
        kept: fake.clone(),
        fresh: fake.clone(),
        places: Places::default(),
        snapshots: Snapshots::default(),
        packages: None,
        store: None,
        keeps_sessions,
    };
    Home::new(parts, Config::read(crate::settings::Home::Desk, &setting, PLATFORM).unwrap())
}

/// Calls a tool as `who`. Returns its result.
pub(super) async fn call(home: &Home<Fake>, who: &str, tool: &str, arguments: Value) -> Value {
    ask(home, who, "tools/call", tool, json!({ "name": tool, "arguments": arguments })).await
}

/// Sends a request of `who` about `name`. Returns its result, or its error.
pub(super) async fn ask(home: &Home<Fake>, who: &str, method: &str, name: &str, mut params: Value) -> Value {
    let meta = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    params["_meta"] = meta;
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }).to_string();
    let mut headers = HeaderMap::new();
    let token = format!("Bearer secret-of-{who}");
    for (name, value) in [
        ("host", "mcp.example"),
        ("authorization", &token),
        ("content-type", "application/json"),
        ("accept", "application/json, text/event-stream"),
        ("mcp-protocol-version", "2026-07-28"),
        ("mcp-method", method),
        ("mcp-name", name),
    ] {
        headers.insert(name, value.parse().unwrap());
    }
    let uri = "https://mcp.example/mcp".parse().unwrap();
    let response = home.handle(Request::new(Method::POST, uri, headers, body.into_bytes())).await;
    let text = match response.body {
        Body::Full(bytes) => String::from_utf8(bytes).unwrap(),
        Body::Events(events) => events.collect::<Vec<_>>().await.concat(),
        Body::Empty | Body::Stream(_) => panic!("no answer: {}", response.status),
    };
    let message = text.lines().map(|line| line.trim_start_matches("data: ")).rfind(|line| line.starts_with('{'));
    let message: Value = serde_json::from_str(message.unwrap()).unwrap();
    message.get("result").unwrap_or(&message["error"]).clone()
}

pub(super) async fn run_in(home: &Home<Fake>, who: &str, code: &str, session: &str) -> Value {
    let arguments = json!({ "python_code": code, "session": session });
    let result = call(home, who, "run_python_code", arguments).await;
    result.get("structuredContent").unwrap_or(&result).clone()
}

pub(super) async fn end(home: &Home<Fake>, who: &str, session: &str) -> (bool, String) {
    let result = call(home, who, "end_python_session", json!({ "session": session })).await;
    (result["isError"] == true, result["content"][0]["text"].as_str().unwrap().to_owned())
}

const ENDED: &str = "this session has ended, with its variables and files: that was asked for; start one with \"new\"";

#[test]
fn it_ends_with_its_interpreter_and_frees_its_place() {
    check(async {
        let fake = Fake::default();
        let home = home(&fake);
        let handle = run_in(&home, "ann", "write x", "new").await["session"].as_str().unwrap().to_owned();
        assert_eq!(run_in(&home, "ann", "read", &handle).await["return_value"], "x");
        assert_eq!(fake.0.alive.get(), 1);
        assert_eq!(
            end(&home, "ann", &handle).await,
            (false, "the session has ended, with its variables and files".into())
        );
        assert_eq!(fake.0.alive.get(), 0);
        let again = run_in(&home, "ann", "read", &handle).await;
        assert_eq!((&again["status"], &again["error"]), (&json!("run-error"), &json!(ENDED)));
        // Asking twice does nothing more.
        assert_eq!(end(&home, "ann", &handle).await, (false, ENDED.into()));
        // The limit is one session at a time.
        assert_eq!(run_in(&home, "ann", "read", "new").await["return_value"], "");
    });
}

#[test]
fn it_takes_the_run_along_that_goes_on() {
    for moment in moments() {
        check(async move {
            let fake = Fake::default();
            let home = home(&fake);
            let handle = run_in(&home, "ann", "count", "new").await["session"].as_str().unwrap().to_owned();
            let ending = async {
                sleep(moment).await;
                end(&home, "ann", &handle).await
            };
            let (run, ended) = futures::join!(run_in(&home, "ann", "wait 1", &handle), ending);
            let why = run["error"].as_str().unwrap_or_default();
            assert!(why.starts_with("the sandbox was lost: "), "at {moment:?}: {run}");
            assert!(!ended.0);
            sleep(PATIENCE).await;
            assert_eq!((fake.0.alive.get(), fake.0.going.get()), (0, 0), "at {moment:?}");
        });
    }
}

#[test]
fn nobody_else_ends_it_or_learns_that_there_is_one() {
    check(async {
        let fake = Fake::default();
        let home = home(&fake);
        let handle = run_in(&home, "ann", "write x", "new").await["session"].as_str().unwrap().to_owned();
        let unknown = end(&home, "bob", &"0".repeat(26)).await;
        assert_eq!(unknown, (true, "there is no such session".into()));
        assert_eq!(end(&home, "bob", &handle).await, unknown);
        assert_eq!(run_in(&home, "ann", "read", &handle).await["return_value"], "x");
        end(&home, "ann", &handle).await;
        assert_eq!(end(&home, "bob", &handle).await, unknown, "nor that there was one");
    });
}

#[test]
fn where_there_are_no_sessions_nothing_ends_them() {
    check(async {
        let home = home_that(&Fake::default(), false);
        let answer = call(&home, "ann", "end_python_session", json!({ "session": "0" })).await;
        assert_eq!(answer["message"], "Unknown tool: end_python_session");
    });
}
