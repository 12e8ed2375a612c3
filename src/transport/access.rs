//! Access to the endpoint: checks Host against DNS rebinding and Origin against other sites' pages, and sends CORS
//! headers to the pages that may (2025-11-25, Transports, Security Warning).

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header, uri::Authority};

use super::{
    files,
    http::{Request, Response},
};
use crate::auth::{Denied, Door, Principal, is_loopback};

/// Headers that a page may send.
const ALLOW_HEADERS: &str = "Content-Type, Accept, Authorization, Last-Event-ID, Mcp-Session-Id, \
    MCP-Protocol-Version, Mcp-Method, Mcp-Name";

/// How long, in seconds, a browser may remember a preflight: the most that browsers take.
const PREFLIGHT_MAX_AGE: &str = "7200";

/// Names under which the endpoint may be reached.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Hosts {
    /// Loopback names, any port: for a server on the user's own machine, where a `Host` of another name
    /// is DNS rebinding.
    #[default]
    Loopback,
    /// Any: for platforms that route by name, so that only own names arrive.
    Any,
    /// These, as `host` (any port) or `host:port`.
    Only(Vec<String>),
}

/// Settings of access to the endpoint.
#[derive(Debug, Clone, Default)]
pub struct Access {
    /// Accepted `Host` headers.
    pub hosts: Hosts,
    /// Accepted `Origin` headers, as `scheme://host[:port]`. Always accepted: the endpoint's own origin
    /// and, if it is reached on loopback, any origin that is on loopback too.
    pub origins: Vec<String>,
    /// Which callers are let in.
    pub door: Door,
}

impl Access {
    /// The entrance of every home: lets a request in, and determines its principal.
    ///
    /// # Errors
    /// The response to a request that is not let in, or that needs no other answer.
    pub async fn enter(&self, request: Request) -> Result<Entered, Response> {
        self.check(&request)?;
        let admitted = match preflight(&request) {
            Some(response) => Err(response),
            None => match single(&request.headers, &header::AUTHORIZATION) {
                Ok(authorization) => self.door.admit(authorization).await.map_err(unauthorized),
                Err(response) => Err(response),
            },
        };
        match admitted {
            Ok(principal) => Ok(Entered { request, principal }),
            Err(response) => Err(with_cors(response, &request.headers)),
        }
    }

    /// Until access is configured, rejects all but loopback requests.
    ///
    /// # Errors
    /// 403 for requests from elsewhere, before access is chosen.
    pub fn chosen(&self, request: &Request) -> Result<(), Response> {
        match self.door.answers(host(request)?.host(), request.peer) {
            true => Ok(()),
            false => Err(Response::refusal(
                StatusCode::FORBIDDEN,
                "Forbidden: this server was not told who may use it. Its owner has to set ACCESS=token, or \
                 ACCESS=none for everybody",
            )),
        }
    }

    /// Checks `Host` and `Origin`. A request without `Origin` is fine: it is not of a browser.
    ///
    /// # Errors
    /// 403, or 400 for headers that cannot be read.
    fn check(&self, request: &Request) -> Result<(), Response> {
        self.chosen(request)?;
        let host = self.check_host(request)?;
        let Some(origin) = single(&request.headers, &header::ORIGIN)? else { return Ok(()) };
        let accepted = Origin::parse(origin).is_some_and(|origin| {
            self.origins.iter().any(|listed| Origin::parse(listed).as_ref() == Some(&origin))
                || (is_loopback(host.host()) && is_loopback(&origin.host))
                || request.uri.scheme_str().is_some_and(|scheme| Origin::new(scheme, &host).as_ref() == Some(&origin))
        });
        if accepted { Ok(()) } else { Err(Response::refusal(StatusCode::FORBIDDEN, "Forbidden: Origin not allowed")) }
    }

    fn check_host(&self, request: &Request) -> Result<Authority, Response> {
        let host = host(request)?;
        let accepted = match &self.hosts {
            Hosts::Loopback => is_loopback(host.host()),
            Hosts::Any => true,
            Hosts::Only(names) => names
                .iter()
                .any(|name| name.eq_ignore_ascii_case(host.host()) || name.eq_ignore_ascii_case(host.as_str())),
        };
        if accepted {
            Ok(host)
        } else {
            Err(Response::refusal(
                StatusCode::FORBIDDEN,
                "Forbidden: Host not allowed; ALLOWED_HOSTS lists those that are",
            ))
        }
    }
}

/// A request that was let in, and its principal.
#[derive(Debug)]
pub struct Entered {
    /// The request.
    pub request: Request,
    /// The caller. **Boundary.** Sessions, limits and logs go by this, and by nothing else in the request.
    pub principal: Principal,
}

/// 401 (RFC 6750, 3).
fn unauthorized(why: Denied) -> Response {
    let challenge = match why {
        Denied::NoToken => "Bearer",
        Denied::WrongToken => "Bearer error=\"invalid_token\"",
    };
    Response::refusal(StatusCode::UNAUTHORIZED, "Unauthorized: a bearer token of this server is needed")
        .with(header::WWW_AUTHENTICATE, challenge)
}

/// An origin (RFC 6454): the tuple that is compared, with the port that the scheme implies.
#[derive(Debug, PartialEq, Eq)]
struct Origin {
    scheme: String,
    host: String,
    port: u16,
}

impl Origin {
    fn parse(origin: &str) -> Option<Self> {
        let uri: Uri = origin.parse().ok()?;
        Self::new(uri.scheme_str()?, uri.authority()?)
    }

    fn new(scheme: &str, authority: &Authority) -> Option<Self> {
        let port = match (authority.port_u16(), scheme) {
            (Some(port), _) => port,
            (None, "http") => 80,
            (None, "https") => 443,
            (None, _) => return None,
        };
        Some(Self { scheme: scheme.to_owned(), host: authority.host().to_ascii_lowercase(), port })
    }
}

/// The host that a request is for.
fn host(request: &Request) -> Result<Authority, Response> {
    let host = match single(&request.headers, &header::HOST)? {
        Some(host) => host.parse().ok(),
        None => request.uri.authority().cloned(),
    };
    host.ok_or_else(|| Response::refusal(StatusCode::BAD_REQUEST, "Bad Request: invalid Host header"))
}

/// The value of a header that may be there once.
fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Response> {
    let mut values = headers.get_all(name).iter();
    match (values.next().map(HeaderValue::to_str), values.next()) {
        (None, _) => Ok(None),
        (Some(Ok(value)), None) => Ok(Some(value)),
        _ => Err(Response::refusal(StatusCode::BAD_REQUEST, format!("Bad Request: invalid {name} header"))),
    }
}

/// Answers `OPTIONS`. The origin was checked.
fn preflight(request: &Request) -> Option<Response> {
    let methods = match request.uri.path().starts_with(files::PREFIX) {
        true => files::METHODS,
        false => "GET, POST, DELETE, OPTIONS",
    };
    (request.method == Method::OPTIONS).then(|| {
        Response::empty(StatusCode::NO_CONTENT)
            .with(header::ALLOW, methods)
            .with(header::ACCESS_CONTROL_ALLOW_METHODS, methods.trim_end_matches(", OPTIONS"))
            .with(header::ACCESS_CONTROL_ALLOW_HEADERS, ALLOW_HEADERS)
            .with(header::ACCESS_CONTROL_MAX_AGE, PREFLIGHT_MAX_AGE)
    })
}

/// Lets an accepted page that made the request with these headers read the response.
pub(super) fn with_cors(response: Response, request: &HeaderMap) -> Response {
    let response = response.with(header::VARY, "Origin");
    let Some(Ok(origin)) = request.get(header::ORIGIN).map(HeaderValue::to_str) else { return response };
    response
        .with(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin)
        .with(header::ACCESS_CONTROL_EXPOSE_HEADERS, "Mcp-Session-Id, MCP-Protocol-Version")
}
