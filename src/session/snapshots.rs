//! Snapshots of interpreters that have imported packages: a run that starts from one imports nothing. Each set of
//! packages gets one in the background, after its first run, if the home makes any.
//!
//! **Boundary.** Only the packages' own code runs while one is made: modules are named by the lock file and a table,
//! never by what a program says. A snapshot that an isolate gives is opaque here; it is kept under a hash of everything
//! it was made from, and an interpreter starts from it only if it is to have all of these very packages.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

use futures::{FutureExt, future::LocalBoxFuture, select_biased};

use super::{Fresh, Places};
use crate::{
    backend::{Backend, NotTaken},
    limits::{Limits, MAX_LEFT_OUT, SNAPSHOT_TIME},
    packages::{PackageSet, Snapshotter, Wheel},
    run::{Ending, Outcome, Returned, RunRequest, execute, sandbox::SandboxError},
};

/// The snapshots of a home. Clones share them.
pub struct Snapshots<S>(Rc<Inner<S>>);

impl<S> Clone for Snapshots<S> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

struct Inner<S> {
    /// How many bytes of them are held at once.
    limit: Cell<usize>,
    /// The least recently used first.
    known: RefCell<Vec<Known<S>>>,
}

struct Known<S> {
    set: PackageSet,
    /// The snapshot and its size in bytes. `None`: there is none.
    snapshot: Option<(S, usize)>,
    /// Whether making one was tried.
    tried: bool,
}

impl<S> Default for Snapshots<S> {
    /// Holds none, and none are made.
    fn default() -> Self {
        Self::limited(0)
    }
}

impl<S> Snapshots<S> {
    /// Empty; holds up to so many bytes of snapshots.
    #[must_use]
    pub fn limited(bytes: usize) -> Self {
        Self(Rc::new(Inner { limit: Cell::new(bytes), known: RefCell::default() }))
    }

    /// Sets how many bytes are held from now on.
    pub fn limit(&self, bytes: usize) {
        self.0.limit.set(bytes);
    }

    fn is_off(&self) -> bool {
        self.0.limit.get() == 0
    }
}

/// How many sets are remembered, with and without snapshots.
const MAX_KNOWN: usize = 256;

impl<S: Clone> Snapshots<S> {
    /// Gathers the parts of an interpreter with these packages, from the snapshot of the most of them, if there is any.
    ///
    /// # Errors
    /// The parts cannot be had.
    pub async fn parts<B>(&self, backend: &B, packages: &PackageSet) -> Result<B::Parts, SandboxError>
    where
        B: Backend<Snapshot = S>,
    {
        if self.is_off() || packages.is_empty() {
            return backend.parts(packages, None).await;
        }
        if !self.0.known.borrow().iter().any(|known| known.set.hash() == packages.hash()) {
            // Another process may have made one.
            let kept = backend.kept(&key(backend, packages)).await;
            self.add(packages, kept, false);
        }
        match self.nearest(packages) {
            Some((of, snapshot)) => backend.parts(&of.followed_by(packages), Some(&snapshot)).await,
            None => backend.parts(packages, None).await,
        }
    }

    /// Forgets the snapshot that interpreters with these packages start from. Returns whether there was one.
    pub(super) fn forget(&self, packages: &PackageSet) -> bool {
        let Some((of, _)) = self.nearest(packages) else { return false };
        self.add(&of, None, true);
        true
    }

    /// Returns the snapshot of the most of these packages, and of no others.
    fn nearest(&self, packages: &PackageSet) -> Option<(PackageSet, S)> {
        let mut known = self.0.known.borrow_mut();
        let fits = |known: &Known<S>| {
            let (_, size) = known.snapshot.as_ref()?;
            packages.contains(&known.set).then_some((known.set.wheels().len(), *size))
        };
        let (_, at) = known.iter().enumerate().filter_map(|(at, known)| Some((fits(known)?, at))).max()?;
        let found = known.remove(at);
        let nearest = found.snapshot.as_ref().map(|(snapshot, _)| (found.set.clone(), snapshot.clone()));
        known.push(found);
        nearest
    }

    /// Adds what is known of a set; drops what was used least recently if that is too much.
    fn add(&self, set: &PackageSet, snapshot: Option<(S, usize)>, tried: bool) {
        let mut known = self.0.known.borrow_mut();
        known.retain(|known| known.set.hash() != set.hash());
        known.push(Known { set: set.clone(), snapshot, tried });
        let size = |known: &Known<S>| known.snapshot.as_ref().map_or(0, |(_, size)| *size);
        let mut total: usize = known.iter().map(size).sum();
        let limit = self.0.limit.get();
        while total > limit || known.len() > MAX_KNOWN {
            let Some(at) = known.iter().position(|known| total <= limit || known.snapshot.is_some()) else { break };
            total -= size(&known.remove(at));
        }
    }

    fn lacks(&self, set: &PackageSet) -> Vec<Wheel> {
        let tried = self.0.known.borrow().iter().any(|known| known.set.hash() == set.hash() && known.tried);
        if self.is_off() || tried {
            return Vec::new();
        }
        let nearest = self.nearest(set).map(|(of, _)| of).unwrap_or_default();
        let lacking = |wheel: &&Wheel| nearest.wheels().iter().all(|other| other.sha256 != wheel.sha256);
        set.wheels().iter().filter(lacking).cloned().collect()
    }
}

/// The key of a set's snapshot: a hash of everything that it is made from.
fn key<B: Backend>(backend: &B, set: &PackageSet) -> String {
    crate::packages::snapshot_key(&backend.build(), set)
}

/// Makes snapshots.
#[derive(Clone)]
pub struct Maker<B: Backend> {
    /// Interpreters for one run each.
    pub backend: B,
    /// Where the snapshots go.
    pub snapshots: Snapshots<B::Snapshot>,
    /// Limits of the run that tries a snapshot.
    pub limits: Limits,
}

impl<B: Backend + Clone> Snapshotter for Maker<B> {
    fn lacks(&self, set: &PackageSet) -> Vec<Wheel> {
        self.snapshots.lacks(set)
    }

    fn is_aside(&self) -> bool {
        self.backend.takes_snapshots_aside()
    }

    fn make(&self, set: PackageSet, modules: Vec<String>) -> LocalBoxFuture<'static, ()> {
        let (backend, snapshots, limits) = (self.backend.clone(), self.snapshots.clone(), self.limits);
        async move {
            let mut made = take(&backend, &set, modules, limits).await;
            if let Some((snapshot, _)) = &made {
                let key = key(&backend, &set);
                backend.keep(&key, snapshot).await;
                // The kept copy may take less memory than the one that was made.
                made = backend.kept(&key).await.or(made);
            }
            snapshots.add(&set, made, true);
        }
        .boxed_local()
    }
}

/// Takes a snapshot, and tries it: one that no interpreter starts from is discarded.
async fn take<B: Backend + Clone>(
    backend: &B,
    set: &PackageSet,
    mut modules: Vec<String>,
    limits: Limits,
) -> Option<(B::Snapshot, usize)> {
    let mut left_out = 0..MAX_LEFT_OUT;
    let (snapshot, size) = loop {
        let parts = backend.parts(set, None).await.ok()?;
        let taken = select_biased! {
            taken = backend.take_snapshot(parts, &modules).fuse() => taken,
            () = (backend.platform().sleep)(SNAPSHOT_TIME).fuse() => return None,
        };
        match taken {
            Ok(taken) => break taken,
            Err(NotTaken::Without(module)) => {
                left_out.next()?;
                let before = modules.len();
                modules.retain(|other| *other != module);
                if modules.len() == before || modules.is_empty() {
                    return None;
                }
            }
            Err(NotTaken::Failed) => return None,
        }
    };
    let tried = Snapshots::limited(usize::MAX);
    tried.add(set, Some((snapshot.clone(), size)), true);
    let sandbox = Rc::new(Fresh::new(backend.clone(), Places::default(), tried.clone()));
    let names = serde_json::to_string(&modules).ok()?;
    let code = format!("import sys\n[name for name in {names} if name not in sys.modules]");
    let request = RunRequest { code, globals: "{}".into(), keep_variables: false, files: Vec::new() };
    let outcome = execute(sandbox, &request, set.clone(), limits, None, None, |_| {}).await.ok()?;
    let Outcome { ending: Ending::Success(Returned::Json { text, .. }), output, .. } = outcome else { return None };
    // The run may have started without the snapshot, which then is forgotten.
    (text == "[]" && output.is_empty() && tried.nearest(set).is_some()).then_some((snapshot, size))
}

#[cfg(test)]
#[path = "snapshots_tests.rs"]
mod tests;
