//! A worker served on this machine by `wrangler dev`.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::{Ipv4Addr, TcpListener},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    iterator::Signals,
};

use crate::{
    build::{self, Variant},
    mirror, node,
    step::{alone, target, timed},
};

/// How long a worker may take to answer its first run.
const START: Duration = Duration::from_secs(120);

/// How long wrangler may take to end by itself, and a worker to give the right answer after a wrong one.
const END: Duration = Duration::from_secs(5);

/// The environment that `wrangler dev` reads when it is run in `worker/`.
const ENVIRONMENT: &str = include_str!("../../worker/.env");

/// The setting that says where Pyodide's packages are.
const MIRRORS: &str = "PACKAGE_MIRRORS";

/// The settings whose defaults suit deployed workers, with their values on a local machine.
const LOCAL: &[(&str, &str)] = &[
    ("MEMORY_BUDGET_MB", ""),
    ("KEPT_FILES_LIMIT_MB", ""),
    ("PACKAGES", "pypi"),
    ("SNAPSHOTS_LIMIT_MB", "512"),
    ("INTERPRETERS_BOOTED_AHEAD", "2"),
];

/// How the text of results is written.
#[derive(Clone, Copy, ValueEnum)]
enum ReturnMode {
    Xml,
    Json,
}

/// Builds the worker and serves it on this machine, until Ctrl-C.
#[derive(Args)]
pub struct Dev {
    /// Port, on 127.0.0.1.
    #[arg(long, default_value_t = PORT)]
    port: u16,
    /// How the text of results is written.
    #[arg(long, value_enum, default_value = "xml")]
    return_mode: ReturnMode,
    /// Packages that every run has: PEP 508 requirements, separated by commas, such as `numpy>=2,pandas`
    #[arg(long, value_name = "LIST")]
    deps: Option<String>,
    /// A setting of wrangler.jsonc, as NAME=VALUE; may be given several times.
    #[arg(long = "var", value_name = "NAME=VALUE", value_parser = variable)]
    vars: Vec<(String, String)>,
    /// After how many seconds without an answer the worker is restarted; 0: never.
    #[arg(long, value_name = "SECONDS", default_value_t = 20)]
    hang_limit: u64,
    /// Folder where sessions are kept [default: worker/.wrangler/state; with another port, it has the port's name]
    #[arg(long, value_name = "FOLDER")]
    state: Option<PathBuf>,
    /// Serves the worker with the tools of tests.
    #[arg(long, hide = true)]
    testing: bool,
}

fn variable(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("it must be NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

impl Dev {
    /// Serves until a signal comes, or wrangler ends.
    pub fn run(self) -> Result<()> {
        let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
        let (ending, ended) = mpsc::channel();
        thread::spawn(move || {
            for signal in &mut signals {
                let _ = ending.send(signal);
            }
        });
        let mode = match self.return_mode {
            ReturnMode::Xml => "xml",
            ReturnMode::Json => "json",
        };
        let mut vars = vec![("RETURN_MODE".to_owned(), mode.to_owned())];
        vars.extend(self.vars);
        let variant = if self.testing { Variant::Testing } else { Variant::Release };
        let folder = match &self.deps {
            Some(deps) => build::worker_with(variant, deps)?,
            None => build::worker(variant)?,
        };
        vars.extend(self.deps.map(|deps| ("DEPENDENCIES".to_owned(), deps)));
        let state = self.state.unwrap_or_else(|| default_state(self.port));
        let _ours = lock(&state)?;
        let settings = Settings { folder, port: self.port, vars, state };
        let hang_limit = (self.hang_limit > 0).then(|| Duration::from_secs(self.hang_limit));
        loop {
            let mut server = Server::spawn(&settings)?;
            if !timed("starting", || server.wait_ready(Some(&ended)))? {
                break;
            }
            println!("Ready on {}", server.url());
            let heartbeat = hang_limit.map(|limit| Heartbeat::start(server.health(), limit));
            let hung = loop {
                if ended.recv_timeout(Duration::from_millis(200)).is_ok() {
                    break false;
                }
                if let Some(status) = server.wrangler.try_wait()? {
                    bail!("wrangler ended: {status}");
                }
                if heartbeat.as_ref().is_some_and(Heartbeat::has_stopped) {
                    break true;
                }
            };
            if !hung {
                break;
            }
            // Isolates of one workerd share a thread, and nothing can interrupt code in C.
            eprintln!(
                "the worker has not answered for {} s: a run holds it in C code (a huge power, a regular expression) or \
                 ended it. It is restarted: sessions go on with new interpreters, runs that were going on are lost",
                self.hang_limit
            );
        }
        eprintln!("stopped");
        Ok(())
    }
}

/// The default port. Its state is where `wrangler dev` keeps it, too.
const PORT: u16 = 8787;

/// The folder for the state of a server. Servers of one checkout have different ports, and share no state.
fn default_state(port: u16) -> PathBuf {
    let wrangler = Variant::Release.folder().join(".wrangler");
    wrangler.join(if port == PORT { "state".to_owned() } else { format!("state-{port}") })
}

/// Locks a folder of sessions until the result is dropped: two servers would lock each other's databases.
fn lock(state: &Path) -> Result<fs::File> {
    fs::create_dir_all(state).with_context(|| format!("{} cannot be made", state.display()))?;
    let lock = fs::File::create(state.join("lock"))?;
    if lock.try_lock().is_err() {
        bail!("another server has its sessions in {}; choose another folder by --state", state.display());
    }
    Ok(lock)
}

/// Notices when a worker no longer answers.
struct Heartbeat(Arc<AtomicBool>);

impl Heartbeat {
    /// Between two beats.
    const PERIOD: Duration = Duration::from_secs(1);

    /// Asks `url` until it does not answer for as long as `limit`, or this is dropped.
    fn start(url: String, limit: Duration) -> Self {
        let stopped = Arc::new(AtomicBool::new(false));
        let weak = Arc::downgrade(&stopped);
        thread::spawn(move || {
            let agent: ureq::Agent = ureq::Agent::config_builder().timeout_global(Some(limit)).build().into();
            let mut answered = Instant::now();
            while let Some(stopped) = weak.upgrade() {
                if agent.get(&url).call().is_ok() {
                    answered = Instant::now();
                } else if answered.elapsed() >= limit {
                    stopped.store(true, Ordering::Relaxed);
                    break;
                }
                drop(stopped);
                thread::sleep(Self::PERIOD);
            }
        });
        Self(stopped)
    }

    fn has_stopped(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// How to serve.
pub struct Settings {
    pub folder: PathBuf,
    pub port: u16,
    pub vars: Vec<(String, String)>,
    pub state: PathBuf,
}

/// The process groups of all running servers.
static RUNNING: Mutex<Vec<i32>> = Mutex::new(Vec::new());

/// Ends every server when a signal ends this process: they are in process groups of their own, and get no signals.
pub fn end_with_signals() -> Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    thread::spawn(move || {
        if let Some(signal) = signals.forever().next() {
            for group in RUNNING.lock().unwrap_or_else(PoisonError::into_inner).iter() {
                let _ = killpg(Pid::from_raw(*group), Signal::SIGKILL);
            }
            std::process::exit(128 + signal);
        }
    });
    Ok(())
}

/// A running `wrangler dev`. It ends, with all its processes, when this is dropped.
pub struct Server {
    wrangler: Child,
    port: u16,
    /// A lock until it is ready: two servers that start at once may choose the same internal ports.
    starting: Option<fs::File>,
}

impl Server {
    /// Starts one on a free port, with state of its own, and waits until it runs Python.
    pub fn start(variant: Variant, name: &str, vars: &[(&str, &str)]) -> Result<Self> {
        Self::start_in(variant.folder(), name, vars)
    }

    /// The same with what was built in `folder`.
    pub fn start_in(folder: PathBuf, name: &str, vars: &[(&str, &str)]) -> Result<Self> {
        let state = target().join("state").join(name);
        let _ = fs::remove_dir_all(&state);
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let vars = vars.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let mut server = Self::spawn(&Settings { folder, port, vars, state })?;
        server.wait_ready(None)?;
        Ok(server)
    }

    fn spawn(settings: &Settings) -> Result<Self> {
        let port = settings.port;
        TcpListener::bind((Ipv4Addr::LOCALHOST, port))
            .with_context(|| format!("port {port} is in use; choose another by --port"))?;
        let mut command = node::command("wrangler");
        command
            .args(["dev", "--local", "--ip", "127.0.0.1", "--port", &port.to_string()])
            .args(["--log-level", "warn", "--show-interactive-dev-session=false"])
            .envs(ENVIRONMENT.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once('=')))
            .current_dir(&settings.folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            // A group of its own: a signal ends wrangler with all the processes that it started.
            .process_group(0);
        let mut vars = settings.vars.clone();
        for (name, value) in LOCAL {
            if !vars.iter().any(|(given, _)| given == name) {
                vars.push(((*name).to_owned(), (*value).to_owned()));
            }
        }
        if !vars.iter().any(|(name, _)| name == MIRRORS)
            && let Some(address) = mirror::serve()?
        {
            vars.push((MIRRORS.to_owned(), address));
        }
        for (name, value) in &vars {
            command.args(["--var", &format!("{name}:{value}")]);
        }
        command.arg("--persist-to").arg(&settings.state);
        let starting = alone("starting a server", &target().join("xtask/server"))?;
        let mut wrangler = command.spawn().context("wrangler cannot be started")?;
        if let Some(errors) = wrangler.stderr.take() {
            thread::spawn(move || show(BufReader::new(errors)));
        }
        RUNNING.lock().unwrap_or_else(PoisonError::into_inner).push(wrangler.id() as i32);
        Ok(Self { wrangler, port, starting: Some(starting) })
    }

    /// The endpoint.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/mcp", self.port)
    }

    /// The address of its health check.
    pub fn health(&self) -> String {
        format!("http://127.0.0.1:{}/health", self.port)
    }

    /// The process group of wrangler and what it started.
    pub fn group(&self) -> u32 {
        self.wrangler.id()
    }

    /// Waits until a run succeeds. False: `ended` came first.
    fn wait_ready(&mut self, ended: Option<&mpsc::Receiver<i32>>) -> Result<bool> {
        let _starting = self.starting.take();
        let start = Instant::now();
        let mut answered = None;
        loop {
            if let Some(status) = self.wrangler.try_wait()? {
                bail!("wrangler ended: {status}");
            }
            if ended.is_some_and(|ended| ended.try_recv().is_ok()) {
                return Ok(false);
            }
            match run_python(&self.url(), "1+1") {
                Ok(answer) if answer.contains("\"return_value\":2") => return Ok(true),
                // It is up, but asks for a token, which only its clients have.
                Ok(answer) if answer.contains("Unauthorized") => return Ok(true),
                Ok(answer) if answered.get_or_insert_with(Instant::now).elapsed() > END => {
                    bail!("1+1 was answered by: {answer}")
                }
                Err(error) if start.elapsed() > START => return Err(error.context("the worker does not answer")),
                _ => thread::sleep(Duration::from_millis(100)),
            }
        }
    }

    fn end(&mut self) {
        let group = Pid::from_raw(self.wrangler.id() as i32);
        let _ = killpg(group, Signal::SIGTERM);
        let start = Instant::now();
        while start.elapsed() < END && matches!(self.wrangler.try_wait(), Ok(None)) {
            thread::sleep(Duration::from_millis(20));
        }
        let _ = killpg(group, Signal::SIGKILL);
        let _ = self.wrangler.wait();
        RUNNING.lock().unwrap_or_else(PoisonError::into_inner).retain(|running| *running != group.as_raw());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}

/// Prints wrangler's complaints, except about what it cannot do without a network and need not do, and about workerd's
/// own cache, which was made with other flags of V8.
fn show(lines: impl BufRead) {
    let mut harmless = false;
    for line in lines.lines().map_while(Result::ok) {
        if line.contains("per-isolate bootstrap compile cache") {
            continue;
        }
        if line.contains("Unable to fetch the `Request.cf` object") {
            harmless = true;
        } else if harmless && (line.starts_with("    at ") || line.contains("ENOTFOUND") || line.trim().is_empty()) {
            continue;
        } else {
            harmless = false;
            if !line.trim().is_empty() {
                eprintln!("{line}");
            }
        }
    }
}

/// Runs code by the tool, as a client of 2026-07-28 does; gives the response's body.
pub fn run_python(url: &str, code: &str) -> Result<String> {
    let params = serde_json::json!({
        "name": "run_python_code",
        "arguments": { "python_code": code },
        "_meta": {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientInfo": { "name": "xtask", "version": env!("CARGO_PKG_VERSION") },
            "io.modelcontextprotocol/clientCapabilities": {},
        },
    });
    call(url, "tools/call", Some("run_python_code"), params)
}

/// Makes one request in the protocol's version 2026-07-28.
pub fn call(url: &str, method: &str, name: Option<&str>, params: serde_json::Value) -> Result<String> {
    let body = serde_json::json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
    let mut request = ureq::post(url)
        .config()
        .http_status_as_error(false)
        .build()
        .header("content-type", "application/json")
        .header("accept", "application/json, text/event-stream")
        .header("mcp-protocol-version", "2026-07-28")
        .header("mcp-method", method);
    if let Some(name) = name {
        request = request.header("mcp-name", name);
    }
    Ok(request.send(body.to_string())?.body_mut().read_to_string()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_share_no_state() {
        assert!(default_state(8787).ends_with("worker/.wrangler/state"));
        assert!(default_state(8788).ends_with("worker/.wrangler/state-8788"));
        let state = target().join("xtask-state-test");
        let first = lock(&state).unwrap();
        let error = lock(&state).unwrap_err().to_string();
        assert!(error.contains("--state"), "{error}");
        // Programs that other tests start inherit the file until they call `exec`.
        first.unlock().unwrap();
        lock(&state).unwrap();
        fs::remove_dir_all(state).unwrap();
    }
}
