//! Names of wheels, and which of them run here (PEP 425, PEP 783).

use pep440_rs::Version;
use pep508_rs::PackageName;

use super::requirement::name_of;

/// The Python that runs: that of `runtime/pyodide/version.json`.
pub const PYTHON_VERSION: &str = "3.14";

/// The tags of this interpreter and platform.
#[derive(Debug, Clone)]
pub struct Tags {
    /// Python's minor version: 14.
    minor: u32,
    /// `pyemscripten_2026_0_wasm32`.
    platform: String,
}

/// The name of a wheel, parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WheelName<'a> {
    /// The distribution.
    pub name: PackageName,
    /// Its version.
    pub version: Version,
    python: &'a str,
    abi: &'a str,
    platform: &'a str,
}

impl<'a> WheelName<'a> {
    /// Parses the name of a file; `None` if it is not a wheel's.
    #[must_use]
    pub fn parse(file: &'a str) -> Option<Self> {
        let parts: Vec<&str> = file.strip_suffix(".whl")?.split('-').collect();
        let (name, version, python, abi, platform) = match parts.as_slice() {
            [name, version, python, abi, platform] | [name, version, _, python, abi, platform] => {
                (*name, *version, *python, *abi, *platform)
            }
            _ => return None,
        };
        Some(Self { name: name_of(name)?, version: version.parse().ok()?, python, abi, platform })
    }
}

impl Tags {
    /// The tags of a Python `3.minor` with Pyodide's ABI version, such as `2026_0`.
    #[must_use]
    pub fn new(minor: u32, abi: &str) -> Self {
        Self { minor, platform: format!("pyemscripten_{abi}_wasm32") }
    }

    /// The tag of this platform.
    #[must_use]
    pub fn platform(&self) -> &str {
        &self.platform
    }

    /// How well a wheel fits: greater is better; `None`: not at all.
    #[must_use]
    pub fn rank(&self, wheel: &WheelName<'_>) -> Option<u32> {
        let platform = if wheel.platform.split('.').any(|tag| tag == self.platform) {
            2000
        } else if wheel.platform.split('.').any(|tag| tag == "any") {
            0
        } else {
            return None;
        };
        let fits = wheel
            .python
            .split('.')
            .flat_map(|python| wheel.abi.split('.').filter_map(move |abi| self.python_rank(python, abi)));
        fits.max().map(|rank| platform + rank)
    }

    fn python_rank(&self, python: &str, abi: &str) -> Option<u32> {
        if let Some(minor) = python.strip_prefix("cp3").and_then(|minor| minor.parse::<u32>().ok()) {
            return match abi {
                _ if minor == self.minor && abi.strip_prefix("cp3") == python.strip_prefix("cp3") => Some(1000),
                "abi3" if minor <= self.minor => Some(500 + minor),
                "none" if minor == self.minor => Some(400),
                _ => None,
            };
        }
        if abi != "none" {
            return None;
        }
        let version = python.strip_prefix("py3")?;
        match version {
            "" => Some(100),
            minor => minor.parse().ok().filter(|minor| *minor <= self.minor).map(|minor: u32| 200 + minor),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_python_is_that_of_the_build() {
        let version: serde_json::Value =
            serde_json::from_str(include_str!("../../runtime/pyodide/version.json")).unwrap();
        assert_eq!(version["python"], PYTHON_VERSION);
    }

    fn rank(tags: &str) -> Option<u32> {
        let file = format!("a_b-1.0-{tags}.whl");
        Tags::new(14, "2026_0").rank(&WheelName::parse(&file).unwrap())
    }

    #[test]
    fn the_better_fit_is_greater() {
        let order = [
            "py2.py3-none-any",
            "py312-none-any",
            "py3-none-pyemscripten_2026_0_wasm32",
            "cp38-abi3-pyemscripten_2026_0_wasm32",
            "cp313-abi3-pyemscripten_2025_0_wasm32.pyemscripten_2026_0_wasm32",
            "1-cp314-cp314-pyemscripten_2026_0_wasm32",
        ];
        let ranks: Vec<_> = order.iter().map(|tags| rank(tags).unwrap()).collect();
        assert!(ranks.is_sorted_by(|a, b| a < b), "{ranks:?}");
    }

    #[test]
    fn what_does_not_run_here_has_none() {
        for tags in [
            "cp314-cp314-manylinux_2_17_x86_64",
            "cp314-cp314t-pyemscripten_2026_0_wasm32",
            "cp313-cp313-pyemscripten_2026_0_wasm32",
            "cp315-abi3-pyemscripten_2026_0_wasm32",
            "cp314-cp314-pyodide_2025_0_wasm32",
            "cp314-cp314-emscripten_4_0_9_wasm32",
            "py2-none-any",
            "py315-none-any",
            "pp310-pypy310_pp73-any",
        ] {
            assert_eq!(rank(tags), None, "{tags}");
        }
    }

    #[test]
    fn names_are_read_strictly() {
        let wheel = WheelName::parse("Typing_Extensions-4.15.0-py3-none-any.whl").unwrap();
        assert_eq!((wheel.name.to_string(), wheel.version.to_string()), ("typing-extensions".into(), "4.15.0".into()));
        for file in [
            "a-1.0.tar.gz",
            "a-1.0.whl",
            "a-x.y-py3-none-any.whl",
            "-1.0-py3-none-any.whl",
            "",
            ".whl",
            "a/b-1-py3-none-any.whl",
        ] {
            assert_eq!(WheelName::parse(file), None, "{file}");
        }
    }
}
