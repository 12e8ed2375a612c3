//! Plain answers for `codeSandbox()`, which is internally a client of the same MCP server, over a channel of its own.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    rc::Rc,
};

use futures::{
    FutureExt,
    channel::oneshot,
    future::{self, LocalBoxFuture},
    select_biased,
};
use js_sys::{Array, Function, JSON, Object, Reflect, decode_uri_component};
use mcp_run_python::{
    home::{Connection, Home},
    run::{
        calls::{Caller, Callers},
        result,
    },
};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use wasm_bindgen::prelude::*;
use web_sys::AbortSignal;

use crate::{backend::HostBackend, input::Asking, values};

/// Evaluates code, in one interpreter.
#[derive(Clone)]
pub struct Evaluator(Rc<Inner>);

struct Inner {
    connection: Connection<HostBackend>,
    waiting: Rc<RefCell<Waiting>>,
    last_id: Cell<u32>,
}

#[derive(Default)]
struct Waiting {
    answers: HashMap<u64, oneshot::Sender<Value>>,
    /// Listeners for output. Runs of one interpreter wait for each other; those of other sessions do not, and then all
    /// listeners hear all output.
    listeners: HashMap<u64, Listeners>,
}

/// See `EvalOptions` in `types.d.ts`.
#[derive(Clone)]
struct Listeners {
    output: Option<Function>,
    install: Option<Function>,
    input: Option<Function>,
}

impl Evaluator {
    /// An evaluator with an interpreter of its own, which starts with the first evaluation.
    pub fn new(home: &Home<HostBackend>) -> Self {
        let waiting = Rc::<RefCell<Waiting>>::default();
        let heard = waiting.clone();
        let asked = waiting.clone();
        // A run asks only the listener of its own request.
        let callers: Callers = Rc::new(move |id| {
            let asks = asked.borrow().listeners.get(&id)?.input.clone()?;
            Some(Rc::new(Asking(asks)) as Rc<dyn Caller>)
        });
        let connection = home.connect_with(Some(callers), move |text| hear(&heard, &text));
        let level = json!({ "jsonrpc": "2.0", "id": 0, "method": "logging/setLevel", "params": { "level": "info" } });
        connection.receive(level.to_string().as_bytes());
        Self(Rc::new(Inner { connection, waiting, last_id: Cell::default() }))
    }

    /// Evaluates `code`; see `EvalOptions` and `EvalResult` in `types.d.ts`.
    pub async fn eval(self, code: String, globals: JsValue, options: JsValue) -> Result<JsValue, JsValue> {
        let option = |name: &str| Reflect::get(&options, &name.into()).ok();
        let exact = match option("numbers").filter(|numbers| !numbers.is_undefined()) {
            None => false,
            Some(numbers) if numbers.as_string().as_deref() == Some("exact") => true,
            Some(_) => return Err(failure("`numbers` must be 'exact', if it is given")),
        };
        let mut arguments = Map::new();
        arguments.insert("python_code".into(), code.into());
        if globals.is_object() {
            let text = values::to_json(&globals)?;
            let globals = serde_json::from_str(&text).map_err(|error| failure(&error.to_string()))?;
            arguments.insert("global_variables".into(), globals);
        }
        if let Some(files) = option("files").filter(JsValue::is_object) {
            let files = serde_json::from_str(&values::to_json(&files)?).map_err(|error| failure(&error.to_string()))?;
            arguments.insert("files".into(), files);
        }
        if let Some(session) = option("session").and_then(|session| session.as_string()) {
            arguments.insert("session".into(), session.into());
        }
        let listener = |name: &str| option(name).and_then(|listener| listener.dyn_into().ok());
        let listeners =
            Listeners { output: listener("onOutput"), install: listener("onInstall"), input: listener("onInput") };
        let (waited, answer) = self.wait(Some(listeners));
        let id = waited.id;
        // No model reads the result: it comes whole.
        let meta = json!({ "mcp-run-python/whole-result": true });
        let params = json!({ "name": "run_python_code", "arguments": arguments, "_meta": meta });
        self.say(&json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params }));
        let signal = option("signal").and_then(|signal| signal.dyn_into::<AbortSignal>().ok());
        let message = select_biased! {
            message = answer.fuse() => message.map_err(|_| failure("the sandbox is closed"))?,
            reason = aborted(signal).fuse() => {
                let params = json!({ "requestId": id });
                self.say(&json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": params }));
                return Err(reason);
            }
        };
        drop(waited);
        result(message, exact)
    }

    /// Some bytes of a file, from `at` on, and the size of the file.
    pub async fn read(self, uri: String, at: f64) -> Result<JsValue, JsValue> {
        let (waited, answer) = self.wait(None);
        // A JavaScript number; NaN becomes 0.
        let meta = json!({ "mcp-run-python/at": at as u64 });
        let params = json!({ "uri": uri, "_meta": meta });
        self.say(&json!({ "jsonrpc": "2.0", "id": waited.id, "method": "resources/read", "params": params }));
        let message = answer.await.map_err(|_| failure("the sandbox is closed"))?;
        drop(waited);
        let contents = message.pointer("/result/contents/0").ok_or_else(|| refusal(&message))?;
        let read = Object::new();
        let base64 = contents.get("blob").and_then(Value::as_str).unwrap_or_default();
        Reflect::set(&read, &"base64".into(), &base64.into())?;
        let size = contents.pointer("/_meta/mcp-run-python~1size").and_then(Value::as_f64);
        Reflect::set(&read, &"size".into(), &size.unwrap_or_default().into())?;
        Ok(read.into())
    }

    /// Registers a wait for the answer to a request with a new id.
    fn wait(&self, listeners: Option<Listeners>) -> (Entry, oneshot::Receiver<Value>) {
        let id = self.0.last_id.get() + 1;
        self.0.last_id.set(id);
        let (answered, answer) = oneshot::channel();
        let mut waiting = self.0.waiting.borrow_mut();
        waiting.answers.insert(id.into(), answered);
        if let Some(listeners) = listeners {
            waiting.listeners.insert(id.into(), listeners);
        }
        (Entry { waiting: self.0.waiting.clone(), id: id.into() }, answer)
    }

    /// Ends the connection, with its interpreter.
    pub fn close(&self) {
        self.0.connection.close();
        let _ = self.0.waiting.take();
    }

    fn say(&self, message: &Value) {
        self.0.connection.receive(message.to_string().as_bytes());
    }
}

/// A registered wait; dropping it removes it.
struct Entry {
    waiting: Rc<RefCell<Waiting>>,
    id: u64,
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut waiting = self.waiting.borrow_mut();
        waiting.answers.remove(&self.id);
        waiting.listeners.remove(&self.id);
    }
}

/// Parses what our own server wrote: its depth is bounded by `VALUE_LIMIT_DEPTH`, and not by serde_json.
fn parse(text: &str) -> serde_json::Result<Value> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    deserializer.disable_recursion_limit();
    let value = Value::deserialize(&mut deserializer)?;
    deserializer.end().map(|()| value)
}

/// Takes a message of the server.
fn hear(waiting: &RefCell<Waiting>, text: &str) {
    let Ok(mut message) = parse(text) else {
        // It is unknown whose answer it was: all requests fail, so that none waits for ever.
        waiting.borrow_mut().answers.clear();
        return;
    };
    if let Some(id) = message.get("id").and_then(Value::as_u64) {
        let answered = waiting.borrow_mut().answers.remove(&id);
        if let Some(answered) = answered {
            let _ = answered.send(message);
        }
        return;
    }
    let Some(params) = message.get_mut("params").map(Value::take) else { return };
    let Some(line) = params.get("data").and_then(Value::as_str) else { return };
    // Listeners may call back into this, so nothing stays borrowed.
    let listeners: Vec<Listeners> = waiting.borrow().listeners.values().cloned().collect();
    // A message with a logger is not output: it reports the installation of packages.
    if params.get("logger").is_some() {
        for install in listeners.iter().filter_map(|listeners| listeners.install.as_ref()) {
            // What the listener throws is its own matter.
            let _ = install.call1(&JsValue::UNDEFINED, &line.into());
        }
        return;
    }
    let stream = match params.get("level").and_then(Value::as_str) {
        Some("info") => "stdout",
        Some("warning") => "stderr",
        _ => return,
    };
    for output in listeners.iter().filter_map(|listeners| listeners.output.as_ref()) {
        let _ = output.call2(&JsValue::UNDEFINED, &stream.into(), &line.into());
    }
}

/// The result of a response, as an object.
fn result(mut message: Value, exact: bool) -> Result<JsValue, JsValue> {
    let Some(result) = message.get_mut("result") else {
        return Err(refusal(&message));
    };
    let mut structured = result.get_mut("structuredContent").map(Value::take).unwrap_or_default();
    let value = structured.get_mut("return_value").map(Value::take);
    let content = result.get("content").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    for file in structured.get_mut("files").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some((member, content)) = content.iter().find_map(|block| content_of(file, block)) {
            file.as_object_mut().map(|file| file.insert(member.into(), content));
        }
    }
    let object: Object = JSON::parse(&structured.to_string())?.dyn_into()?;
    if let Some(value) = value {
        Reflect::set(&object, &"return_value".into(), &values::to_js(&value, exact)?)?;
    }
    let images = Array::new();
    // Images that are files have `_meta`.
    let figures = content.iter().filter(|block| is_image(block) && block.get("_meta").is_none());
    for block in figures {
        let image = Object::new();
        for member in ["mimeType", "data"] {
            let text = block.get(member).and_then(Value::as_str).unwrap_or_default();
            Reflect::set(&image, &member.into(), &text.into())?;
        }
        images.push(&image);
    }
    Reflect::set(&object, &"images".into(), &images)?;
    Ok(object.into())
}

fn is_image(block: &Value) -> bool {
    block.get("type").and_then(Value::as_str) == Some("image")
}

/// The content of a file, if this block has it: `content`, or `base64`.
fn content_of(file: &Value, block: &Value) -> Option<(&'static str, Value)> {
    let path = file.get("path")?.as_str()?;
    if is_image(block) {
        let is_it = block.pointer("/_meta/path").and_then(Value::as_str) == Some(path);
        return is_it.then_some(("base64", block.get("data")?.clone()));
    }
    let resource = block.get("resource")?;
    let place = resource.get("uri")?.as_str()?.strip_prefix(result::PLACE)?;
    if decode_uri_component(place).ok()? != path {
        return None;
    }
    let text = resource.get("text").map(|text| ("content", text.clone()));
    text.or_else(|| Some(("base64", resource.get("blob")?.clone())))
}

/// Why a request was refused.
fn refusal(message: &Value) -> JsValue {
    failure(message.pointer("/error/message").and_then(Value::as_str).unwrap_or("the request was refused"))
}

fn failure(why: &str) -> JsValue {
    js_sys::Error::new(why).into()
}

/// Resolves to the reason when `signal` aborts.
fn aborted(signal: Option<AbortSignal>) -> LocalBoxFuture<'static, JsValue> {
    let Some(signal) = signal else { return future::pending().boxed_local() };
    async move {
        crate::http::aborted(&signal).await;
        signal.reason()
    }
    .boxed_local()
}
