//! Tools that the official conformance suite calls by name, with the answers that it expects; and one whose runs may call.
//! Behind the feature `conformance`: no build for deployment has them.

#![allow(deprecated)] // logging, see `server`

use std::{
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use futures::{
    FutureExt, Stream, StreamExt,
    future::{self, LocalBoxFuture},
};
use rmcp::{
    ErrorData, RoleServer,
    model::{
        CallToolResult, ClientCapabilities, ContentBlock, LoggingLevel, ProgressNotificationParam, Resource,
        ResourceContents, ResourceTemplate, Tool,
    },
    service::RequestContext,
};
use serde_json::{Map, Value, json};

use crate::{
    limits::CallLimits,
    mcp::{Server, log},
    packages::PackageSet,
    platform::Platform,
    run::{
        calls::{Call, CallError, Caller},
        sandbox::{Run, RunEvent, Running, Sandbox, SandboxError},
    },
    session::{Host, Opened, SessionChoice, SessionError},
};

/// One pixel.
const PNG: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==";

/// No sample at all.
const WAV: &str = "UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAEAfAAABAAgAZGF0YQAAAAA=";

const NAMES: &[(&str, &str)] = &[
    ("test_simple_text", "Returns a text"),
    ("test_image_content", "Returns an image"),
    ("test_audio_content", "Returns a sound"),
    ("test_embedded_resource", "Returns an embedded resource"),
    ("test_multiple_content_types", "Returns a text, an image and a resource"),
    ("test_error_handling", "Fails"),
    ("test_tool_with_logging", "Sends log messages"),
    ("test_logging_tool", "Sends log messages"),
    ("test_tool_with_progress", "Sends progress"),
    ("test_streaming_elicitation", "Sends progress"),
    ("test_missing_capability", "Needs sampling"),
];

/// The tool `run_python_code`, without packages, for a program that may call [`Answers`]. It is in no list.
pub(crate) const CALLING: &str = "test_calls";

/// Its limits.
pub(crate) const CALL_LIMITS: CallLimits = CallLimits {
    at_once: 64,
    in_all: 1000,
    argument_bytes: 100_000,
    argument_items: 1000,
    argument_depth: 50,
    time: Duration::from_secs(4),
    answer_bytes: 2_000_000,
    wait: Duration::from_secs(20),
};

const JSON_SCHEMA_TOOL: &str = "json_schema_2020_12_tool";

/// The fixtures.
pub(crate) fn tools() -> Vec<Tool> {
    let empty = object(json!({ "type": "object", "properties": {} }));
    let mut tools: Vec<Tool> =
        NAMES.iter().map(|(name, description)| Tool::new(*name, *description, empty.clone())).collect();
    tools.push(Tool::new(
        JSON_SCHEMA_TOOL,
        "Tool with JSON Schema 2020-12 features",
        object(json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "$defs": {
                "address": {
                    "$anchor": "addressDef",
                    "type": "object",
                    "properties": { "street": { "type": "string" }, "city": { "type": "string" } },
                },
            },
            "properties": {
                "name": { "type": "string" },
                "address": { "$ref": "#/$defs/address" },
                "contactMethod": { "type": "string", "enum": ["phone", "email"] },
                "phone": { "type": "string" },
                "email": { "type": "string" },
            },
            "allOf": [{ "anyOf": [{ "required": ["phone"] }, { "required": ["email"] }] }],
            "if": {
                "properties": { "contactMethod": { "const": "phone" } },
                "required": ["contactMethod"],
            },
            "then": { "required": ["phone"] },
            "else": { "required": ["email"] },
            "additionalProperties": false,
        })),
    ));
    tools
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// Calls a fixture; `None` if there is none of this name.
pub(crate) async fn call(
    name: &str,
    server: &Server,
    context: &RequestContext<RoleServer>,
) -> Option<Result<CallToolResult, ErrorData>> {
    let content = match name {
        "test_simple_text" => {
            vec![ContentBlock::text("This is a simple text response for testing.")]
        }
        "test_image_content" => vec![ContentBlock::image(PNG, "image/png")],
        "test_audio_content" => vec![ContentBlock::audio(WAV, "audio/wav")],
        "test_embedded_resource" => {
            vec![ContentBlock::embedded_text("test://embedded-resource", "This is an embedded resource content.")]
        }
        "test_multiple_content_types" => vec![
            ContentBlock::text("Multiple content types test:"),
            ContentBlock::image(PNG, "image/png"),
            ContentBlock::embedded_text("test://mixed-content-resource", "{}"),
        ],
        "test_error_handling" => {
            return Some(Ok(CallToolResult::error(vec![ContentBlock::text(
                "This tool intentionally returns an error for testing",
            )])));
        }
        "test_tool_with_logging" | "test_logging_tool" => {
            let threshold = server.threshold(context);
            for text in ["Tool execution started", "Tool processing data", "Tool execution completed"] {
                log(context, threshold, LoggingLevel::Info, text).await;
            }
            vec![ContentBlock::text("Tool with logging executed successfully")]
        }
        "test_tool_with_progress" | "test_streaming_elicitation" => {
            if let Some(token) = context.meta.get_progress_token() {
                for progress in [0.0, 50.0, 100.0] {
                    let param = ProgressNotificationParam::new(token.clone(), progress).with_total(100.0);
                    // A client that is gone has no use for it.
                    let _ = context.peer.notify_progress(param).await;
                }
            }
            vec![ContentBlock::text("Tool with progress executed successfully")]
        }
        "test_missing_capability" => {
            if context.client_capabilities().is_none_or(|client| client.sampling.is_none()) {
                let needed = ClientCapabilities::builder().enable_sampling().build();
                return Some(Err(ErrorData::missing_required_client_capability(needed)));
            }
            vec![ContentBlock::text("Success")]
        }
        JSON_SCHEMA_TOOL => vec![ContentBlock::text("ok")],
        _ => return None,
    };
    Some(Ok(CallToolResult::success(content)))
}

/// The resource templates that the suite uses.
pub(crate) fn resource_templates() -> Vec<ResourceTemplate> {
    vec![
        ResourceTemplate::new("test://template/{id}/data", "test-template")
            .with_description("A resource of a template")
            .with_mime_type("application/json"),
    ]
}

/// The resources that the suite expects in the list.
pub(crate) fn resources() -> Vec<Resource> {
    [("test://static-text", "static-text", "text/plain"), ("test://static-binary", "static-binary", "image/png")]
        .map(|(uri, name, kind)| {
            Resource::new(uri, name).with_description("A resource of the suite").with_mime_type(kind)
        })
        .to_vec()
}

/// A resource that the suite reads; `None` if there is none of this URI.
pub(crate) fn resource(uri: &str) -> Option<ResourceContents> {
    match uri {
        "test://static-text" => {
            let text = "This is the content of the static text resource.";
            Some(ResourceContents::text(text, uri).with_mime_type("text/plain"))
        }
        "test://static-binary" => Some(ResourceContents::blob(PNG, uri).with_mime_type("image/png")),
        _ => {
            let id = uri.strip_prefix("test://template/")?.strip_suffix("/data")?;
            let data = json!({ "id": id, "templateTest": true, "data": format!("Data for ID: {id}") });
            Some(ResourceContents::text(data.to_string(), uri).with_mime_type("application/json"))
        }
    }
}

/// Answers `echo` with its arguments, `long` with a megabyte, `fail` with an error, and `never` not at all.
pub(crate) struct Answers;

impl Caller for Answers {
    fn names(&self) -> Vec<String> {
        ["echo", "long", "fail", "never"].map(str::to_owned).to_vec()
    }

    fn call(&self, call: Call) -> LocalBoxFuture<'static, Result<String, CallError>> {
        match call.name.as_str() {
            "echo" => future::ready(Ok(call.arguments)).boxed_local(),
            "long" => future::ready(Ok(format!("\"{}\"", "x".repeat(1_000_000)))).boxed_local(),
            "fail" => {
                let error = CallError { kind: "KeyError".into(), message: "no such key".into() };
                future::ready(Err(error)).boxed_local()
            }
            _ => future::pending().boxed_local(),
        }
    }
}

/// A host that delivers every answer twice, and one that nobody has asked for.
pub(crate) struct Repeating(pub(crate) Rc<dyn Host>);

impl Host for Repeating {
    fn offers_sessions(&self) -> bool {
        self.0.offers_sessions()
    }

    fn open(&self, choice: SessionChoice) -> LocalBoxFuture<'static, Result<Opened, SessionError>> {
        let opened = self.0.open(choice);
        async {
            let Opened { sandbox, handle } = opened.await?;
            Ok(Opened { sandbox: Rc::new(RepeatingSandbox(sandbox)), handle })
        }
        .boxed_local()
    }
}

struct RepeatingSandbox(Rc<dyn Sandbox>);

impl Sandbox for RepeatingSandbox {
    fn run(&self, request: String, packages: PackageSet) -> Run {
        Box::new(RepeatingRun(self.0.run(request, packages)))
    }

    fn is_fresh(&self) -> bool {
        self.0.is_fresh()
    }

    fn platform(&self) -> Platform {
        self.0.platform()
    }
}

struct RepeatingRun(Run);

impl Stream for RepeatingRun {
    type Item = Result<RunEvent, SandboxError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_next_unpin(cx)
    }
}

impl Running for RepeatingRun {
    fn answer(&self, answer: &str) -> LocalBoxFuture<'static, ()> {
        let stray = r#"{"id":9007199254740991,"value":"\"stray\""}"#;
        future::join_all([stray, answer, answer].map(|answer| self.0.answer(answer))).map(drop).boxed_local()
    }
}
