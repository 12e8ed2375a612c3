//! A whole server in a test: the transport, a home that does what a real one does, and a sandbox whose
//! "Python" is a few words. Time is virtual: it jumps to the next timer whenever nothing else can happen.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, HashMap},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use futures::{
    StreamExt,
    channel::oneshot,
    executor::{LocalPool, LocalSpawner},
    future::LocalBoxFuture,
    stream::{self, LocalBoxStream},
    task::LocalSpawnExt,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use serde_json::{Value, json};

use crate::{
    limits::Limits,
    report::ReturnMode,
    sandbox::{Frames, Sandbox, SandboxError},
    server::{Server, ServerOptions},
    session::{Host, Opened, SessionChoice, SessionError},
    transport::{
        Body, Change, Endpoint, LegacySession, Platform, Request, Response, Routed, SessionRecord,
        TransportOptions,
    },
};

thread_local! {
    static NOW: Cell<Duration> = const { Cell::new(Duration::ZERO) };
    static TIMERS: RefCell<BTreeMap<(Duration, u64), Waker>> = RefCell::default();
    static SPAWNER: RefCell<Option<LocalSpawner>> = RefCell::default();
    static NEXT: Cell<u64> = const { Cell::new(0) };
}

/// Runs `future` and whatever it spawns, until `future` is done.
pub(super) fn run<T: 'static>(future: impl Future<Output = T> + 'static) -> T {
    let mut pool = LocalPool::new();
    NOW.set(Duration::ZERO);
    TIMERS.take();
    SPAWNER.set(Some(pool.spawner()));
    let (sender, mut result) = oneshot::channel();
    spawn(Box::pin(async move {
        let _ = sender.send(future.await);
    }));
    loop {
        pool.run_until_stalled();
        if let Some(result) = result.try_recv().unwrap() {
            return result;
        }
        let ((due, _), waker) =
            TIMERS.with_borrow_mut(BTreeMap::pop_first).expect("something must be going to happen");
        NOW.set(due);
        waker.wake();
    }
}

pub(super) fn now() -> Duration {
    NOW.get()
}

pub(super) fn spawn(task: LocalBoxFuture<'static, ()>) {
    SPAWNER.with_borrow(|spawner| spawner.as_ref().unwrap().spawn_local(task).unwrap());
}

pub(super) fn sleep(duration: Duration) -> LocalBoxFuture<'static, ()> {
    let id = NEXT.replace(NEXT.get() + 1);
    Box::pin(Sleep { key: (NOW.get() + duration, id) })
}

struct Sleep {
    key: (Duration, u64),
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if NOW.get() >= self.key.0 {
            return Poll::Ready(());
        }
        TIMERS.with_borrow_mut(|timers| timers.insert(self.key, cx.waker().clone()));
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        // At a thread's end the timers may be gone first.
        let _ = TIMERS.try_with(|timers| timers.borrow_mut().remove(&self.key));
    }
}

/// What happened in sandboxes.
#[derive(Default)]
pub(super) struct Seen {
    /// How many runs were started.
    pub(super) started: Cell<usize>,
    /// How many were ended before they were done.
    pub(super) dropped: Cell<usize>,
    /// How many runs were opened with each kind of session.
    pub(super) opened: RefCell<Vec<SessionChoice>>,
}

/// A sandbox whose programs are lines of `print TEXT`, `warn TEXT`, `sleep SECONDS`, `return JSON`,
/// `globals`, `lose`.
struct Scripted(Rc<Seen>);

impl Sandbox for Scripted {
    fn start(&self, request: String) -> LocalBoxFuture<'static, Result<Frames, SandboxError>> {
        self.0.started.set(self.0.started.get() + 1);
        let request: Value = serde_json::from_str(&request).unwrap();
        let globals = request["globals"].as_str().unwrap().to_owned();
        let mut lines: Vec<String> =
            request["code"].as_str().unwrap().lines().map(str::to_owned).collect();
        lines.push("return null".into());
        let running = Running(Some(self.0.clone()));
        let frames = stream::unfold(
            (lines.into_iter(), running, globals),
            |(mut lines, mut running, globals)| async move {
                running.0.as_ref()?;
                let line = lines.next()?;
                let (word, rest) = line.split_once(' ').unwrap_or((&line, ""));
                let frame = match word {
                    "print" => Ok(json!({ "stream": "stdout", "lines": [rest] })),
                    "warn" => Ok(json!({ "stream": "stderr", "lines": [rest] })),
                    "sleep" => {
                        sleep(Duration::from_secs_f64(rest.parse().unwrap())).await;
                        Ok(json!({ "stream": "stdout", "lines": [] }))
                    }
                    "lose" => Err(SandboxError::Lost("it was told to".into())),
                    "globals" => Ok(end(&globals)),
                    "return" => Ok(end(rest)),
                    _ => panic!("no such word: {word}"),
                };
                if matches!(word, "lose" | "globals" | "return") {
                    running.0 = None;
                }
                let frame = frame.map(|frame| format!("{frame}\n").into_bytes());
                Some((frame, (lines, running, globals)))
            },
        );
        Box::pin(async move { Ok(frames.boxed_local()) })
    }

    fn sleep(&self, duration: Duration) -> LocalBoxFuture<'static, ()> {
        sleep(duration)
    }
}

fn end(json_text: &str) -> Value {
    json!({ "end": { "status": "success", "json": json_text } })
}

/// Notices a run that is dropped before its end.
struct Running(Option<Rc<Seen>>);

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(seen) = &self.0 {
            seen.dropped.set(seen.dropped.get() + 1);
        }
    }
}

struct TestHost(Rc<Seen>);

impl Host for TestHost {
    fn offers_sessions(&self) -> bool {
        true
    }

    fn open(&self, choice: SessionChoice) -> LocalBoxFuture<'static, Result<Opened, SessionError>> {
        self.0.opened.borrow_mut().push(choice.clone());
        let handle = match choice {
            SessionChoice::Unnamed => Ok(None),
            SessionChoice::New => Ok(Some("h1".to_owned())),
            SessionChoice::Handle(handle) if handle == "h1" => Ok(Some(handle)),
            SessionChoice::Handle(_) => Err(SessionError::Unknown),
        };
        let sandbox = Rc::new(Scripted(self.0.clone()));
        Box::pin(async move { Ok(Opened { sandbox, handle: handle? }) })
    }
}

/// A home: the endpoint, its sessions, and their stored records.
pub(super) struct Home {
    pub(super) seen: Rc<Seen>,
    pub(super) options: TransportOptions,
    endpoint: Endpoint,
    sessions: RefCell<HashMap<String, Rc<LegacySession>>>,
    records: RefCell<HashMap<String, String>>,
}

impl Home {
    pub(super) fn new() -> Rc<Self> {
        Self::with(|_| {})
    }

    pub(super) fn with(configure: impl FnOnce(&mut TransportOptions)) -> Rc<Self> {
        let mut options = TransportOptions::new(Platform { sleep, spawn });
        configure(&mut options);
        let seen = Rc::new(Seen::default());
        Rc::new(Self {
            endpoint: Endpoint::new(Self::server(&seen), options.clone()),
            seen,
            options,
            sessions: RefCell::default(),
            records: RefCell::default(),
        })
    }

    fn server(seen: &Rc<Seen>) -> Server {
        let options =
            ServerOptions { limits: Limits::default(), return_mode: ReturnMode::Xml };
        Server::new(Rc::new(TestHost(seen.clone())), options)
    }

    /// What a real home does with a request.
    pub(super) async fn serve(&self, request: Request) -> Response {
        let (method, uri, headers) =
            (request.method.clone(), request.uri.clone(), request.headers.clone());
        match self.endpoint.route(request).await {
            Routed::Answered(response) => response,
            // The body was not touched; here it is kept by the caller, see `Call::send`.
            Routed::Session(_) => unreachable!("sessions are served by `Call::send`"),
            Routed::NewSession(body) => {
                let id = format!("s{}", self.sessions.borrow().len());
                self.in_session(&id, Request::new(method, uri, headers, body)).await
            }
        }
    }

    async fn in_session(&self, id: &str, request: Request) -> Response {
        let session = self.sessions.borrow().get(id).cloned();
        let session = session.unwrap_or_else(|| {
            let record = self.records.borrow().get(id).cloned();
            let record = record.map(|record| serde_json::from_str::<SessionRecord>(&record).unwrap());
            Rc::new(LegacySession::new(
                id.to_owned(),
                Self::server(&self.seen),
                self.options.clone(),
                record,
            ))
        });
        self.sessions.borrow_mut().insert(id.to_owned(), session.clone());
        let (response, change) = session.handle(request).await;
        match change {
            Some(Change::Save(record)) => {
                let record = serde_json::to_string(&record).unwrap();
                self.records.borrow_mut().insert(id.to_owned(), record);
            }
            Some(Change::End) => {
                self.records.borrow_mut().remove(id);
            }
            None => {}
        }
        response
    }

    /// Forgets everything but the stored records.
    pub(super) fn restart(&self) {
        self.sessions.take();
    }

    pub(super) fn session(&self, id: &str) -> Rc<LegacySession> {
        self.sessions.borrow()[id].clone()
    }
}

/// A request being made.
pub(super) struct Call {
    method: Method,
    uri: String,
    headers: HeaderMap,
    body: Vec<u8>,
    closed: LocalBoxFuture<'static, ()>,
}

impl Call {
    pub(super) fn new(method: Method) -> Self {
        Self {
            method,
            uri: "http://127.0.0.1:8787/mcp".into(),
            headers: HeaderMap::new(),
            body: Vec::new(),
            closed: Box::pin(futures::future::pending()),
        }
        .header("host", "127.0.0.1:8787")
        .header("accept", "application/json, text/event-stream")
    }

    pub(super) fn post(body: &Value) -> Self {
        Self::raw(body.to_string().into_bytes())
    }

    pub(super) fn raw(body: Vec<u8>) -> Self {
        Self { body, ..Self::new(Method::POST) }.header("content-type", "application/json")
    }

    /// A modern request with its headers and `_meta`.
    pub(super) fn modern(method: &str, mut params: Value) -> Self {
        let meta = params.as_object_mut().unwrap().entry("_meta").or_insert_with(|| json!({}));
        meta["io.modelcontextprotocol/protocolVersion"] = "2026-07-28".into();
        meta["io.modelcontextprotocol/clientCapabilities"] = json!({});
        let name = params["name"].as_str().map(str::to_owned);
        let call = Self::post(&json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }))
            .header("mcp-protocol-version", "2026-07-28")
            .header("mcp-method", method);
        match name {
            Some(name) => call.header("mcp-name", &name),
            None => call,
        }
    }

    pub(super) fn modern_run(code: &str) -> Self {
        Self::modern("tools/call", run_params(code))
    }

    pub(super) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.insert(
            HeaderName::from_bytes(name.as_bytes()).unwrap(),
            HeaderValue::from_str(value).unwrap(),
        );
        self
    }

    pub(super) fn without(mut self, name: &str) -> Self {
        self.headers.remove(name);
        self
    }

    pub(super) fn session(self, id: &str) -> Self {
        self.header("mcp-session-id", id)
    }

    /// The client goes away at `time` from now.
    pub(super) fn closes_after(mut self, time: Duration) -> Self {
        self.closed = sleep(time);
        self
    }

    pub(super) async fn response(self, home: &Home) -> Response {
        let session = self.headers.get("mcp-session-id").map(|id| id.to_str().unwrap().to_owned());
        let mut request =
            Request::new(self.method, self.uri.parse().unwrap(), self.headers, self.body);
        request.closed = self.closed;
        if let Some(id) = session
            && home.options.legacy_sessions
            && !super::super::headers::is_modern(&request.headers)
        {
            let head = Request::new(
                request.method.clone(),
                request.uri.clone(),
                request.headers.clone(),
                Vec::new(),
            );
            return match home.endpoint.route(head).await {
                Routed::Session(routed) if routed == id => {
                    let known = home.sessions.borrow().contains_key(&id)
                        || home.records.borrow().contains_key(&id);
                    if known {
                        home.in_session(&id, request).await
                    } else {
                        Response::session_not_found()
                    }
                }
                Routed::Answered(response) => response,
                other => panic!("{other:?}"),
            };
        }
        home.serve(request).await
    }

    pub(super) async fn send(self, home: &Home) -> Reply {
        Reply::read(self.response(home).await).await
    }
}

pub(super) fn run_params(code: &str) -> Value {
    json!({ "name": "run_python_code", "arguments": { "python_code": code } })
}

/// A response, read to its end.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) text: String,
    /// The messages of an event stream, or the one of a JSON body.
    pub(super) messages: Vec<Value>,
    pub(super) keep_alives: usize,
}

impl Reply {
    async fn read(response: Response) -> Self {
        let Response { status, headers, body } = response;
        let mut reply =
            Self { status, headers, text: String::new(), messages: Vec::new(), keep_alives: 0 };
        match body {
            Body::Empty => {}
            Body::Full(bytes) => {
                reply.text = String::from_utf8(bytes).unwrap();
                reply.messages.push(serde_json::from_str(&reply.text).unwrap());
            }
            Body::Events(events) => reply.read_events(events).await,
        }
        reply
    }

    async fn read_events(&mut self, mut events: LocalBoxStream<'static, String>) {
        while let Some(event) = events.next().await {
            self.text.push_str(&event);
            match event.strip_prefix("event: message\ndata: ").and_then(|e| e.strip_suffix("\n\n")) {
                Some(data) => self.messages.push(serde_json::from_str(data).unwrap()),
                None => {
                    assert_eq!(event, ": keep-alive\n\n");
                    self.keep_alives += 1;
                }
            }
        }
    }

    pub(super) fn is_events(&self) -> bool {
        self.headers.get("content-type").is_some_and(|value| value == "text/event-stream")
    }

    /// The last message.
    pub(super) fn last(&self) -> &Value {
        self.messages.last().unwrap()
    }

    pub(super) fn error_code(&self) -> i64 {
        self.last()["error"]["code"].as_i64().unwrap_or_else(|| panic!("no error: {self:?}"))
    }

    pub(super) fn error_message(&self) -> String {
        self.last()["error"]["message"].as_str().unwrap().to_owned()
    }

    pub(super) fn structured(&self) -> &Value {
        &self.last()["result"]["structuredContent"]
    }

    /// The data of log messages, and their levels.
    pub(super) fn logs(&self) -> Vec<(String, String)> {
        self.messages
            .iter()
            .filter(|message| message["method"] == "notifications/message")
            .map(|message| {
                let text = |key: &str| message["params"][key].as_str().unwrap().to_owned();
                (text("level"), text("data"))
            })
            .collect()
    }
}

/// Initializes a legacy session; gives its id.
pub(super) async fn initialize(home: &Home, version: &str) -> String {
    let reply = Call::post(&initialize_request(version)).send(home).await;
    assert_eq!(reply.status, StatusCode::OK, "{reply:?}");
    assert_eq!(reply.last()["result"]["protocolVersion"], version);
    reply.headers["mcp-session-id"].to_str().unwrap().to_owned()
}

pub(super) fn initialize_request(version: &str) -> Value {
    json!({
        "jsonrpc": "2.0",
        "id": 0,
        "method": "initialize",
        "params": {
            "protocolVersion": version,
            "capabilities": {},
            "clientInfo": { "name": "test", "version": "1" },
        },
    })
}

pub(super) fn request(id: impl Into<Value>, method: &str, params: Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": id.into(), "method": method, "params": params })
}
