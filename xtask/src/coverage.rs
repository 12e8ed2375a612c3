//! `cargo xtask coverage`: which lines the unit tests run, of Rust, of the isolates' JavaScript and of their Python.
//! Tests that drive workerd, browsers or the desk's program are not counted: no engine there says what it ran.

use std::{env, path::Path, process::Command};

use anyhow::{Context, Result};
use clap::Args;

use crate::{
    node, python,
    step::{output, run, target},
    toolchain::{self, cargo},
};

/// Version of cargo-llvm-cov.
const VERSION: &str = "0.9.1";

/// Prints the lines that unit tests cover.
#[derive(Args)]
pub struct Coverage {}

impl Coverage {
    /// Prints a table of each.
    pub fn run(&self) -> Result<()> {
        of_rust()?;
        of_javascript()?;
        of_python()
    }
}

fn of_rust() -> Result<()> {
    llvm_tools()?;
    let folder = toolchain::tool("cargo-llvm-cov", VERSION)?;
    eprintln!("==> Rust: unit tests of the core, the desk and what derives keys");
    let packages = ["--package", "mcp-run-python", "--package", "desk", "--package", "kdf"];
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap_or_default());
    run(cargo()
        .args(["llvm-cov", "--quiet", "--summary-only"])
        .args(packages)
        .env("PATH", path)
        .env("CARGO_LLVM_COV_TARGET_DIR", target().join("coverage")))
}

/// Makes sure that there are `llvm-cov` and `llvm-profdata`, which read what rustc's own LLVM wrote.
fn llvm_tools() -> Result<()> {
    const NAMES: [(&str, &str); 2] = [("LLVM_COV", "llvm-cov"), ("LLVM_PROFDATA", "llvm-profdata")];
    let libraries = output(Command::new("rustc").args(["--print", "target-libdir"]))?;
    let tools = Path::new(&libraries).with_file_name("bin");
    if NAMES.iter().all(|(variable, name)| env::var_os(variable).is_some() || tools.join(name).is_file()) {
        return Ok(());
    }
    run(Command::new("rustup").args(["component", "add", "llvm-tools"])).with_context(|| {
        format!(
            "there are no llvm-cov and llvm-profdata in {}; LLVM_COV and LLVM_PROFDATA may name others, of an LLVM at least \
             as new as `rustc -vV` says",
            tools.display()
        )
    })
}

fn of_javascript() -> Result<()> {
    node::install()?;
    eprintln!("==> JavaScript: tests/runtime, of runtime/js");
    // Lines are not counted exactly in what comes from the cache.
    run(node::command("node").env("NODE_DISABLE_COMPILE_CACHE", "1").args([
        "--test",
        "--test-reporter=spec",
        "--experimental-test-coverage",
        "--test-coverage-include=runtime/js/**",
        "tests/runtime/*.test.mjs",
    ]))
}

fn of_python() -> Result<()> {
    python::TESTS.install()?;
    eprintln!("==> Python: tests/runtime and what is compared with pydantic_core, of runtime/python");
    let data = target().join("coverage-python");
    let coverage = || {
        let mut command = python::TESTS.command("coverage");
        command.env("COVERAGE_FILE", &data);
        command
    };
    let tests = ["tests/runtime", "tests/parity/test_to_json.py"];
    run(coverage().args(["run", "--source=runtime/python", "-m", "pytest", "--quiet"]).args(tests))?;
    run(coverage().args(["report", "--show-missing"]))
}
