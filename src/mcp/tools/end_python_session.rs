//! The tool that ends a session: how it is described, its argument, and what it answers.

use std::sync::Arc;

use rmcp::{
    ErrorData,
    model::{CallToolResult, ContentBlock, Tool, ToolAnnotations},
};
use serde_json::{Map, Value, json};

use super::{invalid, wrong};
use crate::session::SessionError;

/// The tool's name.
pub const NAME: &str = "end_python_session";

/// `end_python_session`, which is offered where there are sessions.
pub(in crate::mcp) fn definition() -> Tool {
    let schema = json!({
        "type": "object",
        "properties": { "session": { "type": "string", "description": "Handle of the session" } },
        "required": ["session"],
    });
    let schema = match schema {
        Value::Object(schema) => schema,
        _ => Map::new(),
    };
    let description = "Ends a session that is no longer needed, with its variables and files, and frees its memory.";
    Tool::new(NAME, description, Arc::new(schema)).with_title("End Python session").with_annotations(
        ToolAnnotations::new()
            .read_only(false)
            // The session's state is lost.
            .destructive(true)
            .idempotent(true)
            .open_world(false),
    )
}

/// Reads the arguments of a call: the handle. Unknown ones are ignored, as for the other tool.
///
/// # Errors
/// -32602, naming the argument.
pub(in crate::mcp) fn arguments(mut arguments: Map<String, Value>) -> Result<String, ErrorData> {
    match arguments.remove("session") {
        Some(Value::String(session)) => Ok(session),
        Some(other) => Err(wrong("session", "a string", &other)),
        None => Err(invalid("missing argument `session`".into())),
    }
}

/// The answer to a call. It is a success, too, if the session had ended before.
pub(in crate::mcp) fn result(ended: Result<(), SessionError>) -> CallToolResult {
    let text = |text: String| vec![ContentBlock::text(text)];
    match ended {
        Ok(()) => CallToolResult::success(text("the session has ended, with its variables and files".into())),
        Err(SessionError::Ended(why)) => CallToolResult::success(text(why.to_string())),
        Err(SessionError::Unknown) => CallToolResult::error(text("there is no such session".into())),
        Err(error) => CallToolResult::error(text(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_the_argument() {
        for (given, expected) in [
            (json!({}), "Invalid params: missing argument `session`"),
            (json!({ "session": null }), "Invalid params: argument `session` must be a string, not null"),
            (json!({ "session": ["h1"] }), "Invalid params: argument `session` must be a string, not an array"),
        ] {
            let Value::Object(given) = given else { panic!("not an object") };
            let error = arguments(given).unwrap_err();
            assert_eq!((error.code.0, &*error.message), (-32602, expected));
        }
    }
}
