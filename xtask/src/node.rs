//! Node, and what npm installs.

use std::{env, ffi::OsString, process::Command};

use anyhow::{Context, Result};

use crate::step::{Inputs, root, run, step, target};

/// Installs the packages of `package-lock.json`; Node itself, in the version that wrangler needs, is one of
/// them.
pub fn install() -> Result<()> {
    let inputs = Inputs::default().path("package.json")?.path("package-lock.json")?;
    let outputs = [root().join("node_modules/.bin/wrangler"), root().join("node_modules/.bin/node")];
    step("installing npm packages", inputs, &outputs, || {
        run(Command::new("npm").args(["ci", "--no-audit", "--no-fund", "--loglevel=error"]).current_dir(root()))
            .context("npm is needed (it comes with Node)")
    })
}

/// `PATH` with the commands of npm packages, and `node`, first.
pub fn path() -> OsString {
    let mut path = OsString::from(root().join("node_modules/.bin"));
    if let Some(inherited) = env::var_os("PATH") {
        path.push(":");
        path.push(inherited);
    }
    path
}

/// A command of an npm package, or `node` itself.
pub fn command(name: &str) -> Command {
    let mut command = Command::new(root().join("node_modules/.bin").join(name));
    command
        .env("PATH", path())
        .env("CI", "1")
        .env("WRANGLER_SEND_METRICS", "false")
        .env("WRANGLER_HIDE_BANNER", "true")
        // wrangler is megabytes of scripts, which each start would compile again.
        .env("NODE_COMPILE_CACHE", target().join("node-cache"))
        .current_dir(root());
    command
}
