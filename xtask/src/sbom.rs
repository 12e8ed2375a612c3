//! Software bill of materials of everything in dist/, as CycloneDX (1.6).

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use anyhow::{Context, Result};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::{
    manifests,
    step::{hexadecimal, output},
    toolchain::{WASM, cargo},
};

/// The crates that are shipped, each with the target that it is compiled for; `None` is this machine.
const CRATES: [(&str, Option<&str>); 4] =
    [("worker-edge", Some(WASM)), ("core-js", Some(WASM)), ("kdf", Some(WASM)), ("desk", None)];

/// The npm packages that are shipped, in whole or in part, by names or scopes. Their dependencies are shipped, too.
const PACKAGES: [&str; 11] = [
    "workerd",
    "codemirror",
    "@codemirror/",
    "@lezer/",
    "katex",
    "linkedom",
    "markdown-it",
    "plotly.js-strict-dist-min",
    "vega",
    "vega-interpreter",
    "vega-lite",
];

/// Writes it: the crates that are compiled in and the npm packages that are bundled or shipped along, with their
/// licences, and Pyodide, with the hashes of its files. Returns the number of components.
pub fn write(path: &Path) -> Result<usize> {
    let mut components: Vec<Value> = lines()?.iter().filter_map(|line| component(line)).collect();
    components.extend(npm(&manifests::json("package.json")?, &manifests::json("package-lock.json")?)?);
    components.push(pyodide()?);
    let count = components.len();
    let sbom = json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": { "type": "application", "name": manifests::NAME, "version": manifests::VERSION },
        },
        "components": components,
    });
    fs::write(path, serde_json::to_string_pretty(&sbom)?)?;
    Ok(count)
}

/// The crates that are compiled in: a line of `cargo tree` each.
fn lines() -> Result<BTreeSet<String>> {
    let mut lines = BTreeSet::new();
    for (package, target) in CRATES {
        let mut tree = cargo();
        tree.args(["tree", "--locked", "--package", package, "--edges", "normal"]);
        tree.args(["--prefix", "none", "--no-dedupe", "--format", "{p}|{l}"]);
        tree.args(target.into_iter().flat_map(|target| ["--target", target]));
        lines.extend(output(&mut tree)?.lines().map(str::to_owned));
    }
    Ok(lines)
}

/// Names and versions of the crates that are compiled in.
pub fn crates() -> Result<BTreeSet<(String, String)>> {
    Ok(lines()?.iter().filter_map(|line| named(line)).map(|(name, version, _)| (name.into(), version.into())).collect())
}

/// Names of the npm packages that are shipped.
pub fn npm_names() -> Result<Vec<String>> {
    Ok(shipped(&manifests::json("package.json")?, &manifests::json("package-lock.json")?)?.into_keys().collect())
}

fn npm(asked: &Value, lock: &Value) -> Result<Vec<Value>> {
    Ok(shipped(asked, lock)?.into_values().collect())
}

/// The npm packages that are shipped, by `package.json` and the lock file.
fn shipped(asked: &Value, lock: &Value) -> Result<BTreeMap<String, Value>> {
    let locked = lock["packages"].as_object().context("the lock file has no packages")?;
    let names = |of: &Value, member: &str| -> Vec<String> {
        of[member].as_object().into_iter().flat_map(|names| names.keys().cloned()).collect()
    };
    let is_shipped =
        |name: &String| PACKAGES.iter().any(|known| name == known || (known.ends_with('/') && name.starts_with(known)));
    // workerd comes with wrangler, in the version that the npm package asks for.
    let mut next: Vec<String> = names(asked, "devDependencies").into_iter().filter(is_shipped).collect();
    next.push("workerd".to_owned());
    let mut found = BTreeMap::new();
    while let Some(name) = next.pop() {
        if found.contains_key(&name) {
            continue;
        }
        let package =
            locked.get(&format!("node_modules/{name}")).with_context(|| format!("{name} is not in the lock file"))?;
        next.extend(names(package, "dependencies"));
        // workerd's program is in these, one for each machine. Windows is not supported.
        next.extend(names(package, "optionalDependencies").into_iter().filter(|name| !name.contains("windows")));
        found.insert(name.clone(), of_npm(&name, package));
    }
    Ok(found)
}

/// An npm package, by its entry in the lock file.
fn of_npm(name: &str, package: &Value) -> Value {
    let version = package["version"].as_str().unwrap_or_default();
    let purl = format!("pkg:npm/{}@{version}", name.replace('@', "%40"));
    let mut component = json!({ "type": "library", "name": name, "version": version, "purl": purl, "bom-ref": purl });
    if let Some(licence) = package["license"].as_str() {
        component["licenses"] = json!([{ "expression": licence }]);
    }
    let hash = package["integrity"].as_str().and_then(|integrity| integrity.strip_prefix("sha512-"));
    if let Some(hash) = hash.and_then(|hash| STANDARD.decode(hash).ok()) {
        component["hashes"] = json!([{ "alg": "SHA-512", "content": hexadecimal(&hash) }]);
    }
    component
}

/// The component for a line of `cargo tree` such as `serde v1.0.228|MIT OR Apache-2.0`; none for our own crates.
fn component(line: &str) -> Option<Value> {
    let (name, version, licence) = named(line)?;
    let purl = format!("pkg:cargo/{name}@{version}");
    let mut component = json!({ "type": "library", "name": name, "version": version, "purl": purl, "bom-ref": purl });
    if !licence.is_empty() {
        component["licenses"] = json!([{ "expression": licence.replace('/', " OR ") }]);
    }
    Some(component)
}

/// Name, version and licence of a crate that is not ours.
fn named(line: &str) -> Option<(&str, &str, &str)> {
    let (package, licence) = line.split_once('|')?;
    let mut words = package.split_whitespace();
    let (name, version) = (words.next()?, words.next()?.strip_prefix('v')?);
    (!package.contains("(/")).then_some((name, version, licence))
}

fn pyodide() -> Result<Value> {
    let version = manifests::json("node_modules/pyodide/package.json")?["version"].clone();
    let files = manifests::json("runtime/pyodide/version.json")?;
    let files: Vec<Value> = files["assets"]
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

    #[test]
    fn npm_packages_come_with_what_they_need() {
        let asked = json!({ "devDependencies": { "@codemirror/view": "1", "esbuild": "1" } });
        let lock = json!({ "packages": {
            "node_modules/@codemirror/view": { "version": "1.0.0", "license": "MIT", "dependencies": { "crelt": "^1" } },
            "node_modules/crelt": { "version": "1.2.3", "integrity": "sha512-AAH/" },
            "node_modules/workerd": { "version": "1.1.1", "optionalDependencies": { "@a/linux": "1", "@a/windows-64": "1" } },
            "node_modules/@a/linux": { "version": "1.1.1" },
            "node_modules/esbuild": { "version": "1.0.0" },
        } });
        let found = npm(&asked, &lock).unwrap();
        let names: Vec<_> = found.iter().filter_map(|found| found["purl"].as_str()).collect();
        let wanted = ["%40a/linux@1.1.1", "%40codemirror/view@1.0.0", "crelt@1.2.3", "workerd@1.1.1"];
        assert_eq!(names, wanted.map(|name| format!("pkg:npm/{name}")));
        assert_eq!(found[2]["hashes"][0]["content"], "0001ff");
        assert_eq!(found[1]["licenses"][0]["expression"], "MIT");
        assert!(npm(&asked, &json!({ "packages": {} })).is_err());
    }
}
