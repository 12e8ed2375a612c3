//! The Python package: a wheel with the desk's program, for this system.

use std::{fs, path::PathBuf};

use anyhow::{Context, Result, bail};

use crate::{
    build, python,
    step::{Inputs, root, run, step, target},
};

/// The largest wheel that PyPI takes without a higher limit being requested, in bytes.
const MAX_WHEEL: u64 = 100_000_000;

/// Builds the wheel; returns its path.
pub fn build() -> Result<PathBuf> {
    let home = build::home()?;
    python::PACKAGE.install()?;
    let folder = target().join("wheel");
    let inputs = Inputs::default()
        // With the hash of workerd, which is large.
        .path(home.join("runtime"))?
        .path(home.join("browser"))?
        .path(home.join("mcp-run-python"))?
        .path("python/src")?
        .path("python/build.py")?
        .path("python/pyproject.toml")?
        .path("python/README.md")?;
    step("building the wheel", inputs, std::slice::from_ref(&folder), || {
        let _ = fs::remove_dir_all(&folder);
        let mut command = python::PACKAGE.command("hatchling");
        command.args(["build", "--target", "wheel", "--directory"]).arg(&folder);
        run(command.current_dir(root().join("python")).env("MCP_RUN_PYTHON_HOME", home))
    })?;
    let wheel = fs::read_dir(&folder)?.next().context("no wheel was made")??.path();
    let size = fs::metadata(&wheel)?.len();
    if size > MAX_WHEEL {
        bail!("the wheel is too large: {size} bytes");
    }
    Ok(wheel)
}

/// Installs it into the environment of its tests.
pub fn install() -> Result<()> {
    let wheel = build()?;
    let outputs = [python::PACKAGE.commands().join("mcp-python-sandbox")];
    step("installing the wheel", Inputs::default().path(&wheel)?, &outputs, || {
        run(python::PACKAGE.installer()?.args(["--no-deps", "--reinstall"]).arg(wheel))
    })
}
