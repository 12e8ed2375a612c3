use std::{fmt::Write, fs, path::Path};

use ts_rs::Config;

use super::*;
use crate::run::asking;

/// The JavaScript types: `protocol.d.ts`.
fn types() -> String {
    let config = Config::new().with_large_int("number");
    let mut text = format!(
        "// Written by the core's tests, from src/run/protocol.rs.\n\n\
         /** The version of the protocol. */\nexport declare const VERSION: {VERSION};\n"
    );
    let mut add = |docs: Option<String>, decl: String| {
        let _ = write!(text, "\n{}export {decl}\n", docs.unwrap_or_default());
    };
    add(Request::docs(), Request::decl(&config));
    add(FileRun::docs(), FileRun::decl(&config));
    add(FileRequest::docs(), FileRequest::decl(&config));
    add(RunLimits::docs(), RunLimits::decl(&config));
    add(PlacedFile::docs(), PlacedFile::decl(&config));
    add(Callable::docs(), Callable::decl(&config));
    add(Frame::docs(), Frame::decl(&config));
    add(DisplayFrame::docs(), DisplayFrame::decl(&config));
    add(FileFrame::docs(), FileFrame::decl(&config));
    add(Change::docs(), Change::decl(&config));
    add(CallFrame::docs(), CallFrame::decl(&config));
    add(EndFrame::docs(), EndFrame::decl(&config));
    add(Status::docs(), Status::decl(&config));
    for (docs, decl) in asking::types(&config) {
        add(docs, decl);
    }
    add(Answer::docs(), Answer::decl(&config));
    add(CallError::docs(), CallError::decl(&config));
    text
}

/// The default limits of a run, for runs that no core starts.
fn limits() -> String {
    let limits = serde_json::to_value(RunLimits::new(Limits::default())).unwrap();
    let members: String =
        limits.as_object().unwrap().iter().map(|(name, limit)| format!("  {name}: {limit},\n")).collect();
    format!(
        "// Written by the core's tests, from src/run/protocol.rs and src/limits.rs.\n\n\
         /** The limits of a run where nobody sets them. @type {{import('./protocol.js').Limits}} */\n\
         export const LIMITS = {{\n{members}}};\n"
    )
}

/// Rewrites the files with `WRITE_TYPES=1`.
#[test]
fn javascript_has_the_same_types() {
    let script = format!(
        "// Written by the core's tests, from src/run/protocol.rs.\n\n\
         /** The version of the protocol. */\nexport const VERSION = {VERSION};\n"
    );
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("runtime/js");
    for (name, text) in [("protocol.d.ts", types()), ("protocol.js", script), ("limits.js", limits())] {
        let file = folder.join(name);
        if std::env::var_os("WRITE_TYPES").is_some() {
            fs::write(&file, &text).unwrap();
        }
        assert!(
            fs::read_to_string(&file).is_ok_and(|found| found == text),
            "{name} is not what src/run/protocol.rs says: write it with `WRITE_TYPES=1 cargo test --lib javascript`"
        );
    }
}
