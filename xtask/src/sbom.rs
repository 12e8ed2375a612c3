//! What a deployed worker is made of, as CycloneDX (1.6).

use std::{collections::BTreeSet, fs, path::Path};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::{
    step::{output, root},
    toolchain::{WASM, cargo},
};

/// Writes it: the crates that are compiled in, with their licences, and Pyodide, with the hashes of its files.
pub fn write(path: &Path) -> Result<usize> {
    let mut tree = cargo();
    tree.args(["tree", "--locked", "--package", "worker-edge", "--target", WASM, "--edges", "normal"]);
    tree.args(["--prefix", "none", "--no-dedupe", "--format", "{p}|{l}"]);
    let lines = output(&mut tree)?;
    let crates: BTreeSet<&str> = lines.lines().collect();
    let mut components: Vec<Value> = crates.into_iter().filter_map(component).collect();
    components.push(pyodide()?);
    let count = components.len();
    let sbom = json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": { "type": "application", "name": "mcp-run-python", "version": env!("CARGO_PKG_VERSION") },
        },
        "components": components,
    });
    fs::write(path, serde_json::to_string_pretty(&sbom)?)?;
    Ok(count)
}

/// A line of `cargo tree`, such as `serde v1.0.228|MIT OR Apache-2.0`. Crates of this workspace are no components.
fn component(line: &str) -> Option<Value> {
    let (package, licence) = line.split_once('|')?;
    let mut words = package.split_whitespace();
    let (name, version) = (words.next()?, words.next()?.strip_prefix('v')?);
    if package.contains("(/") {
        return None;
    }
    let purl = format!("pkg:cargo/{name}@{version}");
    let mut component = json!({ "type": "library", "name": name, "version": version, "purl": purl, "bom-ref": purl });
    if !licence.is_empty() {
        component["licenses"] = json!([{ "expression": licence.replace('/', " OR ") }]);
    }
    Some(component)
}

fn pyodide() -> Result<Value> {
    let read = |path: &str| -> Result<Value> {
        let text = fs::read_to_string(root().join(path)).with_context(|| format!("{path} cannot be read"))?;
        Ok(serde_json::from_str(&text)?)
    };
    let version = read("node_modules/pyodide/package.json")?["version"].clone();
    let files = read("runtime/pyodide/assets.json")?;
    let files: Vec<Value> = files
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, hash)| json!({ "type": "file", "name": name, "hashes": [{ "alg": "SHA-256", "content": hash }] }))
        .collect();
    Ok(json!({
        "type": "library",
        "name": "pyodide",
        "version": version,
        "purl": format!("pkg:npm/pyodide@{}", version.as_str().unwrap_or_default()),
        "licenses": [{ "license": { "id": "MPL-2.0" } }],
        "components": files,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_cargo_tree_are_read() {
        let found = component("serde v1.0.228|MIT/Apache-2.0").unwrap();
        assert_eq!(found["purl"], "pkg:cargo/serde@1.0.228");
        assert_eq!(found["licenses"][0]["expression"], "MIT OR Apache-2.0");
        assert!(component("mcp-run-python v0.1.0 (/somewhere)|MIT").is_none());
        assert!(component("").is_none());
    }
}
