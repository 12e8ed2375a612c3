//! Runs programs that were not written for this project, here and in a native CPython: `tests/corpus`.

use std::{
    collections::BTreeMap,
    fs,
    path::PathBuf,
    process::{Command, ExitStatus},
};

use anyhow::{Context, Result, bail};
use clap::Args;
use mcp_run_python::packages::{index::ACCEPT, wheel::sha256};
use serde_json::Value;

use crate::{
    build, dev, mirror,
    python::{self, Environment},
    step::{output, root, target},
};

/// Largest archive of programs, in bytes.
const MAX_ARCHIVE: usize = 64 << 20;

/// Largest page of an index.
const MAX_PAGE: usize = 16 << 20;

/// Runs the galleries, examples and tests of well-known packages here and in the Python of this machine, and prints what
/// does not pass here, by cause.
#[derive(Args)]
pub struct Corpus {
    /// A source, such as pandas [default: all]
    #[arg(long)]
    only: Vec<String>,
    /// Which part of the programs, the same each time. All of them take hours.
    #[arg(long, default_value_t = 0.02)]
    share: f64,
    /// Goes on where the last time was ended.
    #[arg(long)]
    resume: bool,
}

impl Corpus {
    /// Runs them and prints.
    pub fn run(self) -> Result<()> {
        dev::end_with_signals()?;
        let mut command = command(&python::NATIVE)?;
        command.args(["--share", &self.share.to_string()]);
        command.args(self.resume.then_some("--resume"));
        command.args(self.only.iter().flat_map(|name| ["--only", name]));
        let status: ExitStatus = command.status().context("the corpus cannot be run")?;
        if !status.success() {
            bail!("the corpus did not run to its end");
        }
        Ok(())
    }
}

/// The command that runs programs of the corpus in a Python, with all that it needs: it takes the arguments of
/// `tests/corpus/run.py`.
pub fn command(python: &Environment) -> Result<Command> {
    python.install()?;
    let desk = build::installed_desk()?;
    let folder = archives()?;
    let mut command = python.command("python");
    command.arg("tests/corpus/run.py").arg(folder).env("DESK", desk);
    command.envs(mirror::serve()?.map(|address| ("MIRROR", address)));
    Ok(command)
}

/// Fetches the archives of `sources.json`, which has their hashes; returns their folder. An archive that cannot be
/// fetched is reported, and left out: Debian keeps only the newest versions.
fn archives() -> Result<PathBuf> {
    let sources: BTreeMap<String, Vec<BTreeMap<String, String>>> =
        serde_json::from_slice(&fs::read(root().join("tests/corpus/sources.json"))?)?;
    let folder = target().join("corpus");
    fs::create_dir_all(&folder)?;
    for (name, archives) in sources {
        for archive in archives {
            let of = |key: &str| archive.get(key).with_context(|| format!("{name} has no {key} in sources.json"));
            let (file, hash) = (of("file")?, of("sha256")?);
            let place = folder.join(file);
            if fs::read(&place).is_ok_and(|bytes| sha256(&bytes) == *hash) {
                continue;
            }
            eprintln!("--> fetching {file}");
            match fetch(&name, file, archive.get("debian")) {
                Ok(bytes) if sha256(&bytes) == *hash => fs::write(place, bytes)?,
                Ok(_) => bail!("{file} is not what its hash says"),
                Err(error) => eprintln!("    {error:#}: {name} is left out"),
            }
        }
    }
    Ok(folder)
}

/// Fetches a file from a folder of Debian's archive, or else from a project of the package index.
fn fetch(project: &str, file: &str, debian: Option<&String>) -> Result<Vec<u8>> {
    let get = |url: &str, accept, most| {
        mirror::fetch(url, accept, most).map_err(|error| anyhow::anyhow!("{file} cannot be fetched: {error:?}"))
    };
    if let Some(folder) = debian {
        return get(&format!("{}{folder}/{file}", debian_archive()?), None, MAX_ARCHIVE);
    }
    let index = mirror::addresses()?.index.context("there is no package index")?;
    let page: Value = serde_json::from_slice(&get(&format!("{index}{project}/"), Some(ACCEPT), MAX_PAGE)?)?;
    let files = page["files"].as_array().into_iter().flatten();
    let url = files
        .filter(|known| known["filename"] == file)
        .find_map(|known| known["url"].as_str())
        .with_context(|| format!("{file} is not in the index"))?;
    get(url, None, MAX_ARCHIVE)
}

/// The address of Debian's archive, from apt's configuration: all releases share one.
fn debian_archive() -> Result<String> {
    let mut command = Command::new("apt-get");
    command.args(["indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"]);
    let archives = output(&mut command).context("apt-get tells where Debian's packages are")?;
    let archive = archives.lines().find(|address| address.ends_with("/debian/"));
    archive.map(str::to_owned).context("apt-get is not configured for Debian's archive")
}
