//! The texts of the licences of all that comes with the program: each artefact contains them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::{
    manifests, sbom,
    step::{output, root},
    toolchain::cargo,
};

/// Packages without a licence text of their own, and their licences, whose texts are in `xtask/licences/`.
const WITHOUT_TEXT: [(&str, &str); 4] =
    [("workerd", "Apache-2.0"), ("@cloudflare/workerd-", "Apache-2.0"), ("pyodide", "MPL-2.0"), ("CPython", "PSF-2.0")];

/// How the names of files with licences begin.
const NAMES: [&str; 5] = ["LICENSE", "LICENCE", "COPYING", "NOTICE", "UNLICENSE"];

/// Writes the licences: each text once, with the names of what it is for.
pub fn write(path: &Path) -> Result<()> {
    /// Names by text.
    type Texts = BTreeMap<String, BTreeSet<String>>;
    let mut texts = Texts::new();
    let mut add = |whose: String, text: &str| {
        let text = text.trim_matches(['\r', '\n']).replace("\r\n", "\n");
        texts.entry(text).or_default().insert(whose);
    };
    let metadata = output(cargo().args(["metadata", "--locked", "--format-version", "1"]))?;
    let metadata: Value = serde_json::from_str(&metadata)?;
    let crates = sbom::crates()?;
    for package in metadata["packages"].as_array().context("cargo names no packages")? {
        let of = |member: &str| package[member].as_str().unwrap_or_default();
        if !crates.contains(&(of("name").to_owned(), of("version").to_owned())) {
            continue;
        }
        let whose = format!("{} {} ({}, crate)", of("name"), of("version"), of("license"));
        let folder = Path::new(of("manifest_path")).parent().context("a crate without a folder")?;
        for text in chosen(found(folder)?, of("license")) {
            add(whose.clone(), &text);
        }
    }
    for name in sbom::npm_names()? {
        let folder = root().join("node_modules").join(&name);
        // A package for another machine: its licence is that of the one for this machine.
        if !folder.is_dir() {
            continue;
        }
        let manifest: Value = serde_json::from_slice(&fs::read(folder.join("package.json"))?)?;
        let licence = manifest["license"].as_str().unwrap_or_default();
        let whose = format!("{name} {} ({licence}, npm)", manifest["version"].as_str().unwrap_or_default());
        for text in chosen(found(&folder)?, licence) {
            add(whose.clone(), &text);
        }
    }
    for (name, licence) in WITHOUT_TEXT {
        let text = fs::read_to_string(root().join(format!("xtask/licences/{licence}.txt")))?;
        add(format!("{} ({licence})", name.trim_end_matches('-')), &text);
    }
    let mut all = format!(
        "What comes with {} is made by others, too. Their licences:\n\nPyodide's sources are at \
         https://github.com/pyodide/pyodide (tag {}), workerd's at https://github.com/cloudflare/workerd.\n",
        manifests::NAME,
        manifests::json("runtime/pyodide/version.json")?["pyodide"].as_str().unwrap_or_default(),
    );
    let mut ordered: Vec<_> = texts.into_iter().collect();
    ordered.sort_by(|(_, one), (_, other)| one.cmp(other));
    for (text, whose) in ordered {
        let whose = whose.into_iter().collect::<Vec<_>>().join("\n");
        all += &format!("\n{}\n{whose}\n\n{text}\n", "=".repeat(80));
    }
    Ok(fs::write(path, all)?)
}

/// The licences in a folder, by their files' names.
fn found(folder: &Path) -> Result<Vec<(String, String)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().to_uppercase();
        if NAMES.iter().any(|known| name.starts_with(known)) && entry.file_type()?.is_file() {
            found.push((name, String::from_utf8_lossy(&fs::read(entry.path())?).into_owned()));
        }
    }
    found.sort();
    Ok(found)
}

/// Where there is a choice, MIT is taken.
fn chosen(found: Vec<(String, String)>, licence: &str) -> Vec<String> {
    let of_mit = |name: &str| name.contains("MIT");
    let has_choice = licence.contains("OR") || licence.contains('/');
    let only_mit = has_choice && licence.contains("MIT") && found.iter().any(|(name, _)| of_mit(name));
    found
        .into_iter()
        .filter(|(name, _)| !only_mit || of_mit(name) || name.contains("NOTICE"))
        .map(|(_, text)| text)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_is_shipped_has_its_licence() {
        let file = std::env::temp_dir().join(format!("licences-{}", std::process::id()));
        write(&file).unwrap();
        let text = fs::read_to_string(&file).unwrap();
        fs::remove_file(file).unwrap();
        for part in
            ["Mozilla Public License", "PYTHON SOFTWARE FOUNDATION", "rmcp 3.", "tokio 1.", "katex", "codemirror"]
        {
            assert!(text.contains(part), "{part}");
        }
        assert!(text.len() < 2_000_000, "{}", text.len());
    }

    #[test]
    fn where_there_is_a_choice_it_is_made() {
        let files = |names: &[&str]| names.iter().map(|name| ((*name).to_owned(), (*name).to_owned())).collect();
        let both = ["LICENSE-APACHE", "LICENSE-MIT", "NOTICE"];
        assert_eq!(chosen(files(&both), "MIT OR Apache-2.0"), ["LICENSE-MIT", "NOTICE"]);
        assert_eq!(chosen(files(&both), "MIT AND Apache-2.0"), both);
        assert_eq!(chosen(files(&["LICENSE"]), "MIT OR Apache-2.0"), ["LICENSE"]);
    }
}
