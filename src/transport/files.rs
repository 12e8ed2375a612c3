//! Files of sessions over HTTP, of any size: `PUT`, `GET` and `DELETE /files/HANDLE/PATH`. They are sent in parts, and
//! no more than one part is ever held.

use std::{pin::pin, time::Duration};

use base64::{Engine, prelude::BASE64_STANDARD as BASE64};
use futures::{FutureExt, StreamExt, future, select_biased, stream};
use http::{HeaderName, Method, StatusCode, header};
use mime_guess::MimeGuess;
use serde_json::json;

use super::http::{Body, Request, Response};
use crate::{
    handle::{is_handle, new_handle},
    kept::Piece,
    limits::{BODY_TIME, FILE_PART, UPLOAD_DRAINED, UPLOAD_STALL, UPLOAD_TIME},
    platform::Platform,
    run::{
        asking::{Answered, Done, FileRequest, Part, Refusal},
        sandbox::SandboxError,
        uri::{FileUri, encode},
    },
    session::{SessionChoice, SessionError, files::SessionFiles},
};

/// How the paths of all files begin.
pub(super) const PREFIX: &str = "/files/";

/// Methods that a page may use on a file.
pub(super) const METHODS: &str = "GET, PUT, DELETE, OPTIONS";

/// How long a client has to wait that has too much going on.
const WAIT: Duration = Duration::from_secs(5);

/// Answers a request for a file.
pub(super) async fn answer(files: SessionFiles, platform: Platform, request: Request) -> Response {
    serve(files, platform, request).await.unwrap_or_else(|refusal| refusal)
}

async fn serve(files: SessionFiles, platform: Platform, mut request: Request) -> Result<Response, Response> {
    if ![Method::GET, Method::PUT, Method::DELETE].contains(&request.method) {
        return Err(refused(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed").with(header::ALLOW, METHODS));
    }
    let file = match named(&request) {
        Ok(uri) => File { files, handle: uri.handle, path: uri.path },
        Err(response) => return Err(unread(&mut request, platform, files.limits.file_bytes, response).await),
    };
    match request.method {
        Method::PUT => file.put(platform, &mut request).await,
        Method::DELETE => match file.ask(&FileRequest::Delete { path: file.path.clone() }).await? {
            Answered::Done(_) => Ok(Response::empty(StatusCode::NO_CONTENT)),
            _ => Err(failed()),
        },
        _ => file.get().await,
    }
}

/// Drains the unwanted body of a request, and returns the refusal. There may be files of `file_bytes`.
async fn unread(request: &mut Request, platform: Platform, file_bytes: usize, refusal: Response) -> Response {
    let mut late = (platform.sleep)(BODY_TIME).fuse();
    select_biased! {
        () = request.drain(0, file_bytes.saturating_mul(UPLOAD_DRAINED)).fuse() => {}
        () = late => {}
    }
    refusal
}

/// Parses which file a request is for.
fn named(request: &Request) -> Result<FileUri, Response> {
    let rest = request.uri.path().strip_prefix(PREFIX).unwrap_or_default();
    let bad = |why: &str| refused(StatusCode::BAD_REQUEST, format!("Bad Request: {why}"));
    // A malformed handle gets the answer of an unknown one.
    if !rest.split('/').next().is_some_and(is_handle) {
        return Err(no_session(&SessionError::Unknown));
    }
    if request.uri.query().is_some() {
        return Err(bad("its path has a query (a ? in a name is %3F)"));
    }
    FileUri::parse_rest(rest).map_err(|why| bad(&why))
}

/// A file of a session.
#[derive(Clone)]
struct File {
    files: SessionFiles,
    handle: String,
    path: String,
}

impl File {
    async fn ask(&self, request: &FileRequest) -> Result<Answered, Response> {
        let answered = self.files.ask(SessionChoice::Handle(self.handle.clone()), request).await;
        match answered.map_err(|error| no_session(&error))? {
            Answered::Refused(refusal) => Err(not_done(refusal)),
            answered => Ok(answered),
        }
    }

    async fn get(self) -> Result<Response, Response> {
        let first = self.part(0).await?;
        let Part { size, version, .. } = first;
        let body = match first.bytes.len() as u64 == size {
            true => Body::Full(first.bytes),
            false => Body::Stream(self.clone().parts(first, version).boxed_local()),
        };
        let name = self.path.rsplit('/').next().unwrap_or(&self.path);
        // **Boundary.** A program wrote it: no browser may show it as a page of this server.
        let response = Response { status: StatusCode::OK, headers: Default::default(), body }
            .with(header::CONTENT_TYPE, MimeGuess::from_path(name).first_or_octet_stream().essence_str())
            .with(header::CONTENT_LENGTH, size.to_string())
            .with(header::CONTENT_DISPOSITION, format!("attachment; filename*=UTF-8''{}", encode(name)))
            .with(header::X_CONTENT_TYPE_OPTIONS, "nosniff")
            .with(header::CONTENT_SECURITY_POLICY, "sandbox; default-src 'none'")
            .with(HeaderName::from_static("cross-origin-resource-policy"), "same-origin")
            .with(header::CACHE_CONTROL, "private, no-store");
        Ok(response)
    }

    async fn part(&self, at: u64) -> Result<Part, Response> {
        if let Some(keeper) = self.files.host.keeper()
            && let Some(Piece { size, bytes }) = keeper.get(&self.handle, &self.path, at).await
        {
            return Ok(Part { size, version: 0, bytes });
        }
        match self.ask(&FileRequest::Read { path: self.path.clone(), at, bytes: FILE_PART }).await? {
            Answered::Read(part) => Ok(part),
            _ => Err(failed()),
        }
    }

    /// All bytes, from the first part on. If the file is changed meanwhile, the stream breaks off: no client takes it
    /// for whole.
    fn parts(self, first: Part, version: u64) -> impl futures::Stream<Item = Result<Vec<u8>, String>> {
        let (at, size) = (first.bytes.len() as u64, first.size);
        let rest = stream::unfold(Some(at), move |at| {
            let file = self.clone();
            async move {
                let at = at.filter(|at| *at < size)?;
                match file.part(at).await {
                    Ok(part) if part.version == version && part.size == size => {
                        let next = at + part.bytes.len() as u64;
                        Some((Ok(part.bytes), Some(next)))
                    }
                    Ok(_) => Some((Err("the file was changed while it was read".to_owned()), None)),
                    Err(_) => Some((Err("the file can no longer be read".to_owned()), None)),
                }
            }
        });
        stream::once(future::ready(Ok(first.bytes))).chain(rest)
    }

    async fn put(self, platform: Platform, request: &mut Request) -> Result<Response, Response> {
        let received = async {
            let checked = match self.check(request) {
                // Checks that the session exists before the bytes come.
                Ok(()) => self.probe().await,
                Err(response) => Err(response),
            };
            let result = match checked {
                Ok(()) => self.receive(platform, request).await,
                Err(response) => Err(response),
            };
            match result {
                Err(response) if response.status != StatusCode::REQUEST_TIMEOUT => {
                    Err(unread(request, platform, self.files.limits.file_bytes, response).await)
                }
                result => result,
            }
        };
        let mut late = (platform.sleep)(UPLOAD_TIME).fuse();
        select_biased! {
            result = pin!(received.fuse()) => result,
            () = late => Err(too_slow(UPLOAD_TIME)),
        }
    }

    /// Checks what the headers say of the body.
    fn check(&self, request: &Request) -> Result<(), Response> {
        if request.headers.contains_key(header::CONTENT_RANGE) {
            return Err(refused(StatusCode::BAD_REQUEST, "Bad Request: a file is uploaded as a whole, not by ranges"));
        }
        if request.headers.get(header::CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity") {
            let why = "Unsupported Media Type: the body must not have a Content-Encoding";
            return Err(refused(StatusCode::UNSUPPORTED_MEDIA_TYPE, why));
        }
        match request.declared() {
            Some(size) if size > self.files.limits.file_bytes as u64 => Err(self.too_large()),
            _ => Ok(()),
        }
    }

    async fn probe(&self) -> Result<(), Response> {
        let opened = self.files.host.open(SessionChoice::Handle(self.handle.clone())).await;
        opened.map(drop).map_err(|error| no_session(&error))
    }

    async fn receive(&self, platform: Platform, request: &mut Request) -> Result<Response, Response> {
        let mut upload = Upload { file: self, platform, name: new_handle(), sent: 0, goes_on: false };
        let received = self.receive_into(&mut upload, platform, request).await;
        if received.is_err() && std::mem::take(&mut upload.goes_on) {
            // Awaited before the answer: what begins after that may never get there.
            let _ = self.ask(&FileRequest::Abandon { upload: upload.name.clone() }).await;
        }
        received
    }

    async fn receive_into(
        &self,
        upload: &mut Upload<'_>,
        platform: Platform,
        request: &mut Request,
    ) -> Result<Response, Response> {
        let declared = request.declared();
        let mut buffer = Vec::new();
        let mut size = 0;
        loop {
            let mut late = (platform.sleep)(UPLOAD_STALL).fuse();
            let piece = select_biased! {
                piece = request.body.next().fuse() => piece,
                () = late => return Err(too_slow(UPLOAD_STALL)),
            };
            let Some(piece) = piece else {
                // There is nothing left to drain.
                request.body = stream::empty().boxed_local();
                break;
            };
            let piece = piece.map_err(|error| {
                refused(StatusCode::BAD_REQUEST, format!("Bad Request: the body could not be read: {error}"))
            })?;
            size += piece.len() as u64;
            if size > self.files.limits.file_bytes as u64 {
                return Err(self.too_large());
            }
            let mut piece = &piece[..];
            while buffer.len() + piece.len() > FILE_PART {
                let (head, tail) = piece.split_at(FILE_PART - buffer.len());
                buffer.extend_from_slice(head);
                upload.send(&buffer, false).await?;
                buffer.clear();
                piece = tail;
            }
            buffer.extend_from_slice(piece);
        }
        if declared.is_some_and(|declared| declared != size) {
            return Err(refused(StatusCode::BAD_REQUEST, "Bad Request: the body is not as long as its Content-Length"));
        }
        match upload.send(&buffer, true).await? {
            Done::Created => Ok(Response::empty(StatusCode::CREATED)),
            _ => Ok(Response::empty(StatusCode::NO_CONTENT)),
        }
    }

    fn too_large(&self) -> Response {
        let limit = self.files.limits.file_bytes;
        let why = format!("Payload Too Large: the files of a session may have {limit} bytes (FILES_LIMIT_MB)");
        refused(StatusCode::PAYLOAD_TOO_LARGE, why)
    }
}

/// An upload that goes on. If it is dropped before its end, the isolate is told to give it up.
struct Upload<'a> {
    file: &'a File,
    platform: Platform,
    name: String,
    sent: u64,
    goes_on: bool,
}

impl Upload<'_> {
    async fn send(&mut self, bytes: &[u8], last: bool) -> Result<Done, Response> {
        self.goes_on = true;
        let request = FileRequest::Write {
            upload: self.name.clone(),
            path: self.file.path.clone(),
            at: self.sent,
            base64: BASE64.encode(bytes),
            last,
        };
        let answered = self.file.files.ask(SessionChoice::Handle(self.file.handle.clone()), &request).await;
        let done = match answered.map_err(|error| no_session(&error))? {
            Answered::Done(done) => done,
            Answered::Refused(refusal) => {
                // The isolate has forgotten the upload.
                self.goes_on = false;
                return Err(not_done(refusal));
            }
            _ => return Err(failed()),
        };
        self.sent += bytes.len() as u64;
        self.goes_on = !last;
        Ok(done)
    }
}

impl Drop for Upload<'_> {
    fn drop(&mut self) {
        if self.goes_on {
            let (file, upload) = (self.file.clone(), std::mem::take(&mut self.name));
            (self.platform.spawn)(Box::pin(async move {
                // If this does not get there, the isolate forgets it by itself.
                let _ = file.ask(&FileRequest::Abandon { upload }).await;
            }));
        }
    }
}

/// A refusal in plain JSON: the request was no JSON-RPC message.
fn refused(status: StatusCode, why: impl Into<String>) -> Response {
    Response::json(status, &json!({ "error": why.into() }))
}

fn too_slow(limit: Duration) -> Response {
    let why = format!("Request Timeout: nothing came for too long, or not all within {} s", limit.as_secs());
    refused(StatusCode::REQUEST_TIMEOUT, why)
}

fn failed() -> Response {
    refused(StatusCode::BAD_GATEWAY, "Bad Gateway: the sandbox answered something else")
}

fn not_done(refusal: Refusal) -> Response {
    let (status, name) = match refusal {
        Refusal::Missing => (StatusCode::NOT_FOUND, "Not Found"),
        Refusal::Full => (StatusCode::INSUFFICIENT_STORAGE, "Insufficient Storage"),
        Refusal::Busy => (StatusCode::TOO_MANY_REQUESTS, "Too Many Requests"),
        Refusal::Nofile | Refusal::Link | Refusal::Obstructed | Refusal::Readonly | Refusal::Broken => {
            (StatusCode::CONFLICT, "Conflict")
        }
    };
    refused(status, format!("{name}: {refusal}"))
}

/// **Boundary.** Another's session gets the same answer as none.
fn no_session(error: &SessionError) -> Response {
    let (status, name) = match error {
        SessionError::Unknown => return refused(StatusCode::NOT_FOUND, "Not Found: there is no such session"),
        SessionError::Ended(_) => (StatusCode::NOT_FOUND, "Not Found"),
        SessionError::TooManySessions { .. } | SessionError::TooManyRuns { .. } => {
            (StatusCode::TOO_MANY_REQUESTS, "Too Many Requests")
        }
        SessionError::Sandbox(SandboxError::Busy(_)) => (StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable"),
        SessionError::Sandbox(_) => (StatusCode::BAD_GATEWAY, "Bad Gateway"),
    };
    let response = refused(status, format!("{name}: {error}"));
    match status {
        StatusCode::TOO_MANY_REQUESTS => response.with(header::RETRY_AFTER, WAIT.as_secs().to_string()),
        _ => response,
    }
}
