//! What monitors see. The page at `/` is a static file.

use crate::packages;
use mcp_run_python::server::PYTHON_VERSION;
use serde_json::json;
use worker::{Response, Result};

/// `/health`: whether it is up, and what it runs.
pub fn health() -> Result<Response> {
    Response::from_json(&json!({
        "status": "ok",
        "version": env!("CARGO_PKG_VERSION"),
        "python": PYTHON_VERSION,
        "packages": packages::bundled(),
    }))
}
