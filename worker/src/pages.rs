//! What people and monitors see.

use mcp_run_python::server::PYTHON_VERSION;
use serde_json::json;
use worker::{Response, Result};

/// `/health`: whether it is up, and what it runs.
pub fn health() -> Result<Response> {
    Response::from_json(&json!({
        "status": "ok",
        "version": env!("CARGO_PKG_VERSION"),
        "python": PYTHON_VERSION,
        "packages": [],
    }))
}

/// `/`: how to connect.
pub fn home() -> Result<Response> {
    let mut response = Response::from_html(include_str!("home.html"))?;
    response.headers_mut().set("content-security-policy", "default-src 'none'; style-src 'unsafe-inline'")?;
    Ok(response)
}
