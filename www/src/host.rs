//! Bindings to the sandboxes that a home implements in JavaScript. `types.d.ts` says what each method does.

use std::time::Duration;

use js_sys::{Array, ArrayBuffer, Object, Promise, Reflect, Uint8Array};
use mcp_run_python::{
    packages::{
        Room,
        supply::{FetchError, FetchRequest},
        wheel,
    },
    run::sandbox::SandboxError,
    session::Places,
};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{ReadableStream, ReadableStreamDefaultReader};

#[wasm_bindgen(typescript_custom_section)]
const TYPES: &str = include_str!("types.d.ts");

#[wasm_bindgen]
extern "C" {
    /// See `types.d.ts`.
    #[derive(Clone)]
    pub type SandboxHost;
    #[wasm_bindgen(method, getter, js_name = keepsInterpreters)]
    fn keeps(this: &SandboxHost) -> JsValue;
    #[wasm_bindgen(method, getter)]
    fn places(this: &SandboxHost) -> JsValue;
    #[wasm_bindgen(method, getter, js_name = placesEach)]
    fn places_each(this: &SandboxHost) -> JsValue;
    /// Returns an interpreter at once; if it cannot start, its first run fails.
    #[wasm_bindgen(method, catch)]
    pub fn spawn(this: &SandboxHost, packages: &Array, kept: bool) -> Result<HostInterpreter, JsValue>;
    #[wasm_bindgen(method, getter, js_name = addsPackages)]
    fn adds(this: &SandboxHost) -> JsValue;
    #[wasm_bindgen(method, getter, js_name = compilesPackages)]
    fn compiles_packages(this: &SandboxHost) -> JsValue;
    #[wasm_bindgen(method, getter, js_name = lockFile)]
    fn lock_file(this: &SandboxHost) -> JsValue;
    #[wasm_bindgen(method, getter, js_name = room)]
    fn isolate_room(this: &SandboxHost) -> JsValue;
    #[wasm_bindgen(method, catch)]
    fn fetch(this: &SandboxHost, url: &str, limits: &Object) -> Result<Promise, JsValue>;
    #[wasm_bindgen(method, catch)]
    fn cached(this: &SandboxHost, sha256: &str) -> Result<Promise, JsValue>;
    #[wasm_bindgen(method, catch)]
    fn cache(this: &SandboxHost, sha256: &str, wheel: &Uint8Array) -> Result<Promise, JsValue>;
    #[wasm_bindgen(method, catch)]
    fn digest(this: &SandboxHost, bytes: &Uint8Array) -> Result<Promise, JsValue>;
    #[wasm_bindgen(method, catch)]
    fn expect(this: &SandboxHost, wheels: &Array, modules: &Array) -> Result<(), JsValue>;
    /// See `types.d.ts`; a home may have none.
    #[wasm_bindgen(method, catch, js_name = compileModules)]
    pub fn compile_modules(this: &SandboxHost, package: &Object) -> Result<(), JsValue>;

    /// See `types.d.ts`.
    #[derive(Clone)]
    pub type HostInterpreter;
    #[wasm_bindgen(method, getter)]
    fn alive(this: &HostInterpreter) -> JsValue;
    #[wasm_bindgen(method, catch)]
    fn run(this: &HostInterpreter, request: &str) -> Result<Promise, JsValue>;
    #[wasm_bindgen(method, catch)]
    pub fn answer(this: &HostInterpreter, answer: &str) -> Result<(), JsValue>;
    #[wasm_bindgen(method, catch)]
    pub fn add(this: &HostInterpreter, packages: &Array) -> Result<(), JsValue>;
    #[wasm_bindgen(method, catch)]
    fn files(this: &HostInterpreter) -> Result<Promise, JsValue>;
    #[wasm_bindgen(method, catch, js_name = putFiles)]
    pub fn put_files(this: &HostInterpreter, files: &JsValue) -> Result<(), JsValue>;
    #[wasm_bindgen(method, catch)]
    pub fn end(this: &HostInterpreter) -> Result<(), JsValue>;
}

impl SandboxHost {
    /// Whether it keeps interpreters between runs.
    pub fn keeps_sessions(&self) -> bool {
        self.keeps().is_truthy()
    }

    /// How many interpreters there may be, and how many for one client's sessions.
    pub fn all_places(&self, evictable_after: Duration) -> Places {
        let number = |value: JsValue| value.as_f64().map(|number| number as usize);
        match number(self.places()) {
            Some(all) => Places::limited(all, number(self.places_each()).unwrap_or(all), evictable_after),
            None => Places::default(),
        }
    }

    /// Whether a kept interpreter can be given further packages.
    pub fn adds_packages(&self) -> bool {
        self.adds().is_truthy()
    }

    /// Whether packages are compiled to bytecode in interpreters of the home.
    pub fn compiles(&self) -> bool {
        self.compiles_packages().is_truthy()
    }

    /// The text of the lock file; `None` if there are no packages.
    pub fn lock_text(&self) -> Option<String> {
        self.lock_file().as_string()
    }

    /// Fills in the room that an interpreter has, as far as the home knows it.
    pub fn fill_in(&self, room: &mut Room) {
        let get = |member: &str| Reflect::get(&self.isolate_room(), &member.into()).ok()?.as_f64();
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

    /// The sha256 of bytes, in hexadecimal digits, if the home hashes.
    pub async fn sha256(&self, bytes: &[u8]) -> Option<String> {
        let digest = settled(self.digest(&Uint8Array::from(bytes))).await.ok()?;
        let digest: ArrayBuffer = digest.dyn_into().ok()?;
        Some(wheel::hex(&Uint8Array::new(&digest).to_vec()))
    }

    /// Tells the home which wheels are about to be fetched, by their sha256, and which modules a snapshot with them
    /// imports. The home need not use it.
    pub fn expect_wheels<'a>(&self, wheels: impl Iterator<Item = &'a str>, modules: impl Iterator<Item = &'a str>) {
        let _ = self.expect(&wheels.map(JsValue::from).collect(), &modules.map(JsValue::from).collect());
    }

    /// A wheel from the home's cache. The caller has to check it.
    pub async fn cached_wheel(&self, sha256: &str) -> Option<Vec<u8>> {
        // A home may have no cache, and a cache may have dropped the wheel.
        Some(settled(self.cached(sha256)).await.ok()?.dyn_into::<Uint8Array>().ok()?.to_vec())
    }

    /// Caches a wheel, if the home does so.
    pub async fn cache_wheel(&self, sha256: &str, wheel: Uint8Array) {
        let _ = settled(self.cache(sha256, &wheel)).await;
    }
}

impl HostInterpreter {
    /// Whether it may still take runs.
    pub fn is_alive(&self) -> bool {
        self.alive().is_truthy()
    }

    /// Starts a run. Gives its frames once it has begun.
    ///
    /// # Errors
    /// It did not begin, and will not.
    pub async fn start(self, request: String) -> Result<HostRun, SandboxError> {
        let started = settled(self.run(&request)).await.map_err(SandboxError::Start)?;
        let stream: ReadableStream =
            started.dyn_into().map_err(|_| SandboxError::Start("the sandbox host gave no stream".into()))?;
        Ok(HostRun(stream.get_reader().unchecked_into()))
    }

    /// The files of its session, if it gives them.
    pub async fn written(self) -> Option<JsValue> {
        settled(self.files()).await.ok().filter(JsValue::is_object)
    }
}

/// The frames of one run.
#[derive(Clone)]
pub struct HostRun(ReadableStreamDefaultReader);

impl HostRun {
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

/// The message of an error.
pub fn message(error: &JsValue) -> String {
    match error.dyn_ref::<js_sys::Error>() {
        Some(error) => error.message().into(),
        None => error.as_string().unwrap_or_else(|| "no reason given".into()),
    }
}
