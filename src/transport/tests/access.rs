//! Access to the endpoint.

use http::{Method, StatusCode};
use serde_json::json;

use super::harness::{Call, Home, Reply, initialize, run};
use crate::{auth::Door, transport::Hosts};

fn list() -> Call {
    Call::modern("tools/list", json!({}))
}

fn send(call: Call, hosts: Hosts, origins: &[&str]) -> Reply {
    let origins = origins.iter().map(|origin| (*origin).to_owned()).collect();
    run(async move {
        let home = Home::with(|options| {
            options.access.hosts = hosts;
            options.access.door = Door::Open;
            options.access.origins = origins;
        });
        call.send(&home).await
    })
}

fn status(call: Call, hosts: Hosts, origins: &[&str]) -> u16 {
    send(call, hosts, origins).status.as_u16()
}

#[test]
fn on_loopback_a_host_of_another_name_is_refused() {
    for (host, expected) in [
        ("127.0.0.1:8787", 200),
        ("localhost", 200),
        ("LOCALHOST:1", 200),
        ("[::1]:8787", 200),
        ("evil.example", 403),
        ("evil.example:8787", 403),
        ("127.0.0.1.evil.example", 403),
        ("localhost.evil.example", 403),
        ("10.0.0.1", 403),
        ("a b", 400),
    ] {
        assert_eq!(status(list().header("host", host), Hosts::Loopback, &[]), expected, "{host}");
    }
}

#[test]
fn hosts_can_be_listed_or_left_to_the_platform() {
    let only = || Hosts::Only(vec!["mcp.example".into(), "other.example:444".into()]);
    for (host, expected) in
        [("mcp.example", 200), ("MCP.example:99", 200), ("other.example:444", 200), ("other.example", 403)]
    {
        assert_eq!(status(list().header("host", host), only(), &[]), expected, "{host}");
    }
    assert_eq!(status(list().header("host", "any.example"), Hosts::Any, &[]), 200);
}

#[test]
fn origins_are_compared_by_scheme_host_and_port() {
    let listed = ["https://app.example", "http://dev.example:3000"];
    for (origin, expected) in [
        ("https://app.example", 200),
        ("https://app.example:443", 200),
        ("https://APP.example", 200),
        ("http://app.example", 403),
        ("https://app.example:8443", 403),
        ("https://app.example.evil", 403),
        ("https://evil.app.example", 403),
        ("http://dev.example:3000", 200),
        ("http://dev.example", 403),
        ("http://localhost:5173", 200),
        ("http://127.0.0.1", 200),
        ("https://[::1]:9", 200),
        ("http://localhost.evil.example", 403),
        ("null", 403),
        ("file://", 403),
        ("", 403),
    ] {
        let call = list().header("origin", origin);
        assert_eq!(status(call, Hosts::Loopback, &listed), expected, "{origin}");
    }
}

#[test]
fn loopback_origins_are_for_loopback_endpoints() {
    let call = |origin| list().header("host", "mcp.example").header("origin", origin);
    assert_eq!(status(call("http://localhost:5173"), Hosts::Any, &[]), 403);
    assert_eq!(status(call("https://app.example"), Hosts::Any, &["https://app.example"]), 200);
}

#[test]
fn an_allowed_page_can_read_the_response() {
    let reply = send(list().header("origin", "http://localhost:5173"), Hosts::Loopback, &[]);
    assert_eq!(reply.headers["access-control-allow-origin"], "http://localhost:5173");
    assert!(reply.headers["access-control-expose-headers"].to_str().unwrap().contains("Mcp-Session-Id"));
    assert_eq!(reply.headers["vary"], "Origin");
    let refused = send(list().header("origin", "https://evil.example"), Hosts::Loopback, &[]);
    assert!(refused.headers.get("access-control-allow-origin").is_none());
    assert_eq!(refused.error_code(), -32000);
}

#[test]
fn preflights_are_answered() {
    let preflight = |origin: &str| {
        Call::new(Method::OPTIONS)
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "content-type, mcp-session-id")
    };
    let reply = send(preflight("http://localhost:5173"), Hosts::Loopback, &[]);
    assert_eq!(reply.status, StatusCode::NO_CONTENT);
    assert_eq!(reply.headers["access-control-allow-origin"], "http://localhost:5173");
    assert_eq!(reply.headers["access-control-allow-methods"], "GET, POST, DELETE");
    let allowed = reply.headers["access-control-allow-headers"].to_str().unwrap().to_ascii_lowercase();
    for header in ["content-type", "mcp-session-id", "mcp-protocol-version", "mcp-method", "mcp-name"] {
        assert!(allowed.contains(header), "{header}");
    }
    assert_eq!(status(preflight("https://evil.example"), Hosts::Loopback, &[]), 403);
}

#[test]
fn a_session_is_guarded_like_the_endpoint() {
    run(async {
        let home = Home::new();
        let id = initialize(&home, "2025-11-25").await;
        let get = |origin| Call::new(Method::GET).session(&id).header("origin", origin);
        let response = get("https://evil.example").response(&home).await;
        assert_eq!(response.status, StatusCode::FORBIDDEN);
        let response = get("http://localhost:1").response(&home).await;
        assert_eq!(response.headers["access-control-allow-origin"], "http://localhost:1");
    });
}
