//! Files of a program: those that are placed in its folder before a run, and those that it made, changed or deleted there.
//!
//! **Boundary.** A path is a label, relative to that folder. It names a file in the isolate, and never one of the host.

use mime_guess::MimeGuess;
use serde::{Deserialize, Serialize};

use super::uri::FileUri;
use crate::limits::{MAX_PATH, MAX_PATH_DEPTH, MAX_PATH_PART};

/// The folder, in the program's own, of read-only files that a home gives to every run.
pub const DATA: &str = "data";

/// A file that is placed in the program's folder before a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct PlacedFile {
    /// Its path, relative to the program's folder.
    pub path: String,
    /// Its bytes in base64 (RFC 4648, section 4).
    pub base64: String,
}

/// How a file changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(test, derive(ts_rs::TS))]
pub enum Change {
    /// The file is new.
    Created,
    /// The file was written to.
    Changed,
    /// The file was deleted.
    Deleted,
}

impl Change {
    /// Its name in results.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Changed => "changed",
            Self::Deleted => "deleted",
        }
    }
}

/// A file that a run made, changed or deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangedFile {
    /// Relative to the program's folder.
    pub path: String,
    /// The kind of change.
    pub change: Change,
    /// In bytes; 0 of one that was deleted.
    pub size: u64,
    /// Its bytes, unless it is too large for a result.
    pub content: Option<Content>,
    /// The URI at which it can be read for a while, if it can.
    pub uri: Option<FileUri>,
}

impl ChangedFile {
    /// Its media type, by its name.
    #[must_use]
    pub fn media_type(&self) -> String {
        media_type(&self.path)
    }
}

/// The media type of a file, by its name.
#[must_use]
pub fn media_type(path: &str) -> String {
    MimeGuess::from_path(path).first_or_octet_stream().to_string()
}

/// The bytes of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// UTF-8.
    Text(String),
    /// Anything else, in base64.
    Base64(String),
}

/// Changes of a run to files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// The files that the result lists.
    pub files: Vec<ChangedFile>,
    /// How many more there are.
    pub omitted: u64,
}

impl Changes {
    /// Gives each file that still exists a URI with this handle, at which it can be read.
    pub fn keep(&mut self, handle: &str) {
        for file in self.files.iter_mut().filter(|file| file.change != Change::Deleted) {
            file.uri = Some(FileUri::new(handle, file.path.as_str()));
        }
    }

    /// Whether files were added or removed.
    #[must_use]
    pub fn has_other_files(&self) -> bool {
        self.omitted > 0 || self.files.iter().any(|file| file.change != Change::Changed)
    }
}

/// Checks that a path stays in its folder, and is what it looks like.
///
/// # Errors
/// Says what is wrong with it.
pub fn check_path(path: &str) -> Result<(), &'static str> {
    let parts = || path.split('/');
    if path.is_empty() {
        Err("is empty")
    } else if path.len() > MAX_PATH {
        Err("is too long")
    } else if path.starts_with('/') {
        Err("must be relative")
    } else if parts().any(|part| part == "..") {
        Err("leads out of the folder")
    } else if parts().any(|part| matches!(part, "" | ".")) {
        Err("has an empty part")
    } else if parts().any(|part| part.len() > MAX_PATH_PART) || parts().count() > MAX_PATH_DEPTH {
        Err("has a part that is too long, or too many parts")
    } else if path.chars().any(|letter| letter == '\\' || is_hidden(letter)) {
        Err("has a backslash, a control character, or one that cannot be seen")
    } else {
        Ok(())
    }
}

/// Whether a character makes a name look like another one. `runtime/js/files.js` has the same list.
fn is_hidden(letter: char) -> bool {
    letter.is_control()
        || matches!(letter, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_in_their_folder() {
        for good in ["a.csv", "data/2026/a b.csv", "käse: 1.txt", "a..b", ".hidden", &"d/".repeat(31)] {
            let good = good.trim_end_matches('/');
            assert_eq!(check_path(good), Ok(()), "{good}");
        }
        for (bad, why) in [
            ("", "empty"),
            ("/etc/passwd", "relative"),
            ("../a", "out of"),
            ("a/../../b", "out of"),
            ("a//b", "empty part"),
            ("a/./b", "empty part"),
            ("a/", "empty part"),
            ("a\\b", "backslash"),
            ("a\nb", "control"),
            ("a\u{202e}gpj.exe", "cannot be seen"),
            (&"a".repeat(256), "too long"),
            (&"a/".repeat(300), "too long"),
            (&["a"; 33].join("/"), "too many"),
        ] {
            let found = check_path(bad).unwrap_err();
            assert!(found.contains(why), "{bad:?}: {found}");
        }
    }

    #[test]
    fn media_types_are_by_name() {
        for (path, expected) in [
            ("a/plot.png", "image/png"),
            ("a.csv", "text/csv"),
            ("a.JSON", "application/json"),
            ("a.unknown", "application/octet-stream"),
            ("a", "application/octet-stream"),
        ] {
            let file = ChangedFile { path: path.into(), change: Change::Created, size: 0, content: None, uri: None };
            assert_eq!(file.media_type(), expected, "{path}");
        }
    }
}
