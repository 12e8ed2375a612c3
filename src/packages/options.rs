//! What a server's settings say about packages.

use std::str::FromStr;

use pep508_rs::PackageName;

use super::{requirement::Requirement, room::Room};

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
    /// Package indexes (PEP 503, PEP 691), each ending in `/`: a package is taken from the first that has it.
    pub indexes: Vec<String>,
    /// How many bytes of snapshots of packages are held at once (`SNAPSHOTS_LIMIT_MB`). 0: none are made.
    pub snapshots: usize,
    /// How much an isolate has room for. What the platform takes as code, a home knows.
    pub room: Room,
}
