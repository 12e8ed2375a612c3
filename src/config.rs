//! Settings, the same in every home. README.md has the table of them.

use std::{str::FromStr, time::Duration};

use crate::{
    limits::Limits,
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
            session_idle: settings.seconds("SESSION_IDLE_SECONDS", Duration::from_secs(30 * 60))?,
        })
    }
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
