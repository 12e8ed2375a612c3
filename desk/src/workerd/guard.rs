//! The guard between this program and a workerd process: starts workerd, confined, and outlives both.
//!
//! It is this program again, started with a first word of its own. Its standard input is the socket that workerd serves
//! on. Its standard output is a pipe to which it writes workerd's process id, and nothing else. When the pipe breaks,
//! the supervisor has ended, in whatever way, and the guard kills workerd. Then it removes workerd's folder.

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

/// The first word of a probe's command line.
pub const PROBE: &str = "__probe";

/// The program that a guard starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// workerd, with its configuration.
    Workerd,
    /// This program as the probe, which attacks the targets of a scene.
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

/// The command for a guard that starts `program` in `folder`. It may read the file `told`, and use `memory` bytes.
pub fn command(kind: Kind, folder: &Path, program: &Path, told: &Path, memory: u64) -> Command {
    // This link leads to the running program, even if its file was replaced meanwhile.
    let itself = Path::new("/proc/self/exe");
    let itself = if itself.exists() { itself.to_owned() } else { env::current_exe().unwrap_or_default() };
    let mut command = Command::new(itself);
    command.arg0("mcp-run-python").args([WORD, kind.name()]).args([folder, program, told]).arg(memory.to_string());
    command
}

/// The arguments of a guard.
struct Guard {
    kind: Kind,
    folder: PathBuf,
    program: PathBuf,
    told: PathBuf,
    memory: u64,
}

/// If `words` are a guard's, runs this process as the guard, and returns its exit code.
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
    /// Starts workerd, and waits until it ends. Returns an exit code like a shell's.
    fn stand(&self) -> io::Result<u8> {
        // A session of its own: no terminal can end it or be written to, and it has its own share of the processor.
        let _ = setsid();
        // These signals do not end it: it ends when its supervisor does.
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
        // **Boundary.** workerd gets no descriptors that the program's own parent left open. By the system call's
        // number: the function needs glibc 2.34, and the program runs on older ones.
        // SAFETY: nothing was opened by this process yet.
        #[cfg(target_os = "linux")]
        #[allow(unsafe_code)]
        unsafe {
            libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, 0);
        }
        // `exec` does not close this duplicate of standard input.
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
            // If workerd was not started yet, this process ends before it can be.
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
        // The supervisor looks up workerd's memory by this id. It may have ended already.
        let _ = writeln!(io::stdout(), "{}", child.id());
        drop(listener);
        // Only workerd may have the socket, so that connections fail once it has ended.
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
