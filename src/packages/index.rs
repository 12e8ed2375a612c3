//! A project's page of a package index (PEP 691).
//!
//! **Boundary.** An index is trusted for which files there are and what their sha256 is, and for nothing else: what it
//! sends is decoded strictly, and addresses must be HTTP.

use std::collections::BTreeMap;

use fluent_uri::{Iri, IriRef};
use pep440_rs::{Version, VersionSpecifiers};
use pep508_rs::PackageName;
use serde::Deserialize;

use super::tags::{Tags, WheelName};

/// The content type that an index is asked for.
pub const ACCEPT: &str = "application/vnd.pypi.simple.v1+json";

/// A project, as far as it concerns this platform.
#[derive(Debug, Default)]
pub struct Project {
    /// The best wheel of each version that has one for this platform.
    pub wheels: BTreeMap<Version, IndexWheel>,
    /// Versions that have other files only, or none for this Python.
    pub others: Vec<Version>,
}

/// A wheel on an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexWheel {
    /// Its file name.
    pub file_name: String,
    /// Where it is.
    pub url: String,
    /// Its SHA-256, hexadecimal.
    pub sha256: String,
    /// Where its metadata is, and the SHA-256 of that (PEP 658, PEP 714).
    pub metadata: Option<(String, String)>,
    /// Withdrawn by its project: for exact requirements only (PEP 592).
    pub yanked: bool,
    rank: u32,
}

#[derive(Deserialize)]
struct Page {
    files: Vec<File>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct File {
    filename: String,
    url: String,
    #[serde(default)]
    hashes: Hashes,
    requires_python: Option<String>,
    #[serde(default, alias = "data-dist-info-metadata", alias = "dist-info-metadata")]
    core_metadata: Flag,
    #[serde(default)]
    yanked: Flag,
}

#[derive(Deserialize, Default)]
struct Hashes {
    sha256: Option<String>,
}

/// A boolean, or details in its place.
#[derive(Deserialize)]
#[serde(untagged)]
enum Flag {
    Bool(bool),
    Hashes(Hashes),
    Text(serde::de::IgnoredAny),
}

impl Default for Flag {
    fn default() -> Self {
        Self::Bool(false)
    }
}

impl Project {
    /// Reads a project's page, which came from `address`.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn parse(
        page: &[u8],
        address: &str,
        name: &PackageName,
        tags: &Tags,
        python: &Version,
    ) -> Result<Self, String> {
        let page: Page =
            serde_json::from_slice(page).map_err(|error| format!("the index's page is not valid: {error}"))?;
        let mut project = Self::default();
        let mut others = Vec::new();
        for file in page.files {
            let Some(wheel) = WheelName::parse(&file.filename) else {
                others.extend(source_version(&file.filename, name));
                continue;
            };
            if wheel.name != *name {
                continue;
            }
            let version = wheel.version.clone();
            let for_python = file.requires_python.as_deref().and_then(|text| text.parse::<VersionSpecifiers>().ok());
            let fits = for_python.is_none_or(|versions| versions.contains(python));
            match (tags.rank(&wheel), file.hashes.sha256.clone().filter(|hash| is_sha256(hash)), fits) {
                (Some(rank), Some(sha256), true) => {
                    let Some(url) = resolve_url(address, &file.url) else { continue };
                    let best = project.wheels.get(&version).map(|other| other.rank);
                    if best.is_none_or(|best| best < rank) {
                        project.wheels.insert(version, IndexWheel::new(file, url, sha256, rank));
                    }
                }
                _ => others.push(version),
            }
        }
        others.retain(|version| !project.wheels.contains_key(version));
        others.sort();
        others.dedup();
        project.others = others;
        Ok(project)
    }
}

impl IndexWheel {
    fn new(file: File, url: String, sha256: String, rank: u32) -> Self {
        let metadata = match file.core_metadata {
            Flag::Hashes(Hashes { sha256: Some(sha256) }) if is_sha256(&sha256) => {
                let (path, _) = url.split_once('#').unwrap_or((&url, ""));
                Some((format!("{path}.metadata"), sha256))
            }
            // Without a hash the metadata cannot be checked, and the wheel is read instead.
            _ => None,
        };
        let yanked = !matches!(file.yanked, Flag::Bool(false));
        Self { file_name: file.filename, url, sha256, metadata, yanked, rank }
    }
}

fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

/// The version of a source archive of the project.
fn source_version(file: &str, project: &PackageName) -> Option<Version> {
    let stem = [".tar.gz", ".zip", ".tar.bz2"].iter().find_map(|end| file.strip_suffix(end))?;
    let (name, version) = stem.rsplit_once('-')?;
    (super::requirement::name_of(name)? == *project).then(|| version.parse().ok())?
}

/// Resolves the address of a file against that of the page that names it.
fn resolve_url(base: &str, url: &str) -> Option<String> {
    let base = Iri::parse(base.split('#').next()?).ok()?;
    let mut resolved = IriRef::parse(url).ok()?.resolve_against(&base).ok()?;
    resolved.set_fragment(None);
    let scheme = resolved.scheme().as_str().to_ascii_lowercase();
    let downgraded = scheme != "https" && (scheme != "http" || base.scheme().as_str().eq_ignore_ascii_case("https"));
    (!downgraded && resolved.authority().is_some_and(|authority| !authority.host().is_empty()))
        .then(|| resolved.into_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::packages::requirement::name_of;

    const BASE: &str = "https://index.example/simple/a-b/";

    fn parse(files: serde_json::Value) -> Result<Project, String> {
        let page = json!({ "meta": { "api-version": "1.1" }, "name": "a-b", "files": files }).to_string();
        let name = name_of("a-b").unwrap();
        Project::parse(page.as_bytes(), BASE, &name, &Tags::new(14, "2026_0"), &Version::new([3, 14, 0]))
    }

    fn file(filename: &str) -> serde_json::Value {
        json!({ "filename": filename, "url": format!("../../files/{filename}#x=y"), "hashes": { "sha256": "a".repeat(64) } })
    }

    #[test]
    fn the_best_wheel_of_each_version_is_taken() {
        let mut native = file("a_b-2.0-cp314-cp314-pyemscripten_2026_0_wasm32.whl");
        native["core-metadata"] = json!({ "sha256": "b".repeat(64) });
        let mut newer = file("a_b-3.0-py3-none-any.whl");
        newer["requires-python"] = ">=3.15".into();
        let project = parse(json!([
            file("a_b-2.0-py3-none-any.whl"),
            native,
            file("a_b-2.0.tar.gz"),
            newer,
            file("a_b-1.0-cp314-cp314-win_amd64.whl"),
            file("a-b-0.1.tar.gz"),
            file("other-9.0-py3-none-any.whl"),
        ]))
        .unwrap();
        let (version, wheel) = project.wheels.iter().next().unwrap();
        assert_eq!((project.wheels.len(), version.to_string().as_str()), (1, "2.0"));
        let url = "https://index.example/files/a_b-2.0-cp314-cp314-pyemscripten_2026_0_wasm32.whl";
        assert_eq!(wheel.url, url);
        assert_eq!(wheel.metadata, Some((format!("{url}.metadata"), "b".repeat(64))));
        assert_eq!(project.others.iter().map(ToString::to_string).collect::<Vec<_>>(), ["0.1", "1.0", "3.0"]);
    }

    #[test]
    fn withdrawn_files_are_marked() {
        let mut wheel = file("a_b-1.0-py3-none-any.whl");
        wheel["yanked"] = "broken".into();
        assert!(parse(json!([wheel])).unwrap().wheels.values().all(|wheel| wheel.yanked));
    }

    #[test]
    fn a_file_without_a_hash_or_with_a_bad_address_is_not_taken() {
        for (key, value) in [
            ("hashes", json!({})),
            ("hashes", json!({ "sha256": "A".repeat(64) })),
            ("url", json!("http://index.example/a.whl")),
            ("url", json!("https://index.example/a b.whl")),
        ] {
            let mut wheel = file("a_b-1.0-py3-none-any.whl");
            wheel[key] = value;
            assert!(parse(json!([wheel])).unwrap().wheels.is_empty(), "{key}");
        }
    }

    #[test]
    fn addresses_are_resolved() {
        for (base, url, expected) in [
            ("http://h:1/a/b/", "c.whl", Some("http://h:1/a/b/c.whl")),
            ("http://h/a/b/", "/c.whl", Some("http://h/c.whl")),
            ("http://h/a/", "../../../c.whl", Some("http://h/c.whl")),
            ("https://h/a/", "//g/c.whl", Some("https://g/c.whl")),
            ("https://h/a/", "http://g/c.whl", None),
            ("http://h/a/", "https://g/c.whl#sha256=1", Some("https://g/c.whl")),
            ("https://h/a/?b=/c/", "./d/../e.whl?f=g", Some("https://h/a/e.whl?f=g")),
            ("https://h/a/b/", "../é/c+d%20e.whl", Some("https://h/a/é/c+d%20e.whl")),
            ("HTTPS://h/a/", "http://g/c.whl", None),
            ("http://h/a/", "ftp://g/c.whl", None),
            ("http://h/a/", "file:///c.whl", None),
            ("http://h/a/", "javascript:c.whl", None),
            ("http://h/a/", "http:///c.whl", None),
            ("http://h/a/", "c\n.whl", None),
            ("h/a/", "c.whl", None),
        ] {
            assert_eq!(resolve_url(base, url).as_deref(), expected, "{base} {url}");
        }
    }

    #[test]
    fn what_is_no_page_is_an_error() {
        let name = name_of("a-b").unwrap();
        for page in ["", "<html>", "{}", r#"{"files":[{}]}"#, r#"{"files":[{"filename":1,"url":""}]}"#] {
            assert!(
                Project::parse(page.as_bytes(), BASE, &name, &Tags::new(14, "2026_0"), &Version::new([3, 14])).is_err()
            );
        }
    }
}
