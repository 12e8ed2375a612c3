//! Builds the runtime of the isolates, the Worker, and the folder to be deployed.

use std::{
    env, fs,
    io::Write,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use flate2::{Compression, write::GzEncoder};
use serde_json::{Map, Value, json};
use walkdir::WalkDir;

use crate::{
    licences,
    mirror::{self, Addresses},
    node, packages, page, python, sbom,
    step::{Inputs, alone, output, root, run, step, target, timed},
    toolchain::{self, cargo},
    wasm,
};

/// The largest Worker that we deploy, gzip, in bytes. The platform takes 10 MB.
const MAX_WORKER: usize = 9_500_000;

/// The file with the licences of others.
const LICENCES: &str = "LICENCES.txt";

/// Which Worker.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Variant {
    /// The one to be deployed.
    Release,
    /// With the tools that tests need. Nothing deployable is built with them: see [`for_deployment`].
    Testing,
}

impl Variant {
    /// The folder with this variant's `build` and `wrangler.jsonc`.
    pub fn folder(self) -> PathBuf {
        match self {
            Self::Release => root().join("worker"),
            Self::Testing => target().join("testing"),
        }
    }

    /// Features of its crates.
    pub fn features(self) -> &'static [&'static str] {
        match self {
            Self::Release => &[],
            Self::Testing => &["conformance"],
        }
    }
}

/// Builds `build/` of a variant, and all that it needs, with the packages of `wrangler.jsonc` built in.
pub fn worker(variant: Variant) -> Result<PathBuf> {
    worker_in(variant, variant.folder(), &dependencies()?)
}

/// The same with other packages built in, in a folder of its own.
pub fn worker_with(variant: Variant, dependencies: &str) -> Result<PathBuf> {
    let name = format!("{}-{}", if variant == Variant::Testing { "testing" } else { "worker" }, id(dependencies));
    worker_in(variant, target().join(name), dependencies)
}

fn worker_in(variant: Variant, folder: PathBuf, dependencies: &str) -> Result<PathBuf> {
    node::install()?;
    toolchain::install()?;
    let runtime = runtime(dependencies)?;
    let site = page(Variant::Release)?;
    let out = folder.join("build");
    let features = variant.features();
    let what = match variant {
        Variant::Release => "building the worker",
        Variant::Testing => "building the worker with the tools of tests",
    };
    let what = &match folder == variant.folder() {
        true => what.to_owned(),
        false => format!("{what} and {dependencies}"),
    };
    let module = wasm::compiled(wasm::WORKER, features)?;
    let inputs = Inputs::default()
        .path(&module)?
        .path("runtime")?
        .path("worker/wrangler.jsonc")?
        .path("xtask/src/build.rs")?
        .path("xtask/src/wasm.rs")?
        .path("xtask/src/entry.js")?
        .path(&runtime)?;
    step(what, inputs, &[out.join("worker/index.js")], || {
        let _ = fs::remove_dir_all(&out);
        wasm::worker(&module, &out.join("worker"))?;
        copy(&runtime.join("edge"), &out.join("worker/runtime"))?;
        sources(&out.join("worker/runtime/sources.js"))?;
        if folder != Variant::Release.folder() {
            // A copy builds nothing by itself.
            let mut config = configuration()?;
            config.remove("build").context("wrangler.jsonc has no build command")?;
            fs::write(folder.join("wrangler.jsonc"), serde_json::to_string_pretty(&config)?)?;
        }
        Ok(())
    })?;
    let assets = Inputs::default().path(runtime.join("assets"))?.path(&site)?;
    step(&format!("{what}: static assets"), assets, &[out.join("assets/index.html")], || {
        let _ = fs::remove_dir_all(out.join("assets"));
        copy(&runtime.join("assets"), &out.join("assets"))?;
        copy(&site, &out.join("assets"))
    })?;
    Ok(folder)
}

/// Builds the core for JavaScript; gives its folder.
pub fn core(variant: Variant) -> Result<PathBuf> {
    node::install()?;
    toolchain::install()?;
    let module = wasm::compiled(wasm::CORE, variant.features())?;
    let inputs = Inputs::default().path(&module)?.path("xtask/src/wasm.rs")?;
    let (what, out) = match variant {
        Variant::Release => ("building the core for JavaScript", target().join("www")),
        Variant::Testing => ("building the core for JavaScript with the tools of tests", target().join("www-testing")),
    };
    step(what, inputs, &[out.join("core.js"), out.join("core_bg.wasm")], || {
        let _ = fs::remove_dir_all(&out);
        wasm::core(&module, &out)
    })?;
    // This file also has the page's package index.
    sources(&out.join("sources.js"))?;
    Ok(out)
}

/// Builds the page, whose Python has no packages in its snapshot.
pub fn page(variant: Variant) -> Result<PathBuf> {
    runtime("")?;
    page::build(variant, &core(variant)?)
}

/// A machine that the desk's program is built for.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Machine {
    /// Linux on 64-bit ARM, built on any Linux.
    #[value(name = "linux-arm64")]
    LinuxArm64,
}

impl Machine {
    /// Rust's target, without and with the oldest glibc that the program is for: that of Debian 11.
    fn target(self) -> (&'static str, &'static str) {
        match self {
            Self::LinuxArm64 => ("aarch64-unknown-linux-gnu", "aarch64-unknown-linux-gnu.2.31"),
        }
    }
}

/// Node's names of this machine's system and processor.
pub const THIS_MACHINE: (&str, &str) = (
    if cfg!(target_os = "macos") { "darwin" } else { "linux" },
    if cfg!(target_arch = "aarch64") { "arm64" } else { "x64" },
);

/// Builds the desk's program for this machine; gives its place.
pub fn program() -> Result<PathBuf> {
    let out = target().join("native/mcp-run-python");
    step("building the desk's program", of_program()?, std::slice::from_ref(&out), || {
        run(cargo().args(["build", "--quiet", "--profile", "native", "--package", "desk"]))
    })?;
    Ok(out)
}

/// The same for another machine.
fn program_for(machine: Machine) -> Result<PathBuf> {
    let (name, oldest) = machine.target();
    let out = target().join(name).join("native/mcp-run-python");
    python::CROSS.install()?;
    toolchain::install_for(name)?;
    step(&format!("building the desk's program for {name}"), of_program()?, std::slice::from_ref(&out), || {
        let mut path = python::CROSS.commands().into_os_string();
        path.push(":");
        path.push(env::var_os("PATH").unwrap_or_default());
        let arguments = ["zigbuild", "--quiet", "--profile", "native", "--package", "desk", "--target", oldest];
        run(cargo().args(arguments).env("PATH", path))
    })?;
    Ok(out)
}

fn of_program() -> Result<Inputs> {
    Inputs::default().path("Cargo.toml")?.path("Cargo.lock")?.path("src")?.path("desk/Cargo.toml")?.path("desk/src")
}

/// Builds `target/home`: the desk's program with what it needs beside it.
pub fn home() -> Result<PathBuf> {
    let program = program()?;
    runtime("")?;
    // This writes the settings' defaults, which are the same for every home.
    core(Variant::Release)?;
    let site = page(Variant::Release)?;
    let home = target().join("home");
    let inputs = Inputs::default()
        .path(&program)?
        .path(&site)?
        .path("target/runtime/isolate")?
        .path("target/www/sources.js")?
        .path("package-lock.json")?
        .path("Cargo.lock")?
        .path("xtask/licences")?
        .path("xtask/src/licences.rs")?
        .path("desk/runtime")?
        .path("xtask/runtime/home.mjs")?
        .path("xtask/runtime/room.mjs")?;
    let command = home.join("mcp-run-python");
    step("completing the desk", inputs, &[command.clone(), home.join("workerd")], || {
        run(node::command("node")
            .arg("xtask/runtime/home.mjs")
            .arg(target().join("runtime/isolate"))
            .arg(target().join("www/sources.js"))
            .arg(&home))?;
        // One file for everything that comes with the program, whatever the package.
        let licences = home.join("runtime").join(LICENCES);
        licences::write(&licences)?;
        let _ = fs::remove_dir_all(home.join("browser"));
        copy(&site, &home.join("browser"))?;
        fs::copy(&licences, home.join("browser").join(LICENCES))?;
        // A new file: a running program cannot be written to.
        let _ = fs::remove_file(&command);
        Ok(fs::copy(&program, &command).map(drop)?)
    })?;
    Ok(home)
}

/// Completes `cli/`, the npm package: with the files for workerd, and the library for pages.
pub fn desk() -> Result<PathBuf> {
    let home = home()?;
    let site = page(Variant::Release)?;
    let cli = root().join("cli");
    let (core, runtime, browser) = (cli.join("core"), cli.join("runtime"), cli.join("browser"));
    let inputs = Inputs::default()
        .path(home.join("runtime"))?
        .path(&site)?
        .path("www/js/index.d.ts")?
        .path("www/js/sandbox.js")?;
    let outputs = [core.join("sandbox.js"), runtime.join("config.bin"), browser.join("code-sandbox.js")];
    step("completing the npm package", inputs, &outputs, || {
        for folder in [&core, &browser, &runtime] {
            let _ = fs::remove_dir_all(folder);
        }
        copy(&site, &browser)?;
        copy(&home.join("runtime"), &runtime)?;
        interface()?;
        Ok(fs::copy(root().join("LICENSE"), cli.join("LICENSE")).map(drop)?)
    })?;
    Ok(cli)
}

/// Writes the interface of the npm package's library, which is the page's: the only built files that type checks need.
pub fn interface() -> Result<()> {
    let core = root().join("cli/core");
    fs::create_dir_all(&core)?;
    for file in ["index.d.ts", "sandbox.js"] {
        fs::copy(root().join("www/js").join(file), core.join(file))?;
    }
    Ok(())
}

/// Packs the npm package, and those with the program for this machine and for others, into a folder; gives their files.
pub fn npm_packages(into: &Path, others: &[Machine]) -> Result<Vec<PathBuf>> {
    let cli = desk()?;
    let _alone = alone("packing the npm packages", &target().join("xtask/packing"))?;
    for folder in [into, &target().join("npm")] {
        fs::create_dir_all(folder)?;
    }
    let (system, processor) = THIS_MACHINE;
    let mut packages = vec![pack(&cli, into)?, pack(&platform_package(&cli, system, processor, &program()?)?, into)?];
    for machine in others {
        let (system, processor) = match machine {
            Machine::LinuxArm64 => ("linux", "arm64"),
        };
        packages.push(pack(&platform_package(&cli, system, processor, &program_for(*machine)?)?, into)?);
    }
    Ok(packages)
}

/// Packs an npm package, if it changed since that was done, and puts its file into a folder; gives its path.
fn pack(package: &Path, into: &Path) -> Result<PathBuf> {
    let manifest: Value = serde_json::from_slice(&fs::read(package.join("package.json"))?)?;
    let [name, version] = ["name", "version"].map(|key| manifest[key].as_str().unwrap_or_default());
    let file = format!("{name}-{version}.tgz");
    let folder = target().join("npm");
    let packed = folder.join(&file);
    step(&format!("packing {file}"), Inputs::default().path(package)?, std::slice::from_ref(&packed), || {
        let _ = fs::remove_file(&packed);
        let arguments = ["pack", "--silent", "--pack-destination"];
        output(Command::new("npm").args(arguments).arg(&folder).current_dir(package)).map(drop)
    })?;
    let place = into.join(file);
    // So that what was linked before is not written to.
    let _ = fs::remove_file(&place);
    link(&packed, &place)?;
    Ok(place)
}

/// Writes the package of a machine's program, which the npm package names among its optional dependencies.
fn platform_package(cli: &Path, system: &str, processor: &str, program: &Path) -> Result<PathBuf> {
    let manifest: Value = serde_json::from_slice(&fs::read(cli.join("package.json"))?)?;
    let name = format!("mcp-run-python-{system}-{processor}");
    let folder = target().join("npm").join(&name);
    fs::create_dir_all(&folder)?;
    let package = json!({
        "name": name,
        "version": manifest["version"],
        "description": format!("The program of mcp-run-python for {system} {processor}"),
        "license": manifest["license"],
        "homepage": manifest["homepage"],
        "repository": manifest["repository"],
        "os": [system],
        "cpu": [processor],
        "files": ["mcp-run-python"],
    });
    fs::write(folder.join("package.json"), serde_json::to_string_pretty(&package)? + "\n")?;
    fs::copy(program, folder.join("mcp-run-python"))?;
    fs::copy(root().join("LICENSE"), folder.join("LICENSE"))?;
    Ok(folder)
}

/// Installs the npm packages into an empty folder, as their users do; gives the path of the command.
pub fn installed_desk() -> Result<PathBuf> {
    let folder = target().join("desk");
    let _alone = alone("installing the npm package", &target().join("xtask/installing"))?;
    let packages = npm_packages(&folder, &[])?;
    let app = folder.join("app");
    let inputs = packages.iter().try_fold(Inputs::default(), |inputs, package| inputs.path(package))?;
    let command = app.join("node_modules/.bin/mcp-run-python");
    step("installing the npm package", inputs, std::slice::from_ref(&command), || {
        let _ = fs::remove_dir_all(&app);
        fs::create_dir_all(&app)?;
        fs::write(app.join("package.json"), "{ \"private\": true }\n")?;
        let arguments = ["install", "--no-audit", "--no-fund", "--loglevel=error"];
        run(Command::new("npm").args(arguments).args(&packages).current_dir(&app))
    })?;
    Ok(command)
}

/// Builds `target/runtime`: Pyodide, patched, and its memory snapshot; with packages built in, a folder beside it.
fn runtime(dependencies: &str) -> Result<PathBuf> {
    let kdf = kdf()?;
    let inputs = Inputs::default()
        .path("runtime")?
        .path("xtask/runtime")?
        .path("xtask/src/link.rs")?
        .path("xtask/src/sections.rs")?
        .path("xtask/src/stack.rs")?
        .path("package-lock.json")?
        .path(&kdf)?;
    let build = || {
        let mut command = node::command("node");
        command.arg("xtask/runtime/build.mjs").env("XTASK", env::current_exe()?);
        Ok::<_, anyhow::Error>(command)
    };
    if dependencies.is_empty() {
        let out = target().join("runtime");
        step("building the Python runtime", inputs, &[out.join("edge"), out.join("assets")], || {
            run(build()?.arg(&out).arg(&kdf))
        })?;
        return Ok(out);
    }
    let inputs = inputs.path("src/packages")?.text(dependencies);
    let out = target().join(format!("runtime-{}", id(dependencies)));
    let what = format!("building the Python runtime with {dependencies}");
    step(&what, inputs, &[out.join("edge"), out.join("assets")], || {
        let packages = target().join("packages").join(id(dependencies));
        packages::bundle(dependencies, &packages)?;
        run(build()?.arg(&out).arg(&kdf).arg(packages))
    })?;
    Ok(out)
}

/// Builds the isolates' key derivation; returns the path of its WebAssembly.
pub fn kdf() -> Result<PathBuf> {
    node::install()?;
    toolchain::install()?;
    let out = target().join("kdf.wasm");
    let inputs =
        Inputs::default().path("Cargo.toml")?.path("Cargo.lock")?.path("runtime/kdf")?.path("xtask/src/wasm.rs")?;
    step("building what derives keys", inputs, std::slice::from_ref(&out), || wasm::kdf(&out))?;
    Ok(out)
}

/// The packages that `wrangler.jsonc` says are built in.
fn dependencies() -> Result<String> {
    let config = configuration()?;
    let value = config.get("vars").and_then(|vars| vars.get("DEPENDENCIES")?.as_str());
    Ok(value.context("wrangler.jsonc has no DEPENDENCIES")?.to_owned())
}

/// The contents of `wrangler.jsonc`.
fn configuration() -> Result<Map<String, Value>> {
    let text = fs::read_to_string(root().join("worker/wrangler.jsonc"))?;
    jsonc_parser::parse_to_serde_value(&text, &jsonc_parser::ParseOptions::default())
        .context("wrangler.jsonc cannot be read")
}

/// A name for a list of requirements.
fn id(dependencies: &str) -> String {
    Inputs::default().text(dependencies).fingerprint()[..16].to_owned()
}

/// Writes the default addresses of packages: those of Pyodide and micropip.
fn sources(file: &Path) -> Result<()> {
    let Addresses { mirror, index } = mirror::addresses()?;
    if index.is_none() {
        eprintln!("    no package index is known: PACKAGES=pypi needs the setting PACKAGE_INDEX");
    }
    let (mirror, index) = (json!(mirror), json!(index.unwrap_or_default()));
    let text = format!("// Written by the build.\nexport const mirror = {mirror};\nexport const index = {index};\n");
    if fs::read_to_string(file).is_ok_and(|written| written == text) {
        // Not written again, so that nobody reads half of it.
        return Ok(());
    }
    Ok(fs::write(file, text)?)
}

/// Builds `dist/`: what wrangler would upload, checked for its size; and the npm packages, also for other machines.
pub fn for_deployment(others: &[Machine]) -> Result<()> {
    worker(Variant::Release)?;
    let dist = root().join("dist");
    let _ = fs::remove_dir_all(&dist);
    timed("packing with wrangler", || {
        run(node::command("wrangler")
            .args(["deploy", "--dry-run", "--outdir"])
            .arg(dist.join("worker"))
            .current_dir(root().join("worker")))
    })?;
    copy(&root().join("worker/build/assets"), &dist.join("assets"))?;
    let (worker, packed) = size(&dist.join("worker"))?;
    let (assets, _) = size(&dist.join("assets"))?;
    println!("worker: {:.2} MB, {:.2} MB gzip (limit {:.1} MB)", mb(worker), mb(packed), mb(MAX_WORKER));
    println!("static assets: {:.2} MB; those of the page:\n{}", mb(assets), page::sizes()?);
    let components = sbom::write(&dist.join("sbom.json"))?;
    println!("software bill of materials: dist/sbom.json, {components} components");
    if packed > MAX_WORKER {
        bail!("the worker is too large");
    }
    for package in npm_packages(&dist, others)? {
        let size = usize::try_from(fs::metadata(&package)?.len())?;
        println!("npm package: {:.2} MB, {}", mb(size), package.strip_prefix(root()).unwrap_or(&package).display());
    }
    println!("built: dist/worker, dist/assets; deploy with `npx wrangler deploy` in worker/");
    Ok(())
}

fn mb(bytes: usize) -> f64 {
    bytes as f64 / 1e6
}

/// Bytes of all files in a folder, raw and gzip.
fn size(folder: &Path) -> Result<(usize, usize)> {
    let (mut raw, mut packed) = (0, 0);
    for entry in WalkDir::new(folder) {
        let entry = entry?;
        // Source maps and wrangler's own notes are not uploaded.
        if !entry.file_type().is_file() || entry.path().extension().is_some_and(|end| end == "map" || end == "md") {
            continue;
        }
        let bytes = fs::read(entry.path())?;
        let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
        gzip.write_all(&bytes)?;
        raw += bytes.len();
        packed += gzip.finish()?.len();
    }
    Ok((raw, packed))
}

/// Hard-links a file to another place, or copies it where the file system cannot link.
pub fn link(from: &Path, to: &Path) -> Result<()> {
    if fs::hard_link(from, to).is_err() {
        fs::copy(from, to).with_context(|| format!("{} cannot be copied", from.display()))?;
    }
    Ok(())
}

/// Copies a folder with everything in it.
pub fn copy(from: &Path, to: &Path) -> Result<()> {
    for entry in WalkDir::new(from) {
        let entry = entry?;
        let place = to.join(entry.path().strip_prefix(from)?);
        if entry.file_type().is_dir() {
            fs::create_dir_all(place)?;
        } else {
            fs::copy(entry.path(), place)?;
        }
    }
    Ok(())
}
