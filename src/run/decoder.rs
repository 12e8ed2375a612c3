//! Decodes the output of an isolate.
//!
//! **Boundary.** Every byte read here was written by the code that was run. It is decoded strictly, bounded, and can
//! become nothing but the output, the calls and the result of its own run.

use std::borrow::Cow;

use base64::{Engine, prelude::BASE64_STANDARD as BASE64};
use serde::Deserialize;
use serde_json::Value;

use super::{
    Ending, Line, Outcome, Returned, Stream,
    calls::Calls,
    display::{Displayed, Image},
    files::{Change, ChangedFile, Changes, Content, check_path},
    protocol::{DisplayFrame, EndFrame, FileFrame, Frame, Status, VERSION},
    sandbox::SandboxError,
};
use crate::{
    json::shape,
    limits::{FRAME_OVERHEAD, Limits, MAX_DISPLAYED, MAX_EMBEDDED, NOTES, PART_BYTES},
};

/// Brackets and commas of a frame, besides those between lines of output.
const FRAME_ITEMS: usize = 16;

const BAD: SandboxError = SandboxError::Protocol("a frame that is not one");

const UNNAMED: SandboxError = SandboxError::Protocol("a first frame that does not name its version");

/// Decodes the frames of one run.
pub(super) struct Decoder<F> {
    limits: Limits,
    on_line: F,
    /// Whether the isolate has named the version of the protocol.
    named: bool,
    /// Bytes of a frame that has not ended yet.
    partial: Vec<u8>,
    output: Vec<String>,
    output_bytes: usize,
    images: Vec<Image>,
    displayed: Displayed,
    /// Bytes of the frames of what was displayed.
    displayed_bytes: usize,
    changes: Changes,
    embedded: usize,
    /// The file whose parts may come next.
    followed: Option<Followed>,
    /// Bytes of all files that are sent in parts.
    kept: u64,
    /// Parts that were not taken yet.
    parts: Vec<Part>,
}

/// A file whose parts may follow.
struct Followed {
    path: String,
    size: u64,
    /// How many of its bytes were received.
    came: u64,
}

/// Bytes of a file that is too large for the result.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) path: String,
    /// Bytes of the whole file.
    pub(super) size: u64,
    /// Where the bytes begin in it.
    pub(super) at: u64,
    pub(super) bytes: Vec<u8>,
}

impl<F: FnMut(&Line)> Decoder<F> {
    pub(super) fn new(limits: Limits, on_line: F) -> Self {
        Self {
            limits,
            on_line,
            named: false,
            partial: Vec::new(),
            output: Vec::new(),
            output_bytes: 0,
            images: Vec::new(),
            displayed: Displayed::default(),
            displayed_bytes: 0,
            changes: Changes::default(),
            embedded: 0,
            followed: None,
            kept: 0,
            parts: Vec::new(),
        }
    }

    /// Decodes bytes, and begins the `calls` in them. Returns the outcome once it is there. Bytes after it are never
    /// read.
    pub(super) fn push(&mut self, mut bytes: &[u8], calls: &mut Calls<'_>) -> Result<Option<Outcome>, SandboxError> {
        while let Some(end) = bytes.iter().position(|&byte| byte == b'\n') {
            let (line, rest) = bytes.split_at(end);
            self.keep(line, calls)?;
            let frame = std::mem::take(&mut self.partial);
            if let Some(ending) = self.frame(&frame, calls)? {
                let output = std::mem::take(&mut self.output);
                let (images, changes) = (std::mem::take(&mut self.images), std::mem::take(&mut self.changes));
                let displayed = std::mem::take(&mut self.displayed);
                return Ok(Some(Outcome { output, displayed, images, changes, ending }));
            }
            bytes = rest.get(1..).unwrap_or_default();
        }
        self.keep(bytes, calls)?;
        Ok(None)
    }

    fn keep(&mut self, bytes: &[u8], calls: &Calls<'_>) -> Result<(), SandboxError> {
        // An isolate sends no longer frame of lines, and gives up a value whose frame would be longer.
        let Limits { value_bytes, line_bytes, image_bytes, embed_bytes, kept_bytes, .. } = self.limits;
        let largest = value_bytes.max(line_bytes.saturating_mul(3)).max(image_bytes).max(embed_bytes);
        let largest = largest.max(calls.largest()).max(kept_bytes.min(PART_BYTES));
        let longest = largest.saturating_mul(2).saturating_add(FRAME_OVERHEAD).max(MAX_DISPLAYED);
        if self.partial.len() + bytes.len() > longest {
            return Err(SandboxError::Protocol("a frame that is too long"));
        }
        self.partial.extend_from_slice(bytes);
        Ok(())
    }

    fn frame(&mut self, frame: &[u8], calls: &mut Calls<'_>) -> Result<Option<Ending>, SandboxError> {
        // Empty lines are short, but not once they are parsed.
        if shape(frame).items > self.limits.output_lines.saturating_add(NOTES + FRAME_ITEMS) {
            return Err(SandboxError::Protocol("a frame of too many parts"));
        }
        // serde_json's own limit of depth holds here: a returned value, and arguments, travel as a string.
        let unknown = if self.named { BAD } else { UNNAMED };
        let decoded = serde_json::from_slice(frame).map_err(|_| unknown)?;
        if !matches!(decoded, Frame::Part(_)) && self.followed.take().is_some_and(|file| file.came > 0) {
            return Err(SandboxError::Protocol("a file of which a part is missing"));
        }
        match (decoded, self.named) {
            (Frame::Protocol(VERSION), false) => self.named = true,
            (Frame::Protocol(other), false) => return Err(SandboxError::Version(other)),
            (_, false) => return Err(UNNAMED),
            (Frame::Protocol(_), true) => return Err(SandboxError::Protocol("a second version")),
            (Frame::Stdout(lines), true) => self.lines(Stream::Stdout, lines)?,
            (Frame::Stderr(lines), true) => self.lines(Stream::Stderr, lines)?,
            (Frame::Image(image), true) => self.image(image)?,
            (Frame::Display(shown), true) => self.display(shown, frame.len())?,
            (Frame::File(file), true) => self.file(file)?,
            (Frame::Part(part), true) => self.part(&part)?,
            (Frame::Omitted(omitted), true) => self.changes.omitted = omitted,
            (Frame::Call(call), true) => calls.begin(call)?,
            (Frame::Cancel(id), true) => calls.cancel(id)?,
            (Frame::End(end), true) => return self.end(end).map(Some),
        }
        Ok(None)
    }

    fn end(&self, end: EndFrame) -> Result<Ending, SandboxError> {
        match (end.status, end.text, end.json, end.error) {
            (Status::Success, None, None, None) => Ok(Ending::Success(Returned::None)),
            (Status::Success, Some(text), None, None) => {
                self.bounded(text, |text| Ok(Ending::Success(Returned::Text(text))))
            }
            (Status::Success, None, Some(text), None) => self.bounded(text, |text| {
                let (items, limit) = (shape(text.as_bytes()).items, self.limits.value_items);
                if items > limit {
                    let why = format!(
                        "ValueError: the return value consists of {items} values, and at most {limit} are allowed"
                    );
                    return Ok(Ending::RunError(why));
                }
                let value = parse_value(&text, self.limits.value_depth).ok_or(BAD)?;
                Ok(Ending::Success(Returned::Json { text, value }))
            }),
            (Status::RunError, None, None, Some(mut error)) => {
                truncate(&mut error, self.limits.value_bytes);
                Ok(Ending::RunError(error))
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
        let bytes = BASE64.decode(&base64).map_err(|_| SandboxError::Protocol("an image that is not base64"))?;
        // The isolate keeps to both limits by itself.
        if self.images.len() >= self.limits.images || bytes.len() > self.limits.image_bytes {
            return Err(SandboxError::Protocol("more images than it may send"));
        }
        let image = Image::new(&bytes, base64).ok_or(SandboxError::Protocol("an image that is no PNG or JPEG"))?;
        self.images.push(image);
        Ok(())
    }

    /// Takes a bundle out of a frame of `size` bytes.
    fn display(&mut self, shown: DisplayFrame, size: usize) -> Result<(), SandboxError> {
        // The isolate keeps to this by itself: it counts the same bytes.
        self.displayed_bytes += size;
        if self.displayed_bytes > MAX_DISPLAYED {
            return Err(SandboxError::Protocol("more to display than it may send"));
        }
        self.displayed.add(shown)
    }

    fn file(&mut self, FileFrame { path, change, size, base64 }: FileFrame) -> Result<(), SandboxError> {
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
        if content.is_none() && change != Change::Deleted {
            self.followed = Some(Followed { path: path.clone(), size, came: 0 });
        }
        self.changes.files.push(ChangedFile { path, change, size, content, uri: None });
        Ok(())
    }

    /// Takes a part of the last file. All parts but the last have one size, so their number is bounded.
    fn part(&mut self, base64: &str) -> Result<(), SandboxError> {
        let Some(Followed { path, size, came }) = &mut self.followed else {
            return Err(SandboxError::Protocol("a part of no file"));
        };
        if *came == 0 {
            self.kept = self.kept.saturating_add(*size);
            if self.kept > self.limits.kept_bytes as u64 {
                return Err(SandboxError::Protocol("more of files than it may send"));
            }
        }
        let bytes = BASE64.decode(base64).map_err(|_| SandboxError::Protocol("a part that is not base64"))?;
        let length = bytes.len() as u64;
        if length == 0 || length != (*size - *came).min(PART_BYTES as u64) {
            return Err(SandboxError::Protocol("a part that is not as long as it must be"));
        }
        self.parts.push(Part { path: path.clone(), size: *size, at: *came, bytes });
        *came += length;
        if came == size {
            self.followed = None;
        }
        Ok(())
    }

    /// Returns the parts of files that came since the last call.
    pub(super) fn take_parts(&mut self) -> Vec<Part> {
        std::mem::take(&mut self.parts)
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

/// Parses a returned value, with `depth` as the limit of nesting instead of serde_json's.
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

/// Puts the constants `NaN`, `Infinity` and `-Infinity`, which pydantic_core writes and JSON does not have, between
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
                // A backslash is copied with what it escapes.
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
#[path = "decoder_tests.rs"]
mod tests;
