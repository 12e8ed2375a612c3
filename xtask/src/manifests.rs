//! The project's metadata: the workspace's `Cargo.toml` has its version and its addresses, and every other manifest
//! repeats them, as its readers look nowhere else.

use std::fs;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::step::root;

/// The version of everything.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Where the source is.
pub const REPOSITORY: &str = env!("CARGO_PKG_REPOSITORY");

/// Where the documentation is.
pub const HOMEPAGE: &str = env!("CARGO_PKG_HOMEPAGE");

/// The name of the command, and of most of its packages.
pub const NAME: &str = "mcp-run-python";

/// The address of a file of the release.
pub fn address(file: &str) -> String {
    format!("{REPOSITORY}/releases/download/v{VERSION}/{file}")
}

/// A file of JSON of the project.
pub fn json(path: &str) -> Result<Value> {
    parsed(&read(path)?, path)
}

/// Fails, and names what differs, if a manifest says something else than `Cargo.toml`.
pub fn check() -> Result<()> {
    let differ = differences(read)?;
    if !differ.is_empty() {
        bail!("the workspace's Cargo.toml says something else than\n  {}", differ.join("\n  "));
    }
    Ok(())
}

fn read(path: &str) -> Result<String> {
    fs::read_to_string(root().join(path)).with_context(|| format!("{path} cannot be read"))
}

fn parsed(text: &str, path: &str) -> Result<Value> {
    serde_json::from_str(text).with_context(|| path.to_owned())
}

/// The differences, as `FILE: WHAT`; `read` returns the text of a file.
fn differences(read: impl Fn(&str) -> Result<String>) -> Result<Vec<String>> {
    let mut differ = Vec::new();
    let mut expect = |what: String, is_so: bool| {
        if !is_so {
            differ.push(what);
        }
    };

    let path = "Cargo.toml";
    let cargo = read(path)?;
    // The Python package's build takes its version from there.
    let first = cargo.lines().find_map(|line| line.strip_prefix("version = "));
    expect(format!("{path}: the first version in it"), first == Some(&format!("\"{VERSION}\"")));

    let path = "cli/package.json";
    let npm = parsed(&read(path)?, path)?;
    let name = REPOSITORY.trim_start_matches("https://github.com/");
    let name = format!("io.github.{name}");
    for (pointer, wanted) in [
        ("/version", VERSION),
        ("/homepage", HOMEPAGE),
        ("/repository/url", &format!("git+{REPOSITORY}.git")),
        ("/mcpName", &name),
    ] {
        expect(format!("{path}: {pointer}"), npm.pointer(pointer).and_then(Value::as_str) == Some(wanted));
    }
    let programs = npm["optionalDependencies"].as_object().context("cli/package.json has no programs")?;
    for (program, version) in programs {
        expect(format!("{path}: {program}"), version == VERSION);
    }

    let path = "server.json";
    let server = parsed(&read(path)?, path)?;
    for (pointer, wanted) in
        [("/version", VERSION), ("/name", &name), ("/repository/url", REPOSITORY), ("/websiteUrl", HOMEPAGE)]
    {
        expect(format!("{path}: {pointer}"), server.pointer(pointer).and_then(Value::as_str) == Some(wanted));
    }
    for package in server["packages"].as_array().context("server.json has no packages")? {
        expect(format!("{path}: the version of {}", package["identifier"]), package["version"] == VERSION);
    }

    let path = "python/pyproject.toml";
    let python = read(path)?;
    for line in [
        "dynamic = [\"version\"]",
        "path = \"../Cargo.toml\"",
        &format!("Homepage = \"{HOMEPAGE}\""),
        &format!("Repository = \"{REPOSITORY}\""),
    ] {
        expect(format!("{path}: {line}"), python.lines().any(|of_file| of_file == line));
    }

    // By this, the registry of servers knows that the owner of the package owns the name, too.
    let path = "python/README.md";
    expect(format!("{path}: mcp-name"), read(path)?.contains(&format!("mcp-name: {name} ")));
    let path = "CHANGELOG.md";
    expect(
        format!("{path}: a heading"),
        read(path)?.lines().any(|line| line.starts_with("## ") && line.contains(VERSION)),
    );
    Ok(differ)
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::{
        step::output,
        suites::NATIVE_PACKAGES,
        toolchain::{WASM, cargo},
        wasm,
    };

    /// The features of each crate, by its name and version, in each way that it is compiled for `packages`.
    fn features(packages: &[&str], edges: &str, more: &[&str]) -> BTreeMap<String, BTreeSet<String>> {
        let mut tree = cargo();
        tree.args(["tree", "--locked", "--edges", edges, "--prefix", "none", "--no-dedupe", "--format", "{p}\t{f}"]);
        tree.args(more);
        tree.args(packages.iter().flat_map(|package| ["--package", package]));
        let mut features = BTreeMap::<_, BTreeSet<_>>::new();
        for line in output(&mut tree).unwrap().lines() {
            let (package, of_package) = line.split_once('\t').unwrap_or((line, ""));
            features.entry(package.to_owned()).or_default().insert(of_package.to_owned());
        }
        features
    }

    #[test]
    fn what_was_compiled_for_xtask_serves_the_tests() {
        let of_tests = features(NATIVE_PACKAGES, "normal,build,dev", &[]);
        for (package, ways) in features(&["xtask"], "normal,build", &[]) {
            let wanted = &of_tests[&package];
            assert!(ways.is_subset(wanted), "xtask/Cargo.toml turns on, of {package}: {ways:?} instead of {wanted:?}");
        }
    }

    #[test]
    fn what_was_compiled_for_the_worker_serves_the_library() {
        let of = |package| features(&[package], "normal", &["--target", WASM]);
        let (of_worker, mut of_library) = (of(wasm::WORKER), of(wasm::CORE));
        // Bindings are features, of which the Worker's crates turn on many; they are quick to compile.
        of_library.retain(|package, _| !package.starts_with("web-sys "));
        for (package, ways) in of_library {
            let Some(wanted) = of_worker.get(&package) else { continue };
            assert!(ways.is_subset(wanted), "www/Cargo.toml turns on, of {package}: {ways:?} instead of {wanted:?}");
        }
    }

    #[test]
    fn manifests_say_what_the_workspace_says() {
        check().unwrap();
    }

    #[test]
    fn one_that_differs_is_named() {
        for (file, from, to) in [
            ("Cargo.toml", "version = \"0.1.0\"", "version = \"0.1.1\""),
            ("cli/package.json", "\"version\": \"0.1.0\"", "\"version\": \"0.2.0\""),
            ("cli/package.json", "-linux-x64\": \"0.1.0\"", "-linux-x64\": \"^0.1.0\""),
            ("cli/package.json", "git+https", "git"),
            ("cli/package.json", "\"mcpName\": \"io", "\"mcpName\": \"org"),
            ("server.json", "\"identifier\": \"mcp-run-python\",\n      \"version\": \"0", "\"version\": \"1"),
            ("server.json", "\"websiteUrl\": \"", "\"websiteUrl\": \"x"),
            ("server.json", "{ \"url\": \"", "{ \"url\": \"x"),
            ("python/pyproject.toml", "Homepage = \"", "Homepage = \"x"),
            ("python/pyproject.toml", "dynamic = [\"version\"]", "version = \"0.1.0\""),
            ("python/README.md", "mcp-name: ", "mcp-name: x"),
            ("CHANGELOG.md", VERSION, "0.0.9"),
        ] {
            let (from, to) = (from.replace("0.1.0", VERSION), to.replace("0.1.0", VERSION));
            let differ = differences(|path| {
                let text = read(path)?;
                if path != file {
                    return Ok(text);
                }
                assert!(text.contains(&from), "{file}: {from}");
                Ok(text.replacen(&from, &to, 1))
            });
            let differ = differ.unwrap();
            assert!(differ.len() == 1 && differ[0].starts_with(file), "{file}: {from}: {differ:?}");
        }
    }
}
