//! Packages in a home: its JavaScript fetches and caches them. Prepared wheels are kept in JavaScript's memory, which
//! shrinks again, and not in our own.

use std::{cell::OnceCell, rc::Rc};

use futures::{FutureExt, future::LocalBoxFuture};
use js_sys::{Array, Object, Reflect, Uint8Array};
use mcp_run_python::{
    limits::{KEPT_WHEELS, Limits},
    packages::{
        Compiler, Compiling, PackageOptions, PackageSet, Packages, Wheel,
        cache::{WheelCache, local_signal},
        lock::Lock,
        supply::{Claim, FetchError, FetchRequest, Supply},
        wheel::{self, PreparedWheel, Size},
    },
    run::{InSandbox, sandbox::SandboxError},
    session::{Fresh, Places, Snapshots},
};
use wasm_bindgen::JsValue;

use crate::{PLATFORM, backend::HostBackend, host::SandboxHost};

/// The installer of packages, if the home has a lock file. `limits`: those of a run.
///
/// # Errors
/// The lock file cannot be read.
pub fn installer(
    host: &SandboxHost,
    mut options: PackageOptions,
    limits: Limits,
    wheels: Wheels,
) -> Result<Option<Rc<Packages>>, String> {
    let Some(lock) = host.lock_text() else { return Ok(None) };
    let lock = Rc::new(Lock::parse(&lock)?);
    host.fill_in(&mut options.room);
    let supply = Rc::new(HomeSupply { host: host.clone(), wheels: wheels.clone() });
    let packages = Packages::new(lock, options, PackageSet::default(), supply);
    if !host.compiles() {
        return Ok(Some(Rc::new(packages)));
    }
    let isolates = HostBackend { host: host.clone(), wheels, packages: None, kept: false };
    let compiler = Compiler {
        programs: Box::new(InSandbox(Rc::new(Fresh::new(isolates, Places::default(), Snapshots::default())))),
        limits,
        platform: PLATFORM,
        later: Box::new(PLATFORM.spawn),
        compiling: Compiling::default(),
        snapshots: None,
    };
    Ok(Some(Rc::new(packages.with_compiler(compiler))))
}

/// A cache of prepared wheels.
pub type Wheels = WheelCache<Rc<Prepared>>;

/// An empty cache.
pub fn wheels() -> Wheels {
    WheelCache::new(PLATFORM.sleep, local_signal)
}

/// The wheels of a set, as `PreparedPackage[]`. To an isolate, bytecode is one more package: files beside files.
///
/// # Errors
/// A wheel is no longer in memory.
pub fn parts(wheels: &Wheels, set: &PackageSet, with_bytecode: bool) -> Result<Array, SandboxError> {
    let gone =
        |wheel: &Wheel| SandboxError::Start(format!("the package {} is not at hand any longer: try again", wheel.name));
    let all = wheels.all(set).map_err(gone)?;
    let packages = all.iter().map(|(wheel, prepared)| prepared.package(wheel));
    let bytecode = all.iter().filter_map(|(_, prepared)| prepared.bytecode.get().filter(|_| with_bytecode));
    Ok(packages.chain(bytecode.cloned()).collect())
}

/// A wheel in JavaScript's memory.
pub struct Prepared {
    archive: JsValue,
    modules: Array,
    /// The object that the home gets, the same each time.
    package: OnceCell<Object>,
    /// The same for its bytecode.
    bytecode: OnceCell<Object>,
}

impl Prepared {
    /// Moves a wheel out of our own memory.
    fn new(wheel: PreparedWheel) -> Self {
        let modules = wheel.modules.into_iter().map(|(path, bytes)| {
            let bytes = Uint8Array::from(bytes.as_slice());
            Array::of2(&path.into(), &bytes)
        });
        let modules = modules.collect();
        let prepared =
            Self { archive: outside(&wheel.archive), modules, package: OnceCell::new(), bytecode: OnceCell::new() };
        if let Some(bytecode) = wheel.bytecode {
            prepared.add_bytecode(&bytecode);
        }
        prepared
    }

    /// Adds the bytecode that was made of it. The archive is empty if it cannot be compiled.
    fn add_bytecode(&self, archive: &[u8]) {
        if !archive.is_empty() {
            self.bytecode.get_or_init(|| package("", "", "", &outside(archive), &Array::new()));
        }
    }

    fn package(&self, of: &Wheel) -> Object {
        let package = || package(&of.name, &of.version, &of.sha256, &self.archive, &self.modules);
        self.package.get_or_init(package).clone()
    }
}

fn outside(bytes: &[u8]) -> JsValue {
    Uint8Array::from(bytes).buffer().into()
}

/// A `PreparedPackage`.
fn package(name: &str, version: &str, sha256: &str, archive: &JsValue, modules: &Array) -> Object {
    let package = Object::new();
    for (member, value) in [
        ("name", &name.into()),
        ("version", &version.into()),
        ("sha256", &sha256.into()),
        ("archive", archive),
        ("modules", modules.as_ref()),
    ] {
        // An object of our own takes any member.
        let _ = Reflect::set(&package, &member.into(), value);
    }
    package
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
        self.wheels.size(sha256)
    }

    fn keep(&self, sha256: &str, wheel: PreparedWheel, of: &PackageSet) {
        let (size, prepared) = (wheel.size(), Rc::new(Prepared::new(wheel)));
        if let Some(wheel) = of.wheels().iter().find(|wheel| wheel.sha256 == sha256) {
            // A module that cannot be compiled fails the run that needs it; and a home may lack this method.
            let _ = self.host.compile_modules(&prepared.package(wheel));
        }
        self.wheels.keep(sha256, size, prepared, of, KEPT_WHEELS);
    }

    fn keep_bytecode(&self, sha256: &str, archive: Vec<u8>) {
        let Some(prepared) = self.wheels.find(sha256) else { return };
        prepared.add_bytecode(&archive);
        self.wheels.grow(sha256, archive.len(), KEPT_WHEELS);
    }

    fn sha256<'a>(&'a self, bytes: &'a [u8]) -> LocalBoxFuture<'a, String> {
        async { self.host.sha256(bytes).await.unwrap_or_else(|| wheel::sha256(bytes)) }.boxed_local()
    }

    fn expect(&self, set: &PackageSet, modules: &[String]) {
        let modules = modules.iter().map(String::as_str);
        self.host.expect_wheels(set.wheels().iter().map(|wheel| wheel.sha256.as_str()), modules);
    }

    fn claim(&self, sha256: &str) -> LocalBoxFuture<'static, Claim> {
        self.wheels.clone().lock(sha256.to_owned()).map(|lock| Box::new(lock) as Claim).boxed_local()
    }
}
