//! The page, and the library for pages.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Result;

use crate::{
    build::Variant,
    node,
    step::{Inputs, output, step, target},
};

/// Builds the site, from what is in `target/runtime` and the folder `core`: static files. Gives its folder.
pub fn build(variant: Variant, core: &Path) -> Result<PathBuf> {
    let (what, site) = match variant {
        Variant::Release => ("building the page", target().join("site")),
        Variant::Testing => ("building the page with the tools of tests", target().join("site-testing")),
    };
    let sizes_of = sizes_file(&site);
    let runtime = target().join("runtime/isolate");
    let inputs = Inputs::default()
        .path("Cargo.toml")?
        .path("xtask/page")?
        .path("www/js")?
        .path("www/page")?
        .path("runtime")?
        .path("package-lock.json")?
        .path(&runtime)?
        .path(core)?;
    step(what, inputs, &[site.join("index.html"), sizes_of.clone()], || {
        let sizes = output(node::command("node").arg("xtask/page/build.mjs").args([&runtime, core, &site]))?;
        Ok(fs::write(&sizes_of, sizes)?)
    })?;
    Ok(site)
}

/// The sizes of its files, on disk and over the wire.
pub fn sizes() -> Result<String> {
    Ok(fs::read_to_string(sizes_file(&target().join("site")))?)
}

/// The file with the sizes of a site, beside it.
fn sizes_file(site: &Path) -> PathBuf {
    site.with_extension("sizes.txt")
}
