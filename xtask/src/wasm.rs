//! Builds the core's wasm, for the Worker and for JavaScript: from cargo's output to the files that are loaded.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Result;
use wasm_bindgen_cli_support::Bindgen;

use crate::{
    step::{Inputs, alone, run, step, target, timed},
    toolchain::{WASM, cargo, linting_cargo},
};

/// The Worker's entry: what `worker-build` of the crate `worker` 0.8 writes, for this Worker's exports.
const ENTRY: &str = include_str!("entry.js");

/// Writes `index.js` and what it imports into `out`, from the module of [`WORKER`].
pub fn worker(module: &Path, out: &Path) -> Result<()> {
    bindings(module, out, "bindings", |bindgen| {
        // After a panic, the next request begins with a new instance: see entry.js.
        Ok(bindgen.typescript(false).module(true)?.reset_state_function(true).force_enable_abort_handler(true))
    })?;
    // The `import source` of bundlers is an ordinary import in workerd.
    let bindings = out.join("bindings.js");
    let text = fs::read_to_string(&bindings)?;
    fs::write(&bindings, text.replace("import source wasmModule from", "import wasmModule from"))?;
    Ok(fs::write(out.join("index.js"), ENTRY)?)
}

/// Writes `core.js`, `core_bg.wasm` and their types into `out`, from the module of [`CORE`].
pub fn core(module: &Path, out: &Path) -> Result<()> {
    bindings(module, out, "core", |bindgen| bindgen.typescript(true).web(true))
}

/// SIMD, which every engine that can suspend Python has, and a small stack, as it is a part of each isolate's memory.
const OF_ISOLATES: &[&str] = &["-Ctarget-feature=+simd128", "-Clink-arg=-zstack-size=65536"];

/// Compiles the crate `runtime/kdf`, which has no bindings: quick rather than small.
pub fn kdf(out: &Path) -> Result<()> {
    run(cargo()
        .args(["rustc", "--quiet", "--package", "kdf", "--crate-type", "cdylib"])
        .args(["--profile", "isolate", "--target", WASM, "--"])
        .args(OF_ISOLATES))?;
    Ok(fs::copy(target().join(WASM).join("isolate/kdf.wasm"), out).map(drop)?)
}

/// The crate of the Worker.
pub const WORKER: &str = "worker-edge";

/// The crate of the library for JavaScript.
pub const CORE: &str = "core-js";

/// A lock for [`compile`]: cargo's output has the same name with other features, so only one process may make and copy it.
pub fn compiling() -> Result<fs::File> {
    alone("compiling for WebAssembly", &target().join("xtask/wasm"))
}

/// The command that compiles crates with `features`. With those of tests, it lints them, too.
pub fn compile(packages: &[&str], features: &[&str]) -> Command {
    let mut command = if features.is_empty() { cargo() } else { linting_cargo() };
    command
        .args(["build", "--release", "--target", WASM])
        .args(packages.iter().flat_map(|package| ["--package", package]))
        .args(["--features", &features.join(",")]);
    command
}

/// Compiles a crate with `features`; gives its module, in a place that other features do not write to.
pub fn compiled(package: &str, features: &[&str]) -> Result<PathBuf> {
    // Linking takes one core for a minute and more, so those to be deployed are compiled together: the first step that
    // needs one of them makes both.
    let packages = if features.is_empty() { &[CORE, WORKER][..] } else { &[package] };
    let with = features.iter().map(|feature| format!(" with {feature}")).collect::<String>();
    let what = format!("compiling {}{with}", packages.join(" and "));
    let inputs = Inputs::default()
        .path("Cargo.toml")?
        .path("Cargo.lock")?
        .path("src")?
        .path("www/Cargo.toml")?
        .path("www/src")?
        .path("worker/Cargo.toml")?
        .path("worker/src")?
        .path("xtask/src/wasm.rs")?;
    let folder = target().join(WASM).join("modules").join(features.join("-"));
    let file = |package: &str| format!("{}.wasm", package.replace('-', "_"));
    let modules: Vec<_> = packages.iter().map(|package| folder.join(file(package))).collect();
    step(&what, inputs, &modules, || {
        let _alone = compiling()?;
        run(compile(packages, features).arg("--quiet"))?;
        fs::create_dir_all(&folder)?;
        for (package, module) in packages.iter().zip(&modules) {
            fs::copy(target().join(WASM).join("release").join(file(package)), module)?;
        }
        Ok(())
    })?;
    Ok(folder.join(file(package)))
}

/// Generates a module's bindings as `configure` says, without the names of functions, which are a sixth of it.
///
/// It is not optimized any further: `wasm-opt -O1` makes it 3 % smaller, and less than 1 % when it is compressed.
fn bindings(
    module: &Path,
    out: &Path,
    name: &str,
    configure: impl FnOnce(&mut Bindgen) -> Result<&mut Bindgen>,
) -> Result<()> {
    timed("generating its bindings", || {
        configure(Bindgen::new().input_path(module).out_name(name).remove_name_section(true))?.generate(out)
    })
}
