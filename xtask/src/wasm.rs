//! The Worker's wasm: from cargo's to what workerd loads.

use std::{fs, path::Path};

use anyhow::{Context, Result};
use wasm_bindgen_cli_support::Bindgen;

use crate::{
    node,
    step::{run, target, timed},
    toolchain::{WASM, cargo},
};

/// The Worker's entry: what `worker-build` of the crate `worker` 0.8 writes, for this Worker's two exports.
const ENTRY: &str = include_str!("entry.js");

/// Compiles the worker crate with `features` and writes `index.js` and `index_bg.wasm` into `out`.
pub fn build(features: &[&str], out: &Path) -> Result<()> {
    timed("compiling the worker", || {
        run(cargo()
            .args(["build", "--quiet", "--release", "--package", "worker-edge", "--target", WASM])
            .args(["--features", &features.join(",")]))
    })?;
    timed("generating its bindings", || {
        Bindgen::new()
            .input_path(target().join(WASM).join("release/worker_edge.wasm"))
            .out_name("bindings")
            .typescript(false)
            .module(true)?
            // After a panic, the next request begins with a new instance: see entry.js.
            .reset_state_function(true)
            .force_enable_abort_handler(true)
            .generate(out)
    })?;
    // What imports a module's source in a bundler's words is an ordinary import to workerd.
    let bindings = out.join("bindings.js");
    let text = fs::read_to_string(&bindings)?;
    fs::write(&bindings, text.replace("import source wasmModule from", "import wasmModule from"))?;
    fs::write(out.join("index.js"), ENTRY)?;
    timed("optimizing it", || {
        let wasm = out.join("bindings_bg.wasm");
        run(node::command("wasm-opt").args(["-Oz", "--all-features"]).arg(&wasm).arg("-o").arg(&wasm))
            .context("wasm-opt comes with npm's binaryen")
    })
}
