//! Makes the files of a release for this machine: packages for npm and PyPI, a bundle, an archive with a formula, an
//! image for containers, and the files that list them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::{Value, json};

use crate::{
    build::{self, THIS_MACHINE},
    bundle, formula, image, manifests, sbom,
    step::{output, root, run, sha256, target, timed},
    wheel,
};

/// The files that list the others.
const SUMS: &str = "SHA256SUMS";
const FORMULA: &str = "mcp-run-python.rb";
const SERVER: &str = "server.json";

/// Completion scripts: the shells, and the file names that these look for.
const COMPLETIONS: [(&str, &str); 3] =
    [("bash", "mcp-run-python.bash"), ("fish", "mcp-run-python.fish"), ("zsh", "_mcp-run-python")];

/// Makes all files of a release into dist/.
#[derive(Args)]
pub struct Release {
    /// Makes them, and publishes nothing.
    #[arg(long)]
    dry_run: bool,
    /// The files of all machines are in dist/ already: writes the formula, server.json and SHA256SUMS, which name them.
    #[arg(long, conflicts_with = "dry_run")]
    collected: bool,
}

impl Release {
    /// Makes the files, and prints their sizes.
    pub fn run(self) -> Result<()> {
        manifests::check()?;
        let dist = root().join("dist");
        if !self.dry_run && !self.collected {
            let version = manifests::VERSION;
            bail!(
                "nothing is published from here: .github/workflows/release.yml does it when the tag v{version} is pushed; \
                 `cargo xtask release --dry-run` makes the files of this machine"
            );
        }
        if self.dry_run {
            clear(&dist)?;
            make(&dist)?;
        }
        name(&dist)?;
        for file in files(&dist)? {
            println!("{:>8.2} MB  dist/{file}", fs::metadata(dist.join(&file))?.len() as f64 / 1e6);
        }
        Ok(())
    }
}

/// Removes the files of another release; what is to be deployed stays.
fn clear(dist: &Path) -> Result<()> {
    fs::create_dir_all(dist.join("completions"))?;
    for file in files(dist)? {
        fs::remove_file(dist.join(file))?;
    }
    Ok(())
}

/// The files of a release, by their places in its folder.
fn files(dist: &Path) -> Result<Vec<String>> {
    let mut files = Vec::new();
    for folder in ["", "completions/"] {
        for entry in fs::read_dir(dist.join(folder)).into_iter().flatten() {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                files.push(format!("{folder}{}", entry.file_name().to_string_lossy()));
            }
        }
    }
    files.sort();
    Ok(files)
}

fn make(dist: &Path) -> Result<()> {
    let (system, processor) = THIS_MACHINE;
    let home = build::home()?;
    let say = |words: &[&str]| output(Command::new(home.join("mcp-run-python")).args(words));
    fs::write(dist.join("mcp-run-python.1"), say(&["man"])? + "\n")?;
    for (shell, file) in COMPLETIONS {
        fs::write(dist.join("completions").join(file), say(&["completions", shell])? + "\n")?;
    }
    sbom::write(&dist.join("sbom.json"))?;
    timed("packing for npm", || build::npm_packages(dist, &[]).map(drop))?;
    timed("packing the wheel", || {
        let wheel = wheel::build()?;
        fs::copy(&wheel, dist.join(wheel.file_name().context("the wheel has no name")?))?;
        Ok(())
    })?;
    timed("packing the bundle", || bundle::pack(&home, system, processor, dist).map(drop))?;
    timed("packing the archive", || archive(&home, dist, &dist.join(formula::archive(system, processor))))?;
    if !image::is_possible() {
        eprintln!("    no image for containers: that is made on Debian and its kin, where packages say their licence");
        return Ok(());
    }
    let image = dist.join(image::name(system, processor));
    timed("packing the image", || image::write(&home, &dist.join("sbom.json"), &image))
}

/// Packs the program with all that it needs to run, its completions and its manual.
fn archive(home: &Path, dist: &Path, to: &Path) -> Result<()> {
    let name = to.file_name().and_then(|name| name.to_str()).context("the archive has no name")?;
    let name = name.trim_end_matches(".tar.gz");
    let parent = target().join("archive");
    let _ = fs::remove_dir_all(&parent);
    let folder = parent.join(name);
    fs::create_dir_all(&folder)?;
    for file in ["mcp-run-python", "workerd"] {
        build::link(&home.join(file), &folder.join(file))?;
    }
    for part in ["runtime", "browser"] {
        build::copy(&home.join(part), &folder.join(part))?;
    }
    build::copy(&dist.join("completions"), &folder.join("completions"))?;
    fs::copy(dist.join("mcp-run-python.1"), folder.join("mcp-run-python.1"))?;
    fs::copy(root().join("LICENSE"), folder.join("LICENSE"))?;
    fs::copy(root().join("cli/README.md"), folder.join("README.md"))?;
    run(Command::new("tar").arg("-czf").arg(to).arg("-C").arg(&parent).arg(name))
}

/// Writes the files that list the others.
fn name(dist: &Path) -> Result<()> {
    for file in [SUMS, FORMULA, SERVER] {
        let _ = fs::remove_file(dist.join(file));
    }
    let hash = |file: &str| -> Result<Option<String>> {
        let place: PathBuf = dist.join(file);
        place.is_file().then(|| sha256(&place)).transpose()
    };
    fs::write(dist.join(FORMULA), formula::write(hash)?)?;
    let mut server = manifests::json(SERVER)?;
    let packages = server["packages"].as_array_mut().context("server.json has no packages")?;
    for file in files(dist)?.iter().filter(|file| file.ends_with(".mcpb")) {
        packages.push(of_bundle(file, &sha256(&dist.join(file))?));
    }
    fs::write(dist.join(SERVER), serde_json::to_string_pretty(&server)? + "\n")?;
    let sums: Result<Vec<String>> =
        files(dist)?.iter().map(|file| Ok(format!("{}  {file}\n", sha256(&dist.join(file))?))).collect();
    Ok(fs::write(dist.join(SUMS), sums?.concat())?)
}

/// A bundle's entry for the registry of servers.
fn of_bundle(file: &str, hash: &str) -> Value {
    json!({
        "registryType": "mcpb",
        "identifier": manifests::address(file),
        "version": manifests::VERSION,
        "fileSha256": hash,
        "transport": { "type": "stdio" },
    })
}
