//! The one tool: how it is described, and what its arguments must be.

use std::sync::Arc;

use rmcp::{
    ErrorData,
    model::{Tool, ToolAnnotations},
};
use serde_json::{Map, Value, json};

use crate::{json::shape, limits::Limits, report, run::RunRequest, session::SessionChoice};

/// The tool's name.
pub const NAME: &str = "run_python_code";

/// The Python that runs: Pyodide 314's.
pub const PYTHON_VERSION: &str = "3.14";

/// `run_python_code`, in the original's words.
pub(super) fn definition(offers_sessions: bool) -> Tool {
    let description = format!(
        "Tool to execute Python code and return stdout, stderr, and return value.\n\n\
         The code may be async, and the value on the last line will be returned as the return value.\n\n\
         The code will be executed with Python {PYTHON_VERSION}.\n"
    );
    Tool::new(NAME, description, input_schema(offers_sessions))
        .with_title("Run Python code")
        .with_raw_output_schema(Arc::new(report::output_schema()))
        .with_annotations(
            ToolAnnotations::new()
                .read_only(false)
                // A run touches nothing but its own isolate, and reaches nothing outside it.
                .destructive(false)
                .idempotent(false)
                .open_world(false),
        )
}

fn input_schema(offers_sessions: bool) -> Map<String, Value> {
    let mut properties = Map::new();
    properties.insert("python_code".into(), json!({ "type": "string", "description": "Python code to run" }));
    properties.insert(
        "global_variables".into(),
        json!({
            "type": "object",
            "additionalProperties": {},
            "default": {},
            "description": "Map of global variables in context when the code is executed",
        }),
    );
    if offers_sessions {
        properties.insert(
            "session".into(),
            json!({
                "type": "string",
                "description": "`\"new\"` starts a session whose handle comes back in the result; \
                    pass that handle to later calls to keep variables, imports and files",
            }),
        );
    }
    let mut schema = Map::new();
    schema.insert("type".into(), json!("object"));
    schema.insert("properties".into(), Value::Object(properties));
    schema.insert("required".into(), json!(["python_code"]));
    schema
}

/// What a call asks for.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) request: RunRequest,
    pub(super) session: SessionChoice,
}

/// Reads the arguments of a call. Unknown ones are ignored, as the original ignores them.
///
/// # Errors
/// -32602, naming the argument.
pub(super) fn arguments(
    mut arguments: Map<String, Value>,
    limits: &Limits,
    offers_sessions: bool,
) -> Result<Call, ErrorData> {
    let code = match arguments.remove("python_code") {
        Some(Value::String(code)) => code,
        Some(other) => return Err(wrong("python_code", "a string", &other)),
        None => return Err(invalid("missing argument `python_code`".into())),
    };
    if code.len() > limits.code_bytes {
        return Err(invalid(format!(
            "argument `python_code` is {} bytes long, at most {} are taken",
            code.len(),
            limits.code_bytes
        )));
    }
    let globals = match arguments.remove("global_variables") {
        None => Map::new(),
        Some(Value::Object(globals)) => bounded(globals, limits)?,
        Some(other) => return Err(wrong("global_variables", "an object", &other)),
    };
    let session = match arguments.remove("session").filter(|_| offers_sessions) {
        None => SessionChoice::Unnamed,
        Some(Value::String(session)) => SessionChoice::parse(&session),
        Some(other) => return Err(wrong("session", "a string", &other)),
    };
    // A session asked for by name keeps its variables; a legacy session, as the original, does not.
    let keep_variables = session != SessionChoice::Unnamed;
    Ok(Call { request: RunRequest { code, globals, keep_variables }, session })
}

/// Checks the size and the depth of `global_variables`.
fn bounded(globals: Map<String, Value>, limits: &Limits) -> Result<Map<String, Value>, ErrorData> {
    let text = serde_json::to_vec(&globals).map_err(|error| invalid(format!("`global_variables`: {error}")))?;
    for (what, found, limit) in
        [("bytes long", text.len(), limits.globals_bytes), ("levels deep", shape(&text).depth, limits.globals_depth)]
    {
        if found > limit {
            return Err(invalid(format!("argument `global_variables` is {found} {what}, at most {limit} are taken")));
        }
    }
    Ok(globals)
}

fn wrong(argument: &str, expected: &str, actual: &Value) -> ErrorData {
    let actual = match actual {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    };
    invalid(format!("argument `{argument}` must be {expected}, not {actual}"))
}

fn invalid(why: String) -> ErrorData {
    ErrorData::invalid_params(format!("Invalid params: {why}"), None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments_json: Value, offers_sessions: bool) -> Result<Call, String> {
        let Value::Object(map) = arguments_json else { return Err("not an object".into()) };
        arguments(map, &Limits::default(), offers_sessions).map_err(|error| {
            assert_eq!(error.code.0, -32602);
            error.message.into_owned()
        })
    }

    #[test]
    fn errors_name_the_argument() {
        for (given, expected) in [
            (json!({}), "missing argument `python_code`"),
            (json!({ "python_code": 1 }), "argument `python_code` must be a string, not a number"),
            (json!({ "python_code": null }), "argument `python_code` must be a string, not null"),
            (
                json!({ "python_code": "1", "global_variables": [] }),
                "argument `global_variables` must be an object, not an array",
            ),
            (json!({ "python_code": "1", "session": {} }), "argument `session` must be a string, not an object"),
        ] {
            assert_eq!(parse(given, true).unwrap_err(), format!("Invalid params: {expected}"));
        }
    }

    #[test]
    fn unknown_arguments_are_ignored() {
        let call = parse(json!({ "python_code": "1", "session": 3, "timeout": 1 }), false).unwrap();
        assert_eq!(call.session, SessionChoice::Unnamed);
        assert!(call.request.globals.is_empty());
        assert!(!call.request.keep_variables);
    }

    #[test]
    fn sessions_are_new_or_a_handle() {
        for (session, choice) in [("new", SessionChoice::New), ("abc", SessionChoice::Handle("abc".into()))] {
            let call = parse(json!({ "python_code": "", "session": session }), true).unwrap();
            assert_eq!(call.session, choice);
            assert!(call.request.keep_variables);
        }
    }

    #[test]
    fn code_is_bounded_and_the_error_says_by_what() {
        let limit = Limits::default().code_bytes;
        assert!(parse(json!({ "python_code": "a".repeat(limit) }), false).is_ok());
        let error = parse(json!({ "python_code": "a".repeat(limit + 1) }), false).unwrap_err();
        assert!(error.contains(&(limit + 1).to_string()) && error.contains(&limit.to_string()), "{error}");
    }

    #[test]
    fn variables_are_bounded_in_size_and_depth() {
        let globals = |value: Value| json!({ "python_code": "", "global_variables": { "x": value } });
        let nested = |depth: usize| (1..depth).fold(json!(1), |value, _| json!([value]));
        let Limits { globals_bytes, globals_depth, .. } = Limits::default();
        assert!(parse(globals(nested(globals_depth)), false).is_ok());
        let error = parse(globals(nested(globals_depth + 1)), false).unwrap_err();
        assert!(error.contains("101 levels deep, at most 100"), "{error}");
        assert!(parse(globals("a".repeat(globals_bytes - 8).into()), false).is_ok());
        let error = parse(globals("a".repeat(globals_bytes - 7).into()), false).unwrap_err();
        assert!(error.contains("4194305 bytes long, at most 4194304"), "{error}");
    }

    #[test]
    fn the_schema_has_a_session_only_where_it_is_served() {
        assert!(input_schema(true)["properties"].get("session").is_some());
        assert!(input_schema(false)["properties"].get("session").is_none());
    }
}
