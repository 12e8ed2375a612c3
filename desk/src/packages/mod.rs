//! Packages on the desk: fetched over HTTP, cached on disk, and kept prepared in memory. The core decides what to get,
//! and checks every byte.

pub mod disk;
mod fetch;

use std::{cell::OnceCell, rc::Rc};

use bytes::Bytes;
use futures::{FutureExt, future::LocalBoxFuture};
use mcp_run_python::{
    limits::{KEPT_WHEELS, Limits},
    packages::{
        Compiler, Compiling, PackageOptions, PackageSet, Packages, Wheel,
        cache::{WheelCache, local_signal},
        lock::Lock,
        supply::{Claim, FetchError, FetchRequest, Supply},
        wheel::{PreparedWheel, Size, sha256},
    },
    run::{InSandbox, sandbox::SandboxError},
    session::{Fresh, Places, Snapshots, snapshots::Maker},
};
use serde_json::{Value, json};

use self::{disk::Disk, fetch::Network};
use crate::{backend::Desk, installation::Installation, log::Log, platform::PLATFORM, workerd::libraries::Library};

/// The installer of packages, which compiles them in `isolates`, and makes `snapshots`. `limits`: those of a run.
///
/// # Errors
/// A file that comes with the program cannot be read.
pub fn installer(
    installation: &Installation,
    mut options: PackageOptions,
    limits: Limits,
    isolates: &Desk,
    snapshots: &Snapshots<Bytes>,
    log: Log,
) -> Result<Rc<Packages>, String> {
    let lock = Rc::new(Lock::parse(&installation.lock_file()?)?);
    installation.fill_in(&mut options.room)?;
    let wheels = isolates.wheels.clone();
    let supply = DeskSupply { network: Network::new(log)?, disk: isolates.disk.clone(), wheels };
    let packages = Packages::new(lock, options, PackageSet::default(), Rc::new(supply));
    let maker = Maker { backend: isolates.clone(), snapshots: snapshots.clone(), limits };
    Ok(Rc::new(packages.with_compiler(Compiler {
        programs: Box::new(InSandbox(Rc::new(Fresh::new(isolates.clone(), Places::default(), Snapshots::default())))),
        limits,
        platform: PLATFORM,
        later: Box::new(PLATFORM.spawn),
        compiling: Compiling::default(),
        snapshots: Some(Rc::new(maker)),
    })))
}

/// The cache of prepared wheels.
pub type Wheels = WheelCache<Rc<Prepared>>;

/// An empty cache of prepared wheels.
pub fn wheels() -> Wheels {
    WheelCache::new(PLATFORM.sleep, local_signal)
}

/// A wheel in the form in which isolates get it.
pub struct Prepared {
    archive: Bytes,
    libraries: Rc<[Library]>,
    /// Its bytecode, once it is compiled; never set if it cannot be.
    bytecode: OnceCell<Bytes>,
}

impl Prepared {
    fn new(sha256: &str, wheel: PreparedWheel) -> Self {
        let library = |(n, (path, bytes)): (usize, (String, Vec<u8>))| Library {
            path,
            name: format!("{sha256}.{n}"),
            bytes: bytes.into(),
        };
        let libraries = wheel.modules.into_iter().enumerate().map(library).collect();
        let prepared = Self { archive: wheel.archive.into(), libraries, bytecode: OnceCell::new() };
        if let Some(bytecode) = wheel.bytecode {
            prepared.add_bytecode(bytecode);
        }
        prepared
    }

    fn add_bytecode(&self, archive: Vec<u8>) {
        if !archive.is_empty() {
            self.bytecode.get_or_init(|| archive.into());
        }
    }
}

/// The parts of an interpreter besides Python: packages, and a snapshot that has imported them.
#[derive(Default)]
pub struct Parts {
    packages: Vec<Package>,
    /// A snapshot to start from, instead of Python's own.
    snapshot: Option<Bytes>,
}

struct Package {
    name: String,
    version: String,
    archive: Bytes,
    libraries: Rc<[Library]>,
}

/// Equal if they share the very same bytes: an interpreter that was booted from one then serves for the other.
impl PartialEq for Parts {
    fn eq(&self, other: &Self) -> bool {
        let is_one = |a: &Bytes, b: &Bytes| a.as_ptr() == b.as_ptr() && a.len() == b.len();
        let of_snapshots = match (&self.snapshot, &other.snapshot) {
            (Some(a), Some(b)) => is_one(a, b),
            (a, b) => a.is_none() && b.is_none(),
        };
        of_snapshots
            && self.packages.len() == other.packages.len()
            && self.packages.iter().zip(&other.packages).all(|(a, b)| is_one(&a.archive, &b.archive))
    }
}

impl Parts {
    /// Whether there are no packages, but Python alone.
    pub fn is_empty(&self) -> bool {
        self.packages.is_empty()
    }

    /// Replaces the snapshot to start from by one of the first of its packages.
    #[must_use]
    pub fn from(self, snapshot: Option<Bytes>) -> Self {
        Self { snapshot, ..self }
    }

    /// The envelope from which the parent worker boots an interpreter: a JSON description, and the bytes.
    pub fn sent(&self) -> (String, Vec<Bytes>) {
        let (packages, mut bytes) = self.described();
        bytes.extend(self.snapshot.clone());
        (json!({ "packages": packages, "isSnapshotted": self.snapshot.is_some() }).to_string(), bytes)
    }

    /// The envelope for a snapshot of an interpreter that has imported these modules.
    pub fn to_be_imported(&self, modules: &[String]) -> (String, Vec<Bytes>) {
        let (packages, bytes) = self.described();
        (json!({ "packages": packages, "modules": modules }).to_string(), bytes)
    }

    /// The native libraries of its packages, which its process has to have before the boot.
    pub fn libraries(&self) -> impl Iterator<Item = &Library> {
        self.packages.iter().flat_map(|package| package.libraries.iter())
    }

    fn described(&self) -> (Value, Vec<Bytes>) {
        let names: Vec<_> = self
            .packages
            .iter()
            .map(|package| {
                let modules: Vec<_> = package.libraries.iter().map(|library| [&library.path, &library.name]).collect();
                json!({ "name": package.name, "version": package.version, "modules": modules })
            })
            .collect();
        (names.into(), self.packages.iter().map(|package| package.archive.clone()).collect())
    }
}

/// The parts for the wheels of a set. Bytecode is passed as packages, too: to an isolate, it is files beside files.
///
/// # Errors
/// A wheel is no longer in the cache.
pub fn parts(wheels: &Wheels, set: &PackageSet, with_bytecode: bool) -> Result<Parts, SandboxError> {
    let gone =
        |wheel: &Wheel| SandboxError::Start(format!("the package {} is not at hand any longer: try again", wheel.name));
    let all = wheels.all(set).map_err(gone)?;
    let packages = all.iter().map(|(wheel, prepared)| Package {
        name: wheel.name.clone(),
        version: wheel.version.clone(),
        archive: prepared.archive.clone(),
        libraries: prepared.libraries.clone(),
    });
    let bytecode = all.iter().filter_map(|(_, prepared)| prepared.bytecode.get().filter(|_| with_bytecode));
    let bytecode = bytecode.map(|archive| Package {
        name: String::new(),
        version: String::new(),
        archive: archive.clone(),
        libraries: Rc::default(),
    });
    Ok(Parts { packages: packages.chain(bytecode).collect(), snapshot: None })
}

/// The network, and the cache.
struct DeskSupply {
    network: Network,
    disk: Disk,
    wheels: Wheels,
}

impl Supply for DeskSupply {
    fn fetch(&self, request: FetchRequest) -> LocalBoxFuture<'static, Result<Vec<u8>, FetchError>> {
        let (network, disk) = (self.network.clone(), self.disk.clone());
        // Index pages are trusted as they are, and fetched each time; without a network, the last one is good enough.
        let page =
            request.accept.map(|accept| format!("page-{}", sha256(format!("{accept} {}", request.url).as_bytes())));
        async move {
            let fetched = network.fetch(&request).await;
            let Some(page) = page else { return fetched };
            match &fetched {
                Ok(bytes) => disk.write(&page, bytes).await,
                Err(FetchError::Status(_)) => {}
                Err(_) => {
                    if let Some(known) = disk.read(&page).await.filter(|known| known.len() <= request.max_bytes) {
                        return Ok(known);
                    }
                }
            }
            fetched
        }
        .boxed_local()
    }

    fn cached(&self, sha256: &str) -> LocalBoxFuture<'static, Option<Vec<u8>>> {
        let (disk, name) = (self.disk.clone(), sha256.to_owned());
        async move { disk.read(&name).await }.boxed_local()
    }

    fn cache(&self, sha256: &str, wheel: &[u8]) -> LocalBoxFuture<'static, ()> {
        let (disk, name, bytes) = (self.disk.clone(), sha256.to_owned(), wheel.to_vec());
        async move { disk.write(&name, &bytes).await }.boxed_local()
    }

    fn prepared(&self, sha256: &str) -> Option<Size> {
        self.wheels.size(sha256)
    }

    fn keep(&self, sha256: &str, wheel: PreparedWheel, of: &PackageSet) {
        let size = wheel.size();
        self.wheels.keep(sha256, size, Rc::new(Prepared::new(sha256, wheel)), of, KEPT_WHEELS);
    }

    fn keep_bytecode(&self, sha256: &str, archive: Vec<u8>) {
        let Some(prepared) = self.wheels.find(sha256) else { return };
        let size = archive.len();
        prepared.add_bytecode(archive);
        self.wheels.grow(sha256, size, KEPT_WHEELS);
    }

    fn claim(&self, sha256: &str) -> LocalBoxFuture<'static, Claim> {
        self.wheels.clone().lock(sha256.to_owned()).map(|lock| Box::new(lock) as Claim).boxed_local()
    }
}
