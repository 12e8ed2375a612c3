//! What people and monitors see.

use mcp_run_python::server::PYTHON_VERSION;
use serde_json::json;
use worker::{Response, Result, Url};

/// `/health`: whether it is up, and what it runs.
pub fn health() -> Result<Response> {
    Response::from_json(&json!({
        "status": "ok",
        "version": env!("CARGO_PKG_VERSION"),
        "python": PYTHON_VERSION,
        "packages": [],
    }))
}

/// `/`: how to connect. `url` is the address that was asked for.
pub fn home(url: &Url) -> Result<Response> {
    // An origin cannot hold a character that HTML would read.
    let endpoint = format!("{}/mcp", url.origin().ascii_serialization());
    let mut response = Response::from_html(include_str!("home.html").replace("{{endpoint}}", &endpoint))?;
    response.headers_mut().set("content-security-policy", "default-src 'none'; style-src 'unsafe-inline'")?;
    Ok(response)
}
