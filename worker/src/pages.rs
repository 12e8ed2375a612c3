//! What monitors see, and the packages of pages. The page at `/` is a static file.

use mcp_run_python::{
    packages::{InstallError, PackageOptions},
    server::PYTHON_VERSION,
};
use serde_json::json;
use worker::{Method, Request, Response, Result};

use crate::packages;

/// `/health`: whether it is up, and what it runs.
pub fn health() -> Result<Response> {
    Response::from_json(&json!({
        "status": "ok",
        "version": env!("CARGO_PKG_VERSION"),
        "python": PYTHON_VERSION,
        "packages": packages::bundled(),
    }))
}

/// `/packages/<file>`: a wheel of the lock file, checked. Pages ask here first: their policies let them.
pub async fn package(request: &Request, options: PackageOptions) -> Result<Response> {
    if request.method() != Method::Get {
        return Response::error("Method Not Allowed", 405);
    }
    let path = request.path();
    let file = path.rsplit('/').next().unwrap_or_default();
    match packages::packages(options)?.file(file).await {
        Ok(Some(bytes)) => {
            let mut response = Response::from_bytes(bytes)?;
            let headers = response.headers_mut();
            // The lock file gives each name one content.
            headers.set("cache-control", "public, max-age=31536000, immutable")?;
            headers.set("access-control-allow-origin", "*")?;
            headers.set("cross-origin-resource-policy", "cross-origin")?;
            Ok(response)
        }
        Ok(None) => Response::error("no such package", 404),
        Err(InstallError(why)) => Response::error(why, 502),
    }
}
