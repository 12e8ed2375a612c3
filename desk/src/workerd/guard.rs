//! What stands between this program and a workerd process: starts it, confined, and outlives both.
//!
//! It is this program once more, started with a first word of its own. Its standard input is the socket that workerd is to
//! serve on; its standard output is a pipe, through which it tells which process workerd is, and nothing else: when that breaks,
//! the supervisor is no more, however it ended. Then workerd is killed. Once workerd has ended, its folder is removed.

use std::{
    env,
    ffi::OsString,
    fs,
    io::{self, Write},
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
        unix::process::{CommandExt, ExitStatusExt},
    },
    path::{Path, PathBuf},
    process::{self, Command, Stdio},
    sync::{Arc, OnceLock},
    thread,
};

use nix::{
    fcntl::{FcntlArg, fcntl},
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::signal::{SigSet, Signal, kill},
    unistd::{Pid, setsid},
};

#[cfg(target_os = "linux")]
use super::confine;

/// The first word of a guard's command line.
const WORD: &str = "__guard";

/// The first word of a probe's.
pub const PROBE: &str = "__probe";

/// The program that a guard starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// workerd, with its configuration.
    Workerd,
    /// This program, which attacks what it is told of.
    Probe,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Workerd => "workerd",
            Self::Probe => "probe",
        }
    }
}

/// The command that starts a guard of a `program` in `folder`, which may read the file `told`, and has so many bytes of
/// memory.
pub fn command(kind: Kind, folder: &Path, program: &Path, told: &Path, memory: u64) -> Command {
    // A program that was replaced meanwhile is still itself.
    let itself = Path::new("/proc/self/exe");
    let itself = if itself.exists() { itself.to_owned() } else { env::current_exe().unwrap_or_default() };
    let mut command = Command::new(itself);
    command.arg0("mcp-run-python").args([WORD, kind.name()]).args([folder, program, told]).arg(memory.to_string());
    command
}

/// What a guard is started with.
struct Guard {
    kind: Kind,
    folder: PathBuf,
    program: PathBuf,
    told: PathBuf,
    memory: u64,
}

/// Whether this process is to be a guard: its exit code then, once it has been one.
pub fn main(words: &[OsString]) -> Option<u8> {
    let [word, kind, folder, program, told, memory] = words else { return None };
    if word != WORD {
        return None;
    }
    let kind = [Kind::Workerd, Kind::Probe].into_iter().find(|known| kind == known.name())?;
    let memory = memory.to_str().and_then(|memory| memory.parse().ok())?;
    let guard = Guard { kind, folder: folder.into(), program: program.into(), told: told.into(), memory };
    Some(guard.stand().unwrap_or_else(|error| {
        eprintln!("the guard failed: {error}");
        1
    }))
}

impl Guard {
    /// Starts workerd, and waits for the end of either. Gives an exit code as a shell would.
    fn stand(&self) -> io::Result<u8> {
        // A session of its own: no terminal ends it, or can be written to, and its share of the processor is its own.
        let _ = setsid();
        // It ends when its supervisor does, and not before.
        let mut signals = SigSet::empty();
        for signal in [Signal::SIGHUP, Signal::SIGINT, Signal::SIGTERM] {
            signals.add(signal);
        }
        signals.thread_block()?;
        let result = self.run();
        let _ = fs::remove_dir_all(&self.folder);
        result
    }

    fn run(&self) -> io::Result<u8> {
        // **Boundary.** What whoever started the program had open is none of workerd's. By the system call's number: the function
        // is of glibc 2.34, and the program runs on older ones.
        // SAFETY: nothing was opened by this process yet.
        #[cfg(target_os = "linux")]
        #[allow(unsafe_code)]
        unsafe {
            libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, 0);
        }
        // Not closed by `exec`, as a duplicate of standard input.
        let listener = fcntl(io::stdin().as_fd(), FcntlArg::F_DUPFD(3))?;
        // SAFETY: it was just made, and belongs to nobody else.
        #[allow(unsafe_code)]
        let listener = unsafe { OwnedFd::from_raw_fd(listener) };
        #[cfg(not(target_os = "macos"))]
        let mut command = Command::new(&self.program);
        #[cfg(target_os = "macos")]
        let mut command = super::seatbelt::command(&self.program, &[&self.told]);
        match self.kind {
            Kind::Workerd => command
                .args(["serve", "--experimental", "--binary"])
                .arg(&self.told)
                .arg(format!("--socket-fd=runs={}", listener.as_raw_fd())),
            Kind::Probe => command.arg(PROBE).arg(&self.told),
        };
        command
            .env_clear()
            .env("SECRET", env::var_os("SECRET").unwrap_or_default())
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(io::stderr().as_fd().try_clone_to_owned()?)
            .stderr(Stdio::inherit());
        #[cfg(target_os = "linux")]
        confine::leave();
        let started = Arc::new(OnceLock::new());
        let to_be_ended = started.clone();
        thread::Builder::new().spawn(move || {
            wait_for_supervisor();
            // One that was not started is not: its folder goes with this process.
            match to_be_ended.get() {
                Some(pid) => drop(kill(*pid, Signal::SIGKILL)),
                None => process::exit(1),
            }
        })?;
        #[cfg(target_os = "linux")]
        let mut child = {
            let bounds = confine::Bounds { program: &self.program, readable: &[&self.told], memory: self.memory };
            confine::spawn(&mut command, &bounds)?
        };
        #[cfg(not(target_os = "linux"))]
        let mut child = command.spawn()?;
        let _ = started.set(Pid::from_raw(child.id().try_into().unwrap_or(i32::MAX)));
        // How much memory it takes is looked up by it. Nobody listens, perhaps.
        let _ = writeln!(io::stdout(), "{}", child.id());
        drop(listener);
        // Only workerd is to have it: whoever connects is told when workerd is no more.
        // SAFETY: standard input is not used again.
        #[allow(unsafe_code)]
        drop(unsafe { OwnedFd::from_raw_fd(0) });
        let status = child.wait()?;
        let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1);
        Ok(u8::try_from(code).unwrap_or(u8::MAX))
    }
}

/// Waits until nobody holds the other end of standard output.
fn wait_for_supervisor() {
    let stdout = io::stdout();
    let broken: BorrowedFd<'_> = stdout.as_fd();
    loop {
        let mut watched = [PollFd::new(broken, PollFlags::empty())];
        match poll(&mut watched, PollTimeout::NONE) {
            Err(nix::errno::Errno::EINTR) => {}
            _ => return,
        }
    }
}
