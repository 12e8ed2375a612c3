//! Bindings that the `worker` crate lacks: the Worker Loader and Durable Object facets.
//!
//! Source: Cloudflare's documentation of the Worker Loader binding, and `worker-loader.h` and `actor-state.h`
//! in `src/workerd/api` of workerd.

use js_sys::Reflect;
use wasm_bindgen::{JsCast, JsValue, closure::Closure};
use wasm_bindgen_futures::JsFuture;
use worker::{Env, RequestInit, Response, Result, State};

/// The raw bindings.
mod sys {
    use js_sys::{Function, Object, Promise};
    use wasm_bindgen::{JsValue, prelude::wasm_bindgen};

    #[wasm_bindgen]
    extern "C" {
        #[wasm_bindgen(extends = Object)]
        pub type WorkerLoader;
        #[wasm_bindgen(method, catch)]
        pub fn load(this: &WorkerLoader, code: &Object) -> Result<WorkerStub, JsValue>;

        #[wasm_bindgen(extends = Object)]
        pub type WorkerStub;
        #[wasm_bindgen(method, catch, js_name = getEntrypoint)]
        pub fn get_entrypoint(this: &WorkerStub) -> Result<Fetcher, JsValue>;
        #[wasm_bindgen(method, catch, js_name = getDurableObjectClass)]
        pub fn get_durable_object_class(this: &WorkerStub, name: &str) -> Result<JsValue, JsValue>;

        #[wasm_bindgen(extends = Object)]
        #[derive(Clone)]
        pub type Fetcher;
        #[wasm_bindgen(method, catch)]
        pub fn fetch(this: &Fetcher, url: &str, init: &JsValue) -> Result<Promise, JsValue>;

        #[wasm_bindgen(extends = Object)]
        pub type Facets;
        #[wasm_bindgen(method, catch)]
        pub fn get(this: &Facets, name: &str, start: &Function) -> Result<Fetcher, JsValue>;
        #[wasm_bindgen(method, catch)]
        pub fn abort(this: &Facets, name: &str, reason: &JsValue) -> Result<(), JsValue>;
        #[wasm_bindgen(method, catch)]
        pub fn delete(this: &Facets, name: &str) -> Result<(), JsValue>;
    }
}

/// The binding `LOADER`: starts dynamic isolates.
pub struct WorkerLoader(sys::WorkerLoader);

impl WorkerLoader {
    /// Takes the binding out of the Worker's environment.
    pub fn new(env: &Env) -> Result<Self> {
        Ok(Self(Reflect::get(env.as_ref(), &"LOADER".into())?.unchecked_into()))
    }

    /// An unshared isolate of `code`, which ends when nothing holds it.
    pub fn load(&self, code: &js_sys::Object) -> Result<Isolate> {
        Ok(Isolate(self.0.load(code)?))
    }
}

/// A dynamic isolate.
pub struct Isolate(sys::WorkerStub);

impl Isolate {
    /// Its default entrypoint.
    pub fn entrypoint(&self) -> Result<Fetcher> {
        Ok(Fetcher(self.0.get_entrypoint()?))
    }

    /// A Durable Object class that it exports, for [`Facets::get`].
    pub fn class(&self, name: &str) -> Result<JsValue> {
        Ok(self.0.get_durable_object_class(name)?)
    }
}

/// An entrypoint in another isolate that answers requests.
#[derive(Clone)]
pub struct Fetcher(sys::Fetcher);

impl Fetcher {
    /// Sends a request. Returns its response, whose body may still be arriving.
    pub async fn fetch(&self, url: &str, init: &RequestInit, signal: Option<&JsValue>) -> Result<Response> {
        let init: web_sys::RequestInit = init.into();
        if let Some(signal) = signal {
            Reflect::set(&init, &"signal".into(), signal)?;
        }
        let response = JsFuture::from(self.0.fetch(url, &init)?).await?;
        Ok(response.unchecked_into::<web_sys::Response>().into())
    }
}

/// The facets of a Durable Object: objects that live and die with it, of classes from dynamic isolates.
pub struct Facets(sys::Facets);

impl Facets {
    /// The facets of the object with this state.
    pub fn new(state: &State) -> Result<Self> {
        Ok(Self(Reflect::get(state.as_raw(), &"facets".into())?.unchecked_into()))
    }

    /// The facet `name`; if it is not running, it is started with the class that `class` gives.
    pub fn get(&self, name: &str, class: impl FnOnce() -> Result<JsValue> + 'static) -> Result<Fetcher> {
        let start = Closure::once_into_js(move || -> std::result::Result<JsValue, JsValue> {
            let options = js_sys::Object::new();
            Reflect::set(&options, &"class".into(), &class()?)?;
            Ok(options.into())
        });
        Ok(Fetcher(self.0.get(name, start.unchecked_ref())?))
    }

    /// Ends the facet `name` at once: its calls fail, and the next [`Self::get`] starts it anew.
    pub fn abort(&self, name: &str, reason: &str) -> Result<()> {
        Ok(self.0.abort(name, &js_sys::Error::new(reason))?)
    }
    /// Ends the facet `name`, and deletes what it stored.
    pub fn delete(&self, name: &str) -> Result<()> {
        Ok(self.0.delete(name)?)
    }
}
