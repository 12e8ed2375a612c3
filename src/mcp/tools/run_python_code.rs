//! The tool that runs code: how it is described, and what its arguments must be.

use std::{collections::HashSet, sync::Arc};

use base64::{Engine, prelude::BASE64_STANDARD as BASE64};
use rmcp::{
    ErrorData,
    model::{Tool, ToolAnnotations},
};
use serde_json::{Map, Value, json};

use super::{invalid, wrong};
use crate::{
    json::shape,
    limits::{Limits, MAX_PLACED},
    mcp::ServerOptions,
    packages::{PYTHON_VERSION, PackageOptions, Source},
    run::RunRequest,
    run::files::{DATA, PlacedFile, check_path},
    run::result::output_schema,
    session::SessionChoice,
};

/// The tool's name.
pub const NAME: &str = "run_python_code";

/// How many letters of the list of installed packages a model is told.
const MAX_NAMED: usize = 300;

/// `run_python_code`, in the original's words, and what else a model has to know: what stays, what is there, and what is
/// not. `packages`: how runs get theirs, if they get any.
pub(in crate::mcp) fn definition(
    offers_sessions: bool,
    options: &ServerOptions,
    packages: Option<&PackageOptions>,
) -> Tool {
    let state = state(offers_sessions);
    let installed = packages.map(|packages| packages.dependencies.iter().map(ToString::to_string).collect::<Vec<_>>());
    let installed = match installed.filter(|names| !names.is_empty()) {
        Some(names) => format!(" Installed already: {}.", names.join(", ").chars().take(MAX_NAMED).collect::<String>()),
        None => String::new(),
    };
    let packages = installs(packages);
    let data = match options.has_data {
        true => format!(" Files to read are in `{DATA}/`."),
        false => String::new(),
    };
    let description = format!(
        "Tool to execute Python code and return stdout, stderr, and return value.\n\n\
         The code may be async, and the value on the last line will be returned as the return value.\n\n\
         The code will be executed with Python {PYTHON_VERSION}.\n\n\
         {state} {packages}{installed} Figures of matplotlib come back as images, and files that the code writes to its working \
         directory come back with the result; give it input files with `files`.{data} There is no network, and there are no \
         threads, processes or user input. A call may take {} s.\n",
        options.limits.time.as_secs_f64()
    );
    Tool::new(NAME, description, input_schema(offers_sessions))
        .with_title("Run Python code")
        .with_raw_output_schema(Arc::new(output_schema()))
        .with_annotations(
            ToolAnnotations::new()
                .read_only(false)
                // A run touches nothing but its own isolate, and reaches nothing outside it.
                .destructive(false)
                .idempotent(false)
                .open_world(false),
        )
}

/// Instructions for a client to give to its model, whatever it calls: the description in short.
pub(in crate::mcp) fn instructions(offers_sessions: bool, packages: Option<&PackageOptions>) -> String {
    let (state, installs) = (state(offers_sessions), installs(packages));
    format!(
        "Call the \"{NAME}\" tool with the Python code to run, in a sandbox without network, threads and processes. {state} \
         {installs}"
    )
}

fn state(offers_sessions: bool) -> &'static str {
    match offers_sessions {
        true => "Variables do not stay from one call to the next, unless a session is used (`session`).",
        false => "Variables do not stay from one call to the next.",
    }
}

fn installs(packages: Option<&PackageOptions>) -> &'static str {
    match packages.map(|packages| (packages.source, packages.allowed.is_empty())) {
        Some((Source::Pypi | Source::Lock, true)) => {
            "Packages that the code imports (numpy, pandas, matplotlib, scikit-learn, ...) are installed by themselves: use no \
             pip."
        }
        Some((Source::Pypi | Source::Lock, false)) => {
            "Some packages are installed by themselves when the code imports them: use no pip."
        }
        _ => "Nothing can be installed.",
    }
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
    properties.insert(
        "files".into(),
        json!({
            "type": "object",
            "additionalProperties": {
                "anyOf": [
                    { "type": "string" },
                    {
                        "type": "object",
                        "properties": { "base64": { "type": "string" }, "media_type": { "type": "string" } },
                        "required": ["base64"],
                        "additionalProperties": false,
                    },
                ],
            },
            "description": "Files to put into the working directory before the code runs: relative path -> text, or \
                `{\"base64\": ...}` for binary content",
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

/// The arguments of a call, parsed.
#[derive(Debug)]
pub(in crate::mcp) struct Call {
    pub(in crate::mcp) request: RunRequest,
    pub(in crate::mcp) session: SessionChoice,
}

/// Reads the arguments of a call. Unknown ones are ignored, as the original ignores them.
///
/// # Errors
/// -32602, naming the argument.
pub(in crate::mcp) fn arguments(
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
        None => "{}".to_owned(),
        Some(Value::Object(globals)) => bounded(&globals, limits)?,
        Some(other) => return Err(wrong("global_variables", "an object", &other)),
    };
    let files = match arguments.remove("files") {
        None => Vec::new(),
        Some(Value::Object(files)) => placed(files, limits)?,
        Some(other) => return Err(wrong("files", "an object", &other)),
    };
    let session = match arguments.remove("session").filter(|_| offers_sessions) {
        None => SessionChoice::Unnamed,
        Some(Value::String(session)) => SessionChoice::parse(&session),
        Some(other) => return Err(wrong("session", "a string", &other)),
    };
    // A session asked for by handle keeps its variables; a legacy session does not, as in the original.
    let keep_variables = session != SessionChoice::Unnamed;
    Ok(Call { request: RunRequest { code, globals, keep_variables, files }, session })
}

/// Returns the JSON of `global_variables`, with its size and depth checked.
fn bounded(globals: &Map<String, Value>, limits: &Limits) -> Result<String, ErrorData> {
    let text = serde_json::to_string(globals).map_err(|error| invalid(format!("`global_variables`: {error}")))?;
    for (what, found, limit) in [
        ("bytes long", text.len(), limits.globals_bytes),
        ("levels deep", shape(text.as_bytes()).depth, limits.globals_depth),
    ] {
        if found > limit {
            return Err(invalid(format!("argument `global_variables` is {found} {what}, at most {limit} are taken")));
        }
    }
    Ok(text)
}

/// Reads `files`: path -> text, or an object with `base64`.
fn placed(files: Map<String, Value>, limits: &Limits) -> Result<Vec<PlacedFile>, ErrorData> {
    let refuse = |path: &str, why: &str| {
        let shown: String = path.escape_debug().take(100).collect();
        invalid(format!("argument `files`: `{shown}` {why}"))
    };
    if files.len() > MAX_PLACED {
        return Err(invalid(format!("argument `files` has {} files, at most {MAX_PLACED} are taken", files.len())));
    }
    let folders: HashSet<&str> =
        files.keys().flat_map(|path| path.match_indices('/').filter_map(|(at, _)| path.get(..at))).collect();
    if let Some(path) = files.keys().find(|path| folders.contains(path.as_str())) {
        return Err(refuse(path, "is a file and the folder of another"));
    }
    let mut size = 0;
    let mut all = Vec::with_capacity(files.len());
    for (path, content) in &files {
        check_path(path).map_err(|why| refuse(path, why))?;
        let (base64, length) = match content {
            Value::String(text) => (BASE64.encode(text), text.len()),
            Value::Object(members) => {
                if members.keys().any(|name| name != "base64" && name != "media_type") {
                    return Err(refuse(path, "may have the members `base64` and `media_type`"));
                }
                let base64 = members.get("base64").and_then(Value::as_str);
                let base64 = base64.ok_or_else(|| refuse(path, "must have its content in `base64`"))?;
                let bytes = BASE64.decode(base64);
                let bytes = bytes.map_err(|error| refuse(path, &format!("is not in base64: {error}")))?;
                (base64.to_owned(), bytes.len())
            }
            _ => return Err(refuse(path, "must be a string, or an object with `base64`")),
        };
        size += length;
        if size > limits.file_bytes {
            return Err(invalid(format!(
                "argument `files` has more than {} bytes (FILES_LIMIT_MB)",
                limits.file_bytes
            )));
        }
        all.push(PlacedFile { path: path.clone(), base64 });
    }
    Ok(all)
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
        assert!(call.request.globals == "{}");
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
    fn files_are_text_or_base64_and_stay_in_their_folder() {
        let files = |value: Value| parse(json!({ "python_code": "", "files": value }), false);
        let call = files(json!({ "a.txt": "ä", "d/b": { "base64": "/w==", "media_type": "image/png" } })).unwrap();
        let placed = |path: &str, base64: &str| PlacedFile { path: path.into(), base64: base64.into() };
        assert_eq!(call.request.files, [placed("a.txt", "w6Q="), placed("d/b", "/w==")]);
        for (given, part) in [
            (json!([]), "argument `files` must be an object, not an array"),
            (json!({ "../a": "" }), "`../a` leads out of the folder"),
            (json!({ "/a": "" }), "`/a` must be relative"),
            (json!({ "a\nb": "" }), "`a\\nb` has a backslash, a control character"),
            (json!({ "a": 1 }), "`a` must be a string, or an object with `base64`"),
            (json!({ "a": {} }), "`a` must have its content in `base64`"),
            (json!({ "a": { "base64": "", "mode": 7 } }), "`a` may have the members `base64` and `media_type`"),
            (json!({ "a": { "base64": "x" } }), "`a` is not in base64: "),
            (json!({ "a": "", "a/b": "" }), "`a` is a file and the folder of another"),
        ] {
            let error = files(given).unwrap_err();
            assert!(error.starts_with("Invalid params: argument `files`") && error.contains(part), "{error}");
        }
        let many: Map<String, Value> = (0..=MAX_PLACED).map(|n| (n.to_string(), "".into())).collect();
        assert!(files(Value::Object(many)).unwrap_err().contains("1001 files, at most 1000"));
        let limits = Limits { file_bytes: 10, ..Limits::default() };
        let two = Map::from_iter([("a".to_owned(), "123456".into()), ("b".to_owned(), "12345".into())]);
        let error = super::placed(two, &limits).unwrap_err();
        assert!(error.message.contains("more than 10 bytes (FILES_LIMIT_MB)"), "{error:?}");
    }

    #[test]
    fn the_description_says_what_there_is_and_what_not() {
        let of = |sessions, packages: Option<&PackageOptions>| {
            definition(sessions, &ServerOptions::default(), packages).description.unwrap_or_default().into_owned()
        };
        let with_data = ServerOptions { has_data: true, ..ServerOptions::default() };
        let with_data = definition(false, &with_data, None).description.unwrap_or_default();
        assert!(with_data.contains("Files to read are in `data/`.") && !of(false, None).contains("data/"));
        let with = |change: &dyn Fn(&mut PackageOptions)| {
            let mut options = PackageOptions { source: Source::Pypi, ..PackageOptions::default() };
            change(&mut options);
            of(true, Some(&options))
        };
        let usual = with(&|_| {});
        for part in ["`session`", "(numpy, pandas", "no network", "may take 60 s", "`files`"] {
            assert!(usual.contains(part), "{part}: {usual}");
        }
        assert!(!usual.contains("Installed already") && !of(false, None).contains("`session`"));
        assert!(of(false, None).contains("Nothing can be installed"));
        assert!(with(&|options| options.source = Source::Bundled).contains("Nothing can be installed"));
        let some = with(&|options| options.allowed = crate::packages::requirement::parse_names("numpy").unwrap());
        assert!(some.contains("Some packages"), "{some}");
        let list = (0..1000).map(|n| format!("p{n}")).collect::<Vec<_>>().join(",");
        let long = with(&|options| options.dependencies = crate::packages::requirement::parse_list(&list).unwrap());
        assert!(long.contains("Installed already: p0, p1") && long.len() < 1400, "{long}");
    }

    #[test]
    fn the_schema_has_a_session_only_where_it_is_served() {
        assert!(input_schema(true)["properties"].get("session").is_some());
        assert!(input_schema(false)["properties"].get("session").is_none());
    }
}
