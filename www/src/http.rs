//! Requests and responses between JavaScript and the core.

use futures::{FutureExt, StreamExt, future, future::LocalBoxFuture, stream};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use js_sys::{Array, Uint8Array};
use mcp_run_python::transport::{Body, Request as CoreRequest, Response as CoreResponse};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use wasm_streams::ReadableStream;
use web_sys::{AbortSignal, Headers, Request, Response, ResponseInit};

/// A request for the core.
///
/// # Errors
/// Says what is wrong with the request.
pub fn request(request: &Request) -> Result<CoreRequest, String> {
    let body = match request.body() {
        Some(body) => ReadableStream::from_raw(body.unchecked_into())
            .into_stream()
            .map(|piece| match piece.map(JsCast::dyn_into::<Uint8Array>) {
                Ok(Ok(bytes)) => Ok(bytes.to_vec()),
                Ok(Err(_)) => Err("it is no bytes".to_owned()),
                Err(_) => Err("the connection was lost".to_owned()),
            })
            .boxed_local(),
        None => stream::empty().boxed_local(),
    };
    Ok(CoreRequest {
        method: Method::from_bytes(request.method().as_bytes()).map_err(|error| error.to_string())?,
        uri: request.url().parse().map_err(|error: http::uri::InvalidUri| error.to_string())?,
        headers: headers(&request.headers()),
        body,
        // Not known here: a home that listens on more than loopback has to configure access.
        peer: None,
        closed: aborted(&request.signal()),
    })
}

/// The core's response.
///
/// # Errors
/// What JavaScript throws.
pub fn response(response: CoreResponse) -> Result<Response, JsValue> {
    let headers = Headers::new()?;
    for (name, value) in &response.headers {
        headers.append(name.as_str(), value.to_str().unwrap_or_default())?;
    }
    let init = ResponseInit::new();
    init.set_status(response.status.as_u16());
    init.set_headers(&headers);
    match response.body {
        Body::Empty => Response::new_with_opt_str_and_init(None, &init),
        Body::Full(bytes) => {
            Response::new_with_opt_buffer_source_and_init(Some(&Uint8Array::from(bytes.as_slice())), &init)
        }
        Body::Stream(bytes) => {
            let chunks = bytes.map(|piece| match piece {
                Ok(bytes) => Ok(Uint8Array::from(bytes.as_slice()).into()),
                Err(why) => Err(js_sys::Error::new(&why).into()),
            });
            let body = ReadableStream::from_stream(chunks).into_raw();
            Response::new_with_opt_readable_stream_and_init(Some(&body.unchecked_into()), &init)
        }
        Body::Events(events) => {
            let chunks = events.map(|event| Ok(Uint8Array::from(event.as_bytes()).into()));
            let body = ReadableStream::from_stream(chunks).into_raw();
            Response::new_with_opt_readable_stream_and_init(Some(&body.unchecked_into()), &init)
        }
    }
}

/// Drops headers that the crate `http` cannot represent.
fn headers(headers: &Headers) -> HeaderMap {
    let entries = Array::from(headers.as_ref());
    let entry = |entry: JsValue| {
        let pair: Array = entry.dyn_into().ok()?;
        let name = HeaderName::from_bytes(pair.get(0).as_string()?.as_bytes()).ok()?;
        Some((name, HeaderValue::from_str(&pair.get(1).as_string()?).ok()?))
    };
    entries.iter().filter_map(entry).collect()
}

/// Resolves when `signal` aborts.
pub fn aborted(signal: &AbortSignal) -> LocalBoxFuture<'static, ()> {
    if signal.aborted() {
        return future::ready(()).boxed_local();
    }
    let promise = js_sys::Promise::new(&mut |resolve, _| {
        let _ = signal.add_event_listener_with_callback("abort", resolve.unchecked_ref());
    });
    JsFuture::from(promise).map(|_| ()).boxed_local()
}
