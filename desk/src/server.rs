//! The core with its processes: what all transports have in common.

use std::{collections::HashMap, num::NonZero, path::PathBuf, rc::Rc, thread};

use bytes::Bytes;
use futures::{
    FutureExt,
    channel::oneshot,
    future::{LocalBoxFuture, Shared},
};
use mcp_run_python::{
    home::{self, Home},
    kept::Shelf,
    packages::{Event, InstallError, Packages},
    session::{Places, Snapshots},
    settings::{self, Config, check_names},
    transport::Access,
};
use serde_json::{Value, json};
use tokio::{
    sync::mpsc,
    time::{Duration, interval},
};

use crate::{
    backend::Desk,
    cache,
    command::Arguments,
    files,
    installation::Installation,
    kept::Files,
    log::Log,
    packages::{self, disk::Disk},
    platform::{PLATFORM, spawn},
    pool::Pool,
    workerd::{Launch, Started},
};

/// How often idle sessions are looked for.
const SWEEP: Duration = Duration::from_secs(10);

/// Most memory of a workerd process, in bytes: ten interpreters, or one large one.
const PROCESS_MEMORY: u64 = 4 * 1024 * 1024 * 1024;

/// The server.
#[derive(Clone)]
pub struct Server {
    /// The core, which answers MCP.
    pub home: Home<Desk>,
    /// The processes.
    pub pool: Pool,
    packages: Rc<Packages>,
    kept: Files,
    /// Who may ask for the page.
    pub access: Access,
    /// The folder of the page.
    pub site: PathBuf,
    /// Where messages for people go.
    pub log: Log,
    checked: Shared<LocalBoxFuture<'static, Result<(), String>>>,
}

/// The parts of a server that need no async runtime.
pub struct Prepared {
    /// The settings.
    pub config: Config,
    launch: Launch,
    first: Started,
    /// Result of checking the hashes of the installed files.
    checked: oneshot::Receiver<Result<(), String>>,
    processes: usize,
    /// Whether many clients are expected.
    is_shared: bool,
}

/// Reads the settings, and starts the first process: it comes up while the rest is made.
///
/// # Errors
/// Names the setting that is wrong, or what is missing; or the error of `check` for the given settings.
pub fn prepare(
    arguments: &Arguments,
    installation: Installation,
    check: impl FnOnce(&HashMap<String, String>) -> Result<(), String>,
) -> Result<Prepared, String> {
    let sources = installation.sources()?;
    let defaults = [("PACKAGE_MIRRORS", &*sources.mirror), ("PACKAGE_INDEX", &*sources.index)];
    let config = read_settings(&arguments.settings, &HashMap::from(defaults))?;
    check(&arguments.settings)?;
    let processes = thread::available_parallelism().map_or(2, NonZero::get).max(2);
    let read = config.files.as_deref().map(|folder| files::read(folder.as_ref(), &config.server.limits));
    let data = read.transpose()?.map(Bytes::from);
    let launch = Launch { installation, data, memory: PROCESS_MEMORY.min(installed_memory()), log: arguments.log };
    let first = launch.start()?;
    let (tell, checked) = oneshot::channel();
    let installation = launch.installation.clone();
    thread::spawn(move || tell.send(installation.check()));
    let is_shared = arguments.mode.starts_with("streamable-http");
    Ok(Prepared { config, launch, first, checked, processes: arguments.processes.unwrap_or(processes), is_shared })
}

/// Reads the given settings; an unknown name is an error. `defaults` are those that come with the program.
fn read_settings(given: &HashMap<String, String>, defaults: &HashMap<&str, &str>) -> Result<Config, String> {
    check_names(settings::Home::Desk, given.keys().map(String::as_str))?;
    let setting = |name: &str| given.get(name).cloned().or_else(|| defaults.get(name).map(|value| (*value).to_owned()));
    Config::read(settings::Home::Desk, &setting, PLATFORM)
}

/// Memory of the machine, in bytes.
fn installed_memory() -> u64 {
    let told = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
        total.split_whitespace().next()?.parse::<u64>().ok()
    });
    told.map_or(u64::MAX, |kibibytes| kibibytes.saturating_mul(1024))
}

impl Server {
    /// A server with the process that was started.
    ///
    /// # Errors
    /// A file that comes with the program cannot be read.
    pub fn new(prepared: Prepared) -> Result<Self, String> {
        let Prepared { config, launch, first, checked, processes, is_shared } = prepared;
        let log = launch.log;
        let installation = launch.installation.clone();
        let pool = Pool::new(launch, processes, is_shared, first);
        // A memory budget leaves no room for the larger interpreters that start from snapshots.
        let snapshots = Snapshots::limited(config.packages.room.budget.map_or(config.packages.snapshots, |_| 0));
        let isolates = Desk {
            pool: pool.clone(),
            wheels: packages::wheels(),
            packages: None,
            disk: Disk::of_system(log),
            build: installation.build()?.into(),
            kept: false,
        };
        let (options, limits) = (config.packages.clone(), config.server.limits);
        let installer = packages::installer(&installation, options, limits, &isolates, &snapshots, log)?;
        let fresh = Desk { packages: Some(installer.clone()), ..isolates };
        let kept = Desk { kept: true, ..fresh.clone() };
        let measured = pool.clone();
        let most = config.memory_total.unwrap_or_else(|| usize::try_from(installed_memory() / 2).unwrap_or(usize::MAX));
        let places = Places::default().with_memory(most, Rc::new(move || measured.memory()));
        let files = Files::new(log);
        let parts = home::Parts {
            kept,
            fresh,
            places,
            snapshots,
            packages: Some(installer.clone()),
            store: Some(Rc::new(Shelf::new(files.clone(), PLATFORM, config.kept))),
            keeps_sessions: true,
        };
        let (access, site) = (config.transport.access.clone(), installation.site);
        let checked = checked.map(|checked| checked.unwrap_or(Ok(()))).boxed_local().shared();
        let home = Home::new(parts, config);
        let server = Self { home, pool, packages: installer, kept: files, access, site, log, checked };
        let swept = server.home.clone();
        spawn(async move {
            let mut sweep = interval(SWEEP);
            loop {
                sweep.tick().await;
                swept.end_idle();
            }
        });
        Ok(server)
    }

    /// Runs code in an interpreter of its own, without a client. Returns the tool's result.
    ///
    /// # Errors
    /// The call was refused.
    pub async fn run_once(&self, code: &str) -> Result<Value, String> {
        let meta = json!({
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {},
        });
        let params = json!({ "name": "run_python_code", "arguments": { "python_code": code }, "_meta": meta });
        let request = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params });
        let (send, mut answers) = mpsc::unbounded_channel();
        let connection = self.home.connect(move |text| drop(send.send(text)));
        connection.receive(request.to_string().as_bytes());
        while let Some(text) = answers.recv().await {
            let mut message: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
            if message.get("id").and_then(Value::as_u64) != Some(1) {
                continue;
            }
            return match message.get_mut("result") {
                Some(result) => Ok(result.take()),
                None => {
                    let why = message.pointer("/error/message").and_then(Value::as_str);
                    Err(why.unwrap_or("the call was refused").to_owned())
                }
            };
        }
        Err("the call was not answered".to_owned())
    }

    /// Starts Python, with the packages that every run has. Resolves with the reason if that fails, else never: nothing
    /// is served without Python.
    pub async fn broken(&self, has_dependencies: bool) -> String {
        if let Err(error) = self.warm(has_dependencies).await {
            return error;
        }
        self.log.debug("Python is ready");
        std::future::pending().await
    }

    async fn warm(&self, has_dependencies: bool) -> Result<(), String> {
        self.checked.clone().await?;
        self.pool.warm().await?;
        if has_dependencies {
            let result = self.run_once("").await?;
            let outcome = result.get("structuredContent").unwrap_or(&Value::Null);
            if outcome.get("status").and_then(Value::as_str) != Some("success") {
                let why = outcome.get("error").and_then(Value::as_str);
                return Err(why.unwrap_or("the packages could not be installed").to_owned());
            }
        }
        Ok(())
    }

    /// Ends everything. Resolves when no process is left.
    pub async fn close(&self) {
        self.home.end_all();
        self.pool.close().await;
        self.kept.close();
    }
}

/// The mode `example`: the original's program. Gives the exit code.
///
/// # Errors
/// It could not be run.
pub async fn example(server: &Server) -> Result<u8, String> {
    const CODE: &str = "
import numpy
a = numpy.array([1, 2, 3])
print('numpy array:', a)
a
";
    server.log.info("Running example script for MCP Run Python...");
    let result = server.run_once(CODE).await?;
    let text = result.pointer("/content/0/text").and_then(Value::as_str).unwrap_or_default();
    println!("Tool return value:\n{text}");
    let succeeded = result.pointer("/structuredContent/status").and_then(Value::as_str) == Some("success");
    Ok(u8::from(!succeeded))
}

/// The mode `fetch`: gets the packages that are asked for and what they need, compiles them, and takes a snapshot of an
/// interpreter that has imported them. Gives the exit code.
///
/// # Errors
/// A package cannot be had.
pub async fn fetch(server: &Server) -> Result<u8, String> {
    server.checked.clone().await?;
    let log = server.log;
    let tell = |event| match event {
        Event::Debug(text) => log.debug(text),
        Event::Info(text) => log.info(text),
        Event::Warning(text) => log.warning(text),
        Event::Progress(..) => {}
    };
    // The packages are those that every run has, even one of an empty program.
    let installed = server.packages.install_for("", None, &tell).await.map_err(|InstallError(why)| why)?;
    log.info("compiling them, and taking a snapshot of an interpreter that has imported them");
    server.packages.prepare_ahead(&installed.set).await;
    for wheel in installed.set.wheels() {
        println!("{} {}", wheel.name, wheel.version);
    }
    cache::run(false)
}
