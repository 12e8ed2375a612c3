//! The native libraries that a process keeps compiled.

use bytes::Bytes;
use serde_json::json;

use super::envelope::Pieces;

/// Most bytes of libraries that a process keeps: two of the largest sets that fit into an isolate.
const MOST: usize = 128 << 20;

/// A native library of a package.
#[derive(Debug, Clone)]
pub struct Library {
    /// Where it is in the package.
    pub path: String,
    /// A name that no other library has.
    pub name: String,
    /// Its WebAssembly.
    pub bytes: Bytes,
}

/// The libraries that a process has, as far as is known here.
#[derive(Debug, Default)]
pub struct Libraries {
    /// Names and bytes, the least recently used first.
    known: Vec<(String, usize)>,
}

impl Libraries {
    /// Notes that these are used. Returns the request that sends the process those that it lacks; `None` if it has all.
    pub fn add<'a>(&mut self, wanted: impl Iterator<Item = &'a Library>) -> Option<Pieces> {
        let (mut used, mut added, mut bytes) = (Vec::new(), Vec::new(), Vec::new());
        for library in wanted {
            match self.known.iter().position(|(name, _)| *name == library.name) {
                Some(at) => used.push(self.known.remove(at)),
                None if used.iter().any(|(name, _)| *name == library.name) => {}
                None => {
                    added.push(library.name.clone());
                    bytes.push(library.bytes.clone());
                    used.push((library.name.clone(), library.bytes.len()));
                }
            }
        }
        let mut left = MOST.saturating_sub(used.iter().map(|(_, size)| size).sum());
        if !added.is_empty() {
            let mut kept: Vec<_> = self.known.drain(..).rev().collect();
            kept.retain(|(_, size)| {
                let fits = *size <= left;
                left = if fits { left - size } else { 0 };
                fits
            });
            self.known.extend(kept.into_iter().rev());
        }
        self.known.extend(used);
        if added.is_empty() {
            return None;
        }
        let kept: Vec<_> = self.known.iter().map(|(name, _)| name).filter(|name| !added.contains(name)).collect();
        Some(Pieces::envelope(json!({ "kept": kept, "added": added }).to_string(), bytes))
    }

    /// Forgets what the process has.
    pub fn forget(&mut self) {
        self.known.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::slice;

    use http_body_util::BodyExt;

    use super::*;

    fn library(name: &str, size: usize) -> Library {
        Library { path: String::new(), name: name.to_owned(), bytes: Bytes::from(vec![0; size]) }
    }

    async fn told(libraries: &mut Libraries, wanted: &[Library]) -> Option<(Vec<String>, Vec<String>)> {
        let bytes = libraries.add(wanted.iter())?.collect().await.unwrap().to_bytes();
        let word = |at: usize| u32::from_le_bytes(bytes[4 * at..4 * at + 4].try_into().unwrap()) as usize;
        let (count, length) = (word(0), word(1));
        let text = &bytes[8 + 4 * count..][..length];
        let message: serde_json::Value = serde_json::from_slice(text).unwrap();
        let names = |key: &str| serde_json::from_value::<Vec<String>>(message[key].clone()).unwrap();
        assert_eq!(names("added").len(), count);
        Some((names("kept"), names("added")))
    }

    #[tokio::test]
    async fn each_is_sent_once_and_what_was_used_least_lately_goes() {
        let mut libraries = Libraries::default();
        let (a, b, c) = (library("a", MOST / 2), library("b", MOST / 4), library("c", MOST / 2));
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert_eq!(told(&mut libraries, &[a.clone(), b.clone(), a.clone()]).await, Some((vec![], names(&["a", "b"]))));
        assert_eq!(told(&mut libraries, slice::from_ref(&b)).await, None);
        assert_eq!(told(&mut libraries, slice::from_ref(&c)).await, Some((names(&["b"]), names(&["c"]))));
        assert_eq!(told(&mut libraries, slice::from_ref(&a)).await, Some((names(&["c"]), names(&["a"]))));
        libraries.forget();
        assert_eq!(told(&mut libraries, &[a]).await, Some((vec![], names(&["a"]))));
    }
}
