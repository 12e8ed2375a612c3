//! The image for containers: the desk's program, workerd, their libraries from this machine, and nothing else that
//! runs. It is only layers and three files of JSON, so it is written here: no builder is needed, and every byte of it
//! follows from the files that go in.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::{
    build, manifests,
    step::{hexadecimal, output, root, run, sha256, target},
};

/// The program's folder in the image.
const PLACE: &str = "opt/mcp-run-python";

/// A user that the host does not have; other images without root use the same id.
const USER: &str = "65532:65532";

/// The certificates for checking package servers.
const CERTIFICATES: &str = "etc/ssl/certs/ca-certificates.crt";

/// Packages of Debian whose files are in it. Each has its licence in a folder of its name.
const PACKAGES: [&str; 3] = ["ca-certificates", "libc6", "libgcc-s1"];

/// Files by which names of users and hosts are looked up.
const NAMES: [(&str, &str); 3] = [
    ("etc/passwd", "python:x:65532:65532::/tmp:/sbin/nologin\n"),
    ("etc/group", "python:x:65532:\n"),
    ("etc/nsswitch.conf", "hosts: files dns\n"),
];

/// A layer: the folder with its contents, and the mode of its files.
struct Layer {
    folder: &'static str,
    mode: &'static str,
}

/// From what changes least to what changes most. Everybody may write to the temporary folder.
const LAYERS: [Layer; 3] = [
    Layer { folder: "temporary", mode: "1777" },
    Layer { folder: "system", mode: "u=rwX,go=rX" },
    Layer { folder: "program", mode: "u=rwX,go=rX" },
];

/// The name of a machine's image.
pub fn name(system: &str, processor: &str) -> String {
    format!("mcp-run-python-{}-{system}-{processor}.oci.tar", manifests::VERSION)
}

/// Whether an image can be made here: on Debian and its kin, whose packages contain their licence.
pub fn is_possible() -> bool {
    let licences = PACKAGES.iter().map(|package| licence(package)).all(|file| file.is_file());
    licences && Path::new("/").join(CERTIFICATES).is_file()
}

fn licence(package: &str) -> PathBuf {
    Path::new("/usr/share/doc").join(package).join("copyright")
}

/// Writes the image: an archive that is an OCI layout, and that any version of `docker load` reads.
pub fn write(home: &Path, bill: &Path, to: &Path) -> Result<()> {
    let folder = target().join("image");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(folder.join("temporary/tmp"))?;
    system(home, &folder.join("system"))?;
    program(home, bill, &folder.join("program"))?;

    let layout = Layout(folder.join("layout"));
    fs::create_dir_all(layout.0.join("blobs/sha256"))?;
    let (mut layers, mut contents) = (Vec::new(), Vec::new());
    for Layer { folder: name, mode } in LAYERS {
        let archive = folder.join(name).with_extension("tar");
        pack(&folder.join(name), &archive, mode)?;
        contents.push(format!("sha256:{}", sha256(&archive)?));
        run(Command::new("gzip").arg("--no-name").arg(&archive))?;
        let packed = fs::read(archive.with_extension("tar.gz"))?;
        layers.push(layout.blob("application/vnd.oci.image.layer.v1.tar+gzip", &packed)?);
    }
    let config = layout.json("application/vnd.oci.image.config.v1+json", &config(&contents)?)?;
    let files: Vec<String> = layers.iter().map(place).collect::<Result<_>>()?;
    let tags = [manifests::VERSION, "latest"].map(|tag| format!("{}:{tag}", manifests::NAME));
    // For versions of `docker load` that do not know OCI.
    let docker = json!([{ "Config": place(&config)?, "RepoTags": tags, "Layers": files }]);
    let manifest_type = "application/vnd.oci.image.manifest.v1+json";
    let manifest = json!({ "schemaVersion": 2, "mediaType": manifest_type, "config": config, "layers": layers });
    let manifest = layout.json(manifest_type, &manifest)?;
    let named = tags.iter().map(|tag| {
        let mut named = manifest.clone();
        named["annotations"] = json!({
            "io.containerd.image.name": format!("docker.io/library/{tag}"),
            "org.opencontainers.image.ref.name": tag.split(':').next_back(),
        });
        named
    });
    let index_type = "application/vnd.oci.image.index.v1+json";
    let manifests: Vec<Value> = named.collect();
    layout.file("index.json", &json!({ "schemaVersion": 2, "mediaType": index_type, "manifests": manifests }))?;
    layout.file("manifest.json", &docker)?;
    layout.file("oci-layout", &json!({ "imageLayoutVersion": "1.0.0" }))?;
    pack(&layout.0, to, "u=rwX,go=rX")
}

/// Copies the loader and libraries to the paths where both programs look for them; certificates, names, licences.
fn system(home: &Path, folder: &Path) -> Result<()> {
    let mut libraries: Vec<PathBuf> = Vec::new();
    for program in ["mcp-run-python", "workerd"] {
        libraries.extend(named(&output(Command::new("ldd").arg(home.join(program)))?)?);
    }
    for library in &libraries {
        place_file(library, &folder.join(library.strip_prefix("/")?))?;
    }
    place_file(&Path::new("/").join(CERTIFICATES), &folder.join(CERTIFICATES))?;
    for (file, text) in NAMES {
        fs::write(folder.join(file), text)?;
    }
    for package in PACKAGES {
        let licence = licence(package);
        place_file(&licence, &folder.join(licence.strip_prefix("/")?))?;
    }
    Ok(())
}

/// The files that `ldd` names.
fn named(said: &str) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for line in said.lines().filter(|line| !line.contains("linux-vdso")) {
        let file = line.split_whitespace().find(|word| word.starts_with('/'));
        files.push(file.with_context(|| format!("a library is missing: {}", line.trim()))?.into());
    }
    Ok(files)
}

fn program(home: &Path, bill: &Path, folder: &Path) -> Result<()> {
    let place = folder.join(PLACE);
    for file in ["mcp-run-python", "workerd"] {
        place_file(&home.join(file), &place.join(file))?;
    }
    for part in ["runtime", "browser"] {
        build::copy(&home.join(part), &place.join(part))?;
    }
    fs::copy(root().join("LICENSE"), place.join("LICENSE"))?;
    fs::copy(bill, place.join("sbom.json"))?;
    Ok(())
}

/// Copies a file, following links, and makes the folders around it.
fn place_file(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to.parent().unwrap_or(to))?;
    fs::copy(from, to).with_context(|| format!("{} cannot be copied", from.display()))?;
    Ok(())
}

/// The configuration of containers: they serve all addresses, and let nobody in without a token.
fn config(contents: &[String]) -> Result<Value> {
    let architecture = match build::THIS_MACHINE.1 {
        "x64" => "amd64",
        "arm64" => "arm64",
        other => bail!("there are no images for {other}"),
    };
    let epoch = "1970-01-01T00:00:00Z";
    let command = format!("/{PLACE}/mcp-run-python");
    Ok(json!({
        "created": epoch,
        "architecture": architecture,
        "os": "linux",
        "config": {
            "User": USER,
            "ExposedPorts": { "3001/tcp": {} },
            "Env": ["MCP_RUN_PYTHON_CACHE=/tmp/cache", format!("SSL_CERT_FILE=/{CERTIFICATES}")],
            "Entrypoint": [command, "--host", "0.0.0.0", "--set", "ACCESS=token", "--set", "ALLOWED_HOSTS=*"],
            "Cmd": ["streamable-http"],
            "WorkingDir": "/tmp",
            "Labels": {
                "org.opencontainers.image.title": manifests::NAME,
                "org.opencontainers.image.version": manifests::VERSION,
                "org.opencontainers.image.source": manifests::REPOSITORY,
                "org.opencontainers.image.url": manifests::HOMEPAGE,
                "org.opencontainers.image.licenses": "MIT",
            },
        },
        "rootfs": { "type": "layers", "diff_ids": contents },
        "history": LAYERS.map(|layer| json!({ "created": epoch, "created_by": layer.folder })),
    }))
}

/// Packs a folder's contents. The result does not depend on who made them, and when.
fn pack(folder: &Path, to: &Path, mode: &str) -> Result<()> {
    let names = fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name())).collect::<Result<Vec<_>>>()?;
    let same = ["--sort=name", "--format=gnu", "--mtime=@0", "--owner=0", "--group=0", "--numeric-owner"];
    run(Command::new("tar")
        .args(same)
        .arg(format!("--mode={mode}"))
        .arg("-cf")
        .arg(to)
        .arg("-C")
        .arg(folder)
        .args(sorted(names)))
}

fn sorted<T: Ord>(mut all: Vec<T>) -> Vec<T> {
    all.sort();
    all
}

/// The folder that an image consists of.
struct Layout(PathBuf);

impl Layout {
    fn file(&self, name: &str, value: &Value) -> Result<()> {
        Ok(fs::write(self.0.join(name), serde_json::to_vec(value)?)?)
    }

    fn json(&self, kind: &str, value: &Value) -> Result<Value> {
        self.blob(kind, &serde_json::to_vec(value)?)
    }

    /// Writes bytes under their hash; returns their descriptor.
    fn blob(&self, kind: &str, bytes: &[u8]) -> Result<Value> {
        let hash = hexadecimal(&Sha256::digest(bytes));
        fs::write(self.0.join("blobs/sha256").join(&hash), bytes)?;
        Ok(json!({ "mediaType": kind, "digest": format!("sha256:{hash}"), "size": bytes.len() }))
    }
}

/// The file of a blob, from its descriptor.
fn place(blob: &Value) -> Result<String> {
    let digest = blob["digest"].as_str().context("a blob has no hash")?;
    Ok(format!("blobs/{}", digest.replace(':', "/")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_found_and_missing_ones_named() {
        let said =
            "\tlinux-vdso.so.1 (0x1)\n\tlibm.so.6 => /lib/x/libm.so.6 (0x2)\n\t/lib64/ld-linux-x86-64.so.2 (0x3)\n";
        let files = named(said).unwrap();
        assert_eq!(files, [Path::new("/lib/x/libm.so.6"), Path::new("/lib64/ld-linux-x86-64.so.2")]);
        let error = named("\tlibz.so.1 => not found\n").unwrap_err().to_string();
        assert!(error.contains("libz.so.1"), "{error}");
    }

    #[test]
    fn the_same_files_make_the_same_archive() {
        let folder = target().join("xtask-image-test");
        let _ = fs::remove_dir_all(&folder);
        let made = |name: &str, order: [&str; 2]| {
            let contents = folder.join(name);
            fs::create_dir_all(contents.join("a")).unwrap();
            for file in order {
                fs::write(contents.join(file), file).unwrap();
            }
            let archive = folder.join(name).with_extension("tar");
            pack(&contents, &archive, "u=rwX,go=rX").unwrap();
            fs::read(archive).unwrap()
        };
        assert_eq!(made("one", ["a/b", "c"]), made("other", ["c", "a/b"]));
        fs::remove_dir_all(folder).unwrap();
    }
}
