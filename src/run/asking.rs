//! Requests about a session's files, without running anything. They are sent as runs are, so homes need no code of
//! their own for them.

use std::fmt;

use base64::{Engine, prelude::BASE64_STANDARD as BASE64};
use futures::{FutureExt, StreamExt, select_biased};
use serde::{Deserialize, Serialize};

use super::{
    files::check_path,
    protocol::{VERSION, file_request},
    sandbox::{RunEvent, Sandbox, SandboxError},
};
use crate::{
    json::shape,
    limits::{FRAME_OVERHEAD, Limits, MAX_PATH, MAX_QUEUE, WATCHDOG_MARGIN},
    packages::PackageSet,
};

/// A request about the files in a program's folder. Every path was checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(test, derive(ts_rs::TS))]
pub enum FileRequest {
    /// Lists files in the order of their names.
    List {
        /// Lists those after this name.
        after: String,
        /// The most that are listed.
        most: usize,
    },
    /// Reads bytes of a file.
    Read {
        /// The file's path.
        path: String,
        /// Where the bytes begin.
        at: u64,
        /// The most bytes that are read.
        bytes: usize,
    },
    /// The next bytes of an upload. The last ones put the file in place: until then programs see nothing of it.
    Write {
        /// Id of the upload: 128 random bits.
        upload: String,
        /// Path of the file.
        path: String,
        /// How many bytes were sent before.
        at: u64,
        /// The bytes in base64.
        base64: String,
        /// Whether these are the last bytes.
        last: bool,
    },
    /// Drops an unfinished upload.
    Abandon {
        /// Id of the upload.
        upload: String,
    },
    /// Deletes a file.
    Delete {
        /// The file's path.
        path: String,
    },
}

/// An isolate's answer: the one frame after the first.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(test, derive(ts_rs::TS))]
pub(super) enum FileAnswer {
    /// The first frame, the same as a run's.
    Protocol(u32),
    Listed(ListedFrame),
    Read(ReadFrame),
    Done(Done),
    Refused(Refusal),
}

/// Files in the order of their names.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub(super) struct ListedFrame {
    files: Vec<ListedFile>,
    /// Whether more files follow.
    more: bool,
}

/// A file in a program's folder.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct ListedFile {
    /// Relative to the program's folder.
    pub path: String,
    /// In bytes.
    pub size: u64,
}

/// Bytes of a file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub(super) struct ReadFrame {
    /// Size of the whole file in bytes.
    size: u64,
    /// Differs after each change of the file.
    version: u64,
    /// The bytes in base64.
    base64: String,
}

/// How a request was carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(test, derive(ts_rs::TS))]
pub enum Done {
    /// The bytes were taken and more are expected; or the upload was dropped.
    Taken,
    /// A new file was created.
    Created,
    /// An existing file was replaced.
    Replaced,
    /// The file was deleted.
    Deleted,
}

/// Why a request was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(test, derive(ts_rs::TS))]
pub enum Refusal {
    /// There is no such file.
    Missing,
    /// The path is a folder's, or that of something else that is no file.
    Nofile,
    /// A part of the path is a link.
    Link,
    /// A file or folder is in the way.
    Obstructed,
    /// The path cannot be written to.
    Readonly,
    /// There is no room for the file.
    Full,
    /// Too many uploads are unfinished.
    Busy,
    /// There is no such upload, or it has another number of bytes so far.
    Broken,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "there is no such file",
            Self::Nofile => "it is no file",
            Self::Link => "a part of its path is a link",
            Self::Obstructed => "a file or folder is in its way",
            Self::Readonly => "nothing can be written there",
            Self::Full => "there is no room for it (FILES_LIMIT_MB)",
            Self::Busy => "too many uploads to this session are going on",
            Self::Broken => "the upload was broken off",
        })
    }
}

/// A part of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Bytes of the whole file.
    pub size: u64,
    /// Differs after each change of the file.
    pub version: u64,
}

/// The answer to a [`FileRequest`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answered {
    /// Files, and whether there are more.
    Listed(Vec<ListedFile>, bool),
    /// Bytes.
    Read(Part),
    /// It was done.
    Done(Done),
    /// It was not.
    Refused(Refusal),
}

/// Sends a request and awaits the answer. Dropping the future ends it.
///
/// # Errors
/// The isolate failed.
pub async fn ask(sandbox: &dyn Sandbox, request: &FileRequest, limits: Limits) -> Result<Answered, SandboxError> {
    let platform = sandbox.platform();
    let mut run = sandbox.run(file_request(request, limits)?, PackageSet::default());
    let mut overdue = (platform.sleep)(MAX_QUEUE).fuse();
    let mut began = false;
    let mut answer = Answer { request, lines: 0, partial: Vec::new() };
    loop {
        let event = select_biased! {
            event = run.next().fuse() => event,
            () = overdue => return Err(match began {
                false => SandboxError::Busy("the runs before it took too long".into()),
                true => SandboxError::Lost("it did not answer in time".into()),
            }),
        };
        match event {
            Some(Ok(RunEvent::Began)) if !began => {
                began = true;
                overdue = (platform.sleep)(WATCHDOG_MARGIN).fuse();
            }
            Some(Ok(RunEvent::Frames(bytes))) if began => {
                if let Some(answered) = answer.push(&bytes)? {
                    return Ok(answered);
                }
            }
            Some(Ok(_)) => return Err(SandboxError::Protocol("a run that begins in the wrong order")),
            Some(Err(error)) => return Err(error),
            None => return Err(SandboxError::Lost("it ended without an answer".into())),
        }
    }
}

const BAD: SandboxError = SandboxError::Protocol("an answer about files that is none");

/// Decodes the answer to one request.
///
/// **Boundary.** A program may have taken over its isolate: the answer is what was asked for, and no more, or an error.
struct Answer<'a> {
    request: &'a FileRequest,
    lines: usize,
    partial: Vec<u8>,
}

impl Answer<'_> {
    fn push(&mut self, mut bytes: &[u8]) -> Result<Option<Answered>, SandboxError> {
        while let Some(end) = bytes.iter().position(|&byte| byte == b'\n') {
            let (line, rest) = bytes.split_at(end);
            self.keep(line)?;
            let line = std::mem::take(&mut self.partial);
            if let Some(answered) = self.line(&line)? {
                return Ok(Some(answered));
            }
            bytes = rest.get(1..).unwrap_or_default();
        }
        self.keep(bytes)?;
        Ok(None)
    }

    fn keep(&mut self, bytes: &[u8]) -> Result<(), SandboxError> {
        let longest = match self.request {
            FileRequest::Read { bytes, .. } => bytes.saturating_mul(2),
            FileRequest::List { most, .. } => most.saturating_mul(3 * MAX_PATH),
            _ => 0,
        };
        if self.partial.len() + bytes.len() > longest.saturating_add(FRAME_OVERHEAD) {
            return Err(SandboxError::Protocol("a frame that is too long"));
        }
        self.partial.extend_from_slice(bytes);
        Ok(())
    }

    fn line(&mut self, line: &[u8]) -> Result<Option<Answered>, SandboxError> {
        // A file of a list has two members, and a bracket.
        let most = if let FileRequest::List { most, .. } = self.request { *most } else { 0 };
        if shape(line).items > most.saturating_mul(3).saturating_add(16) {
            return Err(BAD);
        }
        self.lines += 1;
        let frame: FileAnswer = serde_json::from_slice(line).map_err(|_| BAD)?;
        match (frame, self.lines) {
            (FileAnswer::Protocol(VERSION), 1) => Ok(None),
            (FileAnswer::Protocol(other), 1) => Err(SandboxError::Version(other)),
            (FileAnswer::Protocol(_), _) | (_, 1) => Err(BAD),
            (FileAnswer::Listed(listed), _) => self.listed(listed).map(Some),
            (FileAnswer::Read(read), _) => self.read(&read).map(Some),
            (FileAnswer::Done(done), _) => {
                let fits = match self.request {
                    FileRequest::Write { last, .. } if *last => matches!(done, Done::Created | Done::Replaced),
                    FileRequest::Write { .. } | FileRequest::Abandon { .. } => done == Done::Taken,
                    FileRequest::Delete { .. } => done == Done::Deleted,
                    FileRequest::List { .. } | FileRequest::Read { .. } => false,
                };
                if fits { Ok(Some(Answered::Done(done))) } else { Err(BAD) }
            }
            (FileAnswer::Refused(refusal), _) => Ok(Some(Answered::Refused(refusal))),
        }
    }

    fn listed(&self, ListedFrame { files, more }: ListedFrame) -> Result<Answered, SandboxError> {
        let FileRequest::List { most, .. } = self.request else { return Err(BAD) };
        let mut paths: Vec<&str> = files.iter().map(|file| file.path.as_str()).collect();
        paths.sort_unstable();
        paths.dedup();
        let fit = paths.len() == files.len() && paths.iter().all(|path| check_path(path).is_ok());
        // An empty list with more to come would have the caller ask for ever.
        if !fit || files.len() > *most || (more && files.is_empty()) {
            return Err(BAD);
        }
        Ok(Answered::Listed(files, more))
    }

    fn read(&self, ReadFrame { size, version, base64 }: &ReadFrame) -> Result<Answered, SandboxError> {
        let FileRequest::Read { at, bytes: most, .. } = self.request else { return Err(BAD) };
        let bytes = BASE64.decode(base64).map_err(|_| BAD)?;
        // The bytes must be all from there on, as far as they were asked for.
        if bytes.len() as u64 != size.saturating_sub(*at).min(*most as u64) {
            return Err(BAD);
        }
        Ok(Answered::Read(Part { bytes, size: *size, version: *version }))
    }
}

/// The types as JavaScript has them.
#[cfg(test)]
pub(super) fn types(config: &ts_rs::Config) -> Vec<(Option<String>, String)> {
    use ts_rs::TS;
    vec![
        (FileAnswer::docs(), FileAnswer::decl(config)),
        (ListedFrame::docs(), ListedFrame::decl(config)),
        (ListedFile::docs(), ListedFile::decl(config)),
        (ReadFrame::docs(), ReadFrame::decl(config)),
        (Done::docs(), Done::decl(config)),
        (Refusal::docs(), Refusal::decl(config)),
    ]
}

#[cfg(test)]
#[path = "asking_tests.rs"]
mod tests;
