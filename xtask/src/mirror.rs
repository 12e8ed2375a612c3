//! Where wheels come from: Pyodide's own mirror and the package index, at the addresses that Pyodide and micropip have
//! for them. If Pyodide's mirror is out of reach, wheels are taken from a package on the index that contains a copy of
//! Pyodide, if they are the same, byte for byte.

use std::{
    collections::HashMap,
    fs,
    io::{BufRead, BufReader, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use mcp_run_python::packages::{supply::FetchError, wheel::sha256};
use serde_json::Value;
use zip::ZipArchive;

use crate::{
    node, python,
    step::{Inputs, root, run, step, target},
};

/// The carrier: a package that contains a copy of the pinned Pyodide, in [`CARRIED`].
const CARRIER: &str = "open-webui==0.12.4";

/// The Python version that pip is told to download for.
const CARRIER_PYTHON: &str = "3.12";

/// Pyodide's folder in the carrier.
const CARRIED: &str = "/frontend/pyodide/";

/// Default addresses of packages.
#[derive(Debug, Clone)]
pub struct Addresses {
    /// The folder of the wheels of the lock file.
    pub mirror: String,
    /// The package index.
    pub index: Option<String>,
}

/// The default addresses.
pub fn addresses() -> Result<Addresses> {
    let index = micropip_index().or_else(|| Some(format!("{}/", python::index()?.trim_end_matches('/'))));
    Ok(Addresses { mirror: pyodide_mirror()?, index })
}

/// Pyodide's own mirror: its loader has the address.
fn pyodide_mirror() -> Result<String> {
    let folder = root().join("node_modules/pyodide");
    let package: Value = serde_json::from_slice(&fs::read(folder.join("package.json"))?)?;
    let version = package["version"].as_str().context("pyodide has no version")?;
    let loader = fs::read_to_string(folder.join("pyodide.mjs"))?;
    let address = loader
        .split(['`', '"', '\''])
        .find(|text| text.starts_with("https://") && text.contains("/pyodide/v${"))
        .context("Pyodide's loader names no mirror")?;
    let (before, after) = address.split_once("${").context("Pyodide's mirror has no version")?;
    let after = after.split_once('}').map_or("", |(_, after)| after);
    Ok(format!("{before}{version}{after}"))
}

/// micropip's own index, the only one in its `DEFAULT_INDEX_URLS`.
fn micropip_index() -> Option<String> {
    let lock = lock().ok()?;
    let micropip = lock.iter().find(|package| package["name"] == "micropip")?;
    let bytes = of_lock(micropip).ok()?;
    let mut zip = ZipArchive::new(std::io::Cursor::new(bytes)).ok()?;
    let source = zip.by_name("micropip/package_index.py").ok()?;
    let source = std::io::read_to_string(source).ok()?;
    let (_, value) = source.split_once("PYPI_URL = ")?;
    let address = value.split(['"', '\'']).nth(1)?;
    // It may have a placeholder for the project's name.
    let address = address.split_once('{').map_or(address, |(address, _)| address);
    Some(format!("{}/", address.trim_end_matches('/')))
}

/// The packages of the lock file.
fn lock() -> Result<Vec<Value>> {
    let lock: Value = serde_json::from_slice(&fs::read(root().join("node_modules/pyodide/pyodide-lock.json"))?)?;
    Ok(lock["packages"].as_object().context("the lock file has no packages")?.values().cloned().collect())
}

/// The wheel of a package of the lock file.
fn of_lock(package: &Value) -> Result<Vec<u8>> {
    let hash = package["sha256"].as_str().unwrap_or_default();
    let file = package["file_name"].as_str().unwrap_or_default();
    if let Some(bytes) = wheel(hash) {
        return Ok(bytes);
    }
    let bytes = fetch(&format!("{}{file}", pyodide_mirror()?), None, 64 << 20)?;
    if sha256(&bytes) != hash {
        bail!("{file} is not the one of the lock file");
    }
    fs::create_dir_all(target().join("wheels"))?;
    fs::write(target().join("wheels").join(hash), &bytes)?;
    Ok(bytes)
}

/// A wheel on this machine, by its sha256.
pub fn wheel(hash: &str) -> Option<Vec<u8>> {
    let known = |hash: &str| fs::read(target().join("wheels").join(hash)).ok().filter(|bytes| sha256(bytes) == hash);
    known(hash).or_else(|| {
        carried().inspect_err(|error| eprintln!("    {error:#}")).ok()?;
        known(hash)
    })
}

/// Whether Pyodide's own mirror answers from here.
fn is_reachable() -> bool {
    let Ok(mirror) = pyodide_mirror() else { return false };
    fetch(&format!("{mirror}pyodide-lock.json"), None, 4 << 20).is_ok()
}

/// Puts the carrier's wheels that are in the lock file into `target/wheels`, if Pyodide's mirror is out of reach.
fn carried() -> Result<()> {
    let inputs = Inputs::default().path("package-lock.json")?;
    let folder = target().join("wheels");
    step("looking for Pyodide's packages", inputs, std::slice::from_ref(&folder), || {
        fs::create_dir_all(&folder)?;
        if is_reachable() {
            return Ok(());
        }
        eprintln!("    Pyodide's own mirror is out of reach: taking those in {CARRIER} instead");
        let download = target().join("carrier");
        run(Command::new("python3")
            .args(["-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"])
            .args(["--python-version", CARRIER_PYTHON, "--dest"])
            .arg(&download)
            .arg(CARRIER))?;
        let wheels = fs::read_dir(&download)?.flatten().map(|entry| entry.path());
        let carrier = wheels.into_iter().find(|path| path.extension().is_some_and(|end| end == "whl"));
        let hashes: Vec<String> =
            lock()?.iter().filter_map(|package| package["sha256"].as_str().map(str::to_owned)).collect();
        let taken = unpack(&carrier.context("pip downloaded no wheel")?, &folder, &hashes)?;
        eprintln!("    {taken} packages of the lock file");
        Ok(fs::remove_dir_all(&download)?)
    })
}

/// Unpacks those files of the carrier that have one of these hashes.
fn unpack(carrier: &Path, folder: &Path, hashes: &[String]) -> Result<usize> {
    let mut zip = ZipArchive::new(fs::File::open(carrier)?)?;
    let mut taken = 0;
    for index in 0..zip.len() {
        let mut file = zip.by_index(index)?;
        if !file.name()?.contains(CARRIED) || file.is_dir() {
            continue;
        }
        let mut bytes = Vec::new();
        std::io::copy(&mut file, &mut bytes)?;
        let hash = sha256(&bytes);
        if hashes.contains(&hash) {
            fs::write(folder.join(hash), bytes)?;
            taken += 1;
        }
    }
    Ok(taken)
}

/// Fetches an address.
pub fn fetch(url: &str, accept: Option<&str>, max_bytes: usize) -> Result<Vec<u8>, FetchError> {
    let failed = |error: std::io::Error| FetchError::Unreachable(error.to_string());
    let mut command = node::command("node");
    command.arg("xtask/src/fetch.mjs").arg(url).arg(max_bytes.to_string()).args(accept);
    let output = command.output().map_err(failed)?;
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    match output.status.code() {
        Some(0) => Ok(output.stdout),
        Some(3) => Err(FetchError::Status(said.parse().unwrap_or_default())),
        Some(4) => Err(FetchError::TooLarge(max_bytes)),
        _ => Err(FetchError::Unreachable(said)),
    }
}

/// Serves the lock file's wheels on loopback, if Pyodide's own mirror is out of reach; gives the address.
pub fn serve() -> Result<Option<String>> {
    if let Err(error) = carried() {
        eprintln!("    {error:#}: packages that are not built in cannot be installed");
    }
    let folder = target().join("wheels");
    let names: HashMap<String, PathBuf> = lock()?
        .iter()
        .filter_map(|package| {
            let place = folder.join(package["sha256"].as_str()?);
            place.exists().then(|| Some((format!("/{}", package["file_name"].as_str()?), place)))?
        })
        .collect();
    if names.is_empty() {
        return Ok(None);
    }
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = format!("http://{}/", listener.local_addr()?);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let names = names.clone();
            thread::spawn(move || answer(stream, &names));
        }
    });
    Ok(Some(address))
}

/// Answers one request: a file, or 404.
fn answer(mut stream: TcpStream, names: &HashMap<String, PathBuf>) -> Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.set_write_timeout(Some(Duration::from_secs(60)))?;
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let first = lines.next().context("no request")??;
    while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    let path = first.split_whitespace().nth(1).unwrap_or_default();
    let body = names.get(path).and_then(|place| fs::read(place).ok());
    let status = if body.is_some() { "200 OK" } else { "404 Not Found" };
    let body = body.unwrap_or_default();
    write!(stream, "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len())?;
    Ok(stream.write_all(&body)?)
}
