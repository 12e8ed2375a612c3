//! Settings, the same in every home. docs/settings.md has the table of them.

use std::{str::FromStr, time::Duration};

use crate::{
    auth::Door,
    kept::KeptOptions,
    limits::{Limits, MAX_AHEAD, Quotas},
    mcp::ServerOptions,
    packages::{PackageOptions, Room, requirement},
    run::result::ReturnMode,
    transport::{Access, Hosts, Platform, TransportOptions},
};

/// What the settings say.
#[derive(Debug, Clone)]
pub struct Config {
    /// For the MCP server.
    pub server: ServerOptions,
    /// For its transport.
    pub transport: TransportOptions,
    /// How much may go on at once.
    pub quotas: Quotas,
    /// How much memory all interpreters may hold, in bytes, where the home can measure it (the desk); `None`: not set.
    pub memory_total: Option<usize>,
    /// The folder whose files every run can read, where the home has folders (the desk).
    pub files: Option<String>,
    /// How much is kept that is too large for the results of runs, and for how long.
    pub kept: KeptOptions,
    /// How long a session may be idle.
    pub session_idle: Duration,
    /// What runs of no session share.
    pub isolation: Isolation,
    /// How many interpreters a worker boots ahead of runs of no session.
    pub booted_ahead: usize,
    /// For packages. Where mirrors and index are not set, the home has its own.
    pub packages: PackageOptions,
}

/// What runs of no session share.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Isolation {
    /// Nothing: each has an isolate of its own.
    #[default]
    Run,
    /// Those of one principal share an interpreter, with its files and modules; the variables are each run's own.
    Principal,
}

impl FromStr for Isolation {
    type Err = &'static str;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "run" => Ok(Self::Run),
            "principal" => Ok(Self::Principal),
            _ => Err("it must be `run` or `principal`"),
        }
    }
}

impl Config {
    /// Reads the settings. `setting` gives one by its name, for example `RETURN_MODE`; one that is empty is not set.
    ///
    /// # Errors
    /// Names the setting that is wrong, and what it may be.
    pub fn read(setting: &dyn Fn(&str) -> Option<String>, platform: Platform) -> Result<Self, String> {
        let settings = Settings(setting);
        let limits = settings.limits()?;
        let return_mode = settings.parsed::<ReturnMode>("RETURN_MODE")?.unwrap_or_default();
        let [access, tokens] = ["ACCESS", "ACCESS_TOKENS"].map(|name| settings.get(name).unwrap_or_default());
        let door = Door::parse(&access, &tokens)?;
        let files = settings.get("FILES");
        let isolation = settings.parsed::<Isolation>("ISOLATION")?.unwrap_or_default();
        // **Boundary.** Who needs no token is of the same principal as every stranger.
        if isolation == Isolation::Principal && !matches!(door, Door::Tokens(_)) {
            return Err(
                "ISOLATION is `principal`: that needs ACCESS=token, as strangers would share an interpreter".into()
            );
        }
        let hosts = match settings.list("ALLOWED_HOSTS").as_slice() {
            // What DNS rebinding could reach has no token.
            [] if matches!(door, Door::Tokens(_)) => Hosts::Any,
            [] => Hosts::Loopback,
            [any] if any == "*" => Hosts::Any,
            names => Hosts::Only(names.to_vec()),
        };
        Ok(Self {
            server: ServerOptions { limits, return_mode, has_data: files.is_some() },
            transport: TransportOptions {
                access: Access { hosts, origins: settings.list("ALLOWED_ORIGINS"), door },
                legacy_sessions: settings.parsed("LEGACY_SESSIONS")?.unwrap_or(true),
                ..TransportOptions::new(platform)
            },
            packages: settings.packages(&limits)?,
            quotas: settings.quotas()?,
            memory_total: settings.size_if_set("MEMORY_LIMIT_TOTAL_MB", MIB)?,
            files,
            kept: KeptOptions::new(
                limits.kept_bytes,
                settings.time("KEPT_MINUTES", Duration::from_secs(15 * 60), "minutes", 60.0)?,
            ),
            session_idle: settings.seconds("SESSION_IDLE_SECONDS", Duration::from_secs(30 * 60))?,
            isolation,
            booted_ahead: settings.booted_ahead()?,
        })
    }
}

impl Config {
    /// The same, of a home in which nobody shares an interpreter.
    ///
    /// # Errors
    /// The settings want that.
    pub fn with_no_shared_interpreters(self) -> Result<Self, String> {
        match self.isolation {
            Isolation::Run => Ok(self),
            Isolation::Principal => Err("ISOLATION is `principal`: that is for the worker only".into()),
        }
    }

    /// The same, of a home that sees to that by itself.
    ///
    /// # Errors
    /// The settings want interpreters booted ahead.
    pub fn with_none_booted_ahead(self) -> Result<Self, String> {
        match self.booted_ahead {
            0 => Ok(self),
            _ => Err(format!("{BOOTED_AHEAD}: that is for the worker only")),
        }
    }

    /// The same, of a home that is no program on a machine: it has no folders, and cannot measure its memory.
    ///
    /// # Errors
    /// The settings name a folder, or limit the memory.
    pub fn with_no_machine(self) -> Result<Self, String> {
        if self.memory_total.is_some() {
            return Err("MEMORY_LIMIT_TOTAL_MB: that is for the desk only, which can measure it".into());
        }
        match self.files {
            None => Ok(self),
            Some(_) => Err("FILES: that is for the desk only, which has folders".into()),
        }
    }
}

/// How many interpreters are booted ahead.
const BOOTED_AHEAD: &str = "INTERPRETERS_BOOTED_AHEAD";

/// Names the setting that an error is about.
fn named(name: &'static str) -> impl Fn(String) -> String {
    move |why| format!("{name}: {why}")
}

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;
const MILLION: usize = 1_000_000;

/// The longest time: 23 days. Timers of JavaScript have no more than 24.
const MAX_SECONDS: f64 = 2_000_000.0;

struct Settings<'a>(&'a dyn Fn(&str) -> Option<String>);

impl Settings<'_> {
    fn get(&self, name: &str) -> Option<String> {
        (self.0)(name).filter(|value| !value.is_empty())
    }

    fn parsed<T: FromStr<Err: std::fmt::Display>>(&self, name: &str) -> Result<Option<T>, String> {
        self.get(name).map(|value| value.parse().map_err(|error| format!("{name} is `{value}`: {error}"))).transpose()
    }

    fn list(&self, name: &str) -> Vec<String> {
        let value = self.get(name).unwrap_or_default();
        value.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect()
    }

    fn packages(&self, limits: &Limits) -> Result<PackageOptions, String> {
        let names =
            |name: &'static str| requirement::parse_names(&self.get(name).unwrap_or_default()).map_err(named(name));
        let dependencies = self.get("DEPENDENCIES").unwrap_or_default();
        Ok(PackageOptions {
            source: self.parsed("PACKAGES")?.unwrap_or_default(),
            dependencies: requirement::parse_list(&dependencies).map_err(named("DEPENDENCIES"))?,
            allowed: names("ALLOWED_PACKAGES")?,
            denied: names("DENIED_PACKAGES")?,
            mirrors: self.addresses("PACKAGE_MIRRORS")?,
            indexes: self.addresses("PACKAGE_INDEX")?,
            snapshots: self.size_or_none("SNAPSHOTS_LIMIT_MB", 0, MIB)?,
            room: Room { memory: limits.memory, budget: limits.budget, ..Room::default() },
        })
    }

    fn booted_ahead(&self) -> Result<usize, String> {
        let Some(value) = self.get(BOOTED_AHEAD) else { return Ok(0) };
        let count = value.trim().parse().ok().filter(|count| *count <= MAX_AHEAD);
        count.ok_or_else(|| format!("{BOOTED_AHEAD} is `{value}`: it must be a whole number, from 0 to {MAX_AHEAD}"))
    }

    /// Addresses of folders: each ends in `/`.
    fn addresses(&self, name: &str) -> Result<Vec<String>, String> {
        let folder = |address: String| {
            // What is fetched from where is told to clients.
            if address.contains('@') {
                Err(format!("{name}: an address must not have a user or a password in it (the desk reads ~/.netrc)"))
            } else if address.starts_with("https://") || address.starts_with("http://") {
                Ok(format!("{}/", address.trim_end_matches('/')))
            } else {
                Err(format!("{name} is `{address}`: it must begin with https:// or http://"))
            }
        };
        self.list(name).into_iter().map(folder).collect()
    }

    /// How much a run may use.
    fn limits(&self) -> Result<Limits, String> {
        let defaults = Limits::default();
        Ok(Limits {
            time: self.seconds("TIME_LIMIT_SECONDS", defaults.time)?,
            grace: self.seconds("GRACE_SECONDS", defaults.grace)?,
            fuel: self.size("FUEL_LIMIT_MILLIONS", defaults.fuel as usize, MILLION)? as u64,
            memory: self.size("MEMORY_LIMIT_MB", defaults.memory, MIB)?,
            budget: self.size_if_set("MEMORY_BUDGET_MB", MIB)?.or(defaults.budget),
            output_bytes: self.size("OUTPUT_LIMIT_KB", defaults.output_bytes, KIB)?,
            output_lines: self.size("OUTPUT_LIMIT_LINES", defaults.output_lines, 1)?,
            line_bytes: self.size("LINE_LIMIT_KB", defaults.line_bytes, KIB)?,
            logs_per_second: self.size("LOG_LIMIT_PER_SECOND", defaults.logs_per_second, 1)?,
            value_bytes: self.size("VALUE_LIMIT_KB", defaults.value_bytes, KIB)?,
            value_items: self.size("VALUE_LIMIT_ITEMS", defaults.value_items, 1)?,
            value_depth: self.size("VALUE_LIMIT_DEPTH", defaults.value_depth, 1)?,
            result_bytes: self.size("RESULT_LIMIT_KB", defaults.result_bytes, KIB)?,
            images: self.size("IMAGES_LIMIT", defaults.images, 1)?,
            image_bytes: self.size("IMAGE_LIMIT_KB", defaults.image_bytes, KIB)?,
            table_rows: self.size("TABLE_ROWS", defaults.table_rows, 1)?,
            table_columns: self.size("TABLE_COLUMNS", defaults.table_columns, 1)?,
            code_bytes: self.size("CODE_LIMIT_KB", defaults.code_bytes, KIB)?,
            globals_bytes: self.size("GLOBALS_LIMIT_KB", defaults.globals_bytes, KIB)?,
            globals_depth: self.size("GLOBALS_LIMIT_DEPTH", defaults.globals_depth, 1)?,
            files: self.size("FILES_LIMIT", defaults.files, 1)?,
            file_bytes: self.size("FILES_LIMIT_MB", defaults.file_bytes, MIB)?,
            files_told: self.size("RESULT_FILES_LIMIT", defaults.files_told, 1)?,
            embed_bytes: self.size("RESULT_FILE_LIMIT_KB", defaults.embed_bytes, KIB)?,
            kept_bytes: self.size_or_none("KEPT_FILES_LIMIT_MB", defaults.kept_bytes, MIB)?,
            // No client has a run that may call.
            calls: defaults.calls,
        })
    }

    /// How much may go on at once.
    fn quotas(&self) -> Result<Quotas, String> {
        let defaults = Quotas::default();
        Ok(Quotas {
            runs_each: self.size("RUNS_LIMIT_EACH", defaults.runs_each, 1)?,
            runs: self.size("RUNS_LIMIT", defaults.runs, 1)?,
            sessions_each: self.size("SESSIONS_LIMIT_EACH", defaults.sessions_each, 1)?,
            sessions: self.size("SESSIONS_LIMIT", defaults.sessions, 1)?,
            evictable_after: self.seconds("SESSION_EVICTION_SECONDS", defaults.evictable_after)?,
        })
    }

    fn size(&self, name: &str, default: usize, unit: usize) -> Result<usize, String> {
        Ok(self.size_if_set(name, unit)?.unwrap_or(default))
    }

    /// The same, or 0.
    fn size_or_none(&self, name: &str, default: usize, unit: usize) -> Result<usize, String> {
        match self.get(name).as_deref().map(str::trim) {
            Some("0") => Ok(0),
            _ => self.size(name, default, unit),
        }
    }

    /// A whole number of `unit`s, at least one.
    fn size_if_set(&self, name: &str, unit: usize) -> Result<Option<usize>, String> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let count = value.trim().parse().ok().filter(|count| *count > 0);
        count.and_then(|count: usize| count.checked_mul(unit)).map(Some).ok_or_else(|| {
            let of = match unit {
                KIB => " of KiB",
                MIB => " of MiB",
                MILLION => " of millions",
                _ => "",
            };
            format!("{name} is `{value}`: it must be a whole number{of}, from 1 to {}", usize::MAX / unit)
        })
    }

    fn seconds(&self, name: &str, default: Duration) -> Result<Duration, String> {
        self.time(name, default, "seconds", 1.0)
    }

    /// A number of `units`, of so many seconds each.
    fn time(&self, name: &str, default: Duration, units: &str, unit: f64) -> Result<Duration, String> {
        let Some(value) = self.get(name) else { return Ok(default) };
        let most = (MAX_SECONDS / unit).floor();
        let count = value.trim().parse().ok().filter(|count| *count > 0.0 && *count <= most);
        let time = count.and_then(|count: f64| Duration::try_from_secs_f64(count * unit).ok());
        time.ok_or_else(|| {
            format!("{name} is `{value}`: it must be a number of {units}, more than 0 and at most {most}")
        })
    }
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt, future};

    use super::*;

    fn read(settings: &[(&str, &str)]) -> Result<Config, String> {
        let setting =
            |name: &str| settings.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        Config::read(
            &setting,
            Platform { sleep: |_| future::pending().boxed_local(), spawn: |_| {}, now: Duration::default },
        )
    }

    #[test]
    fn errors_say_what_a_setting_is_and_what_it_may_be() {
        let seconds = "it must be a number of seconds, more than 0 and at most 2000000";
        for value in ["abc", "0", "-1", "NaN", "inf", "1e300"] {
            let why = read(&[("TIME_LIMIT_SECONDS", value)]).unwrap_err();
            assert_eq!(why, format!("TIME_LIMIT_SECONDS is `{value}`: {seconds}"));
        }
        for (name, value, what) in [
            ("MEMORY_LIMIT_MB", "1.5", "a whole number of MiB, from 1 to "),
            ("LINE_LIMIT_KB", "0", "a whole number of KiB, from 1 to "),
            ("FUEL_LIMIT_MILLIONS", "99999999999999999999", "a whole number of millions, from 1 to "),
            ("RUNS_LIMIT", "many", "a whole number, from 1 to "),
            ("FILES_LIMIT_MB", "18446744073709551615", "a whole number of MiB, from 1 to "),
        ] {
            let why = read(&[(name, value)]).unwrap_err();
            assert!(why.starts_with(&format!("{name} is `{value}`: it must be {what}")), "{why}");
        }
        assert_eq!(read(&[("TIME_LIMIT_SECONDS", "0.5")]).unwrap().server.limits.time, Duration::from_millis(500));
    }

    #[test]
    fn what_is_kept_may_be_nothing() {
        let of = |settings: &[(&str, &str)]| {
            let config = read(settings).unwrap();
            (config.server.limits.kept_bytes, config.kept.each, config.kept.all, config.kept.time.as_secs())
        };
        let mib = MIB as u64;
        assert_eq!(of(&[]), (64 * MIB, 256 * mib, 1024 * mib, 900));
        assert_eq!(of(&[("KEPT_FILES_LIMIT_MB", "8"), ("KEPT_MINUTES", "0.5")]), (8 * MIB, 32 * mib, 128 * mib, 30));
        assert_eq!(of(&[("KEPT_FILES_LIMIT_MB", "0")]), (0, 0, 0, 900));
        let why = read(&[("KEPT_MINUTES", "0")]).unwrap_err();
        assert_eq!(why, "KEPT_MINUTES is `0`: it must be a number of minutes, more than 0 and at most 33333");
    }

    #[test]
    fn a_limit_that_a_home_cannot_keep_is_refused() {
        let limited = read(&[("MEMORY_LIMIT_TOTAL_MB", "500")]).unwrap();
        assert_eq!(limited.memory_total, Some(500 * MIB));
        assert!(limited.with_no_machine().unwrap_err().contains("MEMORY_LIMIT_TOTAL_MB"));
        let with_files = read(&[("FILES", "/srv/data")]).unwrap();
        assert!(with_files.server.has_data);
        assert!(with_files.with_no_machine().unwrap_err().contains("FILES"));
        let neither = read(&[]).unwrap().with_no_machine().unwrap();
        assert_eq!((neither.memory_total, neither.files, neither.server.has_data), (None, None, false));
    }

    #[test]
    fn interpreters_are_booted_ahead_by_a_worker_that_is_told_so() {
        let of = |value| read(&[("INTERPRETERS_BOOTED_AHEAD", value)]);
        assert_eq!(read(&[]).unwrap().booted_ahead, 0);
        assert_eq!(of("0").unwrap().with_none_booted_ahead().unwrap().booted_ahead, 0);
        assert_eq!(of("2").unwrap().booted_ahead, 2);
        assert!(of("2").unwrap().with_none_booted_ahead().unwrap_err().contains("worker only"));
        for value in ["9", "-1", "many"] {
            let why = of(value).unwrap_err();
            assert!(why.contains("it must be a whole number, from 0 to 8"), "{why}");
        }
    }

    #[test]
    fn an_interpreter_is_shared_by_those_only_who_have_a_token() {
        let tokens = format!("ann:{}", "0".repeat(64));
        let of_principal = [("ISOLATION", "principal"), ("ACCESS", "token"), ("ACCESS_TOKENS", &*tokens)];
        assert_eq!(read(&[]).unwrap().isolation, Isolation::Run);
        assert_eq!(read(&of_principal[1..]).unwrap().isolation, Isolation::Run);
        assert_eq!(read(&of_principal).unwrap().isolation, Isolation::Principal);
        for access in ["", "none"] {
            let why = read(&[("ISOLATION", "principal"), ("ACCESS", access)]).unwrap_err();
            assert!(why.contains("ISOLATION is `principal`: that needs ACCESS=token"), "{why}");
        }
        assert!(read(&of_principal).unwrap().with_no_shared_interpreters().is_err());
        let why = read(&[("ISOLATION", "nothing")]).unwrap_err();
        assert_eq!(why, "ISOLATION is `nothing`: it must be `run` or `principal`");
    }
}
