//! The folder whose files every run can read (`--files`): read once, at the start.
//!
//! **Boundary.** Nothing outside of the folder is read, whatever it contains: each name is opened relative to the
//! folder that it was found in, and no link is followed. Programs get copies of the bytes, and no access to the folder.

use std::{fs::File, io::Read, os::fd::AsFd, path::Path};

use mcp_run_python::{
    limits::Limits,
    packages::wheel,
    run::files::{DATA, check_path},
};
use nix::{
    dir::Dir,
    fcntl::{AtFlags, OFlag, openat},
    sys::stat::{FileStat, Mode, SFlag, fstat, fstatat},
};

/// Reads all files of the folder into an archive for isolates.
///
/// # Errors
/// Names the file that cannot be read, or the limit that is exceeded.
pub fn read(folder: &Path, limits: &Limits) -> Result<Vec<u8>, String> {
    let named = |why: String| format!("FILES: {}: {why}", folder.display());
    let opened = Dir::open(folder, OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty());
    let mut reader = Reader { limits, found: 0, size: 0, files: Vec::new() };
    reader.enter(opened.map_err(|error| named(error.desc().to_owned()))?, "").map_err(named)?;
    wheel::archive(reader.files).map_err(named)
}

struct Reader<'a> {
    limits: &'a Limits,
    /// Number of files and folders so far.
    found: usize,
    /// Size of all files so far, in bytes.
    size: usize,
    files: Vec<(String, Vec<u8>)>,
}

impl Reader<'_> {
    /// Reads a folder. `prefix`: its path, with a slash.
    fn enter(&mut self, mut folder: Dir, prefix: &str) -> Result<(), String> {
        let mut names = Vec::new();
        for entry in folder.iter() {
            let name = entry.map_err(|error| wrong(prefix, error.desc()))?.file_name().to_owned();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            self.found += 1;
            if self.found > self.limits.files {
                return Err(format!("it has more than {} files and folders (FILES_LIMIT)", self.limits.files));
            }
            names.push(name);
        }
        names.sort();
        for name in names {
            let shown = format!("{prefix}{}", name.to_string_lossy());
            let path = name.to_str().map(|name| format!("{prefix}{name}"));
            let path = path.map_err(|_| wrong(&shown, "has a name that is not UTF-8"))?;
            check_path(&format!("{DATA}/{path}")).map_err(|why| wrong(&path, why))?;
            let failed = |error: nix::Error| wrong(&path, error.desc());
            let stat = fstatat(&folder, name.as_c_str(), AtFlags::AT_SYMLINK_NOFOLLOW).map_err(failed)?;
            let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
            match kind(&stat) {
                SFlag::S_IFREG => {
                    // It may have been replaced by now: `take` checks the open file again.
                    let file = openat(&folder, name.as_c_str(), flags, Mode::empty()).map_err(failed)?;
                    self.take(File::from(file), path)?;
                }
                SFlag::S_IFDIR => {
                    let flags = flags | OFlag::O_DIRECTORY;
                    let inner = Dir::openat(&folder, name.as_c_str(), flags, Mode::empty()).map_err(failed)?;
                    self.enter(inner, &format!("{path}/"))?;
                }
                SFlag::S_IFLNK => return Err(wrong(&path, "is a link: none is followed")),
                _ => return Err(wrong(&path, "is neither a file nor a folder")),
            }
        }
        Ok(())
    }

    fn take(&mut self, mut file: File, path: String) -> Result<(), String> {
        let failed = |error: nix::Error| wrong(&path, error.desc());
        let before = fstat(file.as_fd()).map_err(failed)?;
        if kind(&before) != SFlag::S_IFREG {
            return Err(wrong(&path, "is neither a file nor a folder"));
        }
        let size = usize::try_from(before.st_size).unwrap_or(usize::MAX);
        self.size = self.size.saturating_add(size);
        if self.size > self.limits.file_bytes {
            let why =
                format!("is too large: of all files, {} bytes are taken (FILES_LIMIT_MB)", self.limits.file_bytes);
            return Err(wrong(&path, &why));
        }
        let mut bytes = Vec::with_capacity(size);
        let read = (&mut file).take(size as u64 + 1).read_to_end(&mut bytes);
        read.map_err(|error| wrong(&path, &crate::errors::describe(&error)))?;
        let after = fstat(file.as_fd()).map_err(failed)?;
        let changed = |stat: &FileStat| (stat.st_size, stat.st_mtime, stat.st_mtime_nsec);
        if bytes.len() != size || changed(&before) != changed(&after) {
            return Err(wrong(&path, "changed while it was read"));
        }
        self.files.push((path, bytes));
        Ok(())
    }
}

fn kind(stat: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT
}

fn wrong(path: &str, why: &str) -> String {
    format!("`{}` {why}", path.escape_debug())
}
