//! The mode `cache`: shows how much space the cache takes on the disk, or deletes its files.

use std::io;

use crate::{errors::describe, packages::disk};

/// Shows the cache's size, or clears it. Returns the exit code.
///
/// # Errors
/// The cache cannot be read, or a file cannot be deleted.
pub fn run(clear: bool) -> Result<u8, String> {
    let folder = disk::folder().ok_or("there is no folder for caches: neither XDG_CACHE_HOME nor HOME is set")?;
    let failed = |error: io::Error| format!("{}: {}", folder.display(), describe(&error));
    let megabytes = |bytes: u64| bytes as f64 / 1e6;
    if !folder.exists() {
        println!("{}: empty", folder.display());
    } else if clear {
        let size = disk::clear(&folder).map_err(failed)?;
        println!("{}: {:.1} MB deleted", folder.display(), megabytes(size));
    } else {
        let files = disk::files(&folder).map_err(failed)?;
        let size = files.iter().map(|(_, size, _)| size).sum();
        println!(
            "{}: {} files, {:.1} MB of at most {:.0}",
            folder.display(),
            files.len(),
            megabytes(size),
            megabytes(disk::MOST)
        );
    }
    Ok(0)
}
