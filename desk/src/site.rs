//! The page at `/`, as the edge serves it: static files, with the headers of their folder's `_headers`.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};

/// The file with the headers, in the format of Cloudflare and others.
const HEADERS: &str = "_headers";

/// The file that is served at `/`.
const INDEX: &str = "/index.html";

/// The files, by path. **Boundary.** A requested path is only looked up here, and never opened itself.
#[derive(Default)]
pub struct Site(HashMap<String, File>);

struct File {
    place: PathBuf,
    headers: HeaderMap,
}

impl Site {
    /// The site of a folder; empty if there is no such folder.
    pub fn of(folder: &Path) -> Self {
        let rules = fs::read_to_string(folder.join(HEADERS)).unwrap_or_default();
        let rules = parse(&rules);
        let mut site = Self::default();
        site.add(folder, "", &rules);
        if let Some(index) = site.0.remove(INDEX) {
            let headers = headers("/", &index.place, &rules);
            site.0.insert("/".to_owned(), File { headers, ..index });
        }
        site
    }

    fn add(&mut self, folder: &Path, path: &str, rules: &[Rule]) {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let (place, name) = (entry.path(), entry.file_name());
            let path = format!("{path}/{}", name.to_string_lossy());
            if place.is_dir() {
                self.add(&place, &path, rules);
            } else if name != HEADERS {
                self.0.insert(path.clone(), File { headers: headers(&path, &place, rules), place });
            }
        }
    }

    /// The file of this path, and its headers; `None` if there is none.
    pub async fn get(&self, path: &str) -> Option<(HeaderMap, Bytes)> {
        let file = self.0.get(path)?;
        let bytes = tokio::fs::read(&file.place).await.ok()?;
        Some((file.headers.clone(), bytes.into()))
    }
}

/// The headers of paths that match a pattern, which may end in `*`.
struct Rule {
    pattern: String,
    headers: Vec<(HeaderName, HeaderValue)>,
}

fn parse(text: &str) -> Vec<Rule> {
    let mut rules: Vec<Rule> = Vec::new();
    for line in text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#')) {
        if !line.starts_with(' ') {
            rules.push(Rule { pattern: line.trim().to_owned(), headers: Vec::new() });
        } else if let Some((name, value)) = line.split_once(':')
            && let (Ok(name), Ok(value)) = (name.trim().parse(), value.trim().parse())
            && let Some(rule) = rules.last_mut()
        {
            rule.headers.push((name, value));
        }
    }
    rules
}

fn headers(path: &str, place: &Path, rules: &[Rule]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let kind = match place.extension().and_then(|end| end.to_str()) {
        // The sandbox's frame is an `.htm`: with another type, browsers would download it instead of running it.
        Some("html" | "htm") => "text/html; charset=utf-8",
        Some("js" | "mjs") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("json") => "application/json",
        Some("txt") => "text/plain; charset=utf-8",
        Some("wasm") => "application/wasm",
        _ => "application/octet-stream",
    };
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    for rule in rules {
        let matches = match rule.pattern.strip_suffix('*') {
            Some(start) => path.starts_with(start),
            None => path == rule.pattern,
        };
        if matches {
            headers.extend(rule.headers.iter().cloned());
        }
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn files_are_found_by_their_own_paths_alone() {
        let folder = nix::unistd::mkdtemp(&std::env::temp_dir().join("desk-site-XXXXXX")).unwrap();
        fs::create_dir(folder.join("assets")).unwrap();
        fs::write(folder.join("_headers"), "# why\n/\n  X-A: b\n\n/assets/*\n  X-C: d: e\n").unwrap();
        fs::write(folder.join("index.html"), "page").unwrap();
        fs::write(folder.join("assets/a.js"), "1").unwrap();
        fs::write(folder.join("assets/frame.htm"), "frame").unwrap();
        let site = Site::of(&folder);
        let (headers, bytes) = site.get("/").await.unwrap();
        assert_eq!((headers["x-a"].as_bytes(), bytes.as_ref()), (&b"b"[..], &b"page"[..]));
        let (headers, _) = site.get("/assets/a.js").await.unwrap();
        assert_eq!(headers["x-c"], "d: e");
        assert_eq!(headers["content-type"], "text/javascript; charset=utf-8");
        let (headers, _) = site.get("/assets/frame.htm").await.unwrap();
        assert_eq!(headers["content-type"], "text/html; charset=utf-8");
        for path in ["/_headers", "/assets", "/assets/../index.html", "", "//index.html", "/index.html/"] {
            assert!(site.get(path).await.is_none(), "{path}");
        }
        fs::remove_dir_all(folder).unwrap();
    }
}
