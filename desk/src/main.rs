//! The command `mcp-run-python`: the server on the user's own machine.
//!
//! One thread runs the core, which never runs Python. Python runs in workerd processes, which this program starts,
//! watches and ends.

mod backend;
mod cache;
mod command;
#[cfg(target_os = "linux")]
mod doctor;
mod errors;
mod files;
mod http;
mod installation;
mod interpreter;
mod kept;
mod log;
mod packages;
mod platform;
mod pool;
mod print_config;
mod server;
mod site;
mod snapshots;
mod stdio;
mod words;
mod workerd;

use std::{env, ffi::OsString, net::IpAddr, process::ExitCode};

use tokio::{
    runtime::Builder,
    signal::unix::{SignalKind, signal},
    task::LocalSet,
};

use crate::{
    command::{Arguments, Asked},
    installation::Installation,
    server::{Prepared, Server},
};

fn main() -> ExitCode {
    let words: Vec<OsString> = env::args_os().skip(1).collect();
    if let Some(code) = workerd::guard::main(&words) {
        return code.into();
    }
    #[cfg(target_os = "linux")]
    if let [word, scene] = words.as_slice()
        && word == workerd::guard::PROBE
    {
        return workerd::confine::probe::main(scene.as_ref()).into();
    }
    match asked(&words) {
        Ok(code) => code.into(),
        Err(Failed::Usage(why)) => {
            eprintln!("{}\nmcp-run-python: error: {why}", command::usage());
            2.into()
        }
        Err(Failed::Run(why)) => {
            eprintln!("mcp-run-python: error: {why}");
            1.into()
        }
    }
}

enum Failed {
    /// The arguments were wrong.
    Usage(String),
    /// The command cannot be carried out.
    Run(String),
}

impl From<String> for Failed {
    fn from(why: String) -> Self {
        Self::Run(why)
    }
}

fn asked(given: &[OsString]) -> Result<u8, Failed> {
    let arguments = match command::read(given).map_err(Failed::Usage)? {
        Asked::Help => {
            print!("{}", command::help());
            return Ok(0);
        }
        Asked::Version => {
            println!("mcp-run-python {}", command::VERSION);
            return Ok(0);
        }
        Asked::Mode(arguments) => arguments,
    };
    match arguments.mode.as_str() {
        "print-config" => {
            print!("{}", print_config::print(&arguments).map_err(Failed::Usage)?);
            Ok(0)
        }
        "completions" => {
            let shell = arguments.rest.first().map_or("", String::as_str);
            print!("{}", words::completions(shell).map_err(Failed::Usage)?);
            Ok(0)
        }
        words::MANUAL => {
            print!("{}", words::manual()?);
            Ok(0)
        }
        "cache" => Ok(cache::run(!arguments.rest.is_empty())?),
        #[cfg(target_os = "linux")]
        "doctor" => Ok(doctor::run()?),
        #[cfg(not(target_os = "linux"))]
        "doctor" => Err("it is for Linux: docs/desk.md says what holds elsewhere".to_owned().into()),
        _ => serve(&arguments),
    }
}

/// Ends this process with its parent, if that gives its id in `MCP_RUN_PYTHON_PARENT`: the npm package's command does,
/// on a Node that cannot become another program.
fn end_with_parent() {
    const PARENT: &str = "MCP_RUN_PYTHON_PARENT";
    let parent = env::var(PARENT).ok().and_then(|parent| parent.parse().ok());
    let Some(parent) = parent.map(nix::unistd::Pid::from_raw) else { return };
    #[cfg(target_os = "linux")]
    let _ = nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL);
    if nix::unistd::getppid() != parent {
        std::process::exit(1);
    }
}

/// Runs the modes that run Python.
fn serve(arguments: &Arguments) -> Result<u8, Failed> {
    end_with_parent();
    let installation = Installation::find()?;
    let prepared = server::prepare(arguments, installation, |config| {
        // **Boundary.** Everybody who reaches this port can run code on this machine: the user has to choose that.
        let local = !arguments.mode.starts_with("streamable-http") || is_loopback(&arguments.host);
        if local || config.contains_key("ACCESS") {
            return Ok(());
        }
        Err(format!(
            "--host {} lets others in: choose --set ACCESS=token (with ACCESS_TOKENS) or --set ACCESS=none",
            arguments.host
        ))
    })?;
    let runtime = Builder::new_current_thread().enable_all().build().map_err(|error| errors::describe(&error))?;
    let code = LocalSet::new().block_on(&runtime, run(arguments, prepared));
    // Does not wait for threads that still read a file.
    runtime.shutdown_background();
    Ok(code?)
}

/// Whether only this machine reaches the address.
fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

async fn run(arguments: &Arguments, prepared: Prepared) -> Result<u8, String> {
    platform::start();
    let has_dependencies = !prepared.config.packages.dependencies.is_empty();
    let mut signals = Vec::new();
    for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()] {
        signals.push(signal(kind).map_err(|error| errors::describe(&error))?);
    }
    let stopped = futures::future::select_all(signals.iter_mut().map(|signal| Box::pin(signal.recv())));
    let server = Server::new(prepared)?;
    let result = tokio::select! {
        _ = stopped => Ok(0),
        result = mode(&server, arguments, has_dependencies) => result,
    };
    server.close().await;
    result
}

async fn mode(server: &Server, arguments: &Arguments, has_dependencies: bool) -> Result<u8, String> {
    match arguments.mode.as_str() {
        "example" => server::example(server).await,
        "fetch" => server::fetch(server).await,
        "stdio" => tokio::select! {
            biased;
            why = server.broken(has_dependencies) => Err(why),
            () = stdio::serve(server) => Ok(0),
        },
        mode => {
            let listening = http::listen(server, &arguments.host, arguments.port).await?;
            server.log.info(format_args!("Running mcp-run-python via {mode} on {}", listening.url));
            tokio::select! {
                biased;
                why = server.broken(has_dependencies) => Err(why),
                () = listening.serve() => Ok(0),
            }
        }
    }
}
