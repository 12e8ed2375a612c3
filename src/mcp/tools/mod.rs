//! The tools: a file each, with its definition, its arguments, and its texts for models.

pub(super) mod end_python_session;
pub(super) mod run_python_code;

use rmcp::ErrorData;
use serde_json::Value;

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
