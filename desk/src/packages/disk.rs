//! The cache on the disk: wheels, their bytecode, snapshots, and pages of the index, in the system's folder for caches.
//!
//! A file is written under another name and renamed, so that no process reads half of one. Wheels are checked when they
//! are read; the rest is trusted, as the folder is private.

use std::{
    env, fs, io,
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::SystemTime,
};

use bytes::Bytes;
use mcp_run_python::limits::MAX_WHEEL;
use memmap2::Mmap;
use uuid::Uuid;

use crate::{errors::describe, log::Log};

/// Most bytes of all files together; beyond that, the least recently used ones are deleted.
pub const MOST: u64 = 4 * 1024 * 1024 * 1024;

/// How much of that is left then, so that not every write has to delete files.
const LEFT: u64 = MOST / 4 * 3;

/// Largest file that is read: a wheel, or bytecode of one.
const MAX_FILE: u64 = 2 * MAX_WHEEL as u64;

/// How old the recorded time of a file's last use has to be before it is updated.
const NOTED: std::time::Duration = std::time::Duration::from_secs(60 * 60);

/// The cache in its folder.
#[derive(Debug, Clone)]
pub struct Disk {
    folder: Option<PathBuf>,
    log: Log,
}

/// The environment variable for a folder other than the system's.
const CACHE: &str = "MCP_RUN_PYTHON_CACHE";

/// The cache's folder: `MCP_RUN_PYTHON_CACHE`, or the system's folder for caches. `None` if there is no home folder.
pub fn folder() -> Option<PathBuf> {
    let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(folder) = set(CACHE) {
        return Some(folder);
    }
    let base = set("XDG_CACHE_HOME").filter(|base| base.is_absolute()).or_else(|| {
        let home = set("HOME").or_else(env::home_dir)?;
        Some(home.join(if cfg!(target_os = "macos") { "Library/Caches" } else { ".cache" }))
    })?;
    Some(base.join("mcp-run-python"))
}

impl Disk {
    /// The cache of the user who started this program.
    pub fn of_system(log: Log) -> Self {
        Self { folder: folder(), log }
    }

    /// Reads a file, if it is there.
    pub async fn read(&self, name: &str) -> Option<Vec<u8>> {
        let place = self.folder.as_ref()?.join(name);
        tokio::task::spawn_blocking(move || read(&place).ok()).await.ok().flatten()
    }

    /// Maps a file into memory, if it is there: it takes none as long as nobody reads it.
    pub async fn map(&self, name: &str, most: usize) -> Option<Bytes> {
        let place = self.folder.as_ref()?.join(name);
        tokio::task::spawn_blocking(move || map(&place, most).ok()).await.ok().flatten()
    }

    /// Writes a file. Best effort: without a cache, the next start fetches again.
    pub async fn write(&self, name: &str, bytes: &[u8]) {
        let Some(folder) = self.folder.clone() else { return };
        let (place, bytes, log) = (folder.join(name), bytes.to_vec(), self.log);
        let written = tokio::task::spawn_blocking(move || {
            write(&folder, &place, &bytes)?;
            shrink(&folder, MOST, LEFT)
        });
        match written.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => log.debug(format_args!("not cached: {}", describe(&error))),
            Err(error) => log.debug(format_args!("not cached: {error}")),
        }
    }
}

/// Whether there is a file of this name.
pub fn has(name: &str) -> bool {
    folder().is_some_and(|folder| folder.join(name).is_file())
}

/// Writes an empty file. Best effort.
pub fn note(name: &str) {
    if let Some(folder) = folder() {
        let _ = write(&folder, &folder.join(name), &[]);
    }
}

fn read(place: &Path) -> io::Result<Vec<u8>> {
    check(place, MAX_FILE)?;
    fs::read(place)
}

fn map(place: &Path, most: usize) -> io::Result<Bytes> {
    check(place, most as u64)?;
    // SAFETY: files here never change: they are written under another name and renamed, and a file that is deleted or
    // replaced stays for those who have it open. The folder is its owner's alone.
    #[allow(unsafe_code)]
    let mapped = unsafe { Mmap::map(&fs::File::open(place)?)? };
    Ok(Bytes::from_owner(mapped))
}

/// Checks that a file may be read, and notes its use.
fn check(place: &Path, most: u64) -> io::Result<()> {
    let found = fs::metadata(place)?;
    if !found.is_file() || found.len() > most {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let noted = found.modified()?;
    if noted.elapsed().is_ok_and(|since| since > NOTED) {
        // Files in use stay in the cache. It does no harm if another process has deleted this one meanwhile.
        let _ = fs::File::open(place).and_then(|file| file.set_modified(SystemTime::now()));
    }
    Ok(())
}

fn write(folder: &Path, place: &Path, bytes: &[u8]) -> io::Result<()> {
    private(folder)?;
    let begun = folder.join(format!("{}.{}", place.file_name().unwrap_or_default().display(), Uuid::new_v4()));
    let written = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&begun)
        .and_then(|mut file| io::Write::write_all(&mut file, bytes))
        .and_then(|()| fs::rename(&begun, place));
    if written.is_err() {
        let _ = fs::remove_file(&begun);
    }
    written
}

/// Makes a folder that is its owner's alone.
///
/// **Boundary.** Index pages in it are trusted: nobody else may write there.
///
/// # Errors
/// The folder cannot be made, or belongs to another user.
pub fn private(folder: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let found = fs::metadata(folder)?;
    if found.uid() != nix::unistd::geteuid().as_raw() {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    if found.mode() & 0o077 != 0 {
        fs::set_permissions(folder, std::os::unix::fs::PermissionsExt::from_mode(0o700))?;
    }
    Ok(())
}

/// The files of a folder: size and last use of each.
///
/// # Errors
/// It cannot be read.
pub fn files(folder: &Path) -> io::Result<Vec<(PathBuf, u64, SystemTime)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        // Skips a file that was deleted meanwhile.
        let Ok(found) = entry.metadata() else { continue };
        if found.is_file() {
            files.push((entry.path(), found.len(), found.modified().unwrap_or(SystemTime::UNIX_EPOCH)));
        }
    }
    Ok(files)
}

/// If there are more than `most` bytes, deletes the least recently used files until `left` bytes are left. Several
/// processes may do so at once: they find some files gone, which is harmless.
fn shrink(folder: &Path, most: u64, left: u64) -> io::Result<()> {
    let mut files = files(folder)?;
    let mut size: u64 = files.iter().map(|(_, size, _)| size).sum();
    if size <= most {
        return Ok(());
    }
    files.sort_by_key(|(_, _, used)| *used);
    for (place, bytes, _) in files {
        if size <= left {
            break;
        }
        let _ = fs::remove_file(place);
        size = size.saturating_sub(bytes);
    }
    Ok(())
}

/// Deletes all files of a cache. Returns their size in bytes.
///
/// # Errors
/// A file cannot be deleted.
pub fn clear(folder: &Path) -> io::Result<u64> {
    let mut size = 0;
    for (place, bytes, _) in files(folder)? {
        match fs::remove_file(place) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => size += bytes,
        }
    }
    Ok(size)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    struct Folder(PathBuf);

    impl Folder {
        fn new() -> Self {
            Self(nix::unistd::mkdtemp(&env::temp_dir().join("desk-disk-XXXXXX")).unwrap())
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    #[test]
    fn what_was_used_least_lately_goes_first() {
        let folder = Folder::new();
        for (n, name) in ["a", "b", "c"].iter().enumerate() {
            let place = folder.0.join(name);
            write(&folder.0, &place, &[0; 100]).unwrap();
            let used = SystemTime::now() - Duration::from_secs(100 - n as u64);
            fs::File::open(&place).unwrap().set_modified(used).unwrap();
        }
        shrink(&folder.0, 300, 100).unwrap();
        assert_eq!(files(&folder.0).unwrap().len(), 3);
        shrink(&folder.0, 299, 150).unwrap();
        let left = files(&folder.0).unwrap();
        assert_eq!(left.iter().map(|(place, ..)| place.file_name().unwrap()).collect::<Vec<_>>(), ["c"]);
        assert_eq!(clear(&folder.0).unwrap(), 100);
    }

    #[test]
    fn nobody_else_reads_it() {
        let folder = Folder::new();
        let cache = folder.0.join("cache");
        fs::create_dir(&cache).unwrap();
        fs::set_permissions(&cache, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
        write(&cache, &cache.join("wheel"), b"bytes").unwrap();
        assert_eq!(fs::metadata(&cache).unwrap().mode() & 0o777, 0o700);
        assert_eq!(fs::metadata(cache.join("wheel")).unwrap().mode() & 0o777, 0o600);
        assert_eq!(read(&cache.join("wheel")).unwrap(), b"bytes");
        assert!(read(&cache).is_err());
    }
}
