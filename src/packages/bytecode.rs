//! Bytecode of wheels. Compiling a wheel's sources is most of what an import of pandas takes, so they are compiled
//! once, after the first run that needed them, and kept.
//!
//! **Boundary.** A wheel is compiled in an isolate of its own, which has run no program and does nothing but call
//! `compile()`. Its result is kept by the wheel's sha256, so that it gets to runs with that wheel alone.

use std::{cell::Cell, rc::Rc, time::Duration};

use base64::{Engine, prelude::BASE64_STANDARD as BASE64};
use futures::future::LocalBoxFuture;
use serde_json::json;

use super::{
    PackageSet, Packages, Snapshotter, Wheel,
    wheel::{self, sha256},
};
use crate::{
    limits::{Limits, MAX_BYTECODE, SNAPSHOT_TIME, WATCHDOG_MARGIN},
    platform::Platform,
};

/// The program that compiles a wheel.
const PROGRAM: &str = include_str!("../../runtime/python/compile.py");

/// Whether a wheel is being compiled or a snapshot made: one at a time in a process. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Compiling {
    /// When that is over at the latest: the task may be cut off.
    until: Rc<Cell<Duration>>,
}

/// Runs programs of ours, each in an isolate of its own.
pub trait Programs {
    /// Returns the text that a program with these packages returns; `None` if it does anything else. `globals` is the
    /// JSON of an object: its global variables.
    fn returned(
        &self,
        code: &str,
        globals: String,
        packages: PackageSet,
        limits: Limits,
    ) -> LocalBoxFuture<'static, Option<String>>;
}

/// Compiles wheels.
pub struct Compiler {
    /// Runs the program that compiles.
    pub programs: Box<dyn Programs>,
    /// The limits of any run bound what compiling a stranger's sources may cost.
    pub limits: Limits,
    /// The home's clock.
    pub platform: Platform,
    /// Runs a task after the run that it comes from.
    pub later: Box<dyn Fn(LocalBoxFuture<'static, ()>)>,
    /// Shared by the process.
    pub compiling: Compiling,
    /// Makes snapshots once wheels are compiled, if anything does.
    pub snapshots: Option<Rc<dyn Snapshotter>>,
}

impl Packages {
    /// Whether the wheels of a set go into an isolate with their bytecode, as far as they have any.
    #[must_use]
    pub fn carries_bytecode(&self, set: &PackageSet) -> bool {
        self.options()
            .room
            .carries_bytecode(set.wheels().iter().filter_map(|wheel| self.supply.prepared(&wheel.sha256)))
    }

    /// Makes the next run with these packages quicker, in the background, unless something else is being made. See
    /// [`Self::prepare_ahead`].
    pub fn prepare_later(self: &Rc<Self>, set: &PackageSet) {
        let Some(compiler) = self.compiler.as_ref().filter(|compiler| !compiler.is_busy()) else { return };
        if set.wheels().iter().any(|wheel| self.lacks_bytecode(wheel)) || self.snapshotter(set).is_some() {
            let (packages, set) = (self.clone(), set.clone());
            (compiler.later)(Box::pin(async move { packages.prepare_ahead(&set).await }));
        }
    }

    /// Makes the next run with these packages quicker: compiles the wheels that have no bytecode yet, and has a snapshot
    /// made. One set at a time: while another is prepared, this does nothing.
    pub async fn prepare_ahead(&self, set: &PackageSet) {
        let snapshots = self.snapshotter(set);
        let (first, last) = snapshots.into_iter().partition::<Vec<_>, _>(|snapshots| snapshots.is_aside());
        for snapshots in first {
            self.make_snapshot(&*snapshots, set.clone()).await;
        }
        for wheel in set.wheels() {
            self.compile(wheel).await;
        }
        for snapshots in last {
            self.make_snapshot(&*snapshots, set.clone()).await;
        }
    }

    /// Returns what makes a snapshot of a set, if the set should have one.
    fn snapshotter(&self, set: &PackageSet) -> Option<Rc<dyn Snapshotter>> {
        let snapshots = self.compiler.as_ref()?.snapshots.clone()?;
        self.deserves_snapshot(&*snapshots, set).then_some(snapshots)
    }

    async fn make_snapshot(&self, snapshots: &dyn Snapshotter, set: PackageSet) {
        let Some(compiler) = self.compiler.as_ref().filter(|compiler| !compiler.is_busy()) else { return };
        if !self.deserves_snapshot(snapshots, &set) {
            return;
        }
        let Compiling { until } = &compiler.compiling;
        let Limits { time, grace, .. } = compiler.limits;
        until.set((compiler.platform.now)() + SNAPSHOT_TIME + time + grace + WATCHDOG_MARGIN);
        let modules = self.usual_modules(&set);
        snapshots.make(set, modules).await;
        until.set(Duration::ZERO);
    }

    fn lacks_bytecode(&self, wheel: &Wheel) -> bool {
        self.supply.prepared(&wheel.sha256).is_some_and(|size| size.bytecode.is_none())
    }

    async fn compile(&self, wheel: &Wheel) {
        let Some(compiler) = self.compiler.as_ref().filter(|compiler| !compiler.is_busy()) else { return };
        if !self.lacks_bytecode(wheel) {
            return;
        }
        // The wheel may have been prepared without a compiler, and so without a look at the cache.
        if let Some(archive) = self.cached_bytecode(wheel).await {
            return self.supply.keep_bytecode(&wheel.sha256, archive);
        }
        let Compiling { until } = &compiler.compiling;
        let Limits { time, grace, .. } = compiler.limits;
        until.set((compiler.platform.now)() + time + grace + WATCHDOG_MARGIN);
        let packed = compiler.compile(&wheel.name, self.with_bundled(vec![wheel.clone()])).await;
        until.set(Duration::ZERO);
        // A wheel that cannot be compiled is not tried again: its bytecode is empty.
        let archive = packed.as_deref().and_then(|packed| wheel::bytecode(packed).ok());
        if let (Some(packed), Some(_)) = (&packed, &archive) {
            self.supply.cache(&self.bytecode_key(wheel), packed).await;
        }
        self.supply.keep_bytecode(&wheel.sha256, archive.unwrap_or_default());
    }

    /// Returns the cached bytecode of a wheel, as an archive.
    pub(super) async fn cached_bytecode(&self, wheel: &Wheel) -> Option<Vec<u8>> {
        self.compiler.as_ref()?;
        let packed = self.supply.cached(&self.bytecode_key(wheel)).await?;
        wheel::bytecode(&packed).ok()
    }

    /// The cache key of a wheel's bytecode: a hash of what it is made from.
    fn bytecode_key(&self, wheel: &Wheel) -> String {
        sha256(format!("{} {} {PROGRAM}", wheel.sha256, self.lock().python).as_bytes())
    }
}

impl Compiler {
    fn is_busy(&self) -> bool {
        self.compiling.until.get() > (self.platform.now)()
    }

    /// Compiles a package. Returns its bytecode, packed.
    async fn compile(&self, name: &str, set: PackageSet) -> Option<Vec<u8>> {
        let globals = json!({ "name": name }).to_string();
        let limits = Limits { value_bytes: MAX_BYTECODE, ..self.limits };
        BASE64.decode(self.programs.returned(PROGRAM, globals, set, limits).await?).ok()
    }
}

#[cfg(test)]
#[path = "bytecode_tests.rs"]
mod tests;
