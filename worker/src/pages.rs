//! `/health` for monitors, and `/packages/` for pages. The page at `/` is a static file.

use mcp_run_python::{
    packages::PYTHON_VERSION,
    packages::{InstallError, PackageOptions},
};
use serde_json::json;
use worker::{ByteStream, Method, Request, Response, ResponseBuilder, Result};

use crate::{packages, served::Place};

/// `/health`: whether the Worker is up, and its versions and packages.
pub fn health() -> Result<Response> {
    Response::from_json(&json!({
        "status": "ok",
        "version": env!("CARGO_PKG_VERSION"),
        "python": PYTHON_VERSION,
        "packages": packages::bundled(),
    }))
}

/// `/packages/<file>`: a checked wheel of the lock file. Pages ask here first: their policies allow it.
///
/// **Boundary.** Nobody needs a token: a page has none, the files are public, and the lock file says which there are.
/// Cached files pass through; those that have to be fetched and checked first are held in bounded memory.
pub async fn package(request: &Request, options: PackageOptions) -> Result<Response> {
    if request.method() != Method::Get {
        return Response::error("Method Not Allowed", 405);
    }
    let path = request.path();
    let file = path.rsplit('/').next().unwrap_or_default();
    let packages = packages::packages(options)?;
    let Some(wheel) = packages.offered(file) else { return Response::error("no such package", 404) };
    if let Some(response) = packages::cached_response(&wheel.sha256).await {
        // The wheel was checked before it was cached, and the page checks it again.
        return for_pages(ResponseBuilder::new().from_stream(response_stream(response)?)?);
    }
    let Some(place) = Place::get().await else {
        let mut response = Response::error("too many packages are asked for; try again in a while", 503)?;
        response.headers_mut().set("retry-after", "20")?;
        return Ok(response);
    };
    match packages.file(file).await {
        Ok(Some(bytes)) => for_pages(ResponseBuilder::new().from_stream(place.send(bytes))?),
        Ok(None) => Response::error("no such package", 404),
        Err(InstallError(why)) => Response::error(why, 502),
    }
}

/// The body of a response, as it comes.
fn response_stream(mut response: Response) -> Result<ByteStream> {
    response.stream()
}

/// Lets pages of any origin read a wheel, and all caches keep it: the lock file gives each name one content.
fn for_pages(mut response: Response) -> Result<Response> {
    let headers = response.headers_mut();
    headers.set("content-type", "application/octet-stream")?;
    headers.set("cache-control", "public, max-age=31536000, immutable")?;
    headers.set("access-control-allow-origin", "*")?;
    headers.set("cross-origin-resource-policy", "cross-origin")?;
    Ok(response)
}
