//! The URIs of files: `sandbox://HANDLE/PATH`, and `/files/HANDLE/PATH` over HTTP.

use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::files::check_path;
use crate::{handle::is_handle, limits::MAX_PATH};

/// How all URIs begin.
pub const SCHEME: &str = "sandbox://";

/// What is escaped in the path of a URI: all but `/` and unreserved characters (RFC 3986, section 2.3).
const IN_PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The URI of a file.
///
/// **Boundary.** It is a name and gives no access: the caller of each request for it is checked. Files of another
/// principal seem not to exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileUri {
    /// The handle of the session, or of whatever else keeps the file: 128 random bits.
    pub handle: String,
    /// Relative to the program's folder. It was checked.
    pub path: String,
}

impl FileUri {
    /// The file `path` of `handle`.
    #[must_use]
    pub fn new(handle: impl Into<String>, path: impl Into<String>) -> Self {
        Self { handle: handle.into(), path: path.into() }
    }

    /// Parses a URI.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn parse(uri: &str) -> Result<Self, String> {
        let rest = uri.strip_prefix(SCHEME).ok_or("it does not begin with sandbox://")?;
        Self::parse_rest(rest)
    }

    /// Parses `HANDLE/PATH`, whose path is percent-encoded.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn parse_rest(rest: &str) -> Result<Self, String> {
        let (handle, path) = rest.split_once('/').ok_or("it has no path")?;
        if !is_handle(handle) {
            return Err("it does not have the handle of a session".into());
        }
        let path = decode(path).map_err(|why| format!("its path {why}"))?;
        check_path(&path).map_err(|why| format!("its path {why}"))?;
        Ok(Self::new(handle, path))
    }
}

impl fmt::Display for FileUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}/{}", self.handle, encode(&self.path))
    }
}

/// Encodes a path for a URI.
pub(crate) fn encode(path: &str) -> impl fmt::Display + '_ {
    utf8_percent_encode(path, IN_PATH)
}

/// Decodes a percent-encoded path. An invalid one is refused, and not guessed at.
fn decode(encoded: &str) -> Result<String, &'static str> {
    // At most three letters for each byte.
    if encoded.len() > 3 * MAX_PATH {
        return Err("is too long");
    }
    let mut bytes = Vec::with_capacity(encoded.len());
    let mut rest = encoded.bytes();
    while let Some(byte) = rest.next() {
        let digit = |digit: Option<u8>| char::from(digit?).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        bytes.push(match byte {
            b'%' => match (digit(rest.next()), digit(rest.next())) {
                (Some(high), Some(low)) => high << 4 | low,
                _ => return Err("has a % without two hexadecimal digits"),
            },
            b'?' => return Err("has a query (a ? in a name is %3F)"),
            b'#' => return Err("has a fragment (a # in a name is %23)"),
            byte => byte,
        });
    }
    String::from_utf8(bytes).map_err(|_| "is not UTF-8")
}

#[cfg(test)]
mod tests {
    use super::*;

    const HANDLE: &str = "0123456789abcdefghjkmnpqrs";

    #[test]
    fn a_uri_is_read_as_it_was_written() {
        for (path, written) in [
            ("a.csv", "a.csv"),
            ("d/ä b.json", "d/%C3%A4%20b.json"),
            ("50%?#.txt", "50%25%3F%23.txt"),
            ("%41", "%2541"),
            ("a:b&c=d+e@f", "a%3Ab%26c%3Dd%2Be%40f"),
        ] {
            let uri = FileUri::new(HANDLE, path);
            assert_eq!(uri.to_string(), format!("sandbox://{HANDLE}/{written}"));
            assert_eq!(FileUri::parse(&uri.to_string()), Ok(uri));
        }
        assert_eq!(FileUri::parse(&format!("sandbox://{HANDLE}/a+b:c%2fd")), Ok(FileUri::new(HANDLE, "a+b:c/d")));
    }

    #[test]
    fn what_is_no_uri_is_refused_with_a_reason() {
        for (rest, part) in [
            ("", "no path"),
            ("/a", "handle"),
            ("new/a", "handle"),
            (&format!("{}/a", HANDLE.to_uppercase()), "handle"),
            (&format!("{HANDLE}@evil/a"), "handle"),
            (&format!("{HANDLE}/"), "is empty"),
            (&format!("{HANDLE}//etc"), "relative"),
            (&format!("{HANDLE}/../a"), "leads out"),
            (&format!("{HANDLE}/%2e%2e/a"), "leads out"),
            (&format!("{HANDLE}/a%2f..%2f..%2fb"), "leads out"),
            (&format!("{HANDLE}/a%00b"), "control"),
            (&format!("{HANDLE}/a%5Cb"), "backslash"),
            (&format!("{HANDLE}/a%"), "hexadecimal"),
            (&format!("{HANDLE}/a%4"), "hexadecimal"),
            (&format!("{HANDLE}/a%+4"), "hexadecimal"),
            (&format!("{HANDLE}/%ff"), "UTF-8"),
            (&format!("{HANDLE}/a?b"), "query"),
            (&format!("{HANDLE}/a#b"), "fragment"),
            (&format!("{HANDLE}/{}", "a".repeat(2000)), "too long"),
        ] {
            let found = FileUri::parse(&format!("sandbox://{rest}")).unwrap_err();
            assert!(found.contains(part), "{rest}: {found}");
        }
        assert!(FileUri::parse(&format!("file://{HANDLE}/a")).is_err());
    }
}
