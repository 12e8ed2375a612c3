//! Rust's targets: `wasm32-unknown-unknown`, and those of other machines.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use crate::step::{Inputs, output, root, run, step, target, timed};

/// The target's name.
pub const WASM: &str = "wasm32-unknown-unknown";

/// Debian's `rust-src` by the version of rustc that it belongs to: its path on any mirror, and its sha256. For machines
/// that have package mirrors, but cannot reach rustup's server.
const RUST_SRC: &[(&str, &str, &str)] = &[(
    "1.95.0",
    "pool/main/r/rustc/rust-src_1.95.0+dfsg1-2~bpo13+1_all.deb",
    "7b76db5b880a77f9e52975d2baa6209d2f76d2c9c2789515c3088cb960e2c83b",
)];

/// Makes sure that the target is installed.
pub fn install() -> Result<()> {
    let library = PathBuf::from(output(Command::new("rustc").args(["--print", "target-libdir", "--target", WASM]))?);
    if has_core(&library) {
        return Ok(());
    }
    timed(&format!("installing the Rust target {WASM}"), || {
        match run(Command::new("rustup").args(["target", "add", WASM])) {
            Ok(()) => Ok(()),
            Err(error) => {
                eprintln!("    {error}: building it from Debian's rust-src instead");
                from_debian(&library).with_context(|| {
                    format!(
                        "the target {WASM} is missing; where there is a network, `rustup target add {WASM}` installs it"
                    )
                })
            }
        }
    })
}

/// Makes sure that the target of another machine is installed.
pub fn install_for(machine: &str) -> Result<()> {
    let library = output(Command::new("rustc").args(["--print", "target-libdir", "--target", machine]))?;
    if has_core(Path::new(&library)) {
        return Ok(());
    }
    run(Command::new("rustup").args(["target", "add", machine]))
}

/// Installs a command of a crate, unoptimized, unless it is there; gives the folder of its binary.
pub fn tool(name: &str, version: &str) -> Result<PathBuf> {
    let folder = target().join(name);
    let binary = folder.join("bin").join(name);
    step(&format!("installing {name}"), Inputs::default().text(version), &[binary], || {
        let build = target().join(format!("{name}-build"));
        run(cargo()
            .args(["install", name, "--locked", "--version", version, "--debug", "--quiet", "--root"])
            .arg(&folder)
            .env("CARGO_TARGET_DIR", &build)
            .env("CARGO_PROFILE_DEV_DEBUG", "0"))?;
        Ok(fs::remove_dir_all(build)?)
    })?;
    Ok(folder.join("bin"))
}

fn has_core(library: &Path) -> bool {
    fs::read_dir(library)
        .is_ok_and(|files| files.flatten().any(|file| file.file_name().to_string_lossy().starts_with("libcore-")))
}

/// Builds the target's standard library from its source.
fn from_debian(library: &Path) -> Result<()> {
    let version = output(Command::new("rustc").arg("--version"))?;
    let version = version.split_whitespace().nth(1).unwrap_or_default();
    let Some((_, package, sha256)) = RUST_SRC.iter().find(|(known, ..)| *known == version) else {
        bail!("no source is known for rustc {version}");
    };
    let folder = target().join("rust-src");
    fs::create_dir_all(&folder)?;
    let deb = folder.join("rust-src.deb");
    let mirrors = mirrors();
    let downloaded = mirrors.iter().any(|mirror| {
        // apt's own downloader knows the machine's proxies.
        run(Command::new("/usr/lib/apt/apt-helper").arg("download-file").arg(format!("{mirror}/{package}")).arg(&deb))
            .is_ok()
    });
    if !downloaded {
        bail!("rust-src could not be downloaded from any of apt's mirrors: {mirrors:?}");
    }
    let digest: String = Sha256::digest(fs::read(&deb)?).iter().map(|byte| format!("{byte:02x}")).collect();
    if digest != *sha256 {
        bail!("{} has the sha256 {digest} instead of {sha256}", deb.display());
    }
    run(Command::new("dpkg-deb").arg("-x").arg(&deb).arg(&folder))?;
    let source = folder.join(format!("usr/src/rustc-{version}/library"));
    let built = folder.join("target");
    run(Command::new("cargo")
        .args(["build", "--release", "--target", WASM, "-p", "sysroot", "--features", "compiler-builtins-mem"])
        .arg("--target-dir")
        .arg(&built)
        .env("RUSTC_BOOTSTRAP", "1")
        .env("RUSTFLAGS", "-Cembed-bitcode=yes -Zforce-unstable-if-unmarked")
        .current_dir(source))?;
    fs::create_dir_all(library)?;
    for file in fs::read_dir(built.join(WASM).join("release/deps"))?.flatten() {
        if file.path().extension().is_some_and(|extension| extension == "rlib") {
            fs::copy(file.path(), library.join(file.file_name()))?;
        }
    }
    Ok(())
}

/// The mirrors of the machine's own apt.
fn mirrors() -> Vec<String> {
    let lists = fs::read_dir("/etc/apt/sources.list.d").into_iter().flatten().flatten().map(|file| file.path());
    let text: String = std::iter::once(PathBuf::from("/etc/apt/sources.list"))
        .chain(lists)
        .filter_map(|list| fs::read_to_string(list).ok())
        .collect::<Vec<_>>()
        .join("\n");
    mirrors_of(&text)
}

/// The addresses in the text of apt's lists, of either format.
fn mirrors_of(lists: &str) -> Vec<String> {
    let mut mirrors: Vec<String> = lists
        .lines()
        .map(str::trim)
        .filter(|line| line.starts_with("URIs:") || line.starts_with("deb "))
        .flat_map(str::split_whitespace)
        .filter(|word| word.starts_with("http://") || word.starts_with("https://"))
        .map(|word| word.trim_end_matches('/').to_owned())
        .collect();
    mirrors.sort();
    mirrors.dedup();
    mirrors
}

/// A cargo command in the project's folder.
pub fn cargo() -> Command {
    let mut cargo = Command::new("cargo");
    cargo.current_dir(root());
    cargo
}

/// Clippy, as the compiler's wrapper.
const CLIPPY: &str = "clippy-driver";

/// Whether Clippy is installed.
pub fn has_clippy() -> bool {
    output(Command::new(CLIPPY).arg("--version")).is_ok()
}

/// A cargo command that also lints the workspace's crates which it compiles, where Clippy is installed.
///
/// `cargo clippy` is `cargo check` with this wrapper, and shares nothing with what compiles: so the dependencies are compiled
/// once instead of twice.
pub fn linting_cargo() -> Command {
    let mut cargo = cargo();
    if has_clippy() {
        cargo.env("RUSTC_WORKSPACE_WRAPPER", CLIPPY);
    }
    cargo
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirrors_are_read_from_both_formats() {
        let lists = "# deb http://no.example/debian x main\ndeb [signed-by=/k] http://one.example/debian/ bookworm main\n\
                     Types: deb\nURIs: https://two.example/debian\nSuites: bookworm\n";
        assert_eq!(mirrors_of(lists), ["http://one.example/debian", "https://two.example/debian"]);
    }
}
