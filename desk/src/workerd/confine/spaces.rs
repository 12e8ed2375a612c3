//! Name spaces: a network without interfaces, and no other process in sight, where the system lets anybody have them.

use nix::sched::{CloneFlags, unshare};

/// What a child of this process is to see nothing of, besides processes: networks, abstract sockets, shared memory.
const APART: [CloneFlags; 3] = [CloneFlags::CLONE_NEWNET, CloneFlags::CLONE_NEWIPC, CloneFlags::CLONE_NEWUTS];

/// Leaves the name spaces of this process, as far as that is allowed: as a user of its own, or for one who may anyway. It
/// should have one thread.
pub fn leave() {
    let all = APART.into_iter().fold(CloneFlags::CLONE_NEWUSER, |all, space| all | space);
    if unshare(all).is_ok() {
        return;
    }
    for space in APART {
        let _ = unshare(space);
    }
}

/// Has the next child of this thread be the first process of a name space. No thread can be started after that.
pub fn leave_processes() {
    let _ = unshare(CloneFlags::CLONE_NEWPID);
}
