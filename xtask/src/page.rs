//! The page, and the library for pages.

use std::{fs, path::PathBuf};

use anyhow::Result;

use crate::{
    node,
    step::{Inputs, output, step, target},
};

/// Builds `target/site`, from what is in `target/runtime` and `target/www`: static files.
pub fn build() -> Result<PathBuf> {
    let site = target().join("site");
    let (runtime, core) = (target().join("runtime/isolate"), target().join("www"));
    let inputs = Inputs::default()
        .path("xtask/page")?
        .path("www/js")?
        .path("www/page")?
        .path("runtime")?
        .path("package-lock.json")?
        .path(&runtime)?
        .path(&core)?;
    step("building the page", inputs, &[site.join("index.html"), target().join("site-sizes.txt")], || {
        let sizes = output(node::command("node").arg("xtask/page/build.mjs").args([&runtime, &core, &site]))?;
        Ok(fs::write(target().join("site-sizes.txt"), sizes)?)
    })?;
    Ok(site)
}

/// The sizes of its files, on disk and over the wire.
pub fn sizes() -> Result<String> {
    Ok(fs::read_to_string(target().join("site-sizes.txt"))?)
}
