//! Settings: the variables of `wrangler.jsonc`, each documented there.

use std::time::Duration;

use futures::FutureExt;
use mcp_run_python::{config::Config, transport::Platform};
use worker::{Date, Env};

/// Reads the variables.
///
/// # Errors
/// Names the variable that is wrong, and what it may be.
pub fn read(env: &Env) -> Result<Config, String> {
    // A secret, as ACCESS_TOKENS is to be, looks like a variable.
    Config::read(&|name| env.var(name).ok().map(|value| value.to_string()), PLATFORM)
}

/// Timers and tasks of workerd.
pub const PLATFORM: Platform = Platform {
    sleep: |duration| gloo_timers::future::sleep(duration).boxed_local(),
    spawn: wasm_bindgen_futures::spawn_local,
    now: || Duration::from_millis(Date::now().as_millis()),
};
