//! Gets the packages of a run: finds out what it needs, resolves, fetches, checks and prepares.

use std::{
    cell::Cell,
    collections::{BTreeSet, HashMap},
    rc::Rc,
};

use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use pep508_rs::PackageName;

use super::{
    Plan,
    bytecode::Compiler,
    lock::Lock,
    lookup::Asking,
    missing::{Missed, Named},
    options::{PackageOptions, Source},
    requirement::{Origin, Wanted},
    resolve::{Context, resolve},
    room::{Excess, megabytes},
    set::{PackageSet, Wheel},
    supply::{FetchRequest, Supply},
    tags::WheelName,
    wheel::{self, Size},
};
use crate::limits::{FETCH_TIME, FETCHES_AT_ONCE, MAX_ALTERNATIVES, MAX_WHEEL, MAX_WISHES};

/// Events of an installation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Details for debugging.
    Debug(String),
    /// Something was installed.
    Info(String),
    /// Something went wrong without ending the installation.
    Warning(String),
    /// How many wheels are done, and how many there are.
    Progress(usize, usize),
}

/// Takes events.
pub type Log<'a> = &'a dyn Fn(Event);

/// Why a run was not started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstallError(pub String);

/// The packages of a run, ready for its isolate.
#[derive(Debug, Default)]
pub struct Installed {
    /// The wheels that its isolate is opened with.
    pub set: PackageSet,
    /// Imports that nothing was found for, and why: told if the run fails because of them.
    pub missing: Vec<(String, String)>,
    /// The module that an earlier run missed and whose package was added: the code should import it.
    pub added: Option<Missed>,
}

impl Installed {
    pub(super) fn wheel(&self, name: &PackageName) -> Option<&Wheel> {
        self.set.wheels().iter().find(|wheel| wheel.name == name.as_ref())
    }
}

/// A wheel that could not be fetched.
struct Unfetched {
    name: String,
    /// Whether it is in the lock file: then the index may have another build of it.
    locked: bool,
    why: InstallError,
}

/// Installs packages: one for each server.
pub struct Packages {
    lock: Rc<Lock>,
    options: PackageOptions,
    pub(super) bundled: PackageSet,
    pub(super) supply: Rc<dyn Supply>,
    pub(super) compiler: Option<Compiler>,
    /// Names in the metadata of wheels.
    pub(super) named: Named,
}

impl Packages {
    /// Installs packages of `lock` and, if the options say so, of an index. `bundled` are those that are built in.
    #[must_use]
    pub fn new(lock: Rc<Lock>, options: PackageOptions, bundled: PackageSet, supply: Rc<dyn Supply>) -> Self {
        Self { lock, options, bundled, supply, compiler: None, named: Named::default() }
    }

    /// The same, with a compiler for wheels that were fetched.
    #[must_use]
    pub fn with_compiler(self, compiler: Compiler) -> Self {
        Self { compiler: Some(compiler), ..self }
    }

    pub(super) fn lock(&self) -> &Lock {
        &self.lock
    }

    pub(crate) fn options(&self) -> &PackageOptions {
        &self.options
    }

    /// Gets everything that `code` needs, and the package of the module that a run of it has `missed`.
    ///
    /// # Errors
    /// Names what is not available, where it was searched, and which versions exist.
    pub async fn install_for(
        &self,
        code: &str,
        missed: Option<&Missed>,
        log: Log<'_>,
    ) -> Result<Installed, InstallError> {
        let module = missed.map(|missed| missed.module.as_str());
        let plan = Plan::of(code, module, &self.lock, &self.options).map_err(InstallError)?;
        for note in &plan.notes {
            log(Event::Debug(note.clone()));
        }
        let mut installed = self.resolve_and_obtain(&plan, log).await?;
        if let Some(missed) = missed
            && let Some(Wheel { name, version, .. }) = installed.wheel(&missed.name)
        {
            log(Event::Info(format!(
                "Added {name} {version}: the run missed `{}`, and is run again with it",
                missed.module
            )));
            installed.added = Some(missed.clone());
        }
        Ok(installed)
    }

    /// Gets what these requirements, and nothing else, need.
    ///
    /// # Errors
    /// As [`Self::install_for`].
    pub async fn install(&self, required: Vec<Wanted>, log: Log<'_>) -> Result<PackageSet, InstallError> {
        Ok(self.resolve_and_obtain(&Plan { required, ..Plan::default() }, log).await?.set)
    }

    async fn resolve_and_obtain(&self, plan: &Plan, log: Log<'_>) -> Result<Installed, InstallError> {
        let mut unfetched = BTreeSet::new();
        let mut plan = plan.clone();
        let mut missing = Vec::new();
        loop {
            let mut installed = self.resolve(&plan, &unfetched, log).await?;
            match self.fetch_all(&installed.set, log).await {
                Ok(sizes) => {
                    installed.missing.append(&mut missing);
                    return self.fitting(&plan, &unfetched, installed, &sizes).await;
                }
                Err(Unfetched { locked: true, name, .. })
                    if self.options.source == Source::Pypi && unfetched.insert(name.clone()) => {}
                // A wish that cannot be fetched never ends a run.
                Err(Unfetched { name, why: InstallError(why), .. }) if !plan.wished.is_empty() => {
                    let is_it = |wish: &Wanted| wish.requirement.name.as_ref() == name;
                    // If it is none of the wishes, one of them depends on it.
                    let named = plan.wished.iter().any(is_it);
                    let given_up: Vec<Wanted> = plan.wished.extract_if(.., |wish| !named || is_it(wish)).collect();
                    missing.extend(given_up.iter().filter_map(|wish| unfulfilled(wish, &why)));
                }
                Err(Unfetched { why, .. }) => return Err(why),
            }
        }
    }

    async fn resolve(
        &self,
        plan: &Plan,
        unfetched: &BTreeSet<String>,
        log: Log<'_>,
    ) -> Result<Installed, InstallError> {
        if plan.required.is_empty() && plan.wished.is_empty() {
            return Ok(Installed { set: self.bundled.clone(), ..Installed::default() });
        }
        let context = Context { lock: &self.lock, options: &self.options, bundled: self.bundled.wheels(), unfetched };
        let lookup = Asking::new(self, log);
        let failed = |error: super::Unresolved| InstallError(error.to_string());
        let mut wanted = plan.required.clone();
        let mut wheels = None;
        let mut missing = Vec::new();
        // Tries all at once, as nearly always nothing is missing; then one by one.
        if !plan.wished.is_empty() {
            let all: Vec<Wanted> = wanted.iter().chain(&plan.wished).cloned().collect();
            if let Ok(resolved) = resolve(context, &all, &lookup).await {
                wheels = Some(resolved);
            } else {
                for wish in plan.wished.iter().take(MAX_WISHES) {
                    wanted.push(wish.clone());
                    match resolve(context, &wanted, &lookup).await {
                        Ok(resolved) => wheels = Some(resolved),
                        Err(error) => {
                            wanted.pop();
                            log(Event::Debug(error.to_string()));
                            missing.extend(unfulfilled(wish, &error));
                        }
                    }
                }
            }
        }
        let wheels = match wheels {
            Some(wheels) => wheels,
            None => resolve(context, &wanted, &lookup).await.map_err(failed)?,
        };
        Ok(Installed { set: self.with_bundled(wheels), missing, added: None })
    }

    /// Adds the built-in wheels, which every isolate has.
    pub(super) fn with_bundled(&self, mut wheels: Vec<Wheel>) -> PackageSet {
        let names: BTreeSet<String> = wheels.iter().map(|wheel| wheel.name.clone()).collect();
        wheels.extend(self.bundled.wheels().iter().filter(|wheel| !names.contains(&wheel.name)).cloned());
        wheels.sort_by(|one, two| one.name.cmp(&two.name));
        PackageSet::new(wheels)
    }

    /// Returns the checked bytes of a wheel of the lock file, by its file name; `None` if there is none, or it is not
    /// offered.
    ///
    /// # Errors
    /// As [`Self::obtain`].
    pub async fn file(&self, file_name: &str) -> Result<Option<Vec<u8>>, InstallError> {
        match self.offered(file_name) {
            Some(wheel) => self.bytes(&wheel, &|_| {}).await.map(Some),
            None => Ok(None),
        }
    }

    /// Finds the wheel of the lock file with this file name; `None` if there is none, or the settings do not allow it.
    #[must_use]
    pub fn offered(&self, file_name: &str) -> Option<Wheel> {
        let WheelName { name, .. } = WheelName::parse(file_name)?;
        let locked = self.lock.get(&name).filter(|package| package.file_name == file_name)?;
        if self.options.source == Source::Bundled || self.options.denied.contains(&name) {
            return None;
        }
        Some(Wheel {
            name: name.to_string(),
            version: locked.version.to_string(),
            sha256: locked.sha256.clone(),
            file_name: locked.file_name.clone(),
            url: None,
        })
    }

    /// Fetches, checks and prepares the wheels of a set that are not kept yet.
    ///
    /// # Errors
    /// Names the package, and what happened at each place that should have it.
    pub async fn obtain(&self, set: &PackageSet, log: Log<'_>) -> Result<(), InstallError> {
        let sizes = self.fetch_all(set, log).await.map_err(|Unfetched { why, .. }| why)?;
        self.excess(set, &sizes).map_or(Ok(()), |excess| Err(InstallError(excess.to_string())))
    }

    /// Fetches, checks and prepares wheels. Returns the size of each wheel, by its sha256: one that is too large for
    /// the supply may be dropped again.
    async fn fetch_all(&self, set: &PackageSet, log: Log<'_>) -> Result<HashMap<String, Size>, Unfetched> {
        self.supply.expect(set, &self.usual_modules(set));
        let mut sizes = HashMap::new();
        let mut missing = Vec::new();
        for wheel in set.wheels() {
            match self.supply.prepared(&wheel.sha256) {
                Some(size) => _ = sizes.insert(wheel.sha256.clone(), size),
                None => missing.push(wheel),
            }
        }
        let (mut done, all) = (0, missing.len());
        let room =
            Cell::new(self.options.room.of_one_run().saturating_sub(sizes.values().map(|size| size.total()).sum()));
        let prepared = missing.into_iter().map(|wheel| {
            self.prepare(wheel, set, &room, log).map(|size| {
                size.map(|size| (wheel.sha256.clone(), size)).map_err(|why| Unfetched {
                    name: wheel.name.clone(),
                    locked: wheel.url.is_none(),
                    why,
                })
            })
        });
        let mut prepared = stream::iter(prepared).buffer_unordered(FETCHES_AT_ONCE);
        while let Some((sha256, size)) = prepared.try_next().await? {
            sizes.insert(sha256, size);
            done += 1;
            log(Event::Progress(done, all));
        }
        Ok(sizes)
    }

    /// Returns what fits, or says what is too much: better than an isolate that fails. Wishes are dropped first.
    async fn fitting(
        &self,
        plan: &Plan,
        unfetched: &BTreeSet<String>,
        installed: Installed,
        sizes: &HashMap<String, Size>,
    ) -> Result<Installed, InstallError> {
        let Some(mut excess) = self.excess(&installed.set, sizes) else { return Ok(installed) };
        let lighter = async |without: &[&Wanted]| {
            let lighter = self.resolve(&plan.without(without), unfetched, &|_| {}).await.ok()?;
            let fetched = lighter.set.wheels().iter().all(|wheel| sizes.contains_key(&wheel.sha256));
            Some(lighter).filter(|lighter| fetched && self.excess(&lighter.set, sizes).is_none())
        };
        let wishes = plan.wished.iter().take(MAX_WISHES);
        let tries = wishes.map(|wish| vec![wish]).chain([plan.wished.iter().collect()]);
        for wishes in tries.filter(|wishes| !wishes.is_empty()) {
            if let Some(mut lighter) = lighter(&wishes).await {
                // There may have been no room to keep some of its wheels.
                self.fetch_all(&lighter.set, &|_| {}).await.map_err(|Unfetched { why, .. }| why)?;
                lighter.missing.extend(wishes.iter().filter_map(|wish| unfulfilled(wish, &excess)));
                return Ok(lighter);
            }
        }
        let asked: Vec<&Wanted> = plan.required.iter().filter(|wanted| wanted.origin != Origin::Settings).collect();
        for wanted in asked.iter().take(MAX_ALTERNATIVES).filter(|_| asked.len() > 1) {
            if lighter(&[wanted]).await.is_some() {
                excess.without.push(vec![(*wanted).clone()]);
            }
        }
        // If none is enough by itself, tries the last ones that were asked for.
        for first in (1..asked.len().saturating_sub(1)).rev().take(MAX_ALTERNATIVES) {
            let Some(last) = asked.get(first..).filter(|_| excess.without.is_empty()) else { break };
            if lighter(last).await.is_some() {
                excess.without.push(last.iter().map(|wanted| (*wanted).clone()).collect());
            }
        }
        Err(InstallError(excess.to_string()))
    }

    fn excess(&self, set: &PackageSet, sizes: &HashMap<String, Size>) -> Option<Excess> {
        let size = |wheel: &Wheel| sizes.get(&wheel.sha256).copied().unwrap_or_default();
        let wheels: Vec<(&Wheel, Size)> = set.wheels().iter().map(|wheel| (wheel, size(wheel))).collect();
        self.options.room.excess(&wheels)
    }

    /// `room`: how many bytes are left.
    async fn prepare(
        &self,
        wheel: &Wheel,
        of: &PackageSet,
        room: &Cell<usize>,
        log: Log<'_>,
    ) -> Result<Size, InstallError> {
        let Wheel { name, version, sha256, .. } = wheel;
        let _claim = self.supply.claim(sha256).await;
        // Another run may have been quicker.
        if let Some(size) = self.supply.prepared(sha256) {
            return Ok(size);
        }
        let bytes = self.bytes(wheel, log).await?;
        let mut prepared = wheel::prepare(&bytes).map_err(|why| {
            InstallError(format!("Cannot install {name} {version}: its wheel is refused, because {why}."))
        })?;
        prepared.bytecode = self.cached_bytecode(wheel).await;
        let size = prepared.size();
        log(Event::Info(format!("Installed {name} {version} ({})", megabytes(size.total()))));
        // A set that is too large is never kept as a whole.
        if let Some(left) = room.get().checked_sub(size.total()) {
            room.set(left);
            self.supply.keep(sha256, prepared, of);
        }
        Ok(size)
    }

    /// Returns the checked bytes of a wheel.
    pub(super) async fn bytes(&self, wheel: &Wheel, log: Log<'_>) -> Result<Vec<u8>, InstallError> {
        if let Some(bytes) = self.supply.cached(&wheel.sha256).await {
            match wheel::check(&self.supply.sha256(&bytes).await, &wheel.sha256) {
                Ok(()) => {
                    log(Event::Debug(format!("{}: from the cache", wheel.file_name)));
                    return Ok(bytes);
                }
                Err(why) => log(Event::Warning(format!("{}: the cache is not used: {why}", wheel.file_name))),
            }
        }
        let places = match &wheel.url {
            Some(url) => vec![url.clone()],
            None => self.options.mirrors.iter().map(|mirror| format!("{mirror}{}", wheel.file_name)).collect(),
        };
        let mut failures = Vec::new();
        for url in places {
            log(Event::Debug(format!("Fetching {url}")));
            let request = FetchRequest { url, accept: None, max_bytes: MAX_WHEEL, timeout: FETCH_TIME };
            let url = request.url.clone();
            // **Boundary.** Nothing of a wheel is looked at before its sha256 is right.
            let checked = match self.supply.fetch(request).await {
                Ok(bytes) => wheel::check(&self.supply.sha256(&bytes).await, &wheel.sha256).map(|()| bytes),
                Err(error) => Err(error.to_string()),
            };
            match checked {
                Ok(bytes) => {
                    log(Event::Debug(format!("Fetched {} ({})", wheel.file_name, megabytes(bytes.len()))));
                    self.supply.cache(&wheel.sha256, &bytes).await;
                    return Ok(bytes);
                }
                Err(why) => {
                    log(Event::Warning(format!("{url}: {why}")));
                    failures.push(format!("{url}: {why}"));
                }
            }
        }
        let failures = if failures.is_empty() { "no mirror is set".into() } else { failures.join("; ") };
        // Mirrors do not help with wheels of an index.
        let elsewhere =
            if wheel.url.is_none() { " The setting PACKAGE_MIRRORS says where else wheels are." } else { "" };
        Err(InstallError(format!(
            "Cannot install {} {}: its wheel could not be fetched. {failures}.{elsewhere}",
            wheel.name, wheel.version
        )))
    }
}

/// The module of a wish that is not fulfilled, and why.
fn unfulfilled(wish: &Wanted, why: &impl ToString) -> Option<(String, String)> {
    Some((wish.origin.module()?.to_owned(), why.to_string()))
}

#[cfg(test)]
#[path = "install_tests.rs"]
pub(super) mod tests;
