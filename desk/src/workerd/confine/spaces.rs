//! Name spaces: a network without interfaces, and no other process in sight, where the system allows them.

use nix::sched::{CloneFlags, unshare};

/// Name spaces besides that of processes: they hide networks, abstract sockets and shared memory from children.
const APART: [CloneFlags; 3] = [CloneFlags::CLONE_NEWNET, CloneFlags::CLONE_NEWIPC, CloneFlags::CLONE_NEWUTS];

/// Leaves the name spaces of this process as far as that is allowed: in a user name space of its own, or, if the user
/// has the privileges, without one. The process should have one thread.
pub fn leave() {
    let all = APART.into_iter().fold(CloneFlags::CLONE_NEWUSER, |all, space| all | space);
    if unshare(all).is_ok() {
        return;
    }
    for space in APART {
        let _ = unshare(space);
    }
}

/// Makes the next child of this thread the first process of a name space. No thread can be started after that.
pub fn leave_processes() {
    let _ = unshare(CloneFlags::CLONE_NEWPID);
}
