//! Landlock: which files a process may read. It may write none, bind and connect no TCP socket, and neither reach abstract
//! sockets nor signal processes outside.

use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, PathBeneath, PathFd, Ruleset, RulesetAttr, RulesetCreated,
    RulesetCreatedAttr, RulesetError, Scope,
};

use super::Bounds;

/// The newest version that the crate knows. An older kernel enforces what it knows.
const NEWEST: ABI = ABI::V10;

/// The loader and the libraries, as a trace of workerd shows them, and `libgcc_s` for programs of Rust.
const LIBRARIES: [&str; 8] = [
    "ld-linux-x86-64.so.2",
    "ld-linux-aarch64.so.1",
    "libc.so.6",
    "libdl.so.2",
    "libgcc_s.so.1",
    "libm.so.6",
    "libpthread.so.0",
    "librt.so.1",
];

/// Folders in which systems have these libraries.
const LIBRARY_FOLDERS: [&str; 8] = [
    "/lib64",
    "/lib",
    "/usr/lib64",
    "/usr/lib",
    "/lib/x86_64-linux-gnu",
    "/usr/lib/x86_64-linux-gnu",
    "/lib/aarch64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
];

/// Other files that workerd opened when it was traced.
const READ: [&str; 4] = ["/etc/ld.so.cache", "/sys/devices/system/cpu", "/dev/urandom", "/dev/null"];

/// The rules, until they are enforced.
pub struct Rules(Option<RulesetCreated>);

impl Rules {
    /// Rules that let a program reach only what its bounds name.
    pub fn new(bounds: &Bounds<'_>) -> Self {
        Self(rules(bounds).ok())
    }

    /// Takes the rules out; `None` the second time.
    pub fn take(&mut self) -> Option<Self> {
        self.0.take().map(|rules| Self(Some(rules)))
    }

    /// Enforces them on this process.
    pub fn enforce(self) {
        let Some(rules) = self.0 else { return };
        // Threads find their stacks in `/proc/self/maps`. The rule is for the folder of this process, and of no other.
        let _ = add(rules, Path::new("/proc/self"), AccessFs::ReadFile.into()).and_then(RulesetCreated::restrict_self);
    }
}

fn rules(bounds: &Bounds<'_>) -> Result<RulesetCreated, RulesetError> {
    // Folders may be opened, as workerd opens `/`. They cannot be listed: see calls.rs.
    let handled = AccessFs::from_all(NEWEST) & !BitFlags::from(AccessFs::ReadDir);
    let mut rules = Ruleset::default()
        .handle_access(handled)?
        .handle_access(AccessNet::from_all(NEWEST))?
        .scope(Scope::from_all(NEWEST))?
        .create()?;
    let run = AccessFs::Execute | AccessFs::ReadFile;
    rules = add(rules, bounds.program, run)?;
    for library in libraries() {
        rules = add(rules, &library, run)?;
    }
    for file in bounds.readable.iter().copied().chain(READ.iter().map(Path::new)) {
        rules = add(rules, file, AccessFs::ReadFile.into())?;
    }
    Ok(rules)
}

fn libraries() -> impl Iterator<Item = PathBuf> {
    let places = LIBRARY_FOLDERS.iter().flat_map(|folder| LIBRARIES.map(|library| Path::new(folder).join(library)));
    places.filter(|place| place.is_file())
}

/// Allows `access` to a file, or to what is in a folder. A path that does not exist needs no rule.
fn add(rules: RulesetCreated, file: &Path, access: BitFlags<AccessFs>) -> Result<RulesetCreated, RulesetError> {
    match PathFd::new(file) {
        Ok(opened) => rules.add_rule(PathBeneath::new(opened, access)),
        Err(_) => Ok(rules),
    }
}
