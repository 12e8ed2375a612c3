//! Files that are too large for results, kept on the disk: in a folder of this process's own that only its user can
//! read, and that is deleted with the process. The folder of a process that was killed is deleted by the next one.
//!
//! **Boundary.** Programs wrote the bytes, which are only ever read as bytes. The core names the files here, at random.

use std::{
    cell::OnceCell,
    env, fs, io,
    os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
    rc::Rc,
    sync::Arc,
};

use futures::{FutureExt, future::LocalBoxFuture};
use mcp_run_python::{kept::Pieces, limits::PART_BYTES};
use nix::fcntl::{Flock, FlockArg};
use tokio::task::spawn_blocking;
use uuid::Uuid;

use crate::{errors::describe, log::Log, packages::disk};

/// The folder in the cache folder that contains those of all processes.
const ALL: &str = "kept";

/// The lock file in a process's folder, held as long as the process lives; also that for making a folder.
const LOCK: &str = "lock";

/// Files on the disk. Clones share them.
#[derive(Clone)]
pub struct Files(Rc<Inner>);

struct Inner {
    log: Log,
    /// Made once there is something to keep; `None` if it cannot be made.
    folder: OnceCell<Option<Arc<Folder>>>,
}

/// A process's folder, deleted when this is dropped.
struct Folder {
    place: PathBuf,
    _lock: Flock<fs::File>,
}

impl Files {
    /// Makes no folder until there is something to keep.
    pub fn new(log: Log) -> Self {
        Self(Rc::new(Inner { log, folder: OnceCell::new() }))
    }

    fn folder(&self) -> Option<Arc<Folder>> {
        let made = self.0.folder.get_or_init(|| {
            let all = disk::folder().unwrap_or_else(env::temp_dir).join(ALL);
            match Folder::make(&all) {
                Ok(folder) => Some(Arc::new(folder)),
                Err(error) => {
                    self.0.log.warning(format_args!(
                        "large files are not kept: {}: {}",
                        all.display(),
                        describe(&error)
                    ));
                    None
                }
            }
        });
        made.clone()
    }

    /// Deletes the folder, with all that is in it.
    pub fn close(&self) {
        if let Some(Some(folder)) = self.0.folder.get() {
            folder.delete();
        }
    }
}

impl Pieces for Files {
    fn write(&self, id: &str, at: u64, bytes: Vec<u8>) -> LocalBoxFuture<'static, bool> {
        let (folder, id, log) = (self.folder(), id.to_owned(), self.0.log);
        async move {
            let Some(folder) = folder else { return false };
            match spawn_blocking(move || write(&folder.place.join(id), at, &bytes)).await {
                Ok(Ok(())) => true,
                Ok(Err(error)) => {
                    log.warning(format_args!("a large file is not kept: {}", describe(&error)));
                    false
                }
                Err(_) => false,
            }
        }
        .boxed_local()
    }

    fn read(&self, id: &str, at: u64) -> LocalBoxFuture<'static, Option<Vec<u8>>> {
        let (folder, id) = (self.0.folder.get().cloned().flatten(), id.to_owned());
        async move {
            let folder = folder?;
            spawn_blocking(move || read(&folder.place.join(id), at).ok()).await.ok()?
        }
        .boxed_local()
    }

    fn remove(&self, id: &str) {
        if let Some(Some(folder)) = self.0.folder.get() {
            // A file that was never written does not exist.
            let _ = fs::remove_file(folder.place.join(id));
        }
    }
}

fn write(place: &Path, at: u64, bytes: &[u8]) -> io::Result<()> {
    let file = fs::OpenOptions::new().write(true).create_new(at == 0).mode(0o600).open(place)?;
    file.write_all_at(bytes, at)
}

fn read(place: &Path, at: u64) -> io::Result<Vec<u8>> {
    let file = fs::File::open(place)?;
    let left = file.metadata()?.len().saturating_sub(at);
    let mut bytes = vec![0; usize::try_from(left).unwrap_or(PART_BYTES).min(PART_BYTES)];
    file.read_exact_at(&mut bytes, at)?;
    Ok(bytes)
}

impl Folder {
    fn make(all: &Path) -> io::Result<Self> {
        disk::private(all)?;
        // One process at a time: a folder that is being made is not locked yet, and would look stale.
        let turn = fs::OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(all.join(LOCK))?;
        let _turn = Flock::lock(turn, FlockArg::LockExclusive).map_err(|(_, error)| io::Error::from(error))?;
        delete_stale(all);
        let place = all.join(Uuid::new_v4().to_string());
        fs::DirBuilder::new().mode(0o700).create(&place)?;
        let lock = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(place.join(LOCK))?;
        let lock = Flock::lock(lock, FlockArg::LockExclusiveNonblock).map_err(|(_, error)| io::Error::from(error))?;
        Ok(Self { place, _lock: lock })
    }

    fn delete(&self) {
        let _ = fs::remove_dir_all(&self.place);
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        self.delete();
    }
}

/// Deletes the folders that no process holds any longer.
fn delete_stale(all: &Path) {
    let Ok(entries) = fs::read_dir(all) else { return };
    for place in entries.flatten().map(|entry| entry.path()) {
        // A folder without a lock file is not ours.
        let Ok(lock) = fs::OpenOptions::new().write(true).open(place.join(LOCK)) else { continue };
        if Flock::lock(lock, FlockArg::LockExclusiveNonblock).is_ok() {
            let _ = fs::remove_dir_all(&place);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn files_are_their_owners_alone_and_go_with_the_process() {
        let all = nix::unistd::mkdtemp(&env::temp_dir().join("desk-kept-XXXXXX")).unwrap();
        let folder = Folder::make(&all).unwrap();
        let place = folder.place.join("id");
        write(&place, 0, b"hello").unwrap();
        write(&place, 5, b" world").unwrap();
        assert!(write(&place, 0, b"again").is_err(), "it is there");
        assert!(write(&folder.place.join("other"), 3, b"x").is_err(), "no beginning");
        assert_eq!(read(&place, 6).unwrap(), b"world");
        assert_eq!(read(&place, 11).unwrap(), b"");
        for (place, mode) in [(&folder.place, 0o700), (&place, 0o600)] {
            assert_eq!(fs::metadata(place).unwrap().mode() & 0o777, mode);
        }
        // The folder of a living process stays, that of a dead one is deleted.
        let stale = all.join("stale");
        fs::create_dir(&stale).unwrap();
        fs::write(stale.join(LOCK), "").unwrap();
        fs::write(stale.join("id"), "left").unwrap();
        let other = Folder::make(&all).unwrap();
        assert!(!stale.exists() && place.exists());
        drop((folder, other));
        assert_eq!(fs::read_dir(&all).unwrap().count(), 1, "the lock");
        fs::remove_dir_all(&all).unwrap();
    }
}
