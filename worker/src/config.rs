//! Settings: the variables of `wrangler.jsonc`, each documented there.

use std::{cell::OnceCell, time::Duration};

use futures::FutureExt;
use mcp_run_python::{
    settings::{Config, Home},
    transport::Platform,
};
use worker::{Date, Env};

thread_local! {
    /// The settings. They never change while an instance of the Worker lives.
    static CONFIG: OnceCell<Result<Config, String>> = const { OnceCell::new() };
}

/// The settings, read at the first request.
///
/// # Errors
/// Names the variable that is wrong, and what it may be.
pub fn read(env: &Env) -> Result<Config, String> {
    // Secrets, such as ACCESS_TOKENS, are read like variables.
    let setting = |name: &str| env.var(name).ok().map(|value| value.to_string());
    CONFIG.with(|config| config.get_or_init(|| Config::read(Home::Worker, &setting, PLATFORM)).clone())
}

/// Timers and tasks of workerd.
pub const PLATFORM: Platform = Platform {
    sleep: |duration| gloo_timers::future::sleep(duration).boxed_local(),
    spawn: wasm_bindgen_futures::spawn_local,
    now: || Duration::from_millis(Date::now().as_millis()),
};
