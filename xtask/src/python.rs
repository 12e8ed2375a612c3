//! Python on this machine, for the clients in the tests and for checking Python code.

use std::{path::PathBuf, process::Command};

use anyhow::{Context, Result};

use crate::step::{Inputs, root, run, step, target};

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

/// For checking what the registry of MCP servers is told, and for running the wheel.
pub const REGISTRY: Environment =
    Environment { name: "venv-registry", requirements: "tests/deploy/requirements.txt", has: "skillsaw" };

/// Native Python, with which the benchmark of packages and the corpus compare.
pub const NATIVE: Environment =
    Environment { name: "venv-native", requirements: "xtask/native-requirements.txt", has: "f2py" };

/// For building for other machines.
pub const CROSS: Environment =
    Environment { name: "venv-cross", requirements: "xtask/requirements.txt", has: "cargo-zigbuild" };

impl Environment {
    fn bin(&self, name: &str) -> PathBuf {
        self.commands().join(name)
    }

    /// Makes it, unless it is there.
    pub fn install(&self) -> Result<()> {
        let inputs = Inputs::default().path(self.requirements)?;
        let what = format!("installing Python packages of {}", self.requirements);
        step(&what, inputs, &[self.bin(self.has)], || {
            run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(target().join(self.name)))
                .context("Python's venv is needed (on Debian: apt-get install python3-venv)")?;
            // Most modules of the packages are never imported: bytecode of all would take longer than to install them.
            run(self.command("pip").args(["install", "--quiet", "--no-compile", "--requirement", self.requirements]))
        })
    }

    /// The folder of its commands.
    pub fn commands(&self) -> PathBuf {
        target().join(self.name).join("bin")
    }

    /// A command of it.
    pub fn command(&self, name: &str) -> Command {
        let mut command = Command::new(self.bin(name));
        command.current_dir(root());
        command
    }
}
