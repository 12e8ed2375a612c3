//! HTTP to one workerd process, over its Unix socket.

use std::{
    cell::RefCell,
    future::poll_fn,
    path::PathBuf,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use bytes::Bytes;
use hyper::{
    Method, Request, StatusCode,
    body::{Body, Incoming},
    client::conn::http1::{self, SendRequest},
    header,
};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;

use super::envelope::Pieces;
use crate::{errors::describe, platform::spawn};

/// How long an idle connection may be used again: workerd closes it after 5 s.
const FRESH: Duration = Duration::from_secs(3);

/// Most bytes of an ignored response that are read to reach its end.
const MAX_IGNORED: usize = 64 * 1024;

/// The connections to a process. Clones share them.
#[derive(Clone)]
pub struct Client(Rc<Inner>);

struct Inner {
    socket: PathBuf,
    secret: String,
    idle: RefCell<Vec<(SendRequest<Pieces>, Instant)>>,
}

impl Client {
    /// A client for the process that listens at `socket`, and answers those who have the `secret`.
    pub fn new(socket: PathBuf, secret: String) -> Self {
        Self(Rc::new(Inner { socket, secret, idle: RefCell::default() }))
    }

    /// Closes idle connections.
    pub fn close(&self) {
        let idle = self.0.idle.take();
        drop(idle);
    }

    /// Sends a request. Returns the response once its head has arrived.
    ///
    /// # Errors
    /// Says how the connection failed.
    pub async fn ask(&self, method: Method, path: &str, body: Pieces) -> Result<Answer, String> {
        let mut connection = self.connection().await?;
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "desk")
            .header(header::AUTHORIZATION, &self.0.secret)
            .body(body)
            .map_err(|error| error.to_string())?;
        let response = connection.send_request(request).await.map_err(|error| error.to_string())?;
        let (head, body) = response.into_parts();
        Ok(Answer { status: head.status, body, connection: Some(connection), client: self.clone() })
    }

    async fn connection(&self) -> Result<SendRequest<Pieces>, String> {
        loop {
            let idle = self.0.idle.borrow_mut().pop();
            match idle {
                None => break,
                Some((_, since)) if since.elapsed() > FRESH => {}
                Some((mut connection, _)) => {
                    if connection.ready().await.is_ok() {
                        return Ok(connection);
                    }
                }
            }
        }
        let stream = UnixStream::connect(&self.0.socket).await.map_err(|error| describe(&error))?;
        let (connection, driver) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
        spawn(async move {
            // Errors reach the request that uses the connection.
            let _ = driver.await;
        });
        Ok(connection)
    }
}

/// A response, whose body is read piece by piece.
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    body: Incoming,
    connection: Option<SendRequest<Pieces>>,
    client: Client,
}

impl Answer {
    /// The next bytes of the body; `None` once there are no more.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, String>>> {
        loop {
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => {
                    // Trailers are ignored.
                    if let Ok(bytes) = frame.into_data() {
                        return Poll::Ready(Some(Ok(bytes)));
                    }
                }
                Some(Err(error)) => {
                    self.connection = None;
                    return Poll::Ready(Some(Err(error.to_string())));
                }
                None => {
                    // The connection may serve the next request.
                    if let Some(connection) = self.connection.take() {
                        self.client.0.idle.borrow_mut().push((connection, Instant::now()));
                    }
                    return Poll::Ready(None);
                }
            }
        }
    }

    /// Awaits the next bytes of the body.
    pub async fn next(&mut self) -> Option<Result<Bytes, String>> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// Reads and drops the rest. Returns whether it came to a proper end.
    pub async fn drain(&mut self) -> bool {
        loop {
            match self.next().await {
                None => return true,
                Some(Ok(_)) => {}
                Some(Err(_)) => return false,
            }
        }
    }

    /// Returns the status once the whole of a small response has arrived.
    pub async fn settled(mut self) -> Result<StatusCode, String> {
        let mut size = 0;
        while let Some(bytes) = self.next().await {
            size += bytes?.len();
            // **Boundary.** What an isolate sends here is ignored, and must not go on for ever.
            if size > MAX_IGNORED {
                break;
            }
        }
        Ok(self.status)
    }
}
