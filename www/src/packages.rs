//! Packages in a home: fetched, and cached, by its JavaScript, and kept prepared in JavaScript's memory, which shrinks
//! again, and not in our own.

use std::{cell::RefCell, collections::HashMap, rc::Rc, sync::Arc};

use futures::{FutureExt, future::LocalBoxFuture, lock::Mutex};
use js_sys::{Array, Object, Reflect, Uint8Array};
use mcp_run_python::{
    limits::KEPT_WHEELS,
    packages::{
        PackageOptions, PackageSet, Packages,
        lock::Lock,
        supply::{Claim, FetchError, FetchRequest, Supply},
        wheel::{PreparedWheel, Size},
    },
    sandbox::SandboxError,
};
use wasm_bindgen::JsValue;

use crate::host::SandboxHost;

/// What installs packages, if the home can: it has a lock file, and fetches.
///
/// # Errors
/// The lock file is none.
pub fn installer(
    host: &SandboxHost,
    mut options: PackageOptions,
    wheels: Wheels,
) -> Result<Option<Rc<Packages>>, String> {
    let Some(lock) = host.lock_text() else { return Ok(None) };
    let lock = Rc::new(Lock::parse(&lock)?);
    host.fill_in(&mut options.room);
    let supply = Rc::new(HomeSupply { host: host.clone(), wheels });
    Ok(Some(Rc::new(Packages::new(lock, options, PackageSet::default(), supply))))
}

/// The prepared wheels, by sha256. Clones are of the same.
#[derive(Clone, Default)]
pub struct Wheels(Rc<RefCell<Kept>>);

#[derive(Default)]
struct Kept {
    wheels: HashMap<String, Wheel>,
    claims: HashMap<String, Arc<Mutex<()>>>,
    /// Counts uses: what was used least lately goes first.
    clock: u64,
}

struct Wheel {
    size: Size,
    used: u64,
    archive: JsValue,
    modules: Array,
    /// As the home gets it, the same each time.
    package: Option<Object>,
}

impl Wheels {
    /// The wheels of a set, as `PreparedPackage[]`.
    ///
    /// # Errors
    /// One is not at hand any longer.
    pub fn of(&self, set: &PackageSet) -> Result<Array, SandboxError> {
        let mut kept = self.0.borrow_mut();
        let all = Array::new();
        for wheel in set.wheels() {
            let gone =
                || SandboxError::Start(format!("the package {} is not at hand any longer: try again", wheel.name));
            let package = kept.touch(&wheel.sha256).ok_or_else(gone)?.package(wheel);
            all.push(&package);
        }
        Ok(all)
    }
}

impl Kept {
    fn touch(&mut self, sha256: &str) -> Option<&mut Wheel> {
        self.clock += 1;
        let wheel = self.wheels.get_mut(sha256)?;
        wheel.used = self.clock;
        Some(wheel)
    }

    /// Keeps a wheel, at the cost of others if need be, but not of those of its set.
    fn keep(&mut self, sha256: &str, wheel: Wheel, of: &PackageSet) {
        let mut bytes: usize = wheel.size.total() + self.wheels.values().map(|wheel| wheel.size.total()).sum::<usize>();
        let needed = |sha256: &str| of.wheels().iter().any(|wheel| wheel.sha256 == sha256);
        while bytes > KEPT_WHEELS {
            let others = self.wheels.iter().filter(|(sha256, _)| !needed(sha256));
            let Some(oldest) = others.min_by_key(|(_, wheel)| wheel.used).map(|(name, _)| name.clone()) else { break };
            bytes -= self.wheels.remove(&oldest).map_or(0, |wheel| wheel.size.total());
        }
        self.wheels.insert(sha256.to_owned(), wheel);
        self.touch(sha256);
    }
}

impl Wheel {
    /// Moves a wheel out of our own memory.
    fn new(wheel: PreparedWheel) -> Self {
        let size = wheel.size();
        let modules = wheel.modules.into_iter().map(|(path, bytes)| {
            let bytes = Uint8Array::from(bytes.as_slice());
            Array::of2(&path.into(), &bytes)
        });
        let modules = modules.collect();
        Self {
            size,
            used: 0,
            archive: Uint8Array::from(wheel.archive.as_slice()).buffer().into(),
            modules,
            package: None,
        }
    }

    fn package(&mut self, of: &mcp_run_python::packages::Wheel) -> Object {
        self.package
            .get_or_insert_with(|| {
                let package = Object::new();
                for (member, value) in [
                    ("name", &of.name.as_str().into()),
                    ("version", &of.version.as_str().into()),
                    ("sha256", &of.sha256.as_str().into()),
                    ("archive", &self.archive),
                    ("modules", self.modules.as_ref()),
                ] {
                    // An object of our own takes any member.
                    let _ = Reflect::set(&package, &member.into(), value);
                }
                package
            })
            .clone()
    }
}

/// The home's network and cache.
struct HomeSupply {
    host: SandboxHost,
    wheels: Wheels,
}

impl Supply for HomeSupply {
    fn fetch(&self, request: FetchRequest) -> LocalBoxFuture<'static, Result<Vec<u8>, FetchError>> {
        let host = self.host.clone();
        async move { host.fetch_bytes(&request).await }.boxed_local()
    }

    fn cached(&self, sha256: &str) -> LocalBoxFuture<'static, Option<Vec<u8>>> {
        let (host, sha256) = (self.host.clone(), sha256.to_owned());
        async move { host.cached_wheel(&sha256).await }.boxed_local()
    }

    fn cache(&self, sha256: &str, wheel: &[u8]) -> LocalBoxFuture<'static, ()> {
        let (host, sha256, bytes) = (self.host.clone(), sha256.to_owned(), Uint8Array::from(wheel));
        async move { host.cache_wheel(&sha256, bytes).await }.boxed_local()
    }

    fn prepared(&self, sha256: &str) -> Option<Size> {
        self.wheels.0.borrow_mut().touch(sha256).map(|wheel| wheel.size)
    }

    fn keep(&self, sha256: &str, wheel: PreparedWheel, of: &PackageSet) {
        self.wheels.0.borrow_mut().keep(sha256, Wheel::new(wheel), of);
    }

    fn claim(&self, sha256: &str) -> LocalBoxFuture<'static, Claim> {
        let claimed = self.wheels.0.borrow_mut().claims.entry(sha256.to_owned()).or_default().clone();
        async move { Box::new(claimed.lock_owned().await) as Claim }.boxed_local()
    }
}
