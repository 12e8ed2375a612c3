//! All settings: name, allowed values and purpose. The code that reads settings takes unit, default and bounds from
//! here; `docs/settings.md` is written from it, and everything else that names settings is compared with it (the tests
//! below).

use super::{Home, Home::*};
use crate::limits::MAX_AHEAD;

/// A setting.
#[derive(Debug)]
pub struct Setting {
    /// As people write it.
    pub name: &'static str,
    /// The kind of its value.
    pub kind: Kind,
    /// Its default, as people write it; empty: see `about`.
    pub default: &'static str,
    /// The default in homes that have another.
    pub defaults: &'static [(Home, &'static str)],
    /// The homes that have it.
    pub homes: &'static [Home],
    /// Its purpose, for the documents.
    pub about: &'static str,
}

/// The kind of a setting's value.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// A whole number of units: from 1 on, or from 0 on where that turns something off; up to a bound, if there is one.
    Count {
        /// The unit.
        unit: Unit,
        /// The least.
        least: usize,
        /// The most; `None`: what a number can be.
        most: Option<usize>,
    },
    /// A time, more than 0, in units of so many seconds.
    Time {
        /// The name of the units.
        units: &'static str,
        /// Seconds of one.
        seconds: f64,
    },
    /// One of these words.
    Word(&'static [&'static str]),
    /// A text, or several of something, separated by commas: what it is called.
    Text(&'static str),
}

/// The unit of a count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Things.
    One,
    /// 1024 bytes.
    KiB,
    /// 1024 KiB.
    MiB,
    /// A million.
    Million,
}

impl Unit {
    /// How many things or bytes one unit is.
    #[must_use]
    pub fn size(self) -> usize {
        match self {
            Self::One => 1,
            Self::KiB => 1024,
            Self::MiB => 1024 * 1024,
            Self::Million => 1_000_000,
        }
    }

    /// Its name in errors and the documents.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::One => "",
            Self::KiB => "KiB",
            Self::MiB => "MiB",
            Self::Million => "millions",
        }
    }
}

impl Setting {
    /// Its default in a home.
    #[must_use]
    pub fn default_in(&self, home: Home) -> &'static str {
        self.defaults.iter().find(|(of, _)| *of == home).map_or(self.default, |(_, value)| value)
    }
}

/// The setting of this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Setting> {
    all().find(|setting| setting.name == name)
}

/// All of them, in the order of the documents.
pub fn all() -> impl Iterator<Item = &'static Setting> {
    SETTINGS.iter().flat_map(|(_, settings)| *settings)
}

const EVERYWHERE: &[Home] = &[Worker, Dev, Desk, Page];
const OF_WORKERS: &[Home] = &[Worker, Dev];
const OF_DESK: &[Home] = &[Desk];

const SECONDS: Kind = Kind::Time { units: "seconds", seconds: 1.0 };
const MINUTES: Kind = Kind::Time { units: "minutes", seconds: 60.0 };

const fn count(unit: Unit) -> Kind {
    Kind::Count { unit, least: 1, most: None }
}

const fn setting(name: &'static str, kind: Kind, default: &'static str, about: &'static str) -> Setting {
    Setting { name, kind, default, defaults: &[], homes: EVERYWHERE, about }
}

impl Setting {
    const fn elsewhere(self, defaults: &'static [(Home, &'static str)]) -> Self {
        Self { defaults, ..self }
    }

    const fn only(self, homes: &'static [Home]) -> Self {
        Self { homes, ..self }
    }
}

/// All settings, under the headings of `docs/settings.md`.
pub const SETTINGS: &[(&str, &[Setting])] = &[
    ("Limits of a run", LIMITS),
    ("Results", RESULTS),
    ("Packages", PACKAGES),
    ("Sessions, and runs at once", SESSIONS),
    ("Who may come in", ACCESS),
];

const LIMITS: &[Setting] = &[
    setting("TIME_LIMIT_SECONDS", SECONDS, "60", "Wall-clock limit of a run; then Python gets a `TimeoutError`."),
    setting("GRACE_SECONDS", SECONDS, "1", "How long Python may clean up after that; then the interpreter is ended."),
    setting(
        "FUEL_LIMIT_MILLIONS",
        count(Unit::Million),
        "200",
        "The same in fuel: how many million times CPython may look for signals, for clocks that stand still.",
    ),
    setting(
        "MEMORY_LIMIT_MB",
        count(Unit::MiB),
        "1024",
        "Memory of the interpreter; then Python gets a `MemoryError`. The packages of a run may not be larger, either.",
    ),
    setting(
        "MEMORY_LIMIT_TOTAL_MB",
        count(Unit::MiB),
        "",
        "Memory of all Python processes; half of the machine's, if it is not set. While they hold more, idle sessions lose \
         their interpreters, those that hold most first; their next result says so.",
    )
    .only(OF_DESK),
    setting(
        "MEMORY_BUDGET_MB",
        count(Unit::MiB),
        "",
        "The interpreter's memory, the archives of packages and files together: a deployed isolate has 128 MB for \
         everything. Empty: they are not counted together.",
    )
    .elsewhere(&[(Worker, "112")]),
    setting(
        "OUTPUT_LIMIT_KB",
        count(Unit::KiB),
        "2048",
        "Output in all; what is more is cut, and how much is told.",
    ),
    setting("OUTPUT_LIMIT_LINES", count(Unit::One), "20000", "The same in lines."),
    setting("LINE_LIMIT_KB", count(Unit::KiB), "64", "One line of output; what is more is cut, which is told."),
    setting(
        "LOG_LIMIT_PER_SECOND",
        count(Unit::One),
        "1000",
        "Lines of output that are sent as log messages each second; the result has them all.",
    ),
    setting("VALUE_LIMIT_KB", count(Unit::KiB), "2048", "The returned value, or the error."),
    setting("VALUE_LIMIT_ITEMS", count(Unit::One), "200000", "Of how many values the returned one consists."),
    setting("VALUE_LIMIT_DEPTH", count(Unit::One), "255", "How deep it nests."),
    setting("IMAGES_LIMIT", count(Unit::One), "8", "Images of a result."),
    setting("IMAGE_LIMIT_KB", count(Unit::KiB), "1024", "One image."),
    setting("CODE_LIMIT_KB", count(Unit::KiB), "1024", "Code that a client sends."),
    setting("GLOBALS_LIMIT_KB", count(Unit::KiB), "4096", "Global variables that a client sends."),
    setting("GLOBALS_LIMIT_DEPTH", count(Unit::One), "100", "How deep these nest."),
    setting("FILES_LIMIT", count(Unit::One), "10000", "Files of a sandbox."),
    setting(
        "FILES_LIMIT_MB",
        count(Unit::MiB),
        "64",
        "Their size together; also how large an upload to a session may be. An interpreter that is replaced to add packages \
         gets up to 72 MiB of files from the one before.",
    ),
    setting(
        "FILES",
        Kind::Text("a folder"),
        "",
        "Its files can be read by every run in `data/`, up to `FILES_LIMIT` and `FILES_LIMIT_MB`. Also `--files`: \
         [desk.md](desk.md#files-for-every-run).",
    )
    .only(OF_DESK),
];

const RESULTS: &[Setting] = &[
    setting(
        "RETURN_MODE",
        Kind::Word(&["xml", "json"]),
        "xml",
        "How the text of results is written. Also `--return-mode`.",
    ),
    setting(
        "RESULT_LIMIT_KB",
        count(Unit::KiB),
        "64",
        "Text and structured content of a result together, as a model reads them: of longer output, values and errors the \
         beginning and the end are kept; of what was displayed, which may have half, all goes first that no model reads. The \
         libraries for programs get all.",
    ),
    setting(
        "TABLE_ROWS",
        count(Unit::One),
        "30",
        "How much of a DataFrame is shown as a table: of more, the first and the last rows.",
    ),
    setting("TABLE_COLUMNS", count(Unit::One), "20", "The same of its columns."),
    setting("RESULT_FILES_LIMIT", count(Unit::One), "100", "How many files a result tells of."),
    setting(
        "RESULT_FILE_LIMIT_KB",
        count(Unit::KiB),
        "256",
        "Up to which size a file is part of the result (2 MiB together).",
    ),
    setting(
        "KEPT_FILES_LIMIT_MB",
        Kind::Count { unit: Unit::MiB, least: 0, most: None },
        "64",
        "How much of the larger ones is kept, of one run without a session: the result links to them (`resources/read`). Of one \
         principal four times as much is kept, of all (but on the edge) sixteen times, and the oldest goes first. Also kept is all of a result \
         that `RESULT_LIMIT_KB` cuts. `0`: nothing is kept.",
    )
    .elsewhere(&[(Worker, "8"), (Page, "16")]),
    setting("KEPT_MINUTES", MINUTES, "15", "For how long."),
];

const PACKAGES: &[Setting] = &[
    setting(
        "PACKAGES",
        Kind::Word(&["bundled", "lock", "pypi"]),
        "lock",
        "Where packages come from: only what is built in, anything in Pyodide's lock file, or also wheels from the package \
         index that run here, see [packages.md](packages.md).",
    )
    .elsewhere(&[(Dev, "pypi"), (Desk, "pypi"), (Page, "pypi")]),
    setting(
        "DEPENDENCIES",
        Kind::Text("requirements"),
        "",
        "Packages that every run has: `numpy>=2,pandas` (PEP 508). Also `--deps`.",
    ),
    setting(
        "ALLOWED_PACKAGES",
        Kind::Text("names"),
        "",
        "What code may ask for besides; what that depends on is allowed with it. Empty: anything.",
    ),
    setting("DENIED_PACKAGES", Kind::Text("names"), "", "What is never installed."),
    setting(
        "PACKAGE_MIRRORS",
        Kind::Text("addresses"),
        "",
        "Folders with the lock file's wheels, in order of preference. Empty: Pyodide's own mirror.",
    ),
    setting(
        "PACKAGE_INDEX",
        Kind::Text("addresses"),
        "",
        "Package indexes (PEP 691), for `pypi`: a package is taken from the first that has it. Empty: micropip's own.",
    ),
    setting(
        "SNAPSHOTS_LIMIT_MB",
        Kind::Count { unit: Unit::MiB, least: 0, most: None },
        "0",
        "Snapshots of packages that are held at once; runs start from them and import nothing. `0`: none are made. Nor are any \
         with `MEMORY_BUDGET_MB`.",
    )
    .elsewhere(&[(Dev, "512"), (Desk, "1024")]),
    setting(
        "INTERPRETERS_BOOTED_AHEAD",
        Kind::Count { unit: Unit::One, least: 0, most: Some(MAX_AHEAD) },
        "0",
        "How many interpreters are booted ahead of calls of no session: one of each set of packages that was asked for in the \
         last 30 s. The desk does so by itself. Where a worker is deployed, each is billed.",
    )
    .elsewhere(&[(Dev, "2")])
    .only(OF_WORKERS),
];

const SESSIONS: &[Setting] = &[
    setting("SESSION_IDLE_SECONDS", SECONDS, "1800", "After how long a session ends that is idle."),
    setting(
        "SESSION_EVICTION_SECONDS",
        SECONDS,
        "300",
        "How long a session has to be idle before it may have to go for another.",
    ),
    setting(
        "RUNS_LIMIT_EACH",
        count(Unit::One),
        "32",
        "Runs at once of each principal (the name of a token), in one instance of the worker, one command or page.",
    ),
    setting("RUNS_LIMIT", count(Unit::One), "64", "The same of all."),
    setting(
        "SESSIONS_LIMIT_EACH",
        count(Unit::One),
        "100",
        "Open sessions of each principal. For a further one, one that ran nothing has to go, or one that has been idle for \
         `SESSION_EVICTION_SECONDS`; else it is refused.",
    ),
    setting("SESSIONS_LIMIT", count(Unit::One), "1000", "The same of all."),
    setting(
        "LEGACY_SESSIONS",
        Kind::Word(&["true", "false"]),
        "true",
        "`false`: clients of 2025-11-25 and before get no sessions, each call stands for itself.",
    ),
];

const ACCESS: &[Setting] = &[
    setting(
        "ACCESS",
        Kind::Word(&["token", "none"]),
        "",
        "Who may use the server: `token`, who has one of `ACCESS_TOKENS`; `none`, everybody. Empty: this machine alone.",
    ),
    setting(
        "ACCESS_TOKENS",
        Kind::Text("`NAME:SHA256`"),
        "",
        "A secret, for a deployed worker by `npx wrangler secret put ACCESS_TOKENS`. `cargo xtask token NAME` makes one.",
    ),
    setting(
        "ISOLATION",
        Kind::Word(&["run", "principal"]),
        "run",
        "`run`: a call of no session has a fresh isolate. `principal`: those of one token share an interpreter, with its files \
         and modules, and wait for each other, which is quicker. Needs `ACCESS=token`.",
    )
    .only(OF_WORKERS),
    setting(
        "ALLOWED_HOSTS",
        Kind::Text("host names"),
        "",
        "Names under which the server may be reached, or `*` for any. Empty: loopback names only. A deployed worker needs its \
         own here.",
    ),
    setting(
        "ALLOWED_ORIGINS",
        Kind::Text("origins"),
        "",
        "Origins of web pages that may call the server, besides its own: `https://app.example.com`.",
    ),
];

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
