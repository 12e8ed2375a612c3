//! Which callers are let in.

use http::{Method, StatusCode};
use serde_json::json;

use super::harness::{Call, Home, Reply, initialize, initialize_request, request, run, run_params};
use crate::{
    auth::{Door, peer},
    transport::Hosts,
};

/// sha256 of `secret-of-ann` and `secret-of-bob`.
const TOKENS: &str = "ann:70b418541da77d413246ec0d700eebb8b23852493cfaa4ab4f39009cd68360f0, \
    bob:f6dbcfeb957b327b63c0705f1348f75715f09f5020903b696c43e66a53d0f189";

fn list() -> Call {
    Call::modern("tools/list", json!({}))
}

fn send(call: Call, door: Door) -> Reply {
    run(async move {
        let home = Home::with(|options| {
            options.access.hosts = Hosts::Any;
            options.access.door = door;
        });
        call.send(&home).await
    })
}

fn tokens() -> Door {
    Door::parse("token", TOKENS).unwrap()
}

#[test]
fn before_access_is_chosen_only_loopback_is_answered() {
    for (host, from, expected) in [
        ("127.0.0.1:8787", None, 200),
        ("[::1]:8787", Some("::1"), 200),
        ("127.0.0.1:8787", Some("127.0.0.1"), 200),
        ("127.0.0.1:8787", Some("10.0.0.7"), 403),
        ("localhost", Some("2001:db8::1"), 403),
        ("mcp.example", None, 403),
        ("mcp.example", Some("127.0.0.1"), 403),
    ] {
        let call = || list().header("host", host).from(from.and_then(peer));
        assert_eq!(send(call(), Door::Unset).status.as_u16(), expected, "{host} {from:?}");
        assert_eq!(send(call(), Door::Open).status.as_u16(), 200, "{host} {from:?}");
    }
    let reply = send(list().header("host", "mcp.example"), Door::Unset);
    assert!(reply.error_message().contains("ACCESS=token"), "{reply:?}");
}

#[test]
fn a_token_is_needed_and_must_be_one_of_the_server() {
    for (authorization, expected) in [
        (None, 401),
        (Some("Bearer secret-of-ann"), 200),
        (Some("bearer  secret-of-bob"), 200),
        (Some("Bearer secret-of-eve"), 401),
        (Some("Bearer secret-of-ann2"), 401),
        (Some("Bearer secret-of-an"), 401),
        (Some("Bearer"), 401),
        (Some("Bearer "), 401),
        (Some("Basic secret-of-ann"), 401),
        (Some("secret-of-ann"), 401),
        // The stored hash is not the token.
        (Some("Bearer 70b418541da77d413246ec0d700eebb8b23852493cfaa4ab4f39009cd68360f0"), 401),
    ] {
        let call = authorization.iter().fold(list(), |call, value| call.header("authorization", value));
        let reply = send(call, tokens());
        assert_eq!(reply.status.as_u16(), expected, "{authorization:?}");
        if expected == 401 {
            assert!(reply.headers["www-authenticate"].to_str().unwrap().starts_with("Bearer"), "{reply:?}");
            assert!(!reply.text.contains("secret-of"), "{reply:?}");
        }
    }
}

#[test]
fn a_page_learns_that_it_needs_a_token() {
    let call = list().header("origin", "http://localhost:5173");
    let reply = send(call, tokens());
    assert_eq!(reply.status, StatusCode::UNAUTHORIZED);
    assert_eq!(reply.headers["access-control-allow-origin"], "http://localhost:5173");
    let preflight = Call::new(Method::OPTIONS)
        .header("origin", "http://localhost:5173")
        .header("access-control-request-headers", "authorization");
    assert_eq!(send(preflight, tokens()).status, StatusCode::NO_CONTENT);
}

#[test]
fn a_session_is_of_who_began_it() {
    run(async {
        let home = Home::with(|options| options.access.door = tokens());
        let ann = |call: Call| call.header("authorization", "Bearer secret-of-ann");
        let bob = |call: Call| call.header("authorization", "Bearer secret-of-bob");
        let reply = ann(Call::post(&initialize_request("2025-11-25"))).send(&home).await;
        let id = reply.headers["mcp-session-id"].to_str().unwrap().to_owned();
        let call = || Call::post(&request(1, "tools/call", run_params("return 1"))).session(&id);
        for restarted in [false, true] {
            if restarted {
                home.restart();
            }
            assert_eq!(ann(call()).send(&home).await.structured()["return_value"], 1);
            assert_eq!(bob(call()).send(&home).await.status, StatusCode::NOT_FOUND);
            assert_eq!(call().send(&home).await.status, StatusCode::UNAUTHORIZED);
            for method in [Method::GET, Method::DELETE] {
                let call = bob(Call::new(method.clone()).session(&id));
                assert_eq!(call.send(&home).await.status, StatusCode::NOT_FOUND, "{method}");
            }
        }
        assert_eq!(home.session(&id).owner().name(), "ann");
    });
}

#[test]
fn without_tokens_sessions_are_everybodys() {
    run(async {
        let home = Home::new();
        let id = initialize(&home, "2025-11-25").await;
        assert_eq!(home.session(&id).owner().to_string(), "everybody");
    });
}

#[test]
fn settings_that_are_wrong_are_told_without_repeating_them() {
    for (access, tokens, why) in [
        ("tokens", "", "ACCESS is `tokens`: it must be `token` or `none`"),
        ("token", "", "ACCESS is `token`, and there is none in ACCESS_TOKENS"),
        ("token", "hunter2", "ACCESS_TOKENS: each is NAME:SHA256"),
        ("token", "ann:hunter2", "ACCESS_TOKENS: a SHA-256 has 64 hexadecimal digits"),
        ("token", &format!("ann:{}", "g".repeat(64)), "ACCESS_TOKENS: a SHA-256 has 64 hexadecimal digits"),
        ("token", &format!("ann:{}", "é".repeat(32)), "ACCESS_TOKENS: a SHA-256 has 64 hexadecimal digits"),
        (
            "token",
            &format!(":{}", "0".repeat(64)),
            "ACCESS_TOKENS: a name has 1 to 64 letters, digits, or characters of `-_.@`",
        ),
    ] {
        assert_eq!(Door::parse(access, tokens).unwrap_err(), why);
    }
    assert!(matches!(Door::parse("", TOKENS), Ok(Door::Unset)));
    assert!(matches!(Door::parse("none", ""), Ok(Door::Open)));
    assert!(!format!("{:?}", tokens()).contains("70b4"), "a hash is not shown");
}
