//! seccomp: which system calls a process may make. The list comes from a trace of workerd, and from what its allocator,
//! its libraries and V8 are known to use. Every other call fails as if the kernel did not have it.
//!
//! Left out on purpose: programs (`execve` passes once, see program.rs; `execveat` never), processes (`fork`,
//! `clone` but for threads, `clone3`, whose flags cannot be seen), sockets (`socket`, `connect`, `bind`, `listen`), folders
//! (`getdents64`), changes of files, `ptrace`, `process_vm_*`, `memfd_create`, `io_uring_*`, `bpf`, `userfaultfd`,
//! `perf_event_open`, keys, mounts, name spaces, and signals to others.

use std::{collections::BTreeMap, env::consts::ARCH, process};

use libc::c_long;
use seccompiler::{
    BackendError as Error, BpfProgram, SeccompAction, SeccompCmpArgLen as Length, SeccompCmpOp as Is, SeccompCondition,
    SeccompFilter, SeccompRule,
};

/// Calls that may be made with any arguments.
const ANY: &[c_long] = &[
    // Files that are open, or may be opened by the rules of Landlock.
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_pread64,
    libc::SYS_preadv,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_close,
    libc::SYS_close_range,
    libc::SYS_openat,
    libc::SYS_faccessat,
    libc::SYS_fstat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_statfs,
    libc::SYS_fstatfs,
    libc::SYS_lseek,
    libc::SYS_readlinkat,
    libc::SYS_getcwd,
    libc::SYS_dup,
    libc::SYS_dup3,
    libc::SYS_pipe2,
    libc::SYS_eventfd2,
    libc::SYS_timerfd_create,
    libc::SYS_timerfd_settime,
    libc::SYS_timerfd_gettime,
    libc::SYS_signalfd4,
    // The socket that was handed over, and what is accepted on it.
    libc::SYS_accept,
    libc::SYS_accept4,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_sendto,
    libc::SYS_sendmsg,
    libc::SYS_shutdown,
    libc::SYS_getsockopt,
    libc::SYS_setsockopt,
    libc::SYS_getsockname,
    libc::SYS_getpeername,
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_ppoll,
    // Memory.
    libc::SYS_brk,
    libc::SYS_mmap,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_mprotect,
    libc::SYS_madvise,
    libc::SYS_mincore,
    libc::SYS_membarrier,
    libc::SYS_pkey_alloc,
    libc::SYS_pkey_free,
    libc::SYS_pkey_mprotect,
    // Threads and signals of its own.
    libc::SYS_futex,
    libc::SYS_set_robust_list,
    libc::SYS_get_robust_list,
    libc::SYS_set_tid_address,
    libc::SYS_rseq,
    libc::SYS_gettid,
    libc::SYS_getpid,
    libc::SYS_getppid,
    libc::SYS_getuid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getegid,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_getparam,
    libc::SYS_sched_getscheduler,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_rt_sigtimedwait,
    libc::SYS_sigaltstack,
    libc::SYS_restart_syscall,
    libc::SYS_exit,
    libc::SYS_exit_group,
    // Time, random bytes, and facts about the machine.
    libc::SYS_clock_gettime,
    libc::SYS_clock_getres,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_gettimeofday,
    libc::SYS_times,
    libc::SYS_getrusage,
    libc::SYS_getcpu,
    libc::SYS_getrandom,
    libc::SYS_uname,
    libc::SYS_sysinfo,
    // Passes once: see program.rs.
    libc::SYS_execve,
];

/// Further calls that only this machine's architecture has.
#[cfg(target_arch = "x86_64")]
const ANY_HERE: &[c_long] = &[
    libc::SYS_open,
    libc::SYS_access,
    libc::SYS_stat,
    libc::SYS_lstat,
    libc::SYS_readlink,
    libc::SYS_poll,
    libc::SYS_epoll_wait,
    libc::SYS_dup2,
    libc::SYS_pipe,
    libc::SYS_time,
    libc::SYS_arch_prctl,
];
#[cfg(not(target_arch = "x86_64"))]
const ANY_HERE: &[c_long] = &[];

/// `ioctl`s that query a descriptor, or set how it is used.
const IOCTLS: [u64; 4] = [libc::FIOCLEX, libc::FIONBIO, libc::FIONREAD, libc::TCGETS];

/// `prctl`s that name things, or only query.
const PRCTLS: [i32; 4] = [libc::PR_SET_NAME, libc::PR_GET_NAME, libc::PR_SET_VMA, libc::PR_GET_DUMPABLE];

/// The filter of this process, with its id, which `execve` does not change; `None` if it cannot be built.
pub fn filter() -> Option<BpfProgram> {
    build().ok()
}

fn build() -> Result<BpfProgram, Error> {
    let mut rules: BTreeMap<c_long, Vec<SeccompRule>> =
        ANY.iter().chain(ANY_HERE).map(|call| (*call, Vec::new())).collect();
    let mut only = |call, conditions: Vec<Vec<SeccompCondition>>| -> Result<(), Error> {
        let allowed = conditions.into_iter().map(SeccompRule::new).collect::<Result<Vec<_>, _>>()?;
        rules.insert(call, allowed);
        Ok(())
    };
    let equal = |argument, value| SeccompCondition::new(argument, Length::Dword, Is::Eq, value);
    let masked = |argument, mask, value| SeccompCondition::new(argument, Length::Qword, Is::MaskedEq(mask), value);
    let thread = (libc::CLONE_VM | libc::CLONE_THREAD | libc::CLONE_SIGHAND) as u64;
    only(libc::SYS_clone, vec![vec![masked(0, thread, thread)?]])?;
    // Streams alone: what is sent on one goes to its other end.
    let stream = libc::SOCK_STREAM as u64;
    only(libc::SYS_socketpair, vec![vec![equal(0, libc::AF_UNIX as u64)?, masked(1, 0xf, stream)?]])?;
    only(libc::SYS_ioctl, IOCTLS.iter().map(|call| Ok(vec![equal(1, *call)?])).collect::<Result<_, Error>>()?)?;
    only(libc::SYS_prctl, PRCTLS.iter().map(|call| Ok(vec![equal(0, *call as u64)?])).collect::<Result<_, Error>>()?)?;
    let commands = [libc::F_DUPFD, libc::F_DUPFD_CLOEXEC, libc::F_GETFD, libc::F_SETFD, libc::F_GETFL, libc::F_SETFL];
    // Not `F_SETOWN`, which chooses who gets a signal when there is something to read.
    only(
        libc::SYS_fcntl,
        commands.iter().map(|call| Ok(vec![equal(1, *call as u64)?])).collect::<Result<_, Error>>()?,
    )?;
    // A process may read its own limits, and change none.
    only(libc::SYS_prlimit64, vec![vec![equal(0, 0)?, SeccompCondition::new(2, Length::Qword, Is::Eq, 0)?]])?;
    // A process may send a signal to itself alone (`abort`).
    only(libc::SYS_tgkill, vec![vec![equal(0, process::id().into())?]])?;
    SeccompFilter::new(rules, SeccompAction::Errno(libc::ENOSYS as u32), SeccompAction::Allow, ARCH.try_into()?)?
        .try_into()
}
