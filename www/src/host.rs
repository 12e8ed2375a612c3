//! What a home implements in JavaScript: sandboxes. `types.d.ts` says what each method does.

use std::{rc::Rc, time::Duration};

use futures::{FutureExt, StreamExt, channel::oneshot, future::LocalBoxFuture, stream};
use js_sys::{Array, Object, Promise, Reflect, Uint8Array};
use mcp_run_python::{
    packages::{
        PackageSet, Room,
        supply::{FetchError, FetchRequest},
    },
    sandbox::{Frames, Sandbox, SandboxError},
    session::{Host, Opened, SessionChoice, SessionError},
    transport::Principal,
};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{ReadableStream, ReadableStreamDefaultReader};

use crate::{PLATFORM, packages::Wheels, sessions::Sessions};

#[wasm_bindgen(typescript_custom_section)]
const TYPES: &str = include_str!("types.d.ts");

#[wasm_bindgen]
extern "C" {
    /// See `types.d.ts`.
    #[derive(Clone)]
    pub type SandboxHost;
    #[wasm_bindgen(method, getter, js_name = openSession)]
    fn session_opener(this: &SandboxHost) -> JsValue;
    #[wasm_bindgen(method, catch)]
    fn start(this: &SandboxHost, request: &str, session: Option<&str>, packages: &Array) -> Result<Promise, JsValue>;
    #[wasm_bindgen(method, catch, js_name = openSession)]
    fn open_session(this: &SandboxHost, owner: u32) -> Result<Promise, JsValue>;
    #[wasm_bindgen(method, catch, js_name = hasSession)]
    fn has_session(this: &SandboxHost, session: &str) -> Result<Promise, JsValue>;
    #[wasm_bindgen(method, catch, js_name = endSession)]
    fn end_session(this: &SandboxHost, session: &str) -> Result<Promise, JsValue>;
    #[wasm_bindgen(method, catch, js_name = carryFiles)]
    fn carry_files_between(this: &SandboxHost, from: &str, to: &str) -> Result<Promise, JsValue>;
    #[wasm_bindgen(method, getter, js_name = addsPackages)]
    fn adds(this: &SandboxHost) -> JsValue;
    #[wasm_bindgen(method, getter, js_name = lockFile)]
    fn lock_file(this: &SandboxHost) -> JsValue;
    #[wasm_bindgen(method, getter)]
    fn room(this: &SandboxHost) -> JsValue;
    #[wasm_bindgen(method, catch)]
    fn fetch(this: &SandboxHost, url: &str, limits: &Object) -> Result<Promise, JsValue>;
    #[wasm_bindgen(method, catch)]
    fn cached(this: &SandboxHost, sha256: &str) -> Result<Promise, JsValue>;
    #[wasm_bindgen(method, catch)]
    fn cache(this: &SandboxHost, sha256: &str, wheel: &Uint8Array) -> Result<Promise, JsValue>;
}

impl SandboxHost {
    /// Whether it keeps interpreters between runs.
    pub fn keeps_sessions(&self) -> bool {
        self.session_opener().is_function()
    }

    /// Whether a kept interpreter can be given further packages.
    pub fn adds_packages(&self) -> bool {
        self.adds().is_truthy()
    }

    /// The text of the lock file, if packages are to be had at all.
    pub fn lock_text(&self) -> Option<String> {
        self.lock_file().as_string()
    }

    /// Adds what the home knows of the room that an interpreter has.
    pub fn fill_in(&self, room: &mut Room) {
        let get = |member: &str| Reflect::get(&self.room(), &member.into()).ok()?.as_f64();
        room.code = get("code").map(|bytes| bytes as usize);
        room.heap = get("heap").unwrap_or_default() as usize;
    }

    /// Fetches a file of a package.
    pub async fn fetch_bytes(&self, request: &FetchRequest) -> Result<Vec<u8>, FetchError> {
        let limits = Object::new();
        for (member, value) in [
            ("accept", request.accept.map_or(JsValue::UNDEFINED, Into::into)),
            ("maxBytes", JsValue::from(request.max_bytes as f64)),
            ("milliseconds", JsValue::from(request.timeout.as_millis() as f64)),
        ] {
            // An object of our own takes any member.
            let _ = Reflect::set(&limits, &member.into(), &value);
        }
        let fetched = match self.fetch(&request.url, &limits) {
            Ok(promise) => JsFuture::from(promise).await,
            Err(error) => Err(error),
        };
        let bytes = fetched.map_err(|error| {
            let get = |member: &str| Reflect::get(&error, &member.into()).ok();
            match (get("status").and_then(|status| status.as_f64()), get("name").and_then(|name| name.as_string())) {
                (Some(status), _) => FetchError::Status(status as u16),
                (None, Some(name)) if name == "TimeoutError" => FetchError::Timeout(request.timeout),
                (None, Some(name)) if name == "RangeError" => FetchError::TooLarge(request.max_bytes),
                _ => FetchError::Unreachable(message(&error)),
            }
        })?;
        let bytes: Uint8Array = bytes.dyn_into().map_err(|_| FetchError::Unreachable("no bytes came".into()))?;
        if bytes.length() as usize > request.max_bytes {
            return Err(FetchError::TooLarge(request.max_bytes));
        }
        Ok(bytes.to_vec())
    }

    /// A wheel that was cached. It is to be checked.
    pub async fn cached_wheel(&self, sha256: &str) -> Option<Vec<u8>> {
        // A home may have no cache, and a cache may have forgotten.
        Some(settled(self.cached(sha256)).await.ok()?.dyn_into::<Uint8Array>().ok()?.to_vec())
    }

    /// Caches a wheel, as far as the home does.
    pub async fn cache_wheel(&self, sha256: &str, wheel: Uint8Array) {
        let _ = settled(self.cache(sha256, &wheel)).await;
    }

    /// Starts a run in the interpreter `session`, or in a fresh one, with packages.
    pub async fn run(&self, request: &str, session: Option<&str>, packages: &Array) -> Result<Run, SandboxError> {
        let started = settled(self.start(request, session, packages)).await.map_err(SandboxError::Start)?;
        let stream: ReadableStream =
            started.dyn_into().map_err(|_| SandboxError::Start("the sandbox host gave no stream".into()))?;
        Ok(Run(stream.get_reader().unchecked_into()))
    }

    /// Starts an interpreter that is kept, for a session of the client `owner`.
    pub async fn open(&self, owner: u32) -> Result<String, SandboxError> {
        let session = settled(self.open_session(owner)).await.map_err(SandboxError::Start)?;
        session.as_string().ok_or_else(|| SandboxError::Start("the sandbox host named no session".into()))
    }

    /// Whether an interpreter that was kept is still there.
    pub async fn has(&self, session: &str) -> bool {
        settled(self.has_session(session)).await.is_ok_and(|has| has.is_truthy())
    }

    /// Ends an interpreter that was kept.
    pub async fn end(&self, session: &str) {
        // One that cannot be ended is one that was lost.
        let _ = settled(self.end_session(session)).await;
    }

    /// Gives the files of one interpreter that is kept to another, which has not run yet. Whether it did.
    pub async fn carry_files(&self, from: &str, to: &str) -> bool {
        settled(self.carry_files_between(from, to)).await.is_ok_and(|carried| carried.is_truthy())
    }
}

/// The frames of one run.
#[derive(Clone)]
pub struct Run(ReadableStreamDefaultReader);

impl Run {
    /// The next bytes; `None` once there are no more.
    pub async fn next(&self) -> Option<Result<Vec<u8>, SandboxError>> {
        let lost = |error: JsValue| Some(Err(SandboxError::Lost(message(&error))));
        let read = match JsFuture::from(self.0.read()).await {
            Ok(read) => read,
            Err(error) => return lost(error),
        };
        let get = |member: &str| Reflect::get(&read, &member.into()).unwrap_or_default();
        if get("done").is_truthy() {
            return None;
        }
        match get("value").dyn_into::<Uint8Array>() {
            Ok(bytes) => Some(Ok(bytes.to_vec())),
            Err(_) => Some(Err(SandboxError::Protocol("frames that are no bytes"))),
        }
    }

    /// Ends the run. Resolves when its interpreter is ready for the next, or gone.
    pub async fn cancel(&self) {
        let _ = JsFuture::from(self.0.cancel()).await;
    }
}

/// Awaits a call of the host.
async fn settled(call: Result<Promise, JsValue>) -> Result<JsValue, String> {
    match call {
        Ok(promise) => JsFuture::from(promise).await.map_err(|error| message(&error)),
        Err(error) => Err(message(&error)),
    }
}

/// What an error says.
fn message(error: &JsValue) -> String {
    match error.dyn_ref::<js_sys::Error>() {
        Some(error) => error.message().into(),
        None => error.as_string().unwrap_or_else(|| "no reason given".into()),
    }
}

/// Serves requests that stand for themselves.
pub struct FreshHost {
    sessions: Sessions,
    principal: Principal,
    client: u32,
}

impl FreshHost {
    /// Those of `principal`, on the connection `client`; `sessions` are those that can be named.
    pub fn new(sessions: Sessions, principal: Principal, client: u32) -> Self {
        Self { sessions, principal, client }
    }
}

impl Host for FreshHost {
    fn offers_sessions(&self) -> bool {
        self.sessions.are_offered()
    }

    fn open(&self, choice: SessionChoice) -> LocalBoxFuture<'static, Result<Opened, SessionError>> {
        let opened = self.sessions.enter(&self.principal, || match choice {
            SessionChoice::Unnamed => Ok(Opened { sandbox: Rc::new(self.sessions.fresh()), handle: None }),
            named => self.sessions.open(named, &self.principal, self.client),
        });
        futures::future::ready(opened).boxed_local()
    }
}

/// An interpreter of its own for each run.
pub struct Fresh(pub SandboxHost, pub Wheels);

impl Sandbox for Fresh {
    fn start(&self, request: String, packages: PackageSet) -> LocalBoxFuture<'static, Result<Frames, SandboxError>> {
        let (host, packages) = (self.0.clone(), self.1.of(&packages));
        to_its_end(async move {
            let run = Ending(host.run(&request, None, &packages?).await?);
            Ok(stream::unfold(run, |run| async move { run.0.next().await.map(|chunk| (chunk, run)) }).boxed_local())
        })
    }

    fn sleep(&self, duration: Duration) -> LocalBoxFuture<'static, ()> {
        (PLATFORM.sleep)(duration)
    }
}

/// Goes on with the start of a run when nobody waits for it any longer: a promise of JavaScript cannot be dropped, and what
/// it began must be ended. That is done by dropping the frames.
pub fn to_its_end(
    start: impl Future<Output = Result<Frames, SandboxError>> + 'static,
) -> LocalBoxFuture<'static, Result<Frames, SandboxError>> {
    async move {
        let (begun, frames) = oneshot::channel();
        wasm_bindgen_futures::spawn_local(async move { _ = begun.send(start.await) });
        frames.await.unwrap_or_else(|_| Err(SandboxError::Lost("its start was given up".into())))
    }
    .boxed_local()
}

/// Ends its run when it is dropped.
struct Ending(Run);

impl Drop for Ending {
    fn drop(&mut self) {
        let run = self.0.clone();
        wasm_bindgen_futures::spawn_local(async move { run.cancel().await });
    }
}
