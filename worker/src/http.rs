//! Requests and responses between workerd and the core.

use ::http::{HeaderMap, HeaderName, HeaderValue};
use futures::{
    FutureExt, StreamExt,
    future::LocalBoxFuture,
    stream::{self, LocalBoxStream},
};
use mcp_run_python::{
    auth::peer,
    transport::{Body, Request as CoreRequest, Response as CoreResponse},
};
use wasm_bindgen::JsCast;
use worker::{Error, Headers, Request, Response, ResponseBuilder, Result};

/// A request for the core. `request` itself is only read when the body is.
pub fn request(request: &Request) -> Result<CoreRequest> {
    let invalid = |error: ::http::Error| Error::RustError(error.to_string());
    let inner = request.inner();
    Ok(CoreRequest {
        method: ::http::Method::from_bytes(request.method().as_ref().as_bytes()).map_err(|e| invalid(e.into()))?,
        uri: inner.url().parse().map_err(|error: ::http::uri::InvalidUri| invalid(error.into()))?,
        headers: headers(request.headers()),
        body: match inner.body() {
            Some(_) => pieces(Clone::clone(inner)),
            None => stream::empty().boxed_local(),
        },
        // Cloudflare sets this header, and removes a client's own.
        peer: request.headers().get("cf-connecting-ip")?.as_deref().and_then(peer),
        closed: closed(inner),
    })
}

/// The body of a request, which is not touched before the first piece is polled.
fn pieces(inner: web_sys::Request) -> LocalBoxStream<'static, std::result::Result<Vec<u8>, String>> {
    let body = async move { Request::from(inner).stream().map_err(|error| error.to_string()) };
    stream::once(body)
        .map(|body| match body {
            Ok(body) => body.map(|piece| piece.map_err(|error| error.to_string())).boxed_local(),
            Err(error) => stream::once(async { Err(error) }).boxed_local(),
        })
        .flatten()
        .boxed_local()
}

/// The core's response.
pub fn response(response: CoreResponse) -> Result<Response> {
    let headers = Headers::new();
    for (name, value) in &response.headers {
        headers.append(name.as_str(), value.to_str().unwrap_or_default())?;
    }
    let builder = ResponseBuilder::new().with_status(response.status.as_u16()).with_headers(headers);
    match response.body {
        Body::Empty => Ok(builder.empty()),
        Body::Full(bytes) => Ok(builder.fixed(bytes)),
        Body::Stream(bytes) => builder.from_stream(bytes.map(|bytes| bytes.map_err(Error::RustError))),
        Body::Events(events) => builder.from_stream(events.map(|event| Ok::<_, Error>(event.into_bytes()))),
    }
}

/// Drops headers that the crate `http` cannot represent.
fn headers(headers: &Headers) -> HeaderMap {
    headers
        .entries()
        .filter_map(|(name, value)| {
            Some((HeaderName::from_bytes(name.as_bytes()).ok()?, HeaderValue::from_str(&value).ok()?))
        })
        .collect()
}

/// Resolves when the client of `request` is gone (compatibility flag `enable_request_signal`).
fn closed(request: &web_sys::Request) -> LocalBoxFuture<'static, ()> {
    let signal = request.signal();
    if signal.aborted() {
        return futures::future::ready(()).boxed_local();
    }
    let promise = js_sys::Promise::new(&mut |resolve, _| {
        let _ = signal.add_event_listener_with_callback("abort", resolve.unchecked_ref());
    });
    wasm_bindgen_futures::JsFuture::from(promise).map(|_| ()).boxed_local()
}
