//! What goes into an isolate, what comes out of it, and how that is decoded.
//!
//! **Boundary.** Every byte read here was written by the code that was run. It is decoded strictly,
//! bounded, and can become nothing but the output and the result of its own run.

use std::{borrow::Cow, time::Duration};

use base64::{Engine, prelude::BASE64_STANDARD as BASE64};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    Ending, Line, Outcome, Png, Returned, RunRequest, Stream,
    files::{Change, ChangedFile, Changes, Content, PlacedFile, check_path},
    sandbox::SandboxError,
};
use crate::{
    json::shape,
    limits::{FRAME_OVERHEAD, Limits, MAX_EMBEDDED, NOTES},
};

/// The JSON that starts a run, see `runtime/js/boot.js`.
pub(super) fn to_isolate(request: &RunRequest, limits: Limits) -> Result<String, SandboxError> {
    /// What `runtime/js/boot.js` calls `Limits`.
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct OfRun {
        time: u128,
        grace: u128,
        fuel: u64,
        memory: usize,
        budget: Option<usize>,
        output: usize,
        lines: usize,
        line: usize,
        value: usize,
        images: usize,
        image_bytes: usize,
        depth: usize,
        files: usize,
        file_bytes: usize,
        files_told: usize,
        embed_bytes: usize,
        embed_all: usize,
    }
    #[derive(Serialize)]
    struct Run<'a> {
        code: &'a str,
        globals: &'a str,
        keep: bool,
        files: &'a [PlacedFile],
        limits: OfRun,
    }
    let failed = |error: serde_json::Error| SandboxError::Start(error.to_string());
    let milliseconds = |duration: Duration| duration.as_millis();
    serde_json::to_string(&Run {
        code: &request.code,
        globals: &request.globals,
        keep: request.keep_variables,
        files: &request.files,
        limits: OfRun {
            time: milliseconds(limits.time),
            grace: milliseconds(limits.grace),
            fuel: limits.fuel,
            memory: limits.memory,
            budget: limits.budget,
            output: limits.output_bytes,
            lines: limits.output_lines,
            line: limits.line_bytes,
            value: limits.value_bytes,
            images: limits.images,
            image_bytes: limits.image_bytes,
            depth: limits.value_depth,
            files: limits.files,
            file_bytes: limits.file_bytes,
            files_told: limits.files_told,
            embed_bytes: limits.embed_bytes,
            embed_all: MAX_EMBEDDED,
        },
    })
    .map_err(failed)
}

/// Brackets and commas of a frame that are not between lines of output.
const FRAME_ITEMS: usize = 16;

/// Frames: a JSON object a line.
pub(super) struct Decoder<F> {
    limits: Limits,
    on_line: F,
    /// Bytes of a frame that has not ended yet.
    partial: Vec<u8>,
    output: Vec<String>,
    output_bytes: usize,
    images: Vec<Png>,
    changes: Changes,
    embedded: usize,
}

/// One of the five kinds: `stream` with `lines`, `image`, `file`, `omitted`, or `end`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Frame {
    stream: Option<Stream>,
    lines: Option<Vec<String>>,
    image: Option<String>,
    file: Option<OfFile>,
    omitted: Option<u64>,
    end: Option<Ended>,
}

/// A file that was made, changed or deleted. `base64`: its bytes, if they are sent.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OfFile {
    path: String,
    change: Change,
    size: u64,
    base64: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ended {
    status: Status,
    text: Option<String>,
    json: Option<String>,
    error: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Status {
    Success,
    RunError,
}

impl<F: FnMut(&Line)> Decoder<F> {
    pub(super) fn new(limits: Limits, on_line: F) -> Self {
        Self {
            limits,
            on_line,
            partial: Vec::new(),
            output: Vec::new(),
            output_bytes: 0,
            images: Vec::new(),
            changes: Changes::default(),
            embedded: 0,
        }
    }

    /// Takes what came; gives the outcome once it is there. What comes after it is never read.
    pub(super) fn push(&mut self, mut bytes: &[u8]) -> Result<Option<Outcome>, SandboxError> {
        while let Some(end) = bytes.iter().position(|&byte| byte == b'\n') {
            let (line, rest) = bytes.split_at(end);
            self.keep(line)?;
            let frame = std::mem::take(&mut self.partial);
            if let Some(ending) = self.frame(&frame)? {
                let output = std::mem::take(&mut self.output);
                let (images, changes) = (std::mem::take(&mut self.images), std::mem::take(&mut self.changes));
                return Ok(Some(Outcome { output, images, changes, ending }));
            }
            bytes = rest.get(1..).unwrap_or_default();
        }
        self.keep(bytes)?;
        Ok(None)
    }

    fn keep(&mut self, bytes: &[u8]) -> Result<(), SandboxError> {
        // An isolate sends no frame of lines that is longer, and gives up a value whose frame would be.
        let Limits { value_bytes, line_bytes, image_bytes, embed_bytes, .. } = self.limits;
        let largest = value_bytes.max(line_bytes.saturating_mul(3)).max(image_bytes).max(embed_bytes);
        let longest = largest.saturating_mul(2).saturating_add(FRAME_OVERHEAD);
        if self.partial.len() + bytes.len() > longest {
            return Err(SandboxError::Protocol("a frame that is too long"));
        }
        self.partial.extend_from_slice(bytes);
        Ok(())
    }

    fn frame(&mut self, frame: &[u8]) -> Result<Option<Ending>, SandboxError> {
        const BAD: SandboxError = SandboxError::Protocol("a frame that is not one");
        // Empty lines are short, and what they are parsed into is not.
        if shape(frame).items > self.limits.output_lines.saturating_add(NOTES + FRAME_ITEMS) {
            return Err(SandboxError::Protocol("a frame of too many parts"));
        }
        // serde_json's own limit of depth holds here: a returned value travels as a string.
        let frame: Frame = serde_json::from_slice(frame).map_err(|_| BAD)?;
        let Frame { stream, lines, image, file, omitted, end } = frame;
        if stream.is_some() != lines.is_some() {
            return Err(BAD);
        }
        let end = match (stream.zip(lines), image, file, omitted, end) {
            (Some((stream, lines)), None, None, None, None) => {
                self.lines(stream, lines)?;
                return Ok(None);
            }
            (None, Some(image), None, None, None) => {
                self.image(image)?;
                return Ok(None);
            }
            (None, None, Some(file), None, None) => {
                self.file(file)?;
                return Ok(None);
            }
            (None, None, None, Some(omitted), None) => {
                self.changes.omitted = omitted;
                return Ok(None);
            }
            (None, None, None, None, Some(end)) => end,
            _ => return Err(BAD),
        };
        match (end.status, end.text, end.json, end.error) {
            (Status::Success, None, None, None) => Ok(Some(Ending::Success(Returned::None))),
            (Status::Success, Some(text), None, None) => {
                Ok(Some(self.bounded(text, |text| Ok(Ending::Success(Returned::Text(text))))?))
            }
            (Status::Success, None, Some(text), None) => Ok(Some(self.bounded(text, |text| {
                let (items, limit) = (shape(text.as_bytes()).items, self.limits.value_items);
                if items > limit {
                    let why = format!(
                        "ValueError: the return value consists of {items} values, and at most {limit} are allowed"
                    );
                    return Ok(Ending::RunError(why));
                }
                let value = parse_value(&text, self.limits.value_depth).ok_or(BAD)?;
                Ok(Ending::Success(Returned::Json { text, value }))
            })?)),
            (Status::RunError, None, None, Some(mut error)) => {
                truncate(&mut error, self.limits.value_bytes);
                Ok(Some(Ending::RunError(error)))
            }
            _ => Err(BAD),
        }
    }

    fn lines(&mut self, stream: Stream, lines: Vec<String>) -> Result<(), SandboxError> {
        for text in lines {
            self.output_bytes += text.len() + 1;
            // The isolate cuts its output itself, and may add lines that say so. A byte that is not UTF-8 became three.
            if self.output_bytes > self.limits.output_bytes.saturating_mul(3).saturating_add(FRAME_OVERHEAD)
                || self.output.len() >= self.limits.output_lines.saturating_add(NOTES)
            {
                return Err(SandboxError::Protocol("more output than it may send"));
            }
            let line = Line { stream, text };
            (self.on_line)(&line);
            self.output.push(line.text);
        }
        Ok(())
    }

    fn image(&mut self, base64: String) -> Result<(), SandboxError> {
        /// How every PNG begins (PNG specification, section 5.2).
        const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";
        let png = BASE64.decode(&base64).map_err(|_| SandboxError::Protocol("an image that is not base64"))?;
        // The isolate keeps to both limits by itself.
        if self.images.len() >= self.limits.images || png.len() > self.limits.image_bytes {
            return Err(SandboxError::Protocol("more images than it may send"));
        }
        if !png.starts_with(SIGNATURE) {
            return Err(SandboxError::Protocol("an image that is no PNG"));
        }
        self.images.push(Png { base64 });
        Ok(())
    }

    fn file(&mut self, OfFile { path, change, size, base64 }: OfFile) -> Result<(), SandboxError> {
        const BAD: SandboxError = SandboxError::Protocol("a file that is none");
        // The isolate keeps to all of this by itself.
        if self.changes.files.len() >= self.limits.files_told {
            return Err(SandboxError::Protocol("more files than it may send"));
        }
        if check_path(&path).is_err() || self.changes.files.iter().any(|file| file.path == path) {
            return Err(BAD);
        }
        let content = match base64 {
            None => None,
            Some(base64) => {
                let bytes = BASE64.decode(&base64).map_err(|_| BAD)?;
                self.embedded += bytes.len();
                if bytes.len() as u64 != size || bytes.len() > self.limits.embed_bytes || self.embedded > MAX_EMBEDDED {
                    return Err(BAD);
                }
                Some(String::from_utf8(bytes).map_or(Content::Base64(base64), Content::Text))
            }
        };
        self.changes.files.push(ChangedFile { path, change, size, content });
        Ok(())
    }

    fn bounded(
        &self,
        text: String,
        ending: impl FnOnce(String) -> Result<Ending, SandboxError>,
    ) -> Result<Ending, SandboxError> {
        let (size, limit) = (text.len(), self.limits.value_bytes);
        if size > limit {
            let why = format!("ValueError: the return value is {size} bytes long, and at most {limit} are allowed");
            return Ok(Ending::RunError(why));
        }
        ending(text)
    }
}

/// Parses a returned value, whose depth is limited by `depth` instead of serde_json.
fn parse_value(text: &str, depth: usize) -> Option<Value> {
    if shape(text.as_bytes()).depth > depth {
        return None;
    }
    let text = quote_constants(text);
    let mut deserializer = serde_json::Deserializer::from_str(&text);
    deserializer.disable_recursion_limit();
    let value = Value::deserialize(&mut deserializer).ok()?;
    deserializer.end().ok()?;
    Some(value)
}

/// Puts the constants `NaN`, `Infinity` and `-Infinity`, which pydantic_core writes and JSON does not know, between
/// quotes.
fn quote_constants(text: &str) -> Cow<'_, str> {
    const CONSTANTS: [&str; 3] = ["NaN", "Infinity", "-Infinity"];
    if !CONSTANTS.iter().any(|constant| text.contains(constant)) {
        return text.into();
    }
    let mut quoted = String::with_capacity(text.len() + 64);
    let mut in_string = false;
    let mut rest = text;
    while let Some(at) = rest.find(['"', '\\', 'N', 'I', '-']) {
        let (before, from) = rest.split_at(at);
        quoted.push_str(before);
        let constant = CONSTANTS.iter().find(|constant| !in_string && from.starts_with(**constant));
        let taken = match constant {
            Some(constant) => {
                quoted.extend(["\"", constant, "\""]);
                constant.len()
            }
            None => {
                in_string ^= from.starts_with('"');
                // Together with what it escapes.
                let length = if from.starts_with('\\') { 2 } else { 1 };
                quoted.push_str(from.get(..length).unwrap_or(from));
                length
            }
        };
        rest = from.get(taken..).unwrap_or_default();
    }
    quoted.push_str(rest);
    quoted.into()
}

fn truncate(text: &mut String, limit: usize) {
    if text.len() > limit {
        let end = (0..=limit).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
        text.truncate(end);
    }
}

#[cfg(test)]
#[path = "protocol_tests.rs"]
mod tests;
