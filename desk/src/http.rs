//! MCP over streamable HTTP, and the page.

use std::{
    convert::Infallible,
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use futures::{FutureExt, StreamExt, channel::oneshot, stream::LocalBoxStream};
use http_body_util::BodyExt;
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Body as HttpBody, Frame, Incoming, SizeHint},
    header,
    rt::Executor,
    service::service_fn,
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::conn::auto,
};
use mcp_run_python::{
    packages::PYTHON_VERSION,
    transport::{Body, Request as CoreRequest, Response as CoreResponse},
};
use serde_json::json;
use tokio::net::TcpListener;

use crate::{command::VERSION, errors::describe, platform::spawn, server::Server, site::Site};

/// How long the head of an HTTP/1 request may take to arrive, and how often silent HTTP/2 clients are pinged.
const HEAD_TIME: Duration = Duration::from_secs(60);

/// A server that listens.
pub struct Listening {
    /// Its URL, with the port that it got.
    pub url: String,
    listener: TcpListener,
    served: Rc<Served>,
}

struct Served {
    server: Server,
    site: Site,
}

/// Binds the address, without serving yet.
///
/// # Errors
/// Why the address cannot be bound, and what to do.
pub async fn listen(server: &Server, host: &str, port: u16) -> Result<Listening, String> {
    let listener = TcpListener::bind((host, port)).await.map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => format!("port {port} is in use; choose another by --port"),
        _ => format!("{}: {host}", describe(&error)),
    })?;
    let address = listener.local_addr().map_err(|error| describe(&error))?;
    Ok(Listening {
        url: format!("http://{address}/mcp"),
        listener,
        served: Rc::new(Served { server: server.clone(), site: Site::of(&server.site) }),
    })
}

impl Listening {
    /// Serves until it is dropped.
    pub async fn serve(self) {
        loop {
            let (stream, peer) = match self.listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    // For example, too many files are open: some will be closed soon.
                    self.served.server.log.debug(format_args!("a connection was not accepted: {}", describe(&error)));
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            // Small messages go out at once (no Nagle's algorithm).
            let _ = stream.set_nodelay(true);
            let served = self.served.clone();
            spawn(async move {
                let log = served.server.log;
                let service = service_fn(move |request| respond(served.clone(), request, peer));
                let mut builder = auto::Builder::new(Local);
                builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIME);
                builder.http2().timer(TokioTimer::new()).keep_alive_interval(HEAD_TIME);
                let served = builder.serve_connection(TokioIo::new(stream), service).await;
                if let Err(error) = served {
                    log.debug(format_args!("a connection failed: {error}"));
                }
            });
        }
    }
}

/// Runs hyper's tasks on this thread.
#[derive(Clone, Copy)]
struct Local;

impl<F: Future<Output = ()> + 'static> Executor<F> for Local {
    fn execute(&self, task: F) {
        spawn(task);
    }
}

async fn respond(
    served: Rc<Served>,
    request: Request<Incoming>,
    peer: SocketAddr,
) -> Result<Response<Outgoing>, Infallible> {
    let response = match request.uri().path() {
        path if path == "/mcp" || path.starts_with("/files/") => mcp(&served.server, request, peer.ip()).await,
        "/health" => {
            let health = json!({ "status": "ok", "version": VERSION, "python": PYTHON_VERSION });
            plain(StatusCode::OK, "application/json", health.to_string())
        }
        _ => page(&served, request, peer.ip()).await,
    };
    Ok(response)
}

/// Answers with a static file; until access is configured, only to loopback requests.
async fn page(served: &Served, request: Request<Incoming>, peer: IpAddr) -> Response<Outgoing> {
    let (parts, _) = request.into_parts();
    let path = parts.uri.path().to_owned();
    let is_head = parts.method == Method::HEAD;
    let mut asked = CoreRequest::new(parts.method, parts.uri, parts.headers, Vec::new());
    asked.peer = Some(peer);
    if let Err(refusal) = served.server.access.chosen(&asked) {
        return outgoing(refusal, None);
    }
    let found = if is_head || asked.method == Method::GET { served.site.get(&path).await } else { None };
    let Some((headers, bytes)) = found else {
        return plain(StatusCode::NOT_FOUND, "text/plain", "Page not found: the MCP endpoint is /mcp\n");
    };
    let mut response = Response::new(Outgoing::full(bytes));
    *response.headers_mut() = headers;
    response
}

fn plain(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Response<Outgoing> {
    let mut response = Response::new(Outgoing::full(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    response
}

async fn mcp(server: &Server, request: Request<Incoming>, peer: IpAddr) -> Response<Outgoing> {
    let (parts, body) = request.into_parts();
    let pieces = body.into_data_stream().map(|piece| match piece {
        Ok(bytes) => Ok(bytes.to_vec()),
        Err(error) => Err(error.to_string()),
    });
    let empty = matches!(parts.method, Method::GET | Method::HEAD | Method::DELETE | Method::OPTIONS);
    let (gone, closed) = oneshot::channel::<()>();
    let response = server
        .home
        .handle(CoreRequest {
            method: parts.method,
            uri: parts.uri,
            headers: parts.headers,
            body: if empty { futures::stream::empty().boxed_local() } else { pieces.boxed_local() },
            peer: Some(peer),
            closed: closed.map(drop).boxed_local(),
        })
        .await;
    outgoing(response, Some(gone))
}

fn outgoing(response: CoreResponse, gone: Option<oneshot::Sender<()>>) -> Response<Outgoing> {
    let CoreResponse { status, headers, body } = response;
    let mut response = Response::new(Outgoing { body: body.into(), _gone: gone });
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// The body of a response. hyper drops it when the client is gone.
struct Outgoing {
    body: OutgoingBody,
    /// Tells the core that the client is gone when it is dropped, before or after the response's head.
    _gone: Option<oneshot::Sender<()>>,
}

enum OutgoingBody {
    Full(Option<Bytes>),
    Stream(LocalBoxStream<'static, Result<Vec<u8>, String>>),
    Events(LocalBoxStream<'static, String>),
}

impl From<Body> for OutgoingBody {
    fn from(body: Body) -> Self {
        match body {
            Body::Empty => Self::Full(None),
            Body::Full(bytes) => Self::Full(Some(bytes.into())),
            Body::Stream(bytes) => Self::Stream(bytes),
            Body::Events(events) => Self::Events(events),
        }
    }
}

impl Outgoing {
    fn full(bytes: Bytes) -> Self {
        Self { body: OutgoingBody::Full(Some(bytes)), _gone: None }
    }
}

impl HttpBody for Outgoing {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let bytes = match &mut self.body {
            OutgoingBody::Full(bytes) => bytes.take(),
            // A body that breaks off must not look complete.
            OutgoingBody::Stream(bytes) => match ready!(bytes.poll_next_unpin(cx)).transpose() {
                Ok(bytes) => bytes.map(Bytes::from),
                Err(why) => return Poll::Ready(Some(Err(io::Error::other(why)))),
            },
            OutgoingBody::Events(events) => ready!(events.poll_next_unpin(cx)).map(Bytes::from),
        };
        Poll::Ready(bytes.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(&self.body, OutgoingBody::Full(None))
    }

    fn size_hint(&self) -> SizeHint {
        match &self.body {
            OutgoingBody::Full(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            OutgoingBody::Stream(_) | OutgoingBody::Events(_) => SizeHint::default(),
        }
    }
}
