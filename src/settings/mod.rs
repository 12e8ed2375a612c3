//! Settings, the same in every home: [`table`] has all of them, and `docs/settings.md` is written from it.

pub mod table;

use std::{str::FromStr, time::Duration};

use self::table::{Kind, find};

use crate::{
    auth::Door,
    kept::KeptOptions,
    limits::{Limits, Quotas},
    mcp::ServerOptions,
    packages::{PackageOptions, Room, requirement},
    run::result::ReturnMode,
    transport::{Access, Hosts, Platform, TransportOptions},
};

/// The settings, parsed.
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
    /// How much is kept of what is too large for the results of runs, and for how long.
    pub kept: KeptOptions,
    /// How long a session may be idle.
    pub session_idle: Duration,
    /// How far runs without a session are isolated from each other.
    pub isolation: Isolation,
    /// How many interpreters a worker boots ahead of runs without a session.
    pub booted_ahead: usize,
    /// For packages. Where mirrors and index are not set, the home uses its own.
    pub packages: PackageOptions,
}

/// How far runs without a session are isolated from each other.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Isolation {
    /// Each run has an isolate of its own.
    #[default]
    Run,
    /// Runs of one principal share an interpreter, with its files and modules; the variables are each run's own.
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

/// The homes in which settings are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Home {
    /// A deployed worker. Its defaults are the variables of `wrangler.jsonc`; an empty variable means the general
    /// default.
    Worker,
    /// The same under `cargo xtask dev`, which sets those that differ.
    Dev,
    /// The desk.
    Desk,
    /// A web page.
    Page,
}

impl Home {
    /// Its name in errors and the documents.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Worker => "a worker",
            Self::Dev => "`cargo xtask dev`",
            Self::Desk => "the desk",
            Self::Page => "a page",
        }
    }
}

/// The names of a home's settings.
pub fn names(home: Home) -> impl Iterator<Item = &'static str> {
    table::all().filter(move |setting| setting.homes.contains(&home)).map(|setting| setting.name)
}

/// Checks that the given names are settings.
///
/// # Errors
/// Names the first unknown one, and the settings of this home.
pub fn check_names<'a>(home: Home, given: impl IntoIterator<Item = &'a str>) -> Result<(), String> {
    for name in given {
        if find(name).is_none() {
            let known: Vec<_> = names(home).collect();
            return Err(format!("there is no setting {name}; there are: {}", known.join(", ")));
        }
    }
    Ok(())
}

impl Config {
    /// Reads the settings of a home. `given` looks one up by its name, for example `RETURN_MODE`; an empty value is not
    /// set.
    ///
    /// # Errors
    /// Names the setting that is wrong, and what it may be; or one that this home does not have.
    pub fn read(home: Home, given: &dyn Fn(&str) -> Option<String>, platform: Platform) -> Result<Self, String> {
        let settings = Settings { home, given };
        settings.refuse_those_of_others()?;
        let limits = settings.limits()?;
        let return_mode = settings.parsed::<ReturnMode>("RETURN_MODE")?.unwrap_or_default();
        let [access, tokens] = ["ACCESS", "ACCESS_TOKENS"].map(|name| settings.get(name).unwrap_or_default());
        let door = Door::parse(&access, &tokens)?;
        let files = settings.get("FILES");
        let isolation = settings.parsed::<Isolation>("ISOLATION")?.unwrap_or_default();
        // **Boundary.** Without tokens, every stranger is the same principal.
        if isolation == Isolation::Principal && !matches!(door, Door::Tokens(_)) {
            return Err(
                "ISOLATION is `principal`: that needs ACCESS=token, as strangers would share an interpreter".into()
            );
        }
        let hosts = match settings.list("ALLOWED_HOSTS").as_slice() {
            // A page that gets here by DNS rebinding has no token.
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
            memory_total: settings.count_if_set("MEMORY_LIMIT_TOTAL_MB")?,
            files,
            kept: KeptOptions::new(limits.kept_bytes, settings.time("KEPT_MINUTES")?),
            session_idle: settings.time("SESSION_IDLE_SECONDS")?,
            isolation,
            booted_ahead: settings.count("INTERPRETERS_BOOTED_AHEAD")?,
        })
    }
}

/// Names the setting that an error is about.
fn named(name: &'static str) -> impl Fn(String) -> String {
    move |why| format!("{name}: {why}")
}

/// The longest time, in seconds: 23 days. JavaScript's timers reach no further than 24.
const MAX_SECONDS: f64 = 2_000_000.0;

struct Settings<'a> {
    home: Home,
    given: &'a dyn Fn(&str) -> Option<String>,
}

impl Settings<'_> {
    /// The value of a setting, or its default.
    fn get(&self, name: &str) -> Option<String> {
        let default = || {
            // A worker's defaults are its variables; an empty one means the general default.
            let default = |setting: &table::Setting| match self.home {
                Home::Worker => setting.default,
                home => setting.default_in(home),
            };
            find(name).map(default).map(str::to_owned)
        };
        (self.given)(name).filter(|value| !value.is_empty()).or_else(default).filter(|value| !value.is_empty())
    }

    /// Refuses settings that this home would ignore, unless they have their default value.
    fn refuse_those_of_others(&self) -> Result<(), String> {
        for setting in table::all().filter(|setting| !setting.homes.contains(&self.home)) {
            let value = (self.given)(setting.name).unwrap_or_default();
            if !value.is_empty() && value != setting.default {
                let homes: Vec<_> = setting.homes.iter().map(|home| home.name()).collect();
                return Err(format!("{} is `{value}`: that is for {} only", setting.name, homes.join(" and ")));
            }
        }
        Ok(())
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
            snapshots: self.count("SNAPSHOTS_LIMIT_MB")?,
            room: Room { memory: limits.memory, budget: limits.budget, ..Room::default() },
        })
    }

    /// Addresses of folders: each ends in `/`.
    fn addresses(&self, name: &str) -> Result<Vec<String>, String> {
        let folder = |address: String| {
            // Clients are told where packages are fetched from.
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
        Ok(Limits {
            time: self.time("TIME_LIMIT_SECONDS")?,
            grace: self.time("GRACE_SECONDS")?,
            fuel: self.count("FUEL_LIMIT_MILLIONS")? as u64,
            memory: self.count("MEMORY_LIMIT_MB")?,
            budget: self.count_if_set("MEMORY_BUDGET_MB")?,
            output_bytes: self.count("OUTPUT_LIMIT_KB")?,
            output_lines: self.count("OUTPUT_LIMIT_LINES")?,
            line_bytes: self.count("LINE_LIMIT_KB")?,
            logs_per_second: self.count("LOG_LIMIT_PER_SECOND")?,
            value_bytes: self.count("VALUE_LIMIT_KB")?,
            value_items: self.count("VALUE_LIMIT_ITEMS")?,
            value_depth: self.count("VALUE_LIMIT_DEPTH")?,
            result_bytes: self.count("RESULT_LIMIT_KB")?,
            images: self.count("IMAGES_LIMIT")?,
            image_bytes: self.count("IMAGE_LIMIT_KB")?,
            table_rows: self.count("TABLE_ROWS")?,
            table_columns: self.count("TABLE_COLUMNS")?,
            code_bytes: self.count("CODE_LIMIT_KB")?,
            globals_bytes: self.count("GLOBALS_LIMIT_KB")?,
            globals_depth: self.count("GLOBALS_LIMIT_DEPTH")?,
            files: self.count("FILES_LIMIT")?,
            file_bytes: self.count("FILES_LIMIT_MB")?,
            files_told: self.count("RESULT_FILES_LIMIT")?,
            embed_bytes: self.count("RESULT_FILE_LIMIT_KB")?,
            kept_bytes: self.count("KEPT_FILES_LIMIT_MB")?,
            // No client's run may make calls.
            calls: Limits::default().calls,
        })
    }

    /// How much may go on at once.
    fn quotas(&self) -> Result<Quotas, String> {
        Ok(Quotas {
            runs_each: self.count("RUNS_LIMIT_EACH")?,
            runs: self.count("RUNS_LIMIT")?,
            sessions_each: self.count("SESSIONS_LIMIT_EACH")?,
            sessions: self.count("SESSIONS_LIMIT")?,
            evictable_after: self.time("SESSION_EVICTION_SECONDS")?,
        })
    }

    fn count(&self, name: &str) -> Result<usize, String> {
        self.count_if_set(name)?.ok_or_else(|| format!("{name} is not set"))
    }

    /// A number of bytes, or of things.
    fn count_if_set(&self, name: &str) -> Result<Option<usize>, String> {
        let Some(Kind::Count { unit, least, most }) = find(name).map(|setting| setting.kind) else {
            return Err(format!("there is no number {name}"));
        };
        let Some(value) = self.get(name) else { return Ok(None) };
        let most = most.unwrap_or(usize::MAX / unit.size());
        let count = value.trim().parse().ok().filter(|count: &usize| (least..=most).contains(count));
        count.and_then(|count| count.checked_mul(unit.size())).map(Some).ok_or_else(|| {
            let of = if unit.name().is_empty() { String::new() } else { format!(" of {}", unit.name()) };
            format!("{name} is `{value}`: it must be a whole number{of}, from {least} to {most}")
        })
    }

    fn time(&self, name: &str) -> Result<Duration, String> {
        let Some(Kind::Time { units, seconds }) = find(name).map(|setting| setting.kind) else {
            return Err(format!("there is no time {name}"));
        };
        let value = self.get(name).unwrap_or_default();
        let most = (MAX_SECONDS / seconds).floor();
        let count = value.trim().parse().ok().filter(|count| *count > 0.0 && *count <= most);
        let time = count.and_then(|count: f64| Duration::try_from_secs_f64(count * seconds).ok());
        time.ok_or_else(|| {
            format!("{name} is `{value}`: it must be a number of {units}, more than 0 and at most {most}")
        })
    }
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt, future};

    use super::*;

    const MIB: usize = 1024 * 1024;

    fn read(settings: &[(&str, &str)]) -> Result<Config, String> {
        read_in(Home::Worker, settings)
    }

    fn read_in(home: Home, settings: &[(&str, &str)]) -> Result<Config, String> {
        let setting =
            |name: &str| settings.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        Config::read(
            home,
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
    fn a_home_refuses_what_it_does_not_do() {
        for (home, name, value, why) in [
            (Home::Page, "MEMORY_LIMIT_TOTAL_MB", "500", "the desk only"),
            (Home::Worker, "MEMORY_LIMIT_TOTAL_MB", "500", "the desk only"),
            (Home::Page, "FILES", "/srv/data", "the desk only"),
            (Home::Desk, "INTERPRETERS_BOOTED_AHEAD", "2", "a worker and `cargo xtask dev` only"),
            (Home::Desk, "ISOLATION", "principal", "a worker and `cargo xtask dev` only"),
        ] {
            assert_eq!(read_in(home, &[(name, value)]).unwrap_err(), format!("{name} is `{value}`: that is for {why}"));
            assert!(read_in(home, &[(name, "")]).is_ok());
        }
        // The default value is accepted anyway.
        assert!(read_in(Home::Desk, &[("ISOLATION", "run"), ("INTERPRETERS_BOOTED_AHEAD", "0")]).is_ok());
        let desk = read_in(Home::Desk, &[("MEMORY_LIMIT_TOTAL_MB", "500"), ("FILES", "/srv/data")]).unwrap();
        assert_eq!((desk.memory_total, desk.files.as_deref()), (Some(500 * MIB), Some("/srv/data")));
        assert!(desk.server.has_data);
    }

    #[test]
    fn interpreters_are_booted_ahead_by_a_worker_that_is_told_so() {
        let of = |value| read(&[("INTERPRETERS_BOOTED_AHEAD", value)]);
        assert_eq!(read(&[]).unwrap().booted_ahead, 0);
        assert_eq!(of("2").unwrap().booted_ahead, 2);
        for value in ["9", "-1", "many"] {
            let why = of(value).unwrap_err();
            assert!(why.contains("it must be a whole number, from 0 to 8"), "{why}");
        }
    }

    #[test]
    fn what_nobody_sets_is_as_the_core_has_it() {
        let config = read(&[]).unwrap();
        assert_eq!(format!("{:?}", config.server.limits), format!("{:?}", Limits::default()));
        assert_eq!(format!("{:?}", config.quotas), format!("{:?}", Quotas::default()));
    }

    #[test]
    fn a_name_that_there_is_not_is_told() {
        assert_eq!(check_names(Home::Desk, ["FILES", "PACKAGES"]), Ok(()));
        let why = check_names(Home::Page, ["TIME_LIMIT"]).unwrap_err();
        assert!(why.starts_with("there is no setting TIME_LIMIT; there are: TIME_LIMIT_SECONDS, "), "{why}");
        assert!(!why.contains("FILES,"), "{why}");
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
        let why = read(&[("ISOLATION", "nothing")]).unwrap_err();
        assert_eq!(why, "ISOLATION is `nothing`: it must be `run` or `principal`");
    }
}
