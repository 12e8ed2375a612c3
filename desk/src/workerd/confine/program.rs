//! Lets a process start one program, and no other.
//!
//! Its first `execve` starts that program. A filter cannot count: so the kernel asks the parent, this process, about
//! each (seccomp's user notification). The parent lets the first pass and then hangs up. From then on each fails.

use std::{
    io,
    os::{
        fd::{AsRawFd, FromRawFd, OwnedFd},
        unix::net::UnixStream,
    },
    thread::{self, JoinHandle},
};

use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, Shutdown, recvmsg, sendmsg, shutdown};

/// The child's side.
pub struct Once(UnixStream);

/// This process's side.
pub struct Passing {
    told: UnixStream,
    thread: JoinHandle<()>,
}

/// Makes both sides.
///
/// # Errors
/// The system's, for want of descriptors or threads.
pub fn once() -> io::Result<(Once, Passing)> {
    let (child, own) = UnixStream::pair()?;
    let told = own.try_clone()?;
    let thread = thread::Builder::new().spawn(move || {
        if let Some(listener) = receive(&own) {
            let _ = pass_one(&listener);
        }
    })?;
    Ok((Once(child), Passing { told, thread }))
}

impl Passing {
    /// To be called once the program was started, or has failed to start.
    pub fn end(self) {
        let _ = shutdown(self.told.as_raw_fd(), Shutdown::Both);
        let _ = self.thread.join();
    }
}

impl Once {
    /// Has the kernel ask about each program that this process starts. Where it cannot, Landlock still allows no
    /// program but the first one.
    pub fn enforce(&self) {
        let Ok(listener) = listen() else { return };
        let descriptors = [listener.as_raw_fd()];
        let message = [ControlMessage::ScmRights(&descriptors)];
        let bytes = [io::IoSlice::new(b"1")];
        let _ = sendmsg::<()>(self.0.as_raw_fd(), &bytes, &message, MsgFlags::empty(), None);
    }
}

/// Installs a filter that asks about `execve`, and allows everything else. The other filter is stricter.
fn listen() -> io::Result<OwnedFd> {
    let statement = |code: u32, k: u32| libc::sock_filter { code: code as u16, jt: 0, jf: 0, k };
    let mut filter = [
        // Loads the number of the call. The other filter checks its architecture.
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0),
        libc::sock_filter {
            code: (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16,
            jt: 0,
            jf: 1,
            k: libc::SYS_execve as u32,
        },
        statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_USER_NOTIF),
        statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: the program lives until the call returns; what it returns is a descriptor of our own.
    #[allow(unsafe_code)]
    unsafe {
        let listener = libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            libc::SECCOMP_FILTER_FLAG_NEW_LISTENER,
            &raw const program,
        );
        match i32::try_from(listener) {
            Ok(listener) if listener >= 0 => Ok(OwnedFd::from_raw_fd(listener)),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

fn receive(socket: &UnixStream) -> Option<OwnedFd> {
    let mut byte = [0];
    let mut bytes = [io::IoSliceMut::new(&mut byte)];
    let mut space = nix::cmsg_space!([i32; 1]);
    let message = recvmsg::<()>(socket.as_raw_fd(), &mut bytes, Some(&mut space), MsgFlags::MSG_CMSG_CLOEXEC).ok()?;
    let descriptors = message.cmsgs().ok()?.find_map(|message| match message {
        ControlMessageOwned::ScmRights(descriptors) => descriptors.first().copied(),
        _ => None,
    });
    // SAFETY: the kernel made it for this message, and nobody else has it.
    #[allow(unsafe_code)]
    descriptors.map(|descriptor| unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// Lets the first call pass. Our own child makes it, before it becomes another program: there is nothing to check.
fn pass_one(listener: &OwnedFd) -> io::Result<()> {
    // SAFETY: both are plain data of the kernel's own layout, zeroed as it asks for, and live until the call returns.
    #[allow(unsafe_code)]
    unsafe {
        let mut asked: libc::seccomp_notif = std::mem::zeroed();
        if libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_RECV as _, &raw mut asked) != 0 {
            return Err(io::Error::last_os_error());
        }
        let mut answer: libc::seccomp_notif_resp = std::mem::zeroed();
        answer.id = asked.id;
        answer.flags = libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32;
        if libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SEND as _, &raw mut answer) != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}
