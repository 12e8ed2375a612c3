//! Confines a workerd process: it can do nearly nothing on this machine.
//!
//! An attacker who breaks out of V8 and of workerd's own sandbox runs native code in that process, as this user. This
//! module limits what that gives: read-only access to the files that workerd needs to start, the socket that it was
//! handed, memory, threads and time. None of it needs privileges; what a system does not have is left out, and
//! `mcp-run-python doctor` says so.

mod calls;
mod files;
pub mod probe;
mod program;
mod spaces;

use std::{
    io,
    path::Path,
    process::{Child, Command},
};

use nix::sys::{
    prctl,
    resource::{Resource, setrlimit},
    signal::Signal,
};

/// Leaves the name spaces that it can. To be called first of all, while this process has one thread.
pub use self::spaces::leave;

/// Most open files of a process.
const OPEN_FILES: u64 = 4096;

/// The bounds of a confined process.
pub struct Bounds<'a> {
    /// The program that is started.
    pub program: &'a Path,
    /// The files that it reads besides its libraries.
    pub readable: &'a [&'a Path],
    /// Most memory of it, in bytes.
    pub memory: u64,
}

/// Starts a confined program. After that, this process can start neither another program nor a thread.
///
/// # Errors
/// It cannot be started.
pub fn spawn(command: &mut Command, bounds: &Bounds<'_>) -> io::Result<Child> {
    let mut files = files::Rules::new(bounds);
    let (once, passing) = program::once()?;
    let memory = bounds.memory;
    let confine = move || {
        // Limits are only ever lowered: one that is lower already stays.
        let _ = setrlimit(Resource::RLIMIT_CORE, 0, 0);
        let _ = setrlimit(Resource::RLIMIT_DATA, memory, memory);
        let _ = setrlimit(Resource::RLIMIT_FSIZE, 0, 0);
        let _ = setrlimit(Resource::RLIMIT_NOFILE, OPEN_FILES, OPEN_FILES);
        prctl::set_no_new_privs()?;
        if let Some(files) = files.take() {
            files.enforce();
        }
        once.enforce();
        // After everything that may clear it, and before the filter forbids to set it.
        prctl::set_pdeathsig(Signal::SIGKILL)?;
        if let Some(calls) = calls::filter() {
            // Fails on a kernel without seccomp: see above.
            let _ = seccompiler::apply_filter(&calls);
        }
        Ok(())
    };
    // SAFETY: it runs in a child of a process whose other threads only wait; what it needs was made before.
    #[allow(unsafe_code)]
    unsafe {
        std::os::unix::process::CommandExt::pre_exec(command, confine);
    }
    spaces::leave_processes();
    let child = command.spawn();
    passing.end();
    child
}
