//! A server's settings about packages.

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
    /// Packages that every run has (`DEPENDENCIES`, `--deps`).
    pub dependencies: Vec<Requirement>,
    /// If it is not empty, what code may ask for; dependencies of these are allowed too.
    pub allowed: Vec<PackageName>,
    /// Packages that are never installed.
    pub denied: Vec<PackageName>,
    /// Folders that have the lock file's wheels under their names, each ending in `/`, in order of preference.
    pub mirrors: Vec<String>,
    /// Package indexes (PEP 503, PEP 691), each ending in `/`: a package is taken from the first that has it.
    pub indexes: Vec<String>,
    /// How many bytes of snapshots of packages are held at once (`SNAPSHOTS_LIMIT_MB`). 0: none are made.
    pub snapshots: usize,
    /// How much an isolate has room for. The home sets what the platform takes as code.
    pub room: Room,
}
