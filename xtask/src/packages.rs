//! Prepares the packages that are built in.

use std::{
    cell::RefCell,
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    rc::Rc,
};

use anyhow::{Context, Result, anyhow, bail};
use clap::Args;
use futures::{FutureExt, executor::block_on, future::LocalBoxFuture};
use mcp_run_python::packages::{
    InstallError, PackageOptions, PackageSet, Packages, Room, Source,
    install::Event,
    lock::Lock,
    requirement::{Origin, Wanted, parse_list},
    supply::{Claim, FetchError, FetchRequest, Supply},
    wheel::{PreparedWheel, Size},
};
use serde_json::json;

use crate::{
    mirror::{self, Addresses},
    node,
    step::{root, target},
};

/// Resolves requirements, and writes their wheels as isolates get them.
#[derive(Args)]
pub struct Bundle {
    /// PEP 508 requirements.
    requirements: Vec<String>,
    /// Folder to write into; it is emptied before.
    #[arg(long)]
    out: PathBuf,
}

impl Bundle {
    /// Writes `packages.json` and, for wheel n, `n/archive.bin` and `n/k.wasm`.
    pub fn run(self) -> Result<()> {
        node::install()?;
        bundle(&self.requirements.join(","), &self.out)
    }
}

/// See [`Bundle::run`]. `requirements` is a list as `--deps` has it.
pub fn bundle(requirements: &str, out: &Path) -> Result<()> {
    let required = parse_list(requirements).map_err(|why| anyhow!(why))?;
    let wanted: Vec<Wanted> =
        required.into_iter().map(|requirement| Wanted { requirement, origin: Origin::Settings }).collect();
    let lock = fs::read_to_string(root().join("node_modules/pyodide/pyodide-lock.json"))?;
    let lock = Rc::new(Lock::parse(&lock).map_err(|why| anyhow!(why))?);
    let supply = Rc::new(Disk::default());
    let set = resolve(wanted.clone(), lock.clone(), supply.clone())?;
    let _ = fs::remove_dir_all(out);
    fs::create_dir_all(out)?;
    let mut written = Vec::new();
    let prepared = supply.prepared.borrow();
    for (n, wheel) in set.wheels().iter().enumerate() {
        let PreparedWheel { archive, modules, .. } = prepared.get(&wheel.sha256).context("a wheel was not prepared")?;
        fs::create_dir_all(out.join(n.to_string()))?;
        let place = format!("{n}/archive.bin");
        fs::write(out.join(&place), archive)?;
        let mut places = Vec::new();
        for (k, (path, bytes)) in modules.iter().enumerate() {
            let place = format!("{n}/{k}.wasm");
            fs::write(out.join(&place), bytes)?;
            places.push(json!([path, place]));
        }
        // The modules that a requirement is for; none for packages that only others need.
        let asked = wanted.iter().find(|wanted| wanted.requirement.name.as_ref() == wheel.name);
        let imports = asked.map(|wanted| match lock.imports_of(&wanted.requirement.name).as_slice() {
            [] => vec![wheel.name.replace('-', "_")],
            modules => modules.iter().map(ToString::to_string).collect(),
        });
        written.push(json!({
            "imports": imports.unwrap_or_default(),
            "name": wheel.name,
            "version": wheel.version,
            "sha256": wheel.sha256,
            "file_name": wheel.file_name,
            "url": wheel.url,
            "archive": place,
            "modules": places,
        }));
    }
    Ok(fs::write(out.join("packages.json"), serde_json::to_string_pretty(&written)?)?)
}

fn resolve(wanted: Vec<Wanted>, lock: Rc<Lock>, supply: Rc<Disk>) -> Result<PackageSet> {
    if wanted.is_empty() {
        return Ok(PackageSet::default());
    }
    let Addresses { mirror, index } = mirror::addresses()?;
    let options = PackageOptions {
        source: Source::Pypi,
        mirrors: vec![mirror],
        indexes: index.into_iter().collect(),
        // The limits of an isolate are checked when one is started.
        room: Room { memory: usize::MAX, ..Room::default() },
        ..PackageOptions::default()
    };
    let packages = Packages::new(lock, options, PackageSet::default(), supply);
    let log = |event| match event {
        Event::Info(text) => eprintln!("    {text}"),
        Event::Warning(text) => eprintln!("    warning: {text}"),
        Event::Debug(_) | Event::Progress(..) => {}
    };
    match block_on(packages.install(wanted, &log)) {
        Ok(set) => Ok(set),
        Err(InstallError(why)) => bail!(why),
    }
}

/// Wheels in `target/wheels`, by their sha256, and in memory once they are prepared.
#[derive(Default)]
struct Disk {
    prepared: RefCell<HashMap<String, PreparedWheel>>,
}

impl Supply for Disk {
    fn fetch(&self, request: FetchRequest) -> LocalBoxFuture<'static, Result<Vec<u8>, FetchError>> {
        async move { mirror::fetch(&request.url, request.accept, request.max_bytes) }.boxed_local()
    }

    fn cached(&self, sha256: &str) -> LocalBoxFuture<'static, Option<Vec<u8>>> {
        let found = mirror::wheel(sha256);
        async move { found }.boxed_local()
    }

    fn cache(&self, sha256: &str, wheel: &[u8]) -> LocalBoxFuture<'static, ()> {
        let folder = target().join("wheels");
        // If this fails, the wheel is fetched again the next time.
        let _ = fs::create_dir_all(&folder).and_then(|()| fs::write(folder.join(sha256), wheel));
        async {}.boxed_local()
    }

    fn prepared(&self, sha256: &str) -> Option<Size> {
        self.prepared.borrow().get(sha256).map(PreparedWheel::size)
    }

    fn keep(&self, sha256: &str, wheel: PreparedWheel, _: &PackageSet) {
        self.prepared.borrow_mut().insert(sha256.to_owned(), wheel);
    }

    fn keep_bytecode(&self, _: &str, _: Vec<u8>) {}

    fn claim(&self, _: &str) -> LocalBoxFuture<'static, Claim> {
        async { Box::new(()) as Claim }.boxed_local()
    }
}
