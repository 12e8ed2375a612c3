//! Warnings of rustc and Clippy, of all crates of this workspace.

use std::{
    collections::BTreeSet,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::{
    build::Variant,
    suites,
    toolchain::{self, WASM, linting_cargo},
    wasm,
};

/// Prints the warnings, and fails if there are any.
///
/// Cargo keeps the warnings of what it compiled, and prints them again. So these are the commands that compile for the
/// tests: where those ran, next to nothing is compiled here.
pub fn run() -> Result<()> {
    toolchain::install()?;
    if !toolchain::has_clippy() {
        bail!("Clippy is needed: `rustup component add clippy`");
    }
    let mut warnings = of(suites::native_tests().arg("--no-run"))?;
    let features = Variant::Testing.features();
    let alone = wasm::compiling()?;
    warnings.append(&mut of(&mut wasm::compile(&[wasm::WORKER], features))?);
    drop(alone);
    // A library is not linked, which would take a minute: few tests need this one with these features.
    let library =
        ["rustc", "--release", "--target", WASM, "--package", wasm::CORE, "--crate-type", "rlib", "--features"];
    warnings.append(&mut of(linting_cargo().args(library).arg(features.join(",")))?);
    for warning in &warnings {
        print!("{warning}");
    }
    match warnings.len() {
        0 => Ok(()),
        count => bail!("{count} warnings"),
    }
}

/// The warnings of one of cargo's commands, once each: a library is compiled for its tests, too.
fn of(command: &mut Command) -> Result<BTreeSet<String>> {
    let out = command.arg("--message-format=json").stdout(Stdio::piped()).spawn()?.wait_with_output()?;
    let text = String::from_utf8(out.stdout).context("cargo prints JSON")?;
    let messages = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let warnings: BTreeSet<String> =
        messages.filter_map(|message| message["message"]["rendered"].as_str().map(str::to_owned)).collect();
    if !out.status.success() {
        bail!("{}{command:?} failed", warnings.into_iter().collect::<String>());
    }
    Ok(warnings)
}
