//! Python on this machine, for the clients in the tests and for checking Python code.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use crate::step::{Inputs, output, root, run, step, target};

/// A virtual environment under `target/`, with the packages of a requirements file.
pub struct Environment {
    name: &'static str,
    requirements: &'static str,
    /// A command that it has once it is complete.
    has: &'static str,
}

/// For the tests, and for checking Python code.
pub const TESTS: Environment = Environment { name: "venv", requirements: "tests/requirements.txt", has: "pytest" };

/// For the examples whose frameworks need another version of `mcp`.
pub const EXAMPLES: Environment =
    Environment { name: "venv-examples", requirements: "examples/requirements.txt", has: "pytest" };

/// For the Python package: what builds it, and tests what was built.
pub const PACKAGE: Environment =
    Environment { name: "venv-package", requirements: "python/tests/requirements.txt", has: "pytest" };

/// For checking what the registry of MCP servers is told, and for which systems the wheel is.
pub const REGISTRY: Environment =
    Environment { name: "venv-registry", requirements: "tests/deploy/requirements.txt", has: "skillsaw" };

/// Native Python, with which the benchmark of packages and the corpus compare.
pub const NATIVE: Environment =
    Environment { name: "venv-native", requirements: "xtask/native-requirements.txt", has: "f2py" };

/// For building for other machines.
pub const CROSS: Environment =
    Environment { name: "venv-cross", requirements: "xtask/requirements.txt", has: "cargo-zigbuild" };

/// What installs the others.
const UV: Environment = Environment { name: "venv-uv", requirements: "xtask/uv-requirements.txt", has: "uv" };

/// The environment's name for the address of a package index, of pip and of uv.
const PIP_INDEX: &str = "PIP_INDEX_URL";
const UV_INDEX: &str = "UV_DEFAULT_INDEX";

/// A command of uv, `uv` or `uvx`, for whichever Python is called `python3` on this machine.
pub fn uv(name: &str) -> Result<Command> {
    UV.make(|folder| {
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(folder))
            .context("Python's venv is needed (on Debian: apt-get install python3-venv)")?;
        run(UV.command("pip").args(["install", "--quiet", "--no-compile", "--requirement", UV.requirements]))
    })?;
    let mut command = UV.command(name);
    command.env("UV_PYTHON", "python3").env("UV_PYTHON_DOWNLOADS", "never");
    Ok(command)
}

/// The package index that pip is configured for on this machine.
pub fn index() -> Option<String> {
    let configured = || output(Command::new("python3").args(["-m", "pip", "config", "get", "global.index-url"])).ok();
    env::var(PIP_INDEX).ok().or_else(configured).filter(|index| index.starts_with("http"))
}

impl Environment {
    fn folder(&self) -> PathBuf {
        target().join(self.name)
    }

    /// Makes it, unless it is there.
    fn make(&self, make: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
        let inputs = Inputs::default().path(self.requirements)?;
        let what = format!("installing Python packages of {}", self.requirements);
        step(&what, inputs, &[self.commands().join(self.has)], || make(&self.folder()))
    }

    /// Makes it, unless it is there.
    pub fn install(&self) -> Result<()> {
        self.make(|folder| {
            run(uv("uv")?.args(["venv", "--quiet", "--clear"]).arg(folder))?;
            let mut install = self.installer()?;
            if env::var_os(UV_INDEX).is_none() {
                // uv does not read pip's configuration.
                install.envs(index().map(|index| (UV_INDEX, index)));
            }
            run(install.args(["--requirement", self.requirements]))
        })
    }

    /// The command that installs packages into it, which its arguments name.
    pub fn installer(&self) -> Result<Command> {
        let mut command = uv("uv")?;
        command.args(["pip", "install", "--quiet", "--python"]).arg(self.commands().join("python"));
        Ok(command)
    }

    /// The folder of its commands.
    pub fn commands(&self) -> PathBuf {
        self.folder().join("bin")
    }

    /// A command of it.
    pub fn command(&self, name: &str) -> Command {
        let mut command = Command::new(self.commands().join(name));
        command.current_dir(root());
        command
    }
}
