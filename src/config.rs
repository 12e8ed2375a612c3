//! Settings, the same in every home. README.md has the table of them.

use std::{str::FromStr, time::Duration};

use crate::{
    limits::Limits,
    packages::{PackageOptions, Room, requirement},
    report::ReturnMode,
    server::ServerOptions,
    transport::{Access, Hosts, Platform, TransportOptions},
};

/// What the settings say.
#[derive(Debug, Clone)]
pub struct Config {
    /// For the MCP server.
    pub server: ServerOptions,
    /// For its transport.
    pub transport: TransportOptions,
    /// How long a session may be idle.
    pub session_idle: Duration,
    /// For packages. Where mirrors and index are not set, the home has its own.
    pub packages: PackageOptions,
}

impl Config {
    /// Reads the settings. `setting` gives one by its name, for example `RETURN_MODE`; one that is empty is not set.
    ///
    /// # Errors
    /// Names the setting that is wrong, and what it may be.
    pub fn read(setting: &dyn Fn(&str) -> Option<String>, platform: Platform) -> Result<Self, String> {
        let settings = Settings(setting);
        let defaults = Limits::default();
        let limits = Limits { time: settings.seconds("TIME_LIMIT_SECONDS", defaults.time)?, ..defaults };
        let return_mode = settings.parsed::<ReturnMode>("RETURN_MODE")?.unwrap_or_default();
        let hosts = match settings.list("ALLOWED_HOSTS").as_slice() {
            [] => Hosts::Loopback,
            [any] if any == "*" => Hosts::Any,
            names => Hosts::Only(names.to_vec()),
        };
        Ok(Self {
            server: ServerOptions { limits, return_mode },
            transport: TransportOptions {
                access: Access { hosts, origins: settings.list("ALLOWED_ORIGINS") },
                legacy_sessions: settings.parsed("LEGACY_SESSIONS")?.unwrap_or(true),
                ..TransportOptions::new(platform)
            },
            packages: settings.packages()?,
            session_idle: settings.seconds("SESSION_IDLE_SECONDS", Duration::from_secs(30 * 60))?,
        })
    }
}

/// Names the setting that an error is about.
fn named(name: &'static str) -> impl Fn(String) -> String {
    move |why| format!("{name}: {why}")
}

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

    fn packages(&self) -> Result<PackageOptions, String> {
        let names =
            |name: &'static str| requirement::parse_names(&self.get(name).unwrap_or_default()).map_err(named(name));
        let dependencies = self.get("DEPENDENCIES").unwrap_or_default();
        Ok(PackageOptions {
            source: self.parsed("PACKAGES")?.unwrap_or_default(),
            dependencies: requirement::parse_list(&dependencies).map_err(named("DEPENDENCIES"))?,
            allowed: names("ALLOWED_PACKAGES")?,
            denied: names("DENIED_PACKAGES")?,
            mirrors: self.addresses("PACKAGE_MIRRORS")?,
            index: self.addresses("PACKAGE_INDEX")?.pop(),
            room: Room::default(),
        })
    }

    /// Addresses of folders: each ends in `/`.
    fn addresses(&self, name: &str) -> Result<Vec<String>, String> {
        let folder = |address: String| {
            if address.starts_with("https://") || address.starts_with("http://") {
                Ok(format!("{}/", address.trim_end_matches('/')))
            } else {
                Err(format!("{name} is `{address}`: it must begin with https:// or http://"))
            }
        };
        self.list(name).into_iter().map(folder).collect()
    }

    fn seconds(&self, name: &str, default: Duration) -> Result<Duration, String> {
        match self.parsed::<f64>(name)? {
            None => Ok(default),
            Some(seconds) if seconds > 0.0 => {
                Duration::try_from_secs_f64(seconds).map_err(|error| format!("{name}: {error}"))
            }
            Some(seconds) => Err(format!("{name} is {seconds}: it must be more than 0")),
        }
    }
}
