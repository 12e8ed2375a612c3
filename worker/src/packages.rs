//! Packages at the edge: fetched by the platform, cached by the Cache API, and kept prepared in the Worker's memory.

use std::{cell::RefCell, rc::Rc};

use futures::{FutureExt, StreamExt, future::LocalBoxFuture, select_biased};
use js_sys::{ArrayBuffer, Uint8Array};
use mcp_run_python::limits::{FETCH_STALL, Limits};
use mcp_run_python::packages::{
    Compiler, Compiling, InstallError, PackageOptions, PackageSet, Packages, Room, Wheel,
    cache::WheelCache,
    lock::Lock,
    supply::{Claim, FetchError, FetchRequest, Supply},
    wheel::{PreparedWheel, Size},
};
use mcp_run_python::run::InSandbox;
use mcp_run_python::session::{Fresh, Places, Snapshots, snapshots::Maker};
use wasm_bindgen::{JsCast, prelude::wasm_bindgen};
use wasm_bindgen_futures::JsFuture;
use worker::{AbortController, AbortSignal, Cache, Env, Fetch, Headers, Request, RequestInit, Response, Result};

use crate::{
    code,
    config::{self, PLATFORM},
    isolate::Isolates,
    store::{self, Content, Store},
};

#[wasm_bindgen(raw_module = "./runtime/sources.js")]
extern "C" {
    /// Default mirror of the lock file's wheels.
    #[wasm_bindgen(thread_local_v2, js_name = mirror)]
    static MIRROR: String;

    /// Default package index; empty if the build found none.
    #[wasm_bindgen(thread_local_v2, js_name = index)]
    static INDEX: String;
}

/// How long index pages count as fresh: what PyPI says of its own.
const INDEX_FRESH: &str = "public, max-age=600";

/// How long files that are named by their hash count as fresh.
const IMMUTABLE: &str = "public, max-age=31536000, immutable";

thread_local! {
    static LOCK: RefCell<Option<Rc<Lock>>> = const { RefCell::new(None) };
    /// The prepared wheels. All principals share them: their sha256 names them, and nobody can change them.
    static STORE: Store = Store::new();
    static COMPILING: Compiling = Compiling::default();
    /// Snapshots of package sets. All principals with these packages share them, and nobody can change them: isolates
    /// get copies.
    static SNAPSHOTS: Snapshots<ArrayBuffer> = Snapshots::default();
}

/// Runs a task after the response to the request that started it.
pub type Later = Rc<dyn Fn(LocalBoxFuture<'static, ()>)>;

/// The installer of packages, by the settings, which compiles them `later`, within the limits of a run.
pub fn compiling(options: PackageOptions, limits: Limits, env: &Env, later: Later) -> Result<Rc<Packages>> {
    let isolates = Isolates(env.clone());
    let snapshots = Maker { backend: isolates.clone(), snapshots: snapshots(&options), limits };
    let compiler = Compiler {
        programs: Box::new(InSandbox(Rc::new(Fresh::new(isolates, Places::default(), Snapshots::default())))),
        limits,
        platform: PLATFORM,
        later: Box::new(move |task| later(task)),
        compiling: COMPILING.with(Clone::clone),
        snapshots: Some(Rc::new(snapshots)),
    };
    Ok(Rc::new(installer(options)?.with_compiler(compiler)))
}

/// The snapshots. With a memory budget, as on deployed Workers, none are taken: that would exceed it.
pub fn snapshots(options: &PackageOptions) -> Snapshots<ArrayBuffer> {
    let snapshots = SNAPSHOTS.with(Clone::clone);
    snapshots.limit(options.room.budget.map_or(options.snapshots, |_| 0));
    snapshots
}

/// The installer of packages, by the settings.
pub fn packages(options: PackageOptions) -> Result<Rc<Packages>> {
    installer(options).map(Rc::new)
}

fn installer(mut options: PackageOptions) -> Result<Packages> {
    if options.mirrors.is_empty() {
        options.mirrors.push(MIRROR.with(Clone::clone));
    }
    if options.indexes.is_empty() {
        options.indexes.extend(Some(INDEX.with(Clone::clone)).filter(|index| !index.is_empty()));
    }
    let bundled = STORE.with(|store| store.bundled.clone());
    store::fill_in(&mut options.room);
    let supply = Rc::new(Edge(options.room));
    Ok(Packages::new(lock()?, options, bundled, supply))
}

/// The built-in packages, as `name version`.
pub fn bundled() -> Vec<String> {
    let bundled = STORE.with(|store| store.bundled.clone());
    bundled.wheels().iter().map(|wheel| format!("{} {}", wheel.name, wheel.version)).collect()
}

/// The prepared wheels of a set, and whether their bytecode goes with them. Gets wheels that are not in this instance's
/// memory: they may have been dropped, or never been here.
pub async fn obtain<'a>(env: &Env, set: &'a PackageSet) -> Result<(Vec<(&'a Wheel, Rc<Content>)>, bool)> {
    let packages = packages(config::read(env)?.packages)?;
    if wheels().all(set).is_err() {
        packages.obtain(set, &|_| {}).await.map_err(|InstallError(why)| worker::Error::RustError(why))?;
    }
    let wheels = wheels().all(set).map_err(|_| "its packages were dropped for others: try again")?;
    Ok((wheels, packages.carries_bytecode(set)))
}

/// The cached response with a wheel. Its body is not read here: the platform sends it on.
pub async fn cached_response(sha256: &str) -> Option<Response> {
    Cache::default().get(cache_key(sha256), true).await.ok()?
}

fn wheels() -> WheelCache<Rc<Content>> {
    STORE.with(|store| store.wheels.clone())
}

/// The lock file, which is also a module of the isolates.
fn lock() -> Result<Rc<Lock>> {
    if let Some(lock) = LOCK.with_borrow(Clone::clone) {
        return Ok(lock);
    }
    let lock = Rc::new(Lock::parse(&code::lock_file()?)?);
    LOCK.set(Some(lock.clone()));
    Ok(lock)
}

/// The platform's network, cache and memory, with the room that an isolate has.
struct Edge(Room);

impl Supply for Edge {
    fn fetch(&self, request: FetchRequest) -> LocalBoxFuture<'static, std::result::Result<Vec<u8>, FetchError>> {
        async move {
            // Index pages are asked for again and again. They are trusted, not checked, and so are their cached copies.
            let page = request.accept.map(|_| format!("https://index.invalid/{}", request.url));
            if let Some(page) = &page
                && let Some(bytes) = from_cache(page).await
            {
                return Ok(bytes);
            }
            let abort = AbortController::default();
            let signal = abort.signal();
            let fetched = select_biased! {
                fetched = fetch(&request, &signal).fuse() => fetched,
                () = (PLATFORM.sleep)(request.timeout).fuse() => Err(FetchError::Timeout(request.timeout)),
            };
            if fetched.is_err() {
                // The rest of the response is not wanted.
                abort.abort();
            }
            if let (Some(page), Ok(bytes)) = (page, &fetched) {
                to_cache(page, bytes.clone(), INDEX_FRESH).await;
            }
            fetched
        }
        .boxed_local()
    }

    fn cached(&self, sha256: &str) -> LocalBoxFuture<'static, Option<Vec<u8>>> {
        let key = cache_key(sha256);
        async move { from_cache(&key).await }.boxed_local()
    }

    fn cache(&self, sha256: &str, wheel: &[u8]) -> LocalBoxFuture<'static, ()> {
        let key = cache_key(sha256);
        to_cache(key, wheel.to_vec(), IMMUTABLE).boxed_local()
    }

    fn prepared(&self, sha256: &str) -> Option<Size> {
        wheels().size(sha256)
    }

    fn keep(&self, sha256: &str, wheel: PreparedWheel, of: &PackageSet) {
        let size = wheel.size();
        wheels().keep(sha256, size, Rc::new(Content::new(wheel)), of, store::kept_bytes(&self.0));
    }

    fn keep_bytecode(&self, sha256: &str, archive: Vec<u8>) {
        let Some(content) = wheels().find(sha256) else { return };
        content.add_bytecode(&archive);
        wheels().grow(sha256, archive.len(), store::kept_bytes(&self.0));
    }

    fn claim(&self, sha256: &str) -> LocalBoxFuture<'static, Claim> {
        wheels().lock(sha256.to_owned()).map(|lock| Box::new(lock) as Claim).boxed_local()
    }
}

/// The address under which a wheel is cached. No server has it.
fn cache_key(sha256: &str) -> String {
    format!("https://wheels.invalid/{sha256}")
}

/// The address under which a snapshot is cached.
fn snapshot_address(key: &str) -> String {
    format!("https://snapshots.invalid/{key}")
}

/// Caches a snapshot without copying it into wasm's memory. The cache may refuse.
pub async fn keep_snapshot(key: String, snapshot: ArrayBuffer) {
    let put = async {
        let body = Uint8Array::new(&snapshot);
        let response = web_sys::Response::new_with_opt_buffer_source(Some(&body))?;
        response.headers().set("cache-control", IMMUTABLE)?;
        Cache::default().put(snapshot_address(&key), Response::from(response)).await
    };
    let _ = put.await;
}

/// A cached snapshot, and its size.
pub async fn kept_snapshot(key: String) -> Option<(ArrayBuffer, usize)> {
    let response: web_sys::Response = Cache::default().get(snapshot_address(&key), true).await.ok()??.into();
    let bytes: ArrayBuffer = JsFuture::from(response.array_buffer().ok()?).await.ok()?.dyn_into().ok()?;
    let size = bytes.byte_length() as usize;
    Some((bytes, size))
}

async fn from_cache(key: &str) -> Option<Vec<u8>> {
    Cache::default().get(key, true).await.ok()??.bytes().await.ok()
}

async fn to_cache(key: String, bytes: Vec<u8>, control: &'static str) {
    let put = async {
        let mut response = Response::from_bytes(bytes)?;
        response.headers_mut().set("cache-control", control)?;
        Cache::default().put(key, response).await
    };
    // If the cache refuses, only the next run takes longer.
    let _ = put.await;
}

/// Awaits the next piece of a response, for at most [`FETCH_STALL`].
async fn prompt<T>(next: impl Future<Output = T>) -> std::result::Result<T, FetchError> {
    select_biased! {
        next = std::pin::pin!(next.fuse()) => Ok(next),
        () = (PLATFORM.sleep)(FETCH_STALL).fuse() => Err(FetchError::Timeout(FETCH_STALL)),
    }
}

/// **Boundary.** What a server sends is counted while it arrives, and at most `max_bytes` of it are held.
async fn fetch(request: &FetchRequest, signal: &AbortSignal) -> std::result::Result<Vec<u8>, FetchError> {
    let failed = |error: worker::Error| FetchError::Unreachable(error.to_string());
    let headers = Headers::new();
    if let Some(accept) = request.accept {
        headers.set("accept", accept).map_err(failed)?;
    }
    let mut init = RequestInit::new();
    init.with_headers(headers);
    let sent = Request::new_with_init(&request.url, &init).map_err(failed)?;
    let sent = Fetch::Request(sent);
    let mut response = prompt(sent.send_with_signal(signal)).await?.map_err(failed)?;
    if response.status_code() != 200 {
        return Err(FetchError::Status(response.status_code()));
    }
    let mut bytes = Vec::new();
    let mut body = response.stream().map_err(failed)?;
    while let Some(chunk) = prompt(body.next()).await? {
        let chunk = chunk.map_err(failed)?;
        if bytes.len() + chunk.len() > request.max_bytes {
            return Err(FetchError::TooLarge(request.max_bytes));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}
