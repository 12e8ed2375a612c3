//! Browsers for the tests: Debian's.

use std::{path::Path, process::Command};

use anyhow::{Context, Result};

use crate::step::{run, timed};

/// Debian's packages, and what each installs.
const BROWSERS: &[(&str, &str)] = &[("chromium", "/usr/bin/chromium"), ("firefox-esr", "/usr/bin/firefox-esr")];

/// Installs those that are missing.
pub fn install() -> Result<()> {
    let missing: Vec<&str> =
        BROWSERS.iter().filter(|(_, path)| !Path::new(path).exists()).map(|(name, _)| *name).collect();
    if missing.is_empty() {
        return Ok(());
    }
    timed(&format!("installing {}", missing.join(", ")), || {
        let apt = || {
            let mut command = Command::new("apt-get");
            command.env("DEBIAN_FRONTEND", "noninteractive").arg("-qq");
            command
        };
        // A machine that is new has no lists yet.
        run(apt().arg("update"))?;
        run(apt().args(["install", "--yes", "--no-install-recommends", "fonts-dejavu-core"]).args(&missing))
    })
    .with_context(|| format!("the tests need {}; on Debian: apt-get install {0}", missing.join(" ")))
}
