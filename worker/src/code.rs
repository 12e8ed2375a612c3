//! The code of a Python isolate, for the Worker Loader.

use std::{cell::RefCell, fmt::Write};

use futures::StreamExt;
use js_sys::{Array, ArrayBuffer, Object, Reflect, Uint8Array};
use mcp_run_python::packages::PackageSet;
use serde_json::json;
use wasm_bindgen::{JsCast, JsValue, prelude::wasm_bindgen};
use wasm_bindgen_futures::JsFuture;
use web_sys::ReadableStream;
use worker::{Env, Error, Fetcher, Response, Result};

use crate::{packages, store::Content};

#[wasm_bindgen(raw_module = "./runtime/modules.js")]
extern "C" {
    /// The modules of an isolate, by name.
    #[wasm_bindgen(thread_local_v2, js_name = modules)]
    static MODULES: Object;

    /// The addresses of the pieces of the standard library, and of each archive of a package that is built in.
    #[wasm_bindgen(thread_local_v2, js_name = archives)]
    static ARCHIVES: Array;

    /// The addresses of the snapshot's pieces.
    #[wasm_bindgen(thread_local_v2, js_name = snapshot)]
    static SNAPSHOT: Array;

    /// Hash of all of it.
    #[wasm_bindgen(thread_local_v2, js_name = build)]
    static BUILD: String;
}

#[wasm_bindgen(raw_module = "./runtime/envelope.js")]
extern "C" {
    /// A request's body for an isolate, see `runtime/js/envelope.js`.
    #[wasm_bindgen(js_name = envelopeStream)]
    fn envelope_stream(text: &str, parts: &Array) -> ReadableStream;
}

/// The isolates' compatibility date, not this Worker's.
const COMPATIBILITY_DATE: &str = "2026-06-01";

thread_local! {
    /// The code, once its assets are loaded. All principals share it, and none can change it: isolates get
    /// copies of its bytes, and share compiled WebAssembly, which is immutable.
    static CODE: RefCell<Option<Code>> = const { RefCell::new(None) };
}

/// What an isolate is made of.
#[derive(Clone)]
pub struct Code {
    /// For the Worker Loader: the modules, and what can be reached from them.
    pub worker: Object,
    /// The parts of an isolate's first request: the standard library and each package's archive,
    archives: Array,
    /// and the snapshot.
    snapshot: ArrayBuffer,
    /// The packages, but for those that are in every isolate.
    pub packages: PackageSet,
}

/// Equal if they share the very same bytes: an isolate of one then serves for the other.
impl PartialEq for Code {
    fn eq(&self, other: &Self) -> bool {
        let archives = || self.archives.iter().zip(other.archives.iter());
        self.packages.hash() == other.packages.hash()
            && Object::is(&self.snapshot, &other.snapshot)
            && self.archives.length() == other.archives.length()
            && archives().all(|(own, other)| Object::is(&own, &other))
    }
}

impl Code {
    /// The body of an isolate's first request.
    pub fn first(&self, text: &str) -> ReadableStream {
        envelope_stream(text, &self.archives.concat(&Array::of1(&self.snapshot)))
    }

    /// The body of a first request that brings no run.
    pub fn boot(&self) -> ReadableStream {
        self.first("")
    }

    /// The body of the request for a snapshot of an interpreter that has imported `modules`.
    pub fn snapshot(&self, modules: &[String]) -> ReadableStream {
        self.first(&json!(modules).to_string())
    }

    /// The body of a first request that brings a session's files, and no run.
    pub fn first_with_files(&self, files: &ArrayBuffer) -> ReadableStream {
        envelope_stream("", &self.archives.concat(&Array::of2(&self.snapshot, files)))
    }
}

/// The hash of the build.
pub fn build() -> String {
    BUILD.with(Clone::clone)
}

/// The code of an isolate that runs Python with these packages, and reaches nothing. It starts from the snapshot
/// `from`, or else from the build's.
pub async fn python(env: &Env, set: &PackageSet, from: Option<ArrayBuffer>) -> Result<Code> {
    let base = bare(env).await?;
    let (wheels, with_bytecode) = packages::obtain(env, set).await?;
    // Built-in packages come first: the snapshot was made with them.
    let (built_in, fetched): (Vec<_>, Vec<_>) =
        wheels.iter().partition(|(_, kept)| matches!(**kept, Content::BuiltIn { .. }));
    if fetched.is_empty() {
        return Ok(base);
    }
    let modules: Object = Reflect::get(&base.worker, &"modules".into())?.unchecked_into();
    let modules = Object::assign(&Object::new(), &modules);
    let add = |name: &str, kind: &str, content: &JsValue| -> Result<()> {
        let module = Object::new();
        Reflect::set(&module, &kind.into(), content)?;
        Reflect::set(&modules, &name.into(), &module)?;
        Ok(())
    };
    let archives = base.archives.slice(0, base.archives.length());
    let mut bytecodes = Vec::new();
    let (mut imports, mut entries) = (String::new(), String::new());
    for (n, (wheel, kept)) in built_in.into_iter().chain(fetched).enumerate() {
        let libraries = match &**kept {
            Content::BuiltIn { modules } => modules.clone(),
            Content::Fetched { archive, modules, bytecode } => {
                archives.push(archive);
                bytecodes.extend(bytecode.get().filter(|_| with_bytecode));
                let mut names = Vec::with_capacity(modules.len());
                for (k, (path, bytes)) in modules.iter().enumerate() {
                    let name = format!("packages/{n}/{k}.wasm");
                    add(&name, "wasm", bytes)?;
                    names.push((path.clone(), name));
                }
                names
            }
        };
        // **Boundary.** Package names and paths come from strangers: only as JSON strings do they enter this code.
        let mut list = String::new();
        for (k, (path, name)) in libraries.iter().enumerate() {
            let _ = writeln!(imports, "import m{n}_{k} from {};", json!(format!("../{name}")));
            let _ = write!(list, "[{}, m{n}_{k}], ", json!(path));
        }
        let (name, version) = (json!(wheel.name), json!(wheel.version));
        let _ = writeln!(entries, "  {{ name: {name}, version: {version}, modules: [{list}] }},");
    }
    for bytecode in bytecodes {
        // To an isolate, bytecode is a package like others: files beside files.
        archives.push(bytecode);
        entries.push_str("  { name: '', version: '', modules: [] },\n");
    }
    add("packages/index.js", "js", &format!("{imports}export default [\n{entries}];\n").into())?;
    let worker = Object::assign(&Object::new(), &base.worker);
    Reflect::set(&worker, &"modules".into(), &modules)?;
    Ok(Code { worker, archives, snapshot: from.unwrap_or(base.snapshot), packages: set.clone() })
}

/// The text of Pyodide's lock file.
pub fn lock_file() -> Result<String> {
    let module = MODULES.with(|modules| Reflect::get(modules, &"pyodide-lock.txt".into()))?;
    let text = Reflect::get(&module, &"text".into())?.as_string();
    text.ok_or_else(|| "the lock file is missing: was the Worker built?".into())
}

/// The code of an isolate with the packages that are built in.
async fn bare(env: &Env) -> Result<Code> {
    if let Some(code) = CODE.with_borrow(Clone::clone) {
        return Ok(code);
    }
    let assets = env.assets("ASSETS")?;
    let archives = Array::new();
    for pieces in ARCHIVES.with(Clone::clone).iter() {
        let archive = asset(&assets, pieces.unchecked_ref()).await?;
        archives.push(&archive);
    }
    let snapshot = asset(&assets, &SNAPSHOT.with(Clone::clone)).await?;
    let worker = Object::new();
    let set = |name: &str, value: &JsValue| Reflect::set(&worker, &name.into(), value);
    set("compatibilityDate", &COMPATIBILITY_DATE.into())?;
    set("mainModule", &"isolate.js".into())?;
    set("modules", &MODULES.with(Clone::clone))?;
    // **Boundary.** Nothing is reachable from the isolate: no network (left out, it would inherit ours), no
    // bindings, no secrets.
    set("globalOutbound", &JsValue::NULL)?;
    set("env", &Object::new())?;
    let code = Code { worker, archives, snapshot, packages: PackageSet::default() };
    CODE.set(Some(code.clone()));
    Ok(code)
}

/// Fetches a static asset, in pieces. Its bytes stay out of wasm's memory, which never shrinks.
async fn asset(assets: &Fetcher, addresses: &Array) -> Result<ArrayBuffer> {
    let mut pieces = Vec::new();
    for address in addresses.iter() {
        let address = address.as_string().unwrap_or_default();
        let response = assets.fetch(format!("http://assets{address}"), None).await?;
        if response.status_code() != 200 {
            let status = response.status_code();
            return Err(Error::RustError(format!("the asset {address} is missing ({status}): was the Worker built?")));
        }
        let response: web_sys::Response = response.into();
        pieces.push(JsFuture::from(response.array_buffer()?).await?.unchecked_into());
    }
    Ok(joined(pieces))
}

fn joined(mut pieces: Vec<ArrayBuffer>) -> ArrayBuffer {
    if pieces.len() == 1
        && let Some(only) = pieces.pop()
    {
        return only;
    }
    let whole = Uint8Array::new_with_length(pieces.iter().map(ArrayBuffer::byte_length).sum());
    let mut at = 0;
    for piece in &pieces {
        whole.set(&Uint8Array::new(piece), at);
        at += piece.byte_length();
    }
    whole.buffer()
}

/// Reads what an isolate sends into JavaScript's memory. Returns it with its size. **Boundary.** Holds at most `limit`
/// bytes.
pub async fn read(response: &mut Response, limit: usize) -> Result<(ArrayBuffer, usize)> {
    let mut chunks = response.stream()?;
    let (mut pieces, mut size) = (Vec::new(), 0);
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk?;
        size += chunk.len();
        if size > limit {
            return Err("it is too large".into());
        }
        pieces.push(Uint8Array::from(chunk.as_slice()).buffer());
    }
    Ok((joined(pieces), size))
}
