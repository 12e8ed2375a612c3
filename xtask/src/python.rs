//! Python on this machine, for the clients in the tests and for checking Python code.

use std::{path::PathBuf, process::Command};

use anyhow::{Context, Result};

use crate::step::{Inputs, run, step, target};

fn venv() -> PathBuf {
    target().join("venv")
}

/// Installs what `tests/requirements.txt` names into `target/venv`.
pub fn install() -> Result<()> {
    let inputs = Inputs::default().path("tests/requirements.txt")?;
    step("installing Python packages", inputs, &[venv().join("bin/pytest")], || {
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(venv()))
            .context("Python's venv is needed (on Debian: apt-get install python3-venv)")?;
        run(command("pip").args(["install", "--quiet", "--requirement", "tests/requirements.txt"]))
    })
}

/// A command of that environment.
pub fn command(name: &str) -> Command {
    let mut command = Command::new(venv().join("bin").join(name));
    command.current_dir(crate::step::root());
    command
}
