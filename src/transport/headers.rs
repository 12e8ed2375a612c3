//! Headers that every POST has, and those that 2026-07-28 requires (Transports, Standard Headers).

use base64::{Engine, prelude::BASE64_STANDARD};
use http::{HeaderMap, StatusCode, header};
use rmcp::{
    ErrorData,
    model::{ErrorCode, GetMeta, JsonRpcMessage, ProtocolVersion},
    transport::common::http_header::{
        BASE64_HEADER_PREFIX, BASE64_HEADER_SUFFIX, EVENT_STREAM_MIME_TYPE, HEADER_MCP_METHOD, HEADER_MCP_NAME,
        HEADER_MCP_PROTOCOL_VERSION, JSON_MIME_TYPE,
    },
};

use super::{
    http::Response,
    message::{Notification, Rejection, Request},
};

/// The media types that the client accepts. Clients must accept both; one is enough to be answered.
#[derive(Debug, Clone, Copy)]
pub(super) struct Accept {
    pub(super) json: bool,
    pub(super) events: bool,
}

impl Accept {
    fn of(headers: &HeaderMap) -> Self {
        if !headers.contains_key(header::ACCEPT) {
            // RFC 9110, 12.5.1: anything is acceptable.
            return Self { json: true, events: true };
        }
        let accepts = |mime: &str| {
            let (kind, _) = mime.split_once('/').unwrap_or_default();
            headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok()).any(|value| {
                value.split(',').map(essence).any(|range| {
                    range == "*/*"
                        || range.eq_ignore_ascii_case(mime)
                        || range.strip_suffix("/*").is_some_and(|range| range.eq_ignore_ascii_case(kind))
                })
            })
        };
        Self { json: accepts(JSON_MIME_TYPE), events: accepts(EVENT_STREAM_MIME_TYPE) }
    }
}

/// A media type without its parameters.
fn essence(mime: &str) -> &str {
    mime.split(';').next().unwrap_or_default().trim()
}

/// Checks what any POST must have.
///
/// # Errors
/// 406 or 415.
pub(super) fn check_post(headers: &HeaderMap) -> Result<Accept, Response> {
    let accept = Accept::of(headers);
    if !accept.json && !accept.events {
        return Err(Response::refusal(
            StatusCode::NOT_ACCEPTABLE,
            "Not Acceptable: client must accept application/json and text/event-stream",
        ));
    }
    let content_type = text(headers, header::CONTENT_TYPE.as_str()).unwrap_or_default();
    if !essence(content_type).eq_ignore_ascii_case(JSON_MIME_TYPE) {
        return Err(Response::refusal(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "Unsupported Media Type: Content-Type must be application/json",
        ));
    }
    Ok(accept)
}

/// Checks what a GET of the stream must have.
///
/// # Errors
/// 406.
pub(super) fn check_get(headers: &HeaderMap) -> Result<(), Response> {
    if Accept::of(headers).events {
        Ok(())
    } else {
        Err(Response::refusal(StatusCode::NOT_ACCEPTABLE, "Not Acceptable: client must accept text/event-stream"))
    }
}

/// A header's value, if it is readable.
pub(super) fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// Whether the protocol version header names the stateless era.
pub(super) fn is_modern(headers: &HeaderMap) -> bool {
    text(headers, HEADER_MCP_PROTOCOL_VERSION).is_some_and(|version| version >= ProtocolVersion::NO_INITIALIZE.as_str())
}

/// The legacy version that the header names; 2025-03-26 if there is none (2025-11-25, Protocol Version
/// Header).
///
/// # Errors
/// 400 for a version that is not served.
pub(super) fn legacy_version(headers: &HeaderMap) -> Result<ProtocolVersion, Response> {
    let Some(value) = headers.get(HEADER_MCP_PROTOCOL_VERSION) else {
        return Ok(ProtocolVersion::V_2025_03_26);
    };
    let version = String::from_utf8_lossy(value.as_bytes());
    ProtocolVersion::KNOWN_VERSIONS
        .iter()
        .find(|known| known.as_str() == version && known.has_initialize())
        .cloned()
        .ok_or_else(|| {
            Response::refusal(StatusCode::BAD_REQUEST, format!("Bad Request: Unsupported protocol version: {version}"))
        })
}

/// Checks the headers of a modern request against its body.
///
/// # Errors
/// -32020 for headers that are missing or say something else than the body, -32022 for a version that is
/// not served, -32602 for missing `_meta`.
pub(super) fn check_modern(headers: &HeaderMap, request: &Request) -> Result<(), Rejection> {
    let reject = |error| Rejection { id: Some(request.id.clone()), error };
    let mismatch = |why: String| reject(ErrorData::header_mismatch(why, None));
    let version = required(headers, HEADER_MCP_PROTOCOL_VERSION).map_err(mismatch)?;
    match &request.meta_version {
        Some(body) if body != version => {
            return Err(mismatch(format!(
                "{HEADER_MCP_PROTOCOL_VERSION} header `{version}` does not match _meta `{body}`"
            )));
        }
        _ => {}
    }
    check_meta(request, Some(version)).map_err(reject)?;
    let method = required(headers, HEADER_MCP_METHOD).map_err(mismatch)?;
    if method != request.method {
        return Err(mismatch(format!(
            "{HEADER_MCP_METHOD} header `{method}` does not match body `{}`",
            request.method
        )));
    }
    if !matches!(request.method.as_str(), "tools/call" | "prompts/get" | "resources/read") {
        return Ok(());
    }
    let Some(target) = &request.target else { return Ok(()) };
    let name = required(headers, HEADER_MCP_NAME).map_err(mismatch)?;
    match decode_name(name) {
        None => Err(mismatch(format!("{HEADER_MCP_NAME} header is not valid Base64"))),
        Some(name) if name != *target => {
            Err(mismatch(format!("{HEADER_MCP_NAME} header `{name}` does not match body `{target}`")))
        }
        Some(_) => Ok(()),
    }
}

/// Checks what a modern request must have in any transport: a version that is served, if it names one, and `_meta`.
///
/// # Errors
/// -32022 for a version that is not served, -32602 for missing `_meta`.
pub(super) fn check_meta(request: &Request, version: Option<&str>) -> Result<(), ErrorData> {
    let known = |version: &str| ProtocolVersion::KNOWN_VERSIONS.iter().any(|known| known.as_str() == version);
    if let Some(version) = version.filter(|version| !known(version)) {
        return Err(unsupported(version));
    }
    if let JsonRpcMessage::Request(rpc) = &*request.rpc {
        let missing = rpc.request.get_meta().missing_required_keys(&ProtocolVersion::NO_INITIALIZE);
        if !missing.is_empty() {
            let why = format!("Invalid params: missing or malformed in _meta: {}", missing.join(", "));
            return Err(ErrorData::invalid_params(why, None));
        }
    }
    Ok(())
}

/// Checks the headers of a modern notification against its body. `Mcp-Method` may be missing.
///
/// # Errors
/// As [`check_modern`].
pub(super) fn check_modern_notification(headers: &HeaderMap, notification: &Notification) -> Result<(), Rejection> {
    let mismatch = |why: String| Rejection { id: None, error: ErrorData::header_mismatch(why, None) };
    let version = required(headers, HEADER_MCP_PROTOCOL_VERSION).map_err(mismatch)?;
    if notification.meta_version.as_ref().is_some_and(|body| body != version) {
        return Err(mismatch(format!("{HEADER_MCP_PROTOCOL_VERSION} header does not match _meta")));
    }
    if text(headers, HEADER_MCP_METHOD).is_some_and(|method| method != notification.method) {
        return Err(mismatch(format!("{HEADER_MCP_METHOD} header does not match body")));
    }
    Ok(())
}

fn unsupported(version: &str) -> ErrorData {
    ErrorData::new(
        ErrorCode::UNSUPPORTED_PROTOCOL_VERSION,
        format!("Unsupported protocol version: {version}"),
        Some(serde_json::json!({
            "requested": version,
            "supported": ProtocolVersion::KNOWN_VERSIONS,
        })),
    )
}

/// The one value of a header that must be there.
fn required<'a>(headers: &'a HeaderMap, name: &str) -> Result<&'a str, String> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Err(format!("missing {name} header")) };
    if values.next().is_some() {
        return Err(format!("duplicate {name} header"));
    }
    value.to_str().map_err(|_| format!("{name} header has invalid characters"))
}

/// `Mcp-Name` may be Base64 between sentinels, for names that no header can hold.
fn decode_name(value: &str) -> Option<String> {
    match value.strip_prefix(BASE64_HEADER_PREFIX).and_then(|rest| rest.strip_suffix(BASE64_HEADER_SUFFIX)) {
        Some(encoded) => String::from_utf8(BASE64_STANDARD.decode(encoded).ok()?).ok(),
        None => Some(value.to_owned()),
    }
}
