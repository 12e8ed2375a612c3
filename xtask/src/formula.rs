//! The formula by which Homebrew installs the desk: the archive of each machine, with its sha256.

use std::fmt::Write;

use anyhow::{Result, bail};

use crate::manifests::{HOMEPAGE, VERSION, address};

/// The formula without its archives.
const TEMPLATE: &str = include_str!("formula.rb");

/// The machines, as Node and as Homebrew call them.
const SYSTEMS: [(&str, &str); 2] = [("darwin", "on_macos"), ("linux", "on_linux")];
const PROCESSORS: [(&str, &str); 2] = [("arm64", "on_arm"), ("x64", "on_intel")];

/// The name of a machine's archive.
pub fn archive(system: &str, processor: &str) -> String {
    format!("mcp-run-python-{VERSION}-{system}-{processor}.tar.gz")
}

/// Writes the formula for the machines whose archive exists: `sha256` returns its hash.
///
/// # Errors
/// There is no archive.
pub fn write(sha256: impl Fn(&str) -> Result<Option<String>>) -> Result<String> {
    let mut programs = String::new();
    for (system, on_system) in SYSTEMS {
        let mut of_system = String::new();
        for (processor, on_processor) in PROCESSORS {
            let archive = archive(system, processor);
            let Some(hash) = sha256(&archive)? else { continue };
            let url = address(&archive);
            writeln!(of_system, "    {on_processor} do\n      url \"{url}\"\n      sha256 \"{hash}\"\n    end")?;
        }
        if !of_system.is_empty() {
            writeln!(programs, "  {on_system} do\n{of_system}  end\n")?;
        }
    }
    if programs.is_empty() {
        bail!("there is no archive that a formula could name");
    }
    let programs = programs.trim_end().to_owned() + "\n";
    Ok(TEMPLATE.replace("@HOMEPAGE@", HOMEPAGE).replace("@VERSION@", VERSION).replace("@PROGRAMS@", &programs))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines_without_an_archive_are_left_out() {
        let of = |known: &'static [&'static str]| {
            write(move |archive| Ok(known.iter().any(|end| archive.ends_with(end)).then(|| "ab".repeat(32))))
        };
        let one = of(&["linux-x64.tar.gz"]).unwrap();
        assert!(one.contains("  on_linux do\n    on_intel do\n      url \"https://"), "{one}");
        assert!(!one.contains("on_macos") && !one.contains("on_arm") && !one.contains('@'), "{one}");
        let all = of(&[".tar.gz"]).unwrap();
        assert_eq!(all.matches("sha256 \"abab").count(), 4);
        let opened =
            all.lines().filter(|line| line.ends_with(" do") || line.trim_start().starts_with("def ")).count() + 1;
        assert_eq!(all.lines().filter(|line| line.trim() == "end").count(), opened, "{all}");
        assert!(of(&[]).is_err());
    }
}
