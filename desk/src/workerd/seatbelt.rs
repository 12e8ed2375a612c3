//! Confines a workerd process on macOS, by `sandbox-exec`. Apple calls that deprecated, but its own programs and
//! browsers still use it.
//!
//! Written from what is known of its profiles, and not tested on macOS.

use std::path::Path;
#[cfg(target_os = "macos")]
use std::process::Command;

/// The command that starts a confined program, which may read these files.
#[cfg(target_os = "macos")]
pub fn command(program: &Path, readable: &[&Path]) -> Command {
    let mut command = Command::new("/usr/bin/sandbox-exec");
    command.arg("-p").arg(profile(program, readable)).arg(program);
    command
}

/// **Boundary.** Everything that is not named is denied: other files, all writing, programs, the network, signals to others.
fn profile(program: &Path, readable: &[&Path]) -> String {
    let program = literal(program);
    let readable: String = readable.iter().map(|file| format!(" {}", literal(file))).collect();
    format!(
        r#"(version 1)
(deny default)
(import "system.sb")
(deny file-write*)
(deny mach-register)
(allow process-exec {program})
(allow file-read* {program}{readable})
(allow file-map-executable {program})
(allow dynamic-code-generation)
(allow sysctl-read)
(allow network-inbound (local unix-socket))
(allow signal (target self))
"#
    )
}

/// A path in the syntax of profiles.
fn literal(path: &Path) -> String {
    let path = path.to_string_lossy().replace('\\', r"\\").replace('"', "\\\"");
    format!("(literal \"{path}\")")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_one_literal_whatever_is_in_it() {
        let profile = profile(Path::new("/a b/workerd\") (allow default) (\""), &[Path::new("/c\\d")]);
        assert!(
            profile.contains(r#"(allow process-exec (literal "/a b/workerd\") (allow default) (\""))"#),
            "{profile}"
        );
        assert!(profile.contains(r#" (literal "/c\\d"))"#), "{profile}");
    }
}
