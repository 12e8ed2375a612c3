//! Browsers for the tests: Debian's, in whatever version it has, or those that the environment names. The tests ask
//! them what they can do.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Result, bail};

use crate::step::{run, timed};

/// A browser that the tests use.
struct Browser {
    /// Debian's package. Debian 12 and 13 have the same.
    package: &'static str,
    /// The package's path of the binary.
    path: &'static str,
    /// The environment variable that names another binary.
    variable: &'static str,
}

impl Browser {
    fn path(&self) -> PathBuf {
        env::var_os(self.variable).map_or_else(|| self.path.into(), PathBuf::from)
    }

    fn is_there(&self) -> bool {
        self.path().exists()
    }

    /// Says how to get a missing browser.
    fn remedy(&self) -> String {
        let Self { package, path, variable } = self;
        format!("apt-get install {package} gives {path} on Debian; {variable}=PATH names another")
    }
}

const CHROMIUM: Browser = Browser { package: "chromium", path: "/usr/bin/chromium", variable: "CHROMIUM" };
const FIREFOX: Browser = Browser { package: "firefox-esr", path: "/usr/bin/firefox-esr", variable: "FIREFOX" };

/// Installs the missing browsers. Fails without Chromium. If Firefox cannot be installed, tests in it are skipped, each
/// with a line.
pub fn install() -> Result<()> {
    let missing: Vec<&Browser> = [&CHROMIUM, &FIREFOX].into_iter().filter(|browser| !browser.is_there()).collect();
    if !missing.is_empty() && Path::new("/usr/bin/apt-get").exists() {
        // A new machine has no package lists yet. If this fails, the installation below reports it.
        if let Err(error) = timed("updating the lists of packages", || run(apt().arg("update"))) {
            eprintln!("warning: {error:#}");
        }
        // One by one: if one fails, the other may still succeed.
        for Browser { package, .. } in &missing {
            let install =
                || run(apt().args(["install", "--yes", "--no-install-recommends", "fonts-dejavu-core", package]));
            if let Err(error) = timed(&format!("installing {package}"), install) {
                eprintln!("warning: {error:#}");
            }
        }
    }
    if !CHROMIUM.is_there() {
        bail!("the tests need Chromium: {}", CHROMIUM.remedy());
    }
    if !FIREFOX.is_there() {
        eprintln!("warning: Firefox ESR is missing, and what needs it is skipped: {}", FIREFOX.remedy());
    }
    Ok(())
}

fn apt() -> Command {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive").arg("-qq");
    command
}
