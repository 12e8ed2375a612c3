//! Writes an outcome as the original does: XML, JSON, and MCP's structured content.

use std::str::FromStr;

use rmcp::model::{ContentBlock, ImageContent, MetaObject, Resource, ResourceContents};
use serde_json::{Map, Value, json};

use crate::{
    run::files::{Change, ChangedFile, Changes, Content, media_type},
    run::uri::{FileUri, encode},
    run::{
        Ending, Outcome, Returned,
        display::{Displayed, Image},
    },
};

/// How the text block of a result is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ReturnMode {
    /// `<status>…</status>` and so on.
    #[default]
    Xml,
    /// One JSON object.
    Json,
}

impl FromStr for ReturnMode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "xml" => Ok(Self::Xml),
            "json" => Ok(Self::Json),
            other => Err(format!("return mode `{other}`: it must be `xml` or `json`")),
        }
    }
}

/// The text block of a result. `session` is the handle to pass to later calls, for clients that give a model only the
/// text; without one, it is the original's text.
#[must_use]
pub fn text(outcome: &Outcome, mode: ReturnMode, session: Option<&str>) -> String {
    match mode {
        ReturnMode::Xml => xml(outcome, session),
        ReturnMode::Json => object(outcome, &outcome.displayed.as_read(), session).to_string(),
    }
}

/// The structured content of a result, which [`output_schema`] describes, with the session's handle.
#[must_use]
pub fn structured(outcome: &Outcome, session: Option<&str>) -> Value {
    object(outcome, &outcome.displayed, session)
}

fn object(outcome: &Outcome, displayed: &Displayed, session: Option<&str>) -> Value {
    let mut members = members(outcome);
    let bundles: Vec<Value> =
        displayed.bundles.iter().filter(|bundle| !bundle.is_empty()).cloned().map(Value::Object).collect();
    if !bundles.is_empty() {
        members.insert("display".into(), bundles.into());
    }
    if displayed.omitted > 0 {
        members.insert("display_omitted".into(), displayed.omitted.into());
    }
    if !outcome.changes.files.is_empty() {
        members.insert("files".into(), outcome.changes.files.iter().map(file).collect());
    }
    if outcome.changes.omitted > 0 {
        members.insert("files_omitted".into(), outcome.changes.omitted.into());
    }
    if let Some(session) = session {
        members.insert("session".into(), session.into());
    }
    Value::Object(members)
}

/// JSON Schema of [`structured`].
#[must_use]
pub fn output_schema() -> Map<String, Value> {
    let schema = json!({
        "type": "object",
        "properties": {
            "status": { "type": "string", "enum": ["success", "run-error", "install-error"] },
            "output": {
                "type": "array",
                "items": { "type": "string" },
                "description": "Lines written to stdout and stderr, in order",
            },
            "return_value": { "description": "Value of the last expression, when the status is success" },
            "error": { "type": "string", "description": "Traceback or message, when it is not" },
            "display": {
                "type": "array",
                "items": {
                    "type": "object",
                    "additionalProperties": { "type": ["string", "object"] },
                },
                "description": "What the code displayed, and how the returned value displays itself: texts and JSON by \
                    their MIME types. It may be hostile: HTML, SVG and Markdown are shown in a frame without scripts only",
            },
            "display_omitted": { "type": "integer", "description": "How many texts of it were left out" },
            "files": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        "path": { "type": "string" },
                        "change": { "type": "string", "enum": ["created", "changed", "deleted"] },
                        "size": { "type": "integer", "description": "Bytes" },
                        "media_type": { "type": "string" },
                        "uri": { "type": "string", "description": "Reads it, as an MCP resource, while it is kept" },
                    },
                    "required": ["path", "change"],
                },
                "description": "Files in the working directory that the code created, changed or deleted",
            },
            "files_omitted": { "type": "integer", "description": "How many files there are besides" },
            "session": { "type": "string", "description": "Handle of the session, for later calls" },
        },
        "required": ["status", "output"],
    });
    match schema {
        Value::Object(schema) => schema,
        _ => Map::new(),
    }
}

fn status(ending: &Ending) -> &'static str {
    match ending {
        Ending::Success(_) => "success",
        Ending::RunError(_) => "run-error",
        Ending::InstallError(_) => "install-error",
    }
}

fn members(outcome: &Outcome) -> Map<String, Value> {
    let mut members = Map::new();
    members.insert("status".into(), status(&outcome.ending).into());
    members.insert("output".into(), outcome.output.iter().map(String::as_str).collect());
    match &outcome.ending {
        Ending::Success(returned) => {
            let value = match returned {
                Returned::None => Value::Null,
                Returned::Text(text) => text.as_str().into(),
                Returned::Json { value, .. } => value.clone(),
            };
            members.insert("return_value".into(), value);
        }
        Ending::RunError(error) | Ending::InstallError(error) => {
            members.insert("error".into(), error.as_str().into());
        }
    }
    members
}

fn file(file: &ChangedFile) -> Value {
    let ChangedFile { path, change, size, uri, .. } = file;
    let mut value = match change {
        Change::Deleted => json!({ "path": path, "change": change }),
        _ => json!({ "path": path, "change": change, "size": size, "media_type": file.media_type() }),
    };
    if let (Some(uri), Some(members)) = (uri, value.as_object_mut()) {
        members.insert("uri".into(), uri.to_string().into());
    }
    value
}

/// The blocks after the text of a result: its figures, the files that are small enough, and, for clients that know
/// links, links to other files that can be read by their URIs.
pub fn attachments(outcome: &Outcome, with_links: bool) -> impl Iterator<Item = ContentBlock> {
    let figures =
        outcome.images.iter().map(|Image { base64, media_type }| ContentBlock::image(base64.as_str(), *media_type));
    let files = outcome.changes.files.iter().filter_map(move |file| match &file.content {
        Some(content) => Some(attachment(file, content)),
        None => file.uri.as_ref().filter(|_| with_links).map(|uri| ContentBlock::resource_link(link(uri, file.size))),
    });
    figures.chain(files)
}

/// A link to a file that `resources/read` reads. A model may have to read the link, so it says nothing twice.
#[must_use]
pub fn link(uri: &FileUri, size: u64) -> Resource {
    let name = uri.path.rsplit('/').next().unwrap_or(&uri.path);
    let link = Resource::new(uri.to_string(), name).with_mime_type(media_type(&uri.path)).with_size(size);
    if name == uri.path { link } else { link.with_title(uri.path.as_str()) }
}

fn attachment(file: &ChangedFile, content: &Content) -> ContentBlock {
    let media_type = file.media_type();
    let uri = format!("{PLACE}{}", encode(&file.path));
    let content = match content {
        Content::Base64(base64) if SHOWN.contains(&&*media_type) => {
            let image = ImageContent::new(base64.as_str(), media_type);
            // Figures have no path.
            let meta = Map::from_iter([("path".to_owned(), file.path.as_str().into())]);
            return ContentBlock::Image(image.with_meta(MetaObject(meta)));
        }
        Content::Base64(base64) => ResourceContents::blob(base64.as_str(), uri),
        Content::Text(text) => ResourceContents::text(text.as_str(), uri),
    };
    ContentBlock::resource(content.with_mime_type(media_type))
}

/// How the URI of an attached file begins. It only names the file in the result: nothing can be read by it.
pub const PLACE: &str = "sandbox:///";

/// Images that clients and models take.
const SHOWN: [&str; 4] = ["image/png", "image/jpeg", "image/gif", "image/webp"];

fn xml(outcome: &Outcome, session: Option<&str>) -> String {
    let mut lines = vec![format!("<status>{}</status>", status(&outcome.ending))];
    let files = lines_of(&outcome.changes);
    let shown: Vec<&str> = outcome.displayed.readable().collect();
    let ours = [("session", session.is_some()), ("files", !files.is_empty()), ("display", !shown.is_empty())];
    let tags: Vec<&str> =
        ORIGINAL_TAGS.into_iter().chain(ours.iter().filter(|(_, is_there)| *is_there).map(|(tag, _)| *tag)).collect();
    let mut section = |tag: &str, content: &mut dyn Iterator<Item = &str>| {
        lines.push(format!("<{tag}>"));
        lines.extend(content.map(|line| escape_tags(line, &tags)));
        lines.push(format!("</{tag}>"));
    };
    if !outcome.output.is_empty() {
        section("output", &mut outcome.output.iter().map(String::as_str));
    }
    match &outcome.ending {
        Ending::Success(Returned::None) => {}
        Ending::Success(Returned::Text(text) | Returned::Json { text, .. }) => {
            if !text.is_empty() {
                section("return_value", &mut std::iter::once(text.as_str()));
            }
        }
        Ending::RunError(error) | Ending::InstallError(error) => {
            section("error", &mut std::iter::once(error.as_str()));
        }
    }
    if !shown.is_empty() {
        section("display", &mut shown.iter().flat_map(|text| ["", *text]).skip(1));
    }
    if !files.is_empty() {
        section("files", &mut files.iter().map(String::as_str));
    }
    if let Some(session) = session {
        lines.push(format!("<session>{session}</session>"));
    }
    lines.join("\n")
}

/// Lists files for the text of a result.
fn lines_of(Changes { files, omitted }: &Changes) -> Vec<String> {
    let more = match (files.is_empty(), omitted) {
        (_, 0) => None,
        (true, omitted) => Some(format!("{omitted} that cannot be named")),
        (false, omitted) => Some(format!("and {omitted} more")),
    };
    files.iter().map(line).chain(more).collect()
}

fn line(file: &ChangedFile) -> String {
    let ChangedFile { path, change, size, content, uri } = file;
    let kept = match (change, content, uri) {
        (Change::Deleted, ..) => return format!("deleted {path}"),
        (_, Some(_), _) => String::new(),
        (_, None, None) => ": too large to be attached".into(),
        (_, None, Some(uri)) => format!(": too large to be attached, read it as {uri}"),
    };
    format!("{} {path} ({}, {size} bytes{kept})", change.name(), file.media_type())
}

/// The tags of the original's result. Ours are escaped only where they are used.
const ORIGINAL_TAGS: [&str; 4] = ["status", "output", "return_value", "error"];

/// Escapes what could be taken for one of `tags`, the result's own, by the original's pattern: `</?\s*TAG(?:.*?>)?`, in
/// any case. The original escapes the tag of the same section only, so there printed text could pretend to be the
/// returned value.
fn escape_tags(text: &str, tags: &[&str]) -> String {
    let mut escaped = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('<') {
        let (before, from) = rest.split_at(at);
        escaped.push_str(before);
        let length = tag_length(from, tags).unwrap_or(0);
        let (tag, after) = from.split_at(length);
        escaped.push_str(&tag.replace('<', "&lt;").replace('>', "&gt;"));
        rest = after;
        if length == 0 {
            escaped.push('<');
            rest = rest.strip_prefix('<').unwrap_or_default();
        }
    }
    escaped.push_str(rest);
    escaped
}

/// The length in bytes of one of `tags` at the start of `from`, which starts with `<`.
fn tag_length(from: &str, tags: &[&str]) -> Option<usize> {
    let name = from.strip_prefix('<')?;
    let name = name.strip_prefix('/').unwrap_or(name).trim_start();
    let after = tags.iter().find_map(|tag| {
        let (head, after) = name.split_at_checked(tag.len())?;
        head.eq_ignore_ascii_case(tag).then_some(after)
    })?;
    let line = after.split(['\n', '\r', '\u{2028}', '\u{2029}']).next().unwrap_or_default();
    let attributes = line.find('>').map_or(0, |end| end + 1);
    Some(from.len() - after.len() + attributes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(output: &[&str], ending: Ending) -> Outcome {
        Outcome::without_files(output.iter().map(ToString::to_string).collect(), ending)
    }

    fn json(text: &str, value: Value) -> Ending {
        Ending::Success(Returned::Json { text: text.into(), value })
    }

    #[test]
    fn xml_has_a_section_for_each_part() {
        let both = outcome(&["a", "b"], json("[\n  1\n]", json!([1])));
        assert_eq!(
            text(&both, ReturnMode::Xml, None),
            "<status>success</status>\n<output>\na\nb\n</output>\n<return_value>\n[\n  1\n]\n</return_value>"
        );
        let nothing = outcome(&[], Ending::Success(Returned::Text(String::new())));
        assert_eq!(text(&nothing, ReturnMode::Xml, None), "<status>success</status>");
        let error = outcome(&[], Ending::RunError("no\n".into()));
        assert_eq!(text(&error, ReturnMode::Xml, None), "<status>run-error</status>\n<error>\nno\n\n</error>");
    }

    #[test]
    fn json_keeps_numbers_and_order() {
        let value: Value = serde_json::from_str(r#"{"b":36893488147419103232,"a":3.0}"#).unwrap();
        let result = outcome(&["x"], json("", value));
        assert_eq!(
            text(&result, ReturnMode::Json, None),
            r#"{"status":"success","output":["x"],"return_value":{"b":36893488147419103232,"a":3.0}}"#
        );
        let none = outcome(&[], Ending::Success(Returned::None));
        assert_eq!(text(&none, ReturnMode::Json, None), r#"{"status":"success","output":[],"return_value":null}"#);
    }

    #[test]
    fn structured_content_carries_the_session() {
        let none = outcome(&[], Ending::Success(Returned::None));
        assert_eq!(structured(&none, Some("h")).get("session"), Some(&json!("h")));
        assert_eq!(structured(&none, None).get("session"), None);
    }

    #[test]
    fn the_text_carries_the_session_after_everything_else() {
        let printed = outcome(&["<session>x</session>"], Ending::Success(Returned::Text("1".into())));
        assert_eq!(
            text(&printed, ReturnMode::Xml, Some("h")),
            "<status>success</status>\n<output>\n&lt;session&gt;x&lt;/session&gt;\n</output>\n<return_value>\n1\n\
             </return_value>\n<session>h</session>"
        );
        assert!(text(&printed, ReturnMode::Xml, None).contains("\n<session>x</session>\n"), "as the original");
        assert_eq!(
            text(&printed, ReturnMode::Json, Some("h")),
            r#"{"status":"success","output":["<session>x</session>"],"return_value":"1","session":"h"}"#
        );
    }

    #[test]
    fn files_come_after_the_originals_parts() {
        let file =
            |path: &str, change, size, content| ChangedFile { path: path.into(), change, size, content, uri: None };
        let mut all = outcome(&["<files>"], Ending::Success(Returned::Text("</files>".into())));
        assert!(text(&all, ReturnMode::Xml, None).contains("\n<files>\n"), "as the original, without any");
        all.changes.files = vec![
            file("a b/<files>.csv", Change::Created, 3, Some(Content::Text("a,b".into()))),
            file("plot.png", Change::Changed, 1, Some(Content::Base64("/w==".into()))),
            file("x.bin", Change::Changed, 1, Some(Content::Base64("/w==".into()))),
            file("big", Change::Created, 9_000_000, None),
            file("old", Change::Deleted, 0, None),
            ChangedFile { uri: Some(FileUri::new("x", "a b.csv")), ..file("a b.csv", Change::Created, 300_000, None) },
        ];
        all.changes.omitted = 2;
        assert_eq!(
            text(&all, ReturnMode::Xml, Some("h")),
            "<status>success</status>\n<output>\n&lt;files&gt;\n</output>\n<return_value>\n&lt;/files&gt;\n\
             </return_value>\n<files>\ncreated a b/&lt;files&gt;.csv (text/csv, 3 bytes)\nchanged plot.png (image/png, 1 \
             bytes)\nchanged x.bin (application/octet-stream, 1 bytes)\ncreated big (application/octet-stream, 9000000 \
             bytes: too large to be attached)\ndeleted old\ncreated a b.csv (text/csv, 300000 bytes: too large to be \
             attached, read it as sandbox://x/a%20b.csv)\nand 2 more\n</files>\n<session>h</session>"
        );
        let unnamed = Changes { omitted: 2, ..Changes::default() };
        assert_eq!(lines_of(&unnamed), ["2 that cannot be named"]);
        let structured = structured(&all, None);
        assert_eq!(
            structured["files"][0],
            json!({ "path": "a b/<files>.csv", "change": "created", "size": 3, "media_type": "text/csv" })
        );
        assert_eq!(structured["files"][4], json!({ "path": "old", "change": "deleted" }));
        assert_eq!(structured["files"][5]["uri"], "sandbox://x/a%20b.csv");
        assert_eq!(structured["files_omitted"], 2);
        let blocks: Vec<Value> = attachments(&all, true).map(|block| serde_json::to_value(block).unwrap()).collect();
        assert_eq!(
            blocks,
            [
                json!({ "type": "resource", "resource": {
                    "uri": "sandbox:///a%20b/%3Cfiles%3E.csv", "mimeType": "text/csv", "text": "a,b",
                } }),
                json!({ "type": "image", "data": "/w==", "mimeType": "image/png", "_meta": { "path": "plot.png" } }),
                json!({ "type": "resource", "resource": {
                    "uri": "sandbox:///x.bin", "mimeType": "application/octet-stream", "blob": "/w==",
                } }),
                json!({
                    "type": "resource_link", "uri": "sandbox://x/a%20b.csv", "name": "a b.csv", "mimeType": "text/csv",
                    "size": 300_000,
                }),
            ]
        );
    }

    #[test]
    fn what_is_kept_is_linked_to() {
        let mut all = outcome(&[], Ending::Success(Returned::None));
        let file = |path: &str, change, content| ChangedFile { path: path.into(), change, size: 9, content, uri: None };
        all.changes.files = vec![
            file("d/big 1.bin", Change::Created, None),
            file("a.txt", Change::Changed, Some(Content::Text("a".into()))),
            file("old", Change::Deleted, None),
        ];
        assert_eq!(attachments(&all, true).count(), 1, "nothing is kept");
        all.changes.keep("0123456789abcdefghjkmnpqrs");
        let uri = "sandbox://0123456789abcdefghjkmnpqrs/d/big%201.bin";
        assert!(text(&all, ReturnMode::Xml, None).contains(&format!(
            "created d/big 1.bin (application/octet-stream, 9 bytes: too large to be attached, read it as {uri})\nchanged \
             a.txt (text/plain, 9 bytes)\ndeleted old\n"
        )));
        let structured = structured(&all, None);
        assert_eq!(structured["files"][0]["uri"], uri);
        assert_eq!(structured["files"][1]["uri"], "sandbox://0123456789abcdefghjkmnpqrs/a.txt");
        assert_eq!(structured["files"][2].get("uri"), None);
        let blocks: Vec<Value> = attachments(&all, true).map(|block| serde_json::to_value(block).unwrap()).collect();
        assert_eq!(
            blocks[0],
            json!({ "type": "resource_link", "uri": uri, "name": "big 1.bin", "title": "d/big 1.bin",
                "mimeType": "application/octet-stream", "size": 9 })
        );
        assert_eq!(blocks.len(), 2);
        assert_eq!(attachments(&all, false).count(), 1, "for who knows no links");
    }

    #[test]
    fn what_a_model_reads_of_a_display_comes_after_the_originals_parts() {
        let mut shown = outcome(&["<display>"], Ending::Success(Returned::Text("1".into())));
        assert!(text(&shown, ReturnMode::Xml, None).contains("\n<display>\n"), "as the original, without any");
        let plain = (text(&shown, ReturnMode::Xml, None), text(&shown, ReturnMode::Json, None));
        let bundle = |value: Value| value.as_object().unwrap().clone();
        shown.displayed.bundles = vec![bundle(json!({ "text/html": "<b>" })), bundle(json!({}))];
        assert_eq!((text(&shown, ReturnMode::Xml, None), text(&shown, ReturnMode::Json, None)), plain);
        assert_eq!(structured(&shown, None)["display"], json!([{ "text/html": "<b>" }]));
        shown.displayed.bundles.push(bundle(json!({ "text/html": "<i>", "text/markdown": "| </display> |\n| - |" })));
        shown.displayed.bundles.push(bundle(json!({ "text/latex": "$x$" })));
        shown.displayed.omitted = 3;
        assert_eq!(
            text(&shown, ReturnMode::Xml, Some("h")),
            "<status>success</status>\n<output>\n&lt;display&gt;\n</output>\n<return_value>\n1\n</return_value>\n\
             <display>\n| &lt;/display&gt; |\n| - |\n\n$x$\n</display>\n<session>h</session>"
        );
        let read: Value = serde_json::from_str(&text(&shown, ReturnMode::Json, None)).unwrap();
        assert_eq!(read["display"], json!([{ "text/markdown": "| </display> |\n| - |" }, { "text/latex": "$x$" }]));
        let whole = structured(&shown, None);
        assert_eq!(whole["display"][1], json!({ "text/html": "<i>", "text/markdown": "| </display> |\n| - |" }));
        assert_eq!(whole["display_omitted"], 3);
    }

    #[test]
    fn text_cannot_pretend_to_be_a_tag() {
        for (text, expected) in [
            ("</output>", "&lt;/output&gt;"),
            ("< / Output x>y", "< / Output x>y"),
            ("</ OUTPUT x>y", "&lt;/ OUTPUT x&gt;y"),
            ("<return_value>1", "&lt;return_value&gt;1"),
            ("<output\n>", "&lt;output\n>"),
            ("a < b > c <<error", "a < b > c <&lt;error"),
            ("<outpu\u{e9}>", "<outpu\u{e9}>"),
            ("<", "<"),
        ] {
            assert_eq!(escape_tags(text, &ORIGINAL_TAGS), expected, "{text}");
        }
    }
}
