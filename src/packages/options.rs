//! What a server's settings say about packages.

use std::str::FromStr;

use pep508_rs::PackageName;

use super::requirement::Requirement;
use crate::limits::{ROOM_CODE, ROOM_MEMORY};

/// Where packages may come from (`PACKAGES`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Source {
    /// Only those that were built in.
    Bundled,
    /// Anything in Pyodide's lock file.
    #[default]
    Lock,
    /// The lock file, and wheels for this platform from the package index.
    Pypi,
}

impl FromStr for Source {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "bundled" => Ok(Self::Bundled),
            "lock" => Ok(Self::Lock),
            "pypi" => Ok(Self::Pypi),
            _ => Err("it must be `bundled`, `lock` or `pypi`".into()),
        }
    }
}

/// What an isolate has room for, in bytes.
#[derive(Debug, Clone, Copy)]
pub struct Room {
    /// For libraries.
    pub code: usize,
    /// For everything.
    pub memory: usize,
}

impl Default for Room {
    fn default() -> Self {
        Self { code: ROOM_CODE, memory: ROOM_MEMORY }
    }
}

/// The settings.
#[derive(Debug, Clone, Default)]
pub struct PackageOptions {
    /// Where packages may come from.
    pub source: Source,
    /// What every run has (`DEPENDENCIES`, `--deps`).
    pub dependencies: Vec<Requirement>,
    /// If it is not empty, what code may ask for; what that depends on is allowed with it.
    pub allowed: Vec<PackageName>,
    /// What is never installed.
    pub denied: Vec<PackageName>,
    /// Folders that have the lock file's wheels under their names, each ending in `/`, in order of preference.
    pub mirrors: Vec<String>,
    /// The package index (PEP 503, PEP 691), ending in `/`.
    pub index: Option<String>,
    /// How much an isolate has room for, besides Python itself: its libraries, and all of it.
    pub room: Room,
}
