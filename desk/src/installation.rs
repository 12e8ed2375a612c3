//! Finds workerd and the files that isolates are made of: beside the program, or in `MCP_RUN_PYTHON_HOME`.

use std::{
    collections::HashMap,
    env, fs,
    io::{self, BufRead, BufReader},
    os::unix::fs::MetadataExt,
    path::{self, Path, PathBuf},
};

use mcp_run_python::packages::Room;
use serde::{Deserialize, de::DeserializeOwned};

use sha2::{Digest, Sha256};

use crate::{errors::describe, packages::disk};

/// The environment variable for the folder, if it is not the program's own.
const HOME: &str = "MCP_RUN_PYTHON_HOME";

/// The environment variable for workerd's binary, if it is not in that folder: npm installs it elsewhere.
const WORKERD: &str = "MCP_RUN_PYTHON_WORKERD";

/// The files that come with the program, and workerd.
#[derive(Debug, Clone)]
pub struct Installation {
    runtime: PathBuf,
    /// The page, and the library for pages.
    pub site: PathBuf,
    /// workerd's binary.
    pub workerd: PathBuf,
}

/// Default addresses of packages.
#[derive(Debug, Deserialize)]
pub struct Sources {
    /// The folder of the lock file's wheels.
    pub mirror: String,
    /// The package index; empty if none is known.
    pub index: String,
}

/// The sha256 of files, in hexadecimal.
#[derive(Deserialize)]
struct Hashes {
    config: String,
    assets: String,
    /// By system and processor (`linux-x64`). On those that are not listed, the binary is not checked: whoever put it
    /// there vouches for it.
    workerd: HashMap<String, String>,
}

/// Node's name of a system or a processor.
fn node_name(name: &str) -> &str {
    match name {
        "macos" => "darwin",
        "x86_64" => "x64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// The sha256 of a file, in hexadecimal.
fn sha256(file: &Path) -> io::Result<String> {
    let mut file = BufReader::with_capacity(1 << 20, fs::File::open(file)?);
    let mut sum = Sha256::new();
    loop {
        let bytes = file.fill_buf()?;
        let length = bytes.len();
        if length == 0 {
            return Ok(hexadecimal(&sum.finalize()));
        }
        sum.update(bytes);
        file.consume(length);
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[derive(Deserialize)]
struct IsolateRoom {
    code: usize,
    heap: usize,
}

impl Installation {
    /// Finds the files.
    ///
    /// # Errors
    /// Names the file that is missing.
    pub fn find() -> Result<Self, String> {
        // Absolute, as workerd is started in a folder of its own.
        let named = |variable: &str| {
            let named = env::var_os(variable).filter(|path| !path.is_empty());
            named.map(path::absolute).transpose().map_err(|error| format!("{variable}: {}", describe(&error)))
        };
        let folder = match named(HOME)? {
            Some(folder) => folder,
            None => {
                let program = env::current_exe().and_then(fs::canonicalize);
                let program = program.map_err(|error| format!("the program's own folder: {}", describe(&error)))?;
                program.parent().map(Path::to_owned).unwrap_or_default()
            }
        };
        let runtime = folder.join("runtime");
        let workerd = named(WORKERD)?.unwrap_or_else(|| folder.join("workerd"));
        if !workerd.is_file() {
            let (system, machine) = (env::consts::OS, env::consts::ARCH);
            return Err(format!(
                "workerd is missing for {system} {machine}: it should be {}; install mcp-run-python anew",
                workerd.display()
            ));
        }
        let installation = Self { runtime, site: folder.join("browser"), workerd };
        match installation.config().is_file() && installation.assets().is_file() {
            true => Ok(installation),
            false => Err(format!(
                "what Python consists of is missing: it should be in {}; install mcp-run-python anew",
                installation.runtime.display()
            )),
        }
    }

    /// workerd's configuration.
    pub fn config(&self) -> PathBuf {
        self.runtime.join("config.bin")
    }

    /// The file with what isolates are made of, in the form in which workerd is sent it (`xtask/runtime/home.mjs`).
    pub fn assets(&self) -> PathBuf {
        self.runtime.join("assets.bin")
    }

    /// The text of Pyodide's lock file.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn lock_file(&self) -> Result<String, String> {
        self.read("pyodide-lock.json")
    }

    /// The default addresses of packages.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn sources(&self) -> Result<Sources, String> {
        self.parsed("sources.json")
    }

    /// Fills in how much room an isolate has.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn fill_in(&self, room: &mut Room) -> Result<(), String> {
        let isolate: IsolateRoom = self.parsed("room.json")?;
        room.code = Some(isolate.code);
        room.heap = isolate.heap;
        Ok(())
    }

    /// Hash of what isolates are made of.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn build(&self) -> Result<String, String> {
        self.parsed("hashes.json").map(|Hashes { assets, .. }| assets)
    }

    /// Checks the hashes of workerd and of what isolates are made of against those of the build. The result is noted in
    /// the cache, so files are hashed again only after they were touched.
    ///
    /// # Errors
    /// Names the file that differs.
    pub fn check(&self) -> Result<(), String> {
        let hashes: Hashes = self.parsed("hashes.json")?;
        let machine = format!("{}-{}", node_name(env::consts::OS), node_name(env::consts::ARCH));
        let files = [
            (self.config(), Some(&hashes.config)),
            (self.assets(), Some(&hashes.assets)),
            (self.workerd.clone(), hashes.workerd.get(&machine)),
        ];
        let files: Vec<_> = files.iter().filter_map(|(file, hash)| Some((file, (*hash)?))).collect();
        let mut stamp = Sha256::new();
        for (file, hash) in &files {
            let found = fs::metadata(file).map_err(|error| format!("{}: {}", file.display(), describe(&error)))?;
            let (length, changed) =
                (found.len(), (found.mtime(), found.mtime_nsec(), found.ctime(), found.ctime_nsec()));
            stamp.update(format!("{}\0{hash}\0{length}\0{changed:?}\0{}\0", file.display(), found.ino()));
        }
        let stamp = format!("checked-{}", hexadecimal(&stamp.finalize()));
        if disk::has(&stamp) {
            return Ok(());
        }
        for (file, hash) in &files {
            let sum = sha256(file).map_err(|error| format!("{}: {}", file.display(), describe(&error)))?;
            if sum != **hash {
                return Err(format!(
                    "{} is not what it was when it was built (its sha256 is {sum}): install mcp-run-python anew",
                    file.display()
                ));
            }
        }
        disk::note(&stamp);
        Ok(())
    }

    fn read(&self, file: &str) -> Result<String, String> {
        let path = self.runtime.join(file);
        fs::read_to_string(&path).map_err(|error| format!("{}: {}", path.display(), describe(&error)))
    }

    fn parsed<T: DeserializeOwned>(&self, file: &str) -> Result<T, String> {
        serde_json::from_str(&self.read(file)?).map_err(|error| format!("{file}: {error}"))
    }
}
