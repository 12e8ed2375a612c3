//! The code of a Python isolate: what the Worker Loader is given.

use std::cell::RefCell;

use js_sys::{Array, ArrayBuffer, Object, Reflect, Uint8Array};
use wasm_bindgen::{JsCast, JsValue, prelude::wasm_bindgen};
use wasm_bindgen_futures::JsFuture;
use worker::{Env, Error, Fetcher, Result};

#[wasm_bindgen(raw_module = "./runtime/modules.js")]
extern "C" {
    /// The modules of an isolate, by name.
    #[wasm_bindgen(thread_local_v2, js_name = modules)]
    static MODULES: Object;

    /// Those that are static assets, with the addresses of their parts.
    #[wasm_bindgen(thread_local_v2, js_name = assets)]
    static ASSETS: Object;
}

/// Of the isolates, not of this Worker.
const COMPATIBILITY_DATE: &str = "2026-06-01";

thread_local! {
    /// The code, once its assets are there. The same for everybody, and nobody can change it: the isolates
    /// get copies of its bytes, and share compiled WebAssembly, which is immutable.
    static CODE: RefCell<Option<Object>> = const { RefCell::new(None) };
}

/// The code of an isolate that runs Python and reaches nothing.
pub async fn python(env: &Env) -> Result<Object> {
    if let Some(code) = CODE.with_borrow(Clone::clone) {
        return Ok(code);
    }
    let modules = Object::assign(&Object::new(), &MODULES.with(Clone::clone));
    let assets = env.assets("ASSETS")?;
    for entry in Object::entries(&ASSETS.with(Clone::clone)).iter() {
        let entry: Array = entry.unchecked_into();
        let mut parts = Vec::new();
        for address in entry.get(1).unchecked_into::<Array>().iter() {
            parts.push(asset(&assets, &address.as_string().unwrap_or_default()).await?);
        }
        let module = Object::new();
        Reflect::set(&module, &"data".into(), &joined(parts))?;
        Reflect::set(&modules, &entry.get(0), &module)?;
    }
    let code = Object::new();
    let set = |name: &str, value: &JsValue| Reflect::set(&code, &name.into(), value);
    set("compatibilityDate", &COMPATIBILITY_DATE.into())?;
    set("mainModule", &"isolate.js".into())?;
    set("modules", &modules)?;
    // **Boundary.** Nothing is reachable from the isolate: no network (left out, it would inherit ours), no
    // bindings, no secrets.
    set("globalOutbound", &JsValue::NULL)?;
    set("env", &Object::new())?;
    CODE.set(Some(code.clone()));
    Ok(code)
}

/// Fetches a static asset. Its bytes stay outside of our own memory, which never shrinks.
async fn asset(assets: &Fetcher, address: &str) -> Result<ArrayBuffer> {
    let response = assets.fetch(format!("http://assets{address}"), None).await?;
    if response.status_code() != 200 {
        let status = response.status_code();
        return Err(Error::RustError(format!("the asset {address} is missing ({status}): was the Worker built?")));
    }
    let response: web_sys::Response = response.into();
    Ok(JsFuture::from(response.array_buffer()?).await?.unchecked_into())
}

fn joined(mut parts: Vec<ArrayBuffer>) -> ArrayBuffer {
    if parts.len() == 1
        && let Some(only) = parts.pop()
    {
        return only;
    }
    let whole = Uint8Array::new_with_length(parts.iter().map(ArrayBuffer::byte_length).sum());
    let mut at = 0;
    for part in &parts {
        whole.set(&Uint8Array::new(part), at);
        at += part.byte_length();
    }
    whole.buffer()
}
