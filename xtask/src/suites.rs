//! The suites of `cargo xtask test`, in the order in which they begin.

use std::{fs, process::Command};

use anyhow::Result;

use self::Kind::{Long, Patient, Timed};
use crate::{
    browser,
    build::{self, Variant},
    corpus, deny,
    dev::Server,
    mirror, node, python,
    step::target,
    toolchain::{cargo, linting_cargo},
    wheel,
};

/// A suite.
pub struct Suite {
    pub name: &'static str,
    /// Prepares what it needs, and returns the commands that it consists of.
    pub prepare: fn() -> Result<Prepared>,
    pub kind: Kind,
}

/// When a suite runs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Its tests measure time, or have time limits that a busy processor could exceed.
    Timed,
    /// It may take long, so it runs in the background, at low priority.
    Patient,
    /// As `Patient`, but only in the long form or by its name.
    Long,
}

/// A suite that is ready to run. Its servers live as long as it does.
#[derive(Default)]
pub struct Prepared {
    pub commands: Vec<Command>,
    pub servers: Vec<Server>,
}

/// All suites, the longest first, so that none of these is left running alone at the end. In the background, what only
/// compiles and checks comes first.
pub const SUITES: &[Suite] = &[
    Suite { name: "page", prepare: page, kind: Timed },
    Suite { name: "edge", prepare: edge, kind: Timed },
    Suite { name: "desk", prepare: desk, kind: Timed },
    Suite { name: "packages", prepare: packages, kind: Timed },
    Suite { name: "security", prepare: security, kind: Timed },
    Suite { name: "python", prepare: python_package, kind: Timed },
    Suite { name: "rust", prepare: rust, kind: Patient },
    Suite { name: "runtime", prepare: of_runtime, kind: Patient },
    Suite { name: "lint", prepare: lint, kind: Patient },
    Suite { name: "fmt", prepare: fmt, kind: Patient },
    Suite { name: "deploy", prepare: deploy, kind: Patient },
    Suite { name: "parity", prepare: parity, kind: Patient },
    Suite { name: "corpus", prepare: of_corpus, kind: Patient },
    Suite { name: "conformance", prepare: conformance, kind: Patient },
    Suite { name: "clients", prepare: clients, kind: Patient },
    Suite { name: "deny", prepare: crates, kind: Long },
];

/// The suites that need the desk's program, which takes minutes to compile.
pub const OF_PROGRAM: &[&str] = &["desk", "python", "corpus", "deploy"];

fn of(commands: impl IntoIterator<Item = Command>) -> Result<Prepared> {
    Ok(Prepared { commands: commands.into_iter().collect(), ..Prepared::default() })
}

fn with<'a>(mut command: Command, arguments: impl IntoIterator<Item = &'a str>) -> Command {
    command.args(arguments);
    command
}

/// The crates that have tests for this machine.
pub const NATIVE_PACKAGES: &[&str] = &["mcp-run-python", "desk", "kdf", "xtask"];

/// The command that compiles and runs the tests of the crates for this machine.
pub fn native_tests() -> Command {
    with(with(linting_cargo(), ["test"]), NATIVE_PACKAGES.iter().flat_map(|package| ["--package", package]))
}

fn fmt() -> Result<Prepared> {
    node::install()?;
    python::TESTS.install()?;
    of([
        with(cargo(), ["fmt", "--all", "--check"]),
        with(node::command("biome"), ["format"]),
        with(python::TESTS.command("ruff"), ["format", "--check"]),
    ])
}

fn lint() -> Result<Prepared> {
    node::install()?;
    python::TESTS.install()?;
    build::interface()?;
    of([
        with(Command::new(std::env::current_exe()?), ["lint"]),
        with(node::command("biome"), ["lint"]),
        with(node::command("tsc"), ["--project", "tsconfig.json"]),
        with(python::TESTS.command("ruff"), ["check"]),
    ])
}

/// Licences, duplicates, sources and known holes of the crates.
fn crates() -> Result<Prepared> {
    of(deny::commands()?)
}

fn rust() -> Result<Prepared> {
    // The tests look for the licences of npm packages.
    node::install()?;
    of([with(native_tests(), ["--quiet"])])
}

/// Tests files of the isolates' runtime one by one, and builds all of it without what only makes a start quicker.
fn of_runtime() -> Result<Prepared> {
    node::install()?;
    python::TESTS.install()?;
    let mut plain = with(node::command("node"), ["xtask/runtime/build.mjs", "--plain"]);
    plain.arg(target().join("plain")).arg(build::kdf()?).env("XTASK", std::env::current_exe()?);
    of([
        with(node::command("node"), ["--test", "--test-reporter=spec", "tests/runtime/*.test.mjs"]),
        with(python::TESTS.command("pytest"), ["--quiet", "tests/runtime"]),
        plain,
    ])
}

/// The worker as it is, driven from outside.
fn edge() -> Result<Prepared> {
    let mut prepared = on_workers("tests/edge/*.test.mjs")?;
    // For the test files that need no settings of their own.
    let server = Server::start(Variant::Testing, "edge", &[])?;
    for command in &mut prepared.commands {
        command.env("WORKER_URL", server.url());
    }
    prepared.servers.push(server);
    Ok(prepared)
}

/// Real packages, on the worker as it is.
fn packages() -> Result<Prepared> {
    let mut prepared = on_workers("tests/packages/*.test.mjs")?;
    let compiled = target().join("state/compiled");
    let _ = fs::remove_dir_all(&compiled);
    for command in &mut prepared.commands {
        command.env("COMPILED", &compiled);
    }
    Ok(prepared)
}

fn on_workers(files: &str) -> Result<Prepared> {
    build::worker(Variant::Testing)?;
    let mut command = node::command("node");
    command.args(["--test", "--test-reporter=spec", "--test-concurrency=1", files]);
    // Its tests start the workers that they need, with settings of their own, by `cargo xtask dev`.
    command.env("XTASK", std::env::current_exe()?);
    of([command])
}

/// Attacks on the running worker.
fn security() -> Result<Prepared> {
    build::worker(Variant::Testing)?;
    let mut command = node::command("node");
    command.args(["--test", "--test-reporter=spec", "--test-concurrency=1", "tests/security/*.test.mjs"]);
    command.env("XTASK", std::env::current_exe()?);
    of([command])
}

/// Real clients, in the languages that they are written in.
fn clients() -> Result<Prepared> {
    python::TESTS.install()?;
    build::worker(Variant::Release)?;
    let servers = [Server::start(Variant::Release, "clients", &[])?];
    let [server] = &servers;
    let commands = [
        with(node::command("node"), ["--test", "--test-reporter=spec", "tests/clients/*.test.mjs"]),
        with(python::TESTS.command("pytest"), ["--quiet", "tests/clients"]),
    ];
    let commands = commands.into_iter().map(|mut command| {
        command.env("MCP_URL", server.url());
        command
    });
    Ok(Prepared { commands: commands.collect(), servers: servers.into() })
}

/// The page, and the library for pages, in real browsers.
fn page() -> Result<Prepared> {
    build::worker(Variant::Release)?;
    browser::install()?;
    // The tests run what the page offers for copying as it is.
    python::TESTS.install()?;
    python::EXAMPLES.install()?;
    let server = Server::start(Variant::Release, "page", &[])?;
    let mut command = with(
        node::command("node"),
        ["--test", "--test-reporter=spec", "--test-concurrency=1", "tests/page/*.test.mjs"],
    );
    command.env("MCP_URL", server.url()).env("XTASK", std::env::current_exe()?);
    Ok(Prepared { commands: vec![command], servers: vec![server] })
}

/// The npm package, installed from its file into an empty folder, and used from there.
fn desk() -> Result<Prepared> {
    python::TESTS.install()?;
    python::EXAMPLES.install()?;
    let command = build::installed_desk()?;
    let node = with(
        node::command("node"),
        ["--test", "--test-reporter=spec", "--test-concurrency=1", "tests/desk/*.test.mjs"],
    );
    let pytest = |environment: &python::Environment, file| with(environment.command("pytest"), ["--quiet", file]);
    let commands = [
        node,
        pytest(&python::TESTS, "tests/desk/test_python.py"),
        pytest(&python::EXAMPLES, "tests/desk/test_frameworks.py"),
    ];
    let mirror = mirror::serve()?;
    of(commands.map(|mut of_suite| {
        of_suite.env("DESK", &command).envs(mirror.iter().map(|address| ("MIRROR", address)));
        of_suite
    }))
}

/// The Python package, installed from its wheel into an environment of its own, without Node on its path.
fn python_package() -> Result<Prepared> {
    wheel::install()?;
    let command = |name| {
        let mut command = python::PACKAGE.command(name);
        command.env("PATH", "/usr/bin:/bin").env_remove("MCP_RUN_PYTHON_HOME");
        command
    };
    node::install()?;
    let mut pyright = with(command("pyright"), ["--project", "python", "--pythonpath"]);
    pyright.arg(python::PACKAGE.commands().join("python"));
    // pyright runs on Node, which is not in the path of the package's tests.
    pyright.env("PATH", node::path());
    of([
        with(command("pytest"), ["--quiet", "python/tests"]),
        with(command("mypy"), ["--strict", "python/src", "python/tests"]),
        pyright,
    ])
}

/// Compares answers with the original's.
fn parity() -> Result<Prepared> {
    python::TESTS.install()?;
    build::worker(Variant::Release)?;
    // The original's results have no limit; and runs that import sympy share the thread with all others.
    let (whole, patient) = (("RESULT_LIMIT_KB", "8192"), ("TIME_LIMIT_SECONDS", "240"));
    let servers = [
        Server::start(Variant::Release, "parity-xml", &[whole, patient])?,
        Server::start(Variant::Release, "parity-json", &[whole, patient, ("RETURN_MODE", "json")])?,
    ];
    let [xml, json] = &servers;
    let mut command = with(python::TESTS.command("pytest"), ["--quiet", "tests/parity"]);
    command.env("MCP_URL", xml.url()).env("MCP_JSON_URL", json.url());
    let commands = vec![command];
    Ok(Prepared { commands, servers: servers.into() })
}

/// A sample of the programs that others wrote.
fn of_corpus() -> Result<Prepared> {
    of([with(corpus::command(&python::TESTS)?, ["--sample"])])
}

/// The official suite of the protocol.
fn conformance() -> Result<Prepared> {
    build::worker(Variant::Testing)?;
    let server = Server::start(Variant::Testing, "conformance", &[])?;
    let mut command = with(node::command("node"), ["tests/conformance/run.mjs"]);
    command.env("MCP_URL", server.url());
    Ok(Prepared { commands: vec![command], servers: vec![server] })
}

/// Checks that what is built can be deployed, and has no tools of tests in it, and that a release can be installed.
fn deploy() -> Result<Prepared> {
    python::REGISTRY.install()?;
    let xtask = std::env::current_exe()?;
    let mut files = with(
        node::command("node"),
        [
            "--test",
            "--test-reporter=spec",
            "--test-concurrency=1",
            "tests/deploy/check.mjs",
            "tests/deploy/release.mjs",
        ],
    );
    let of_registry = |name| python::REGISTRY.commands().join(name);
    files
        .env("SKILLSAW", of_registry("skillsaw"))
        .env("UVX", python::uv("uvx")?.get_program())
        .env("AUDITWHEEL", of_registry("auditwheel"));
    of([with(Command::new(&xtask), ["build"]), with(Command::new(&xtask), ["release", "--dry-run"]), files])
}
