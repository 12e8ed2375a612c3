//! Turns the fetched bytes of a wheel into what an isolate gets.
//!
//! **Boundary.** A wheel's sha256 is checked before anything else is read. Its content was still written by a stranger:
//! it is read strictly, and bounded in size, number and depth; no name leads out of its folder.

use std::io::{Cursor, Read};

use serde::Serialize;
use sha2::{Digest, Sha256};
use zip::{CompressionMethod, ZipArchive};

use super::PYTHON_VERSION;
use crate::limits::{MAX_METADATA, MAX_PATH, MAX_WHEEL_FILES, MAX_WHEEL_RATIO, MAX_WHEEL_UNPACKED, WHEEL_RATIO_FREE};

/// How a WebAssembly module begins.
const WASM_MAGIC: &[u8] = b"\0asm";

/// Flags of bytecode that is not compared with its source (PEP 552), as neither changes.
const UNCHECKED_PYC: &[u8] = &[1, 0, 0, 0];

/// A wheel as isolates get it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct PreparedWheel {
    /// All its files that are not modules: the length of a header (`u32`, little-endian), the header, which is the
    /// JSON `{"files": [["path", offset, length], ...]}`, and the bytes of the files. Offsets are from the header's
    /// end, paths are relative to site-packages and sorted.
    pub archive: Vec<u8>,
    /// Its shared libraries: WebAssembly, by their paths relative to site-packages.
    pub modules: Vec<(String, Vec<u8>)>,
    /// Bytecode of its sources, an archive of the same format, if it was made ([`bytecode`]).
    pub bytecode: Option<Vec<u8>>,
}

impl PreparedWheel {
    /// The size that it adds to an isolate.
    #[must_use]
    pub fn size(&self) -> Size {
        Size {
            code: self.modules.iter().map(|(_, bytes)| bytes.len()).sum(),
            data: self.archive.len(),
            bytecode: self.bytecode.as_ref().map(Vec::len),
        }
    }
}

/// What a wheel, or a set of them, adds to an isolate, in bytes.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Its libraries.
    pub code: usize,
    /// Its other files.
    pub data: usize,
    /// Bytecode, left out if there is no room; `None`: not compiled yet.
    pub bytecode: Option<usize>,
}

impl Size {
    /// All but the bytecode, which it can do without.
    #[must_use]
    pub fn total(self) -> usize {
        self.code + self.data
    }

    /// All of it.
    #[must_use]
    pub fn with_bytecode(self) -> usize {
        self.total() + self.bytecode.unwrap_or_default()
    }
}

/// Lower-case hexadecimal SHA-256.
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Bytes in lower-case hexadecimal digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Checks that a wheel is the one that was asked for, by its hash.
///
/// # Errors
/// Says what it is instead.
pub fn check(actual: &str, expected: &str) -> Result<(), String> {
    if actual == expected {
        return Ok(());
    }
    Err(format!("its sha256 is {actual} and not {expected}: it was changed on the way, or its source lies"))
}

/// Takes a checked wheel apart. Test suites are left out, as Pyodide leaves them out of its own packages.
///
/// # Errors
/// Says what is wrong with it.
pub fn prepare(wheel: &[u8]) -> Result<PreparedWheel, String> {
    let mut files = Vec::new();
    let mut prepared = PreparedWheel::default();
    for_each_file(wheel, |path, size, read| {
        let Some(path) = installed_path(path) else { return Ok(()) };
        let bytes = read(size)?;
        if is_library(&path) && bytes.starts_with(WASM_MAGIC) {
            prepared.modules.push((path, bytes));
        } else {
            files.push((path, bytes));
        }
        Ok(())
    })?;
    prepared.modules.sort();
    prepared.archive = archive(files)?;
    Ok(prepared)
}

/// Makes an archive of bytecode, which comes as a zip archive.
///
/// **Boundary.** It comes from an isolate that read a stranger's sources. So it is read as strictly as a wheel, and
/// nothing but bytecode is taken. It runs only where that wheel is installed, which can run anything there anyway.
///
/// # Errors
/// Says what is wrong with it.
pub fn bytecode(zip: &[u8]) -> Result<Vec<u8>, String> {
    let ending = format!(".cpython-{}.pyc", PYTHON_VERSION.replace('.', ""));
    let mut files = Vec::new();
    for_each_file(zip, |path, size, read| {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let bytes = read(size)?;
        let in_cache = folder == "__pycache__" || folder.ends_with("/__pycache__");
        if !in_cache || !name.ends_with(&ending) || bytes.get(4..8) != Some(UNCHECKED_PYC) {
            return Err("it has a file that is no bytecode".into());
        }
        files.push((path.to_owned(), bytes));
        Ok(())
    })?;
    archive(files)
}

/// The text of the `METADATA` file of a checked wheel.
///
/// # Errors
/// Says what is wrong with it.
pub fn metadata(wheel: &[u8]) -> Result<String, String> {
    let mut found = None;
    for_each_file(wheel, |path, size, read| {
        let is_metadata =
            path.split_once('/').is_some_and(|(folder, file)| folder.ends_with(".dist-info") && file == "METADATA");
        if is_metadata {
            if found.is_some() || size > MAX_METADATA {
                return Err("its METADATA is there twice, or too large".into());
            }
            found = Some(read(size)?);
        }
        Ok(())
    })?;
    let bytes = found.ok_or("it has no METADATA")?;
    String::from_utf8(bytes).map_err(|_| "its METADATA is not UTF-8".into())
}

/// Calls `visit` for each file of a wheel, with its path, its size, and a function that reads it.
fn for_each_file(
    wheel: &[u8],
    mut visit: impl FnMut(&str, usize, &mut dyn FnMut(usize) -> Result<Vec<u8>, String>) -> Result<(), String>,
) -> Result<(), String> {
    let invalid = |error: zip::result::ZipError| format!("it is not a valid zip archive: {error}");
    let mut zip = ZipArchive::new(Cursor::new(wheel)).map_err(invalid)?;
    if zip.has_duplicate_names() {
        return Err("it has two files of one name".into());
    }
    if zip.len() > MAX_WHEEL_FILES {
        return Err(format!("it has {} files, and at most {MAX_WHEEL_FILES} are taken", zip.len()));
    }
    let mut unpacked = 0;
    for index in 0..zip.len() {
        let mut file = zip.by_index(index).map_err(invalid)?;
        let name = std::str::from_utf8(file.name_raw()).map_err(|_| "it has a name that is not UTF-8")?.to_owned();
        check_path(&name)?;
        if file.is_symlink() {
            return Err(format!("`{name}` is a symbolic link"));
        }
        if file.encrypted() || !matches!(file.compression(), CompressionMethod::Stored | CompressionMethod::Deflated) {
            return Err(format!("`{name}` is encrypted, or packed in a way that wheels are not"));
        }
        if file.is_dir() {
            continue;
        }
        let size = usize::try_from(file.size()).unwrap_or(usize::MAX);
        unpacked = size.saturating_add(unpacked);
        if unpacked > MAX_WHEEL_UNPACKED {
            return Err(format!("it is more than {MAX_WHEEL_UNPACKED} bytes large when it is unpacked"));
        }
        let packed = usize::try_from(file.compressed_size()).unwrap_or(usize::MAX);
        if size > WHEEL_RATIO_FREE && size / MAX_WHEEL_RATIO > packed {
            return Err(format!("`{name}` unpacks {packed} bytes to {size}"));
        }
        visit(&name, size, &mut |size| {
            let mut bytes = Vec::with_capacity(size);
            // Reads up to one byte more than the file's stated size: a larger file is refused.
            let read = file.by_ref().take(size as u64 + 1).read_to_end(&mut bytes);
            read.map_err(|error| format!("`{name}` cannot be unpacked: {error}"))?;
            if bytes.len() != size {
                return Err(format!("`{name}` is not as large as it says"));
            }
            Ok(bytes)
        })?;
    }
    Ok(())
}

/// Refuses names that lead anywhere but into the wheel's folder.
fn check_path(name: &str) -> Result<(), String> {
    let path = name.strip_suffix('/').unwrap_or(name);
    let bad_part = |part: &str| matches!(part, "" | "." | "..");
    if path.len() > MAX_PATH
        || path.contains(['\\', ':'])
        || path.chars().any(char::is_control)
        || path.split('/').any(bad_part)
    {
        let shown: String = name.escape_debug().take(100).collect();
        return Err(format!("it has a file with the name `{shown}`"));
    }
    Ok(())
}

/// Returns where a file of a wheel is installed, relative to site-packages; `None` if it is not.
fn installed_path(path: &str) -> Option<String> {
    let path = match path.split_once('/') {
        Some((folder, rest)) if folder.ends_with(".data") => {
            // Scripts, headers and data files have no place in an isolate.
            rest.strip_prefix("purelib/").or_else(|| rest.strip_prefix("platlib/"))?
        }
        _ => path,
    };
    let folders = path.rsplit_once('/').map_or("", |(folders, _)| folders);
    // Keeps a distribution's own `tests` at the top, and `numpy.testing`.
    let is_test = folders.split('/').skip(1).any(|folder| folder == "tests");
    (!is_test).then(|| path.to_owned())
}

fn is_library(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.ends_with(".so") || name.contains(".so.")
}

/// Makes an archive of files, as `runtime/js/packages.js` reads it.
///
/// # Errors
/// Two of them are in one place, or they are too many.
pub fn archive(mut files: Vec<(String, Vec<u8>)>) -> Result<Vec<u8>, String> {
    files.sort();
    if files.windows(2).any(|pair| matches!(pair, [(one, _), (two, _)] if one == two)) {
        return Err("there are two files in one place".into());
    }
    #[derive(Serialize)]
    struct Header<'a> {
        files: Vec<(&'a str, usize, usize)>,
    }
    let mut offset = 0;
    let entry = |(path, bytes): &'_ (String, Vec<u8>)| {
        offset += bytes.len();
        (offset - bytes.len(), bytes.len(), path.clone())
    };
    let placed: Vec<(usize, usize, String)> = files.iter().map(entry).collect();
    let header =
        Header { files: placed.iter().map(|(offset, length, path)| (path.as_str(), *offset, *length)).collect() };
    let header = serde_json::to_vec(&header).map_err(|error| error.to_string())?;
    let length = u32::try_from(header.len()).map_err(|error| error.to_string())?;
    let mut archive = Vec::with_capacity(4 + header.len() + offset);
    archive.extend_from_slice(&length.to_le_bytes());
    archive.extend_from_slice(&header);
    for (_, bytes) in &files {
        archive.extend_from_slice(bytes);
    }
    Ok(archive)
}

#[cfg(test)]
#[path = "wheel_tests.rs"]
pub(super) mod tests;
