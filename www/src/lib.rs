//! The core for JavaScript: a home (a page, Node) gives it sandboxes, and gets MCP over HTTP requests, over a channel of
//! messages, or plain answers.
//!
//! ```js
//! import init, { Core } from './core.js';
//! await init({ module_or_path }); // Node: initSync({ module: bytes })
//! const core = new Core(host, { timeLimitSeconds: 10 });
//! const connection = core.connect((text) => port.postMessage(text));
//! connection.receive(text);
//! ```
//! `core.d.ts`, beside the build's result, has the types.

mod backend;
mod eval;
mod host;
mod http;
mod input;
mod options;
mod packages;
mod values;

use std::time::Duration;

use futures::FutureExt;
use js_sys::{Function, Promise};
use mcp_run_python::{
    home::{self, Home},
    packages::PYTHON_VERSION,
    transport::Platform,
};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::future_to_promise;

use crate::{backend::HostBackend, eval::Evaluator, host::SandboxHost};

/// The longest delay that `setTimeout` takes.
const LONGEST_TIMER: Duration = Duration::from_millis(i32::MAX as u64);

/// Timers and tasks of the JavaScript that the core runs in.
const PLATFORM: Platform = Platform {
    sleep: |duration| gloo_timers::future::sleep(duration.min(LONGEST_TIMER)).boxed_local(),
    spawn: wasm_bindgen_futures::spawn_local,
    now: || Duration::from_millis(js_sys::Date::now() as u64),
};

/// The MCP server of a home.
#[wasm_bindgen]
pub struct Core {
    home: Home<HostBackend>,
    evaluator: Evaluator,
}

/// A connection to one client. Its interpreter lives as long as it does.
#[wasm_bindgen]
pub struct Connection(home::Connection<HostBackend>);

#[wasm_bindgen]
impl Connection {
    /// Takes a message of the client: one JSON text.
    pub fn receive(&self, message: &str) {
        self.0.receive(message.as_bytes());
    }

    /// The same, as bytes that should be UTF-8.
    #[wasm_bindgen(js_name = receiveBytes)]
    pub fn receive_bytes(&self, message: &[u8]) {
        self.0.receive(message);
    }

    /// Whether nothing is being answered.
    #[wasm_bindgen(getter)]
    pub fn idle(&self) -> bool {
        self.0.is_idle()
    }

    /// Ends the connection, its runs and its interpreter: nothing more is sent.
    pub fn close(&self) {
        self.0.close();
    }
}

#[wasm_bindgen]
impl Core {
    /// A server whose code runs in the interpreters of `host`.
    ///
    /// # Errors
    /// Names the option that is wrong, and what it may be.
    #[wasm_bindgen(constructor)]
    pub fn new(
        host: SandboxHost,
        #[wasm_bindgen(unchecked_param_type = "CoreOptions")] options: JsValue,
    ) -> Result<Self, JsError> {
        let config = options::read(&options).map_err(|why| JsError::new(&why))?;
        let home = backend::home(host, config).map_err(|why| JsError::new(&why))?;
        Ok(Self { evaluator: Evaluator::new(&home), home })
    }

    /// Connects a client that sends and gets MCP's messages one by one. `send` gets each message for it, as text.
    pub fn connect(
        &self,
        #[wasm_bindgen(unchecked_param_type = "(message: string) => void")] send: Function,
    ) -> Connection {
        Connection(self.home.connect(move |text| {
            // The owner of the connection closes it if the client cannot be reached.
            let _ = send.call1(&JsValue::UNDEFINED, &text.into());
        }))
    }

    /// Answers a request to the MCP endpoint (streamable HTTP).
    #[wasm_bindgen(unchecked_return_type = "Promise<Response>")]
    pub fn handle(&self, request: web_sys::Request) -> Promise {
        let home = self.home.clone();
        future_to_promise(async move {
            let core = http::request(&request).map_err(|why| js_sys::Error::new(&why))?;
            http::response(home.handle(core).await).map(Into::into)
        })
    }

    /// Runs Python code, without MCP. All code that names no session shares files and imported modules.
    #[wasm_bindgen(unchecked_return_type = "Promise<EvalResult>")]
    pub fn eval(
        &self,
        code: String,
        #[wasm_bindgen(unchecked_param_type = "Record<string, unknown> | undefined")] globals: JsValue,
        #[wasm_bindgen(unchecked_param_type = "EvalOptions | undefined")] options: JsValue,
    ) -> Promise {
        future_to_promise(self.evaluator.clone().eval(code, globals, options))
    }

    /// Some bytes, from `at` on, of a file that is too large to be part of its result.
    #[wasm_bindgen(unchecked_return_type = "Promise<{ base64: string, size: number }>")]
    pub fn read(&self, uri: String, at: f64) -> Promise {
        future_to_promise(self.evaluator.clone().read(uri, at))
    }

    /// Ends sessions that have been idle for too long. To be called now and then: the core sets no timer that would
    /// keep a process alive.
    #[wasm_bindgen(js_name = endIdle)]
    pub fn end_idle(&self) {
        self.home.end_idle();
    }

    /// Ends all sessions, and what `eval` runs. Connections are closed by their owners.
    pub fn close(&self) {
        self.evaluator.close();
        self.home.end_all();
    }

    /// The Python that runs, such as `3.14`.
    #[wasm_bindgen(getter, js_name = pythonVersion)]
    pub fn python_version(&self) -> String {
        PYTHON_VERSION.to_owned()
    }

    /// The version of the core.
    #[wasm_bindgen(getter)]
    pub fn version(&self) -> String {
        env!("CARGO_PKG_VERSION").to_owned()
    }
}
