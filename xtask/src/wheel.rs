//! The Python package: a wheel with the desk's program, for this system.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

use crate::{
    build, python,
    step::{Inputs, root, run, step, target},
};

/// The largest wheel that PyPI takes without a higher limit being requested, in bytes.
const MAX_WHEEL: u64 = 100_000_000;

/// Builds the wheel into a folder; returns its path.
pub fn build(into: &Path) -> Result<PathBuf> {
    let home = build::home()?;
    python::PACKAGE.install()?;
    let _ = fs::remove_dir_all(into);
    let arguments = ["wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir"];
    run(python::PACKAGE
        .command("pip")
        .args(arguments)
        .arg(into)
        .arg(root().join("python"))
        .env("MCP_RUN_PYTHON_HOME", home))?;
    let wheel = fs::read_dir(into)?.next().context("pip made no wheel")??.path();
    let size = fs::metadata(&wheel)?.len();
    if size > MAX_WHEEL {
        bail!("the wheel is too large: {size} bytes");
    }
    Ok(wheel)
}

/// Installs it into the environment of its tests, as its users do.
pub fn install() -> Result<()> {
    let folder = target().join("wheel");
    let home = build::home()?;
    python::PACKAGE.install()?;
    let inputs = Inputs::default()
        .path(home.join("runtime/hashes.json"))?
        .path(home.join("mcp-run-python"))?
        .path("python/src")?
        .path("python/build.py")?
        .path("python/pyproject.toml")?
        .path("python/README.md")?;
    let outputs = [python::PACKAGE.commands().join("mcp-python-sandbox")];
    step("building and installing the wheel", inputs, &outputs, || {
        let wheel = build(&folder)?;
        run(python::PACKAGE.command("pip").args(["install", "--quiet", "--no-deps", "--force-reinstall"]).arg(wheel))
    })
}
