//! Asks a person for input that a program reads while it runs.
//!
//! **Boundary.** The prompt is the program's. The answer is all that gets into the sandbox: the program learns nothing
//! of errors outside.

use futures::{FutureExt, future::LocalBoxFuture};
use js_sys::{Function, Promise};
use mcp_run_python::run::calls::{Call, CallError, Caller, INPUT};
use serde::Deserialize;
use serde_json::Value;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::AbortController;

/// Asks by `EvalOptions.onInput`, see `types.d.ts`.
pub struct Asking(pub Function);

impl Caller for Asking {
    fn names(&self) -> Vec<String> {
        vec![INPUT.to_owned()]
    }

    fn call(&self, call: Call) -> LocalBoxFuture<'static, Result<String, CallError>> {
        let ask = self.0.clone();
        async move {
            let prompt = prompt(&call.arguments)?;
            let waiting = Waiting(AbortController::new().map_err(|_| nobody())?);
            let asked = ask.call2(&JsValue::UNDEFINED, &prompt.into(), &waiting.0.signal()).map_err(|_| nobody())?;
            let answer = JsFuture::from(Promise::resolve(&asked)).await.map_err(|_| nobody())?;
            if answer.is_null() {
                return Ok(Value::Null.to_string());
            }
            line(&answer.as_string().ok_or_else(nobody)?)
        }
        .boxed_local()
    }
}

/// An open question. When nobody waits for the answer any longer, this is dropped, which takes the question back.
struct Waiting(AbortController);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The prompt, out of the arguments of a call.
fn prompt(arguments: &str) -> Result<String, CallError> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Arguments {
        prompt: String,
    }
    let arguments = serde_json::from_str::<Arguments>(arguments);
    arguments.map(|arguments| arguments.prompt).map_err(|_| CallError {
        kind: "TypeError".into(),
        message: "`input` takes a `prompt`, which is a text".into(),
    })
}

/// The JSON of an answer: a line, without its line ending.
fn line(answer: &str) -> Result<String, CallError> {
    let line = answer.split(['\n', '\r']).next().unwrap_or_default();
    serde_json::to_string(line).map_err(|_| nobody())
}

fn nobody() -> CallError {
    CallError { kind: "OSError".into(), message: "nobody can be asked for input".into() }
}
