//! Errors of the operating system, in the form that people search for.

use std::io;

use nix::errno::Errno;

/// Describes an error, such as `ENOENT: No such file or directory`.
pub fn describe(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(number) => Errno::from_raw(number).to_string(),
        None => error.to_string(),
    }
}
