//! Benchmarks on this machine.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use crate::{
    browser,
    build::{self, Variant},
    dev::{self, Server, call, run_python},
    mirror, node, python, soak,
    step::{output, run, target, timed},
};

/// Packages that are found from imports, in the order in which they are measured: those of `BUILT_IN` first.
const PACKAGES: [&str; 5] = ["numpy", "pandas", "matplotlib.pyplot", "sympy", "sklearn.linear_model"];

/// How long it may take until there is a snapshot of packages.
const MADE_WITHIN: Duration = Duration::from_secs(180);

/// Keeps a core busy while its effect on other runs is measured.
const BUSY: &str = "import time\nend = time.time() + 30\nwhile time.time() < end: pass";

/// How long a process may take to give back unused memory.
const SETTLE: Duration = Duration::from_secs(3);

/// The first three of [`PACKAGES`], as requirements.
const BUILT_IN: &str = "numpy,pandas,matplotlib";

/// What is measured.
#[derive(Clone, Copy, ValueEnum)]
enum What {
    /// The worker.
    Edge,
    /// The page, in Chromium.
    Page,
    /// The worker for minutes, with good and hostile runs mixed: no answer is lost or wrong, and memory comes back.
    Soak,
    /// The npm package; beside it the original, if ORIGINAL is a command that starts it.
    Desk,
    /// Programs with packages in each home, beside Python on this machine, and the original, if ORIGINAL starts it.
    Packages,
}

/// Runs the benchmarks.
#[derive(Args)]
pub struct Bench {
    /// What is measured.
    #[arg(value_enum, default_value = "edge")]
    what: What,
    /// Repetitions of each measurement; the edge's sessions get five times as many [default: 100; 5 for the page and the desk]
    #[arg(long)]
    runs: Option<usize>,
    /// How long a soak takes.
    #[arg(long, default_value_t = 10.0)]
    minutes: f64,
}

impl Bench {
    /// Measures and prints.
    pub fn run(self) -> Result<()> {
        dev::end_with_signals()?;
        match self.what {
            What::Edge => Self::edge(self.runs.unwrap_or(100)),
            What::Page => Self::page(self.runs.unwrap_or(5)),
            What::Soak => soak::run(self.minutes),
            What::Desk => Self::desk(self.runs.unwrap_or(5)),
            What::Packages => Self::packages(self.runs.unwrap_or(5)),
        }
    }

    fn page(runs: usize) -> Result<()> {
        build::worker(Variant::Release)?;
        browser::install()?;
        // Gets the lock file's packages that the page's figures need.
        mirror::serve()?;
        run(node::command("node").arg("tests/page/bench.mjs").arg(runs.to_string()))
    }

    fn desk(runs: usize) -> Result<()> {
        let command = build::installed_desk()?;
        let mut bench = node::command("node");
        bench.arg("tests/desk/bench.mjs").arg(runs.to_string()).env("DESK", command);
        run(bench.envs(mirror::serve()?.map(|address| ("MIRROR", address))))
    }

    fn packages(runs: usize) -> Result<()> {
        python::NATIVE.install()?;
        let command = build::installed_desk()?;
        build::worker(Variant::Release)?;
        browser::install()?;
        let mut bench = node::command("node");
        bench.arg("tests/packages/bench.mjs").arg(runs.to_string()).env("DESK", command);
        bench.env("NATIVE", python::NATIVE.commands().join("python")).env("XTASK", std::env::current_exe()?);
        run(bench.envs(mirror::serve()?.map(|address| ("MIRROR", address))))
    }

    fn edge(runs: usize) -> Result<()> {
        build::worker(Variant::Release)?;
        let start = Instant::now();
        let server = Server::start(Variant::Release, "bench", &[])?;
        let mut table = Table::default();
        table.add("process start to the first 1+1", vec![start.elapsed()]);
        let url = server.url();
        let after_one = memory(&server)?;
        table.measure("1+1 in a fresh isolate", runs, || run_python(&url, "1+1"))?;
        thread::sleep(SETTLE);
        let after_fresh = memory(&server)?;
        let session = open_session(&url, "1+1")?;
        table.measure("1+1 in a session", runs * 5, || in_session(&url, &session, "1+1"))?;
        table.measure("tools/list", runs, || list(&url))?;
        thread::scope(|scope| {
            let busy = scope.spawn(|| run_python(&url, BUSY));
            thread::sleep(Duration::from_millis(500));
            table.measure("1+1 beside a busy loop", runs.div_ceil(4), || run_python(&url, "1+1"))?;
            table.measure("tools/list beside a busy loop", runs, || list(&url))?;
            anyhow::ensure!(!busy.is_finished(), "the loop ended before it was measured");
            busy.join().map_err(|_| anyhow::anyhow!("the busy loop panicked"))?.map(drop)
        })?;
        for package in PACKAGES {
            let run = || run_python(&url, &format!("import {package}; 1"));
            table.measure(&format!("{package}, the first time"), 1, run)?;
            wait_until_made(&url, package)?;
            table.measure(&format!("{package} in a fresh isolate"), runs.div_ceil(10), run)?;
        }
        thread::sleep(SETTLE);
        let after_packages = memory(&server)?;
        let mut isolates = serde_json::Map::new();
        for module in ["json"].into_iter().chain(PACKAGES) {
            let before = memory(&server)?;
            open_session(&url, &format!("import {module}"))?;
            isolates.insert(module.to_owned(), json!(memory(&server)?.saturating_sub(before)));
        }
        drop(server);

        let folder = build::worker_with(Variant::Release, BUILT_IN)?;
        let server = Server::start_in(folder, "bench-deps", &[("DEPENDENCIES", BUILT_IN)])?;
        let url = server.url();
        for package in PACKAGES.into_iter().take(BUILT_IN.split(',').count()) {
            let run = || run_python(&url, &format!("import {package}; 1"));
            table.measure(&format!("{package} built in, in a fresh isolate"), runs.div_ceil(10), run)?;
        }

        table.print();
        println!(
            "memory of the worker's process: {after_one} MB after one run, {after_fresh} MB after {runs}, \
             {after_packages} MB with the packages"
        );
        println!("memory of one more session, in MB, with: {}", serde_json::to_string(&isolates)?);
        let memory =
            json!({ "one": after_one, "fresh": after_fresh, "packages": after_packages, "isolates": isolates });
        let report = json!({ "times_ms": table.0, "memory_mb": memory });
        fs::write(target().join("bench.json"), serde_json::to_string_pretty(&report)?)?;
        println!("written to target/bench.json");
        Ok(())
    }
}

/// What was measured: rows with a name, the number of runs, and milliseconds.
#[derive(Default)]
struct Table(Vec<Value>);

impl Table {
    /// Runs something several times.
    fn measure(&mut self, name: &str, runs: usize, run: impl Fn() -> Result<String>) -> Result<()> {
        let times = timed(name, || {
            (0..runs)
                .map(|_| {
                    let start = Instant::now();
                    run().map(|_| start.elapsed())
                })
                .collect::<Result<Vec<_>>>()
        })?;
        self.add(name, times);
        Ok(())
    }

    fn add(&mut self, name: &str, mut times: Vec<Duration>) {
        times.sort();
        let at = |quantile: f64| {
            let index = ((times.len() as f64 * quantile).ceil() as usize).clamp(1, times.len()) - 1;
            times[index].as_secs_f64() * 1000.0
        };
        let (min, p50, p99, max) = (at(0.0), at(0.5), at(0.99), at(1.0));
        self.0.push(json!({ "name": name, "runs": times.len(), "min": min, "p50": p50, "p99": p99, "max": max }));
    }

    fn print(&self) {
        println!("{:45} {:>9} {:>9} {:>9} {:>9} {:>6}", "", "min ms", "p50 ms", "p99 ms", "max ms", "runs");
        for row in &self.0 {
            let ms = |key: &str| row[key].as_f64().unwrap_or_default();
            println!(
                "{:45} {:9.1} {:9.1} {:9.1} {:9.1} {:>6}",
                row["name"].as_str().unwrap_or_default(),
                ms("min"),
                ms("p50"),
                ms("p99"),
                ms("max"),
                row["runs"]
            );
        }
    }
}

fn meta(mut params: Value) -> Value {
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    params
}

/// Asks for the tools.
pub fn list(url: &str) -> Result<String> {
    call(url, "tools/list", None, meta(json!({})))
}

fn in_session(url: &str, session: &str, code: &str) -> Result<String> {
    let arguments = json!({ "python_code": code, "session": session });
    let params = meta(json!({ "name": "run_python_code", "arguments": arguments }));
    call(url, "tools/call", Some("run_python_code"), params)
}

/// Opens a session by running code in it; gives its handle.
fn open_session(url: &str, code: &str) -> Result<String> {
    let body = in_session(url, "new", code)?;
    let (_, handle) = body.split_once("\"session\":\"").context("no session was started")?;
    Ok(handle.split('"').next().unwrap_or_default().to_owned())
}

/// Waits until interpreters start with a package: after its first run, it is compiled, and a snapshot is made.
fn wait_until_made(url: &str, package: &str) -> Result<()> {
    let start = Instant::now();
    let code = format!("import sys\nhad = '{package}' in sys.modules\nimport {package}\nhad");
    while !run_python(url, &code)?.contains("\"return_value\":true") {
        anyhow::ensure!(start.elapsed() < MADE_WITHIN, "no snapshot of {package} was made in time");
        thread::sleep(Duration::from_millis(500));
    }
    thread::sleep(SETTLE);
    Ok(())
}

/// Resident memory, in MB, of the largest workerd of a server: the one that the isolates are in.
pub fn memory(server: &Server) -> Result<u64> {
    let group = server.group().to_string();
    let sizes = output(std::process::Command::new("ps").args(["-o", "pgid=,rss=,comm=", "-A"]))?;
    let of_group = sizes.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        (words.next()? == group).then_some(())?;
        let rss: u64 = words.next()?.parse().ok()?;
        words.next()?.contains("workerd").then_some(rss / 1000)
    });
    of_group.max().context("workerd is not running")
}
