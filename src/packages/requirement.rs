//! Requirements, as PEP 508 writes them, and the environment that their markers are evaluated for.

use std::{fmt, path::Path, str::FromStr};

use pep440_rs::{Version, VersionSpecifiers};
use pep508_rs::{MarkerEnvironment, MarkerEnvironmentBuilder, PackageName, Pep508Url, VersionOrUrl};
use pubgrub::Ranges;

use super::imports::Use;
use crate::limits::MAX_REQUIREMENT;

/// A requirement: a distribution, extras, versions, and a marker. Never an address (`name @ url`): what is
/// installed comes from the lock file or the index.
pub type Requirement = pep508_rs::Requirement<NoUrl>;

/// Stands for `@ url` in a [`Requirement`]: a type without values.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum NoUrl {}

/// The error for every address.
#[derive(Debug)]
pub struct UrlRefused;

impl fmt::Display for UrlRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("packages are not installed from addresses")
    }
}

impl std::error::Error for UrlRefused {}

impl fmt::Display for NoUrl {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {}
    }
}

impl Pep508Url for NoUrl {
    type Err = UrlRefused;

    fn parse_url(_: &str, _: Option<&Path>) -> Result<Self, UrlRefused> {
        Err(UrlRefused)
    }
}

/// Where a requirement comes from: decides what its failure means, and is named in the error.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Origin {
    /// The server's own setting.
    Settings,
    /// The code's PEP 723 block.
    Script,
    /// An import in the code, of this module.
    Import(String),
    /// A use of a module that the code imports.
    Use(Use),
}

impl Origin {
    /// The module that the code's imports miss without it, if any.
    #[must_use]
    pub fn module(&self) -> Option<&str> {
        match self {
            Self::Import(module) => Some(module),
            Self::Use(used) => Some(used.distribution),
            Self::Settings | Self::Script => None,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Settings => f.write_str("the server's settings"),
            Self::Script => f.write_str("the code's script block"),
            Self::Import(module) => write!(f, "`import {module}`"),
            Self::Use(Use { of, name, .. }) => write!(f, "`{name}` of {of}"),
        }
    }
}

/// A requirement and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The requirement.
    pub requirement: Requirement,
    /// Where it comes from.
    pub origin: Origin,
}

/// Parses one requirement.
///
/// # Errors
/// Says what is wrong with it.
pub fn parse(text: &str) -> Result<Requirement, String> {
    let text = text.trim();
    if text.len() > MAX_REQUIREMENT {
        return Err(format!("a requirement is {} bytes long, and at most {MAX_REQUIREMENT} are taken", text.len()));
    }
    if text.chars().any(char::is_control) {
        return Err(format!("`{}` is not a requirement: it has control characters", text.escape_debug()));
    }
    let requirement = Requirement::from_str(text).map_err(|error| {
        // The crate draws a caret below the text in further lines.
        let why = error.message.to_string();
        format!("`{text}` is not a requirement: {}", why.lines().next().unwrap_or_default())
    })?;
    Ok(requirement)
}

/// Parses a list of requirements, as `--deps` and settings have it: separated by commas or white space, where a comma
/// may also separate versions (`numpy>=2,<3,pandas`) and extras.
///
/// # Errors
/// Names the requirement that is wrong.
pub fn parse_list(text: &str) -> Result<Vec<Requirement>, String> {
    let mut items: Vec<String> = Vec::new();
    let mut depth = 0_usize;
    let mut fresh = true;
    for piece in text.split_inclusive([',', '\n', '[', ']', '(', ')']) {
        let body = piece.trim_end_matches([',', '\n', '[', ']', '(', ')']);
        let continues = depth > 0 || body.trim_start().starts_with(['<', '>', '=', '!', '~']);
        match items.last_mut() {
            Some(item) if !fresh => item.push_str(body),
            Some(item) if continues => {
                item.push(',');
                item.push_str(body);
            }
            _ => items.push(body.to_owned()),
        }
        let end = piece.get(body.len()..).and_then(|end| end.chars().next());
        fresh = matches!(end, Some(',' | '\n'));
        if let (Some(item), Some(bracket @ ('[' | ']' | '(' | ')'))) = (items.last_mut(), end) {
            item.push(bracket);
            depth = if matches!(bracket, '[' | '(') { depth + 1 } else { depth.saturating_sub(1) };
        }
    }
    items.iter().map(|item| item.trim()).filter(|item| !item.is_empty()).map(parse).collect()
}

/// Parses a list of names of distributions: an allow-list or a deny-list.
///
/// # Errors
/// Names the text that is not a valid name.
pub fn parse_names(text: &str) -> Result<Vec<PackageName>, String> {
    let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
    names.map(|name| name_of(name).ok_or_else(|| format!("`{name}` is no name of a package"))).collect()
}

/// Normalises a name (PEP 503); `None` if it is not valid.
#[must_use]
pub fn name_of(text: &str) -> Option<PackageName> {
    PackageName::new(text.to_owned()).ok().filter(|name| !name.as_ref().is_empty())
}

/// The versions that a requirement allows.
#[must_use]
pub fn versions(requirement: &Requirement) -> Ranges<Version> {
    match &requirement.version_or_url {
        Some(VersionOrUrl::VersionSpecifier(specifiers)) => ranges(specifiers),
        _ => Ranges::full(),
    }
}

/// Whether a requirement names a pre-release, which allows them.
#[must_use]
pub fn names_prerelease(requirement: &Requirement) -> bool {
    match &requirement.version_or_url {
        Some(VersionOrUrl::VersionSpecifier(specifiers)) => {
            specifiers.iter().any(pep440_rs::VersionSpecifier::any_prerelease)
        }
        _ => false,
    }
}

fn ranges(specifiers: &VersionSpecifiers) -> Ranges<Version> {
    Ranges::from(specifiers.clone())
}

/// The markers' environment: this Python, in WebAssembly.
///
/// # Errors
/// If `python` is not a version.
pub fn environment(python: &str) -> Result<MarkerEnvironment, String> {
    let short: Vec<&str> = python.split('.').take(2).collect();
    MarkerEnvironment::try_from(MarkerEnvironmentBuilder {
        implementation_name: "cpython",
        implementation_version: python,
        os_name: "posix",
        platform_machine: "wasm32",
        platform_python_implementation: "CPython",
        platform_release: "",
        platform_system: "Emscripten",
        platform_version: "",
        python_full_version: python,
        python_version: &short.join("."),
        sys_platform: "emscripten",
    })
    .map_err(|error| format!("Python's version is `{python}`: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &str) -> Vec<String> {
        parse_list(text).unwrap().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_list_is_split_where_requirements_end() {
        assert_eq!(list("numpy,pandas"), ["numpy", "pandas"]);
        assert_eq!(list(" numpy >= 2 , < 3 ,Pandas_x[a,b]==1.0, , six"), ["numpy>=2,<3", "pandas-x[a,b]==1.0", "six"]);
        assert_eq!(list("numpy (>=2,<3), six\nattrs"), ["numpy>=2,<3", "six", "attrs"]);
        assert_eq!(list("a; python_version > '3', b"), ["a ; python_full_version >= '3.1'", "b"]);
        assert!(list(" ,\n").is_empty());
    }

    #[test]
    fn errors_name_the_requirement() {
        for (text, expected) in [
            ("numpy,=bad=", "=bad="),
            ("x @ http://h/x.whl", "packages are not installed from addresses"),
            ("git+https://h/x", "git+https"),
            ("../wheel.whl", "../wheel.whl"),
            ("a\u{1b}[0m", "control characters"),
        ] {
            let error = parse_list(text).unwrap_err();
            assert!(error.contains(expected), "{error}");
            assert!(!error.contains('\n'), "{error}");
        }
        let long = "a".repeat(MAX_REQUIREMENT + 1);
        assert!(parse(&long).unwrap_err().contains(&MAX_REQUIREMENT.to_string()));
    }

    #[test]
    fn markers_are_of_this_platform() {
        let environment = environment("3.14.0").unwrap();
        for (text, expected) in [
            ("a; sys_platform == 'emscripten'", true),
            ("a; sys_platform == 'win32'", false),
            ("a; python_version >= '3.14' and platform_machine == 'wasm32'", true),
            ("a; extra == 'x'", false),
            ("a; platform_python_implementation == 'PyPy'", false),
        ] {
            assert_eq!(parse(text).unwrap().evaluate_markers(&environment, &[]), expected, "{text}");
        }
    }
}
