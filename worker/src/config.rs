//! Settings: the variables of `wrangler.jsonc`, each documented there.

use std::{str::FromStr, time::Duration};

use futures::FutureExt;
use mcp_run_python::{
    limits::Limits,
    report::ReturnMode,
    server::ServerOptions,
    transport::{Access, Hosts, Platform, TransportOptions},
};
use worker::Env;

/// What the variables say.
pub struct Config {
    /// For the MCP server.
    pub server: ServerOptions,
    /// For its transport.
    pub transport: TransportOptions,
    /// How long a session may be idle.
    pub session_idle: Duration,
}

impl Config {
    /// Reads the variables.
    ///
    /// # Errors
    /// Names the variable that is wrong, and what it may be.
    pub fn read(env: &Env) -> Result<Self, String> {
        let defaults = Limits::default();
        let limits = Limits { time: seconds(env, "TIME_LIMIT_SECONDS", defaults.time)?, ..defaults };
        let return_mode = parsed::<ReturnMode>(env, "RETURN_MODE")?.unwrap_or_default();
        let hosts = match list(env, "ALLOWED_HOSTS").as_slice() {
            [] => Hosts::Loopback,
            [any] if any == "*" => Hosts::Any,
            names => Hosts::Only(names.to_vec()),
        };
        Ok(Self {
            server: ServerOptions { limits, return_mode },
            transport: TransportOptions {
                access: Access { hosts, origins: list(env, "ALLOWED_ORIGINS") },
                legacy_sessions: parsed(env, "LEGACY_SESSIONS")?.unwrap_or(true),
                ..TransportOptions::new(PLATFORM)
            },
            session_idle: seconds(env, "SESSION_IDLE_SECONDS", Duration::from_secs(30 * 60))?,
        })
    }
}

/// Timers and tasks of workerd.
pub const PLATFORM: Platform = Platform {
    sleep: |duration| gloo_timers::future::sleep(duration).boxed_local(),
    spawn: wasm_bindgen_futures::spawn_local,
};

/// A variable; one that is empty is not set.
fn variable(env: &Env, name: &str) -> Option<String> {
    env.var(name).ok().map(|value| value.to_string()).filter(|value| !value.is_empty())
}

fn parsed<T: FromStr<Err: std::fmt::Display>>(env: &Env, name: &str) -> Result<Option<T>, String> {
    variable(env, name).map(|value| value.parse().map_err(|error| format!("{name} is `{value}`: {error}"))).transpose()
}

fn list(env: &Env, name: &str) -> Vec<String> {
    let value = variable(env, name).unwrap_or_default();
    value.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect()
}

fn seconds(env: &Env, name: &str, default: Duration) -> Result<Duration, String> {
    match parsed::<f64>(env, name)? {
        None => Ok(default),
        Some(seconds) if seconds > 0.0 => {
            Duration::try_from_secs_f64(seconds).map_err(|error| format!("{name}: {error}"))
        }
        Some(seconds) => Err(format!("{name} is {seconds}: it must be more than 0")),
    }
}
