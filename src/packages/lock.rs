//! Pyodide's lock file: the packages that are built for this interpreter, each with its sha256.

use std::collections::{BTreeMap, HashMap};

use pep440_rs::Version;
use pep508_rs::{MarkerEnvironment, PackageName};
use serde::Deserialize;

use super::{
    requirement::{environment, name_of},
    tags::Tags,
};

/// The lock file, parsed.
#[derive(Debug)]
pub struct Lock {
    /// The version of Python that its packages are for.
    pub python: Version,
    /// The environment for markers.
    pub environment: MarkerEnvironment,
    /// The tags for wheels.
    pub tags: Tags,
    packages: HashMap<PackageName, LockedPackage>,
    imports: HashMap<String, PackageName>,
}

/// A package of the lock file.
#[derive(Debug, Clone)]
pub struct LockedPackage {
    /// Its one version.
    pub version: Version,
    /// Its file's name, on the mirrors.
    pub file_name: String,
    /// SHA-256 of that file, hexadecimal.
    pub sha256: String,
    /// Its dependencies, in the versions that the lock file has.
    pub depends: Vec<PackageName>,
}

#[derive(Deserialize)]
struct File {
    info: Info,
    packages: BTreeMap<String, Entry>,
}

#[derive(Deserialize)]
struct Info {
    abi_version: String,
    python: String,
}

#[derive(Deserialize)]
struct Entry {
    depends: Vec<String>,
    file_name: String,
    imports: Vec<String>,
    name: String,
    sha256: String,
    version: String,
}

impl Lock {
    /// Reads the text of `pyodide-lock.json`, of the Pyodide that runs.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let File { info, packages: entries } =
            serde_json::from_str(text).map_err(|error| format!("the lock file is not valid: {error}"))?;
        let python: Version = info.python.parse().map_err(|error| format!("the lock file's Python: {error}"))?;
        let minor = python.release().get(1).and_then(|minor| u32::try_from(*minor).ok()).unwrap_or_default();
        let mut packages = HashMap::with_capacity(entries.len());
        let mut imports = HashMap::with_capacity(entries.len());
        // Skips test suites, which are packages of their own there: they cannot be imported from a wheel.
        for entry in entries.into_values().filter(|entry| !entry.name.ends_with("-tests")) {
            let invalid = || format!("the lock file's package `{}` is not valid", entry.name);
            let name = name_of(&entry.name).ok_or_else(invalid)?;
            for import in entry.imports {
                imports.insert(import, name.clone());
            }
            let depends = entry.depends.iter().map(|name| name_of(name).ok_or_else(invalid));
            let package = LockedPackage {
                // Some are not valid versions (PEP 440): nothing can require them by version either.
                version: entry.version.parse().unwrap_or_else(|_| Version::new([0])),
                depends: depends.collect::<Result<_, _>>()?,
                file_name: entry.file_name,
                sha256: entry.sha256,
            };
            packages.insert(name, package);
        }
        Ok(Self {
            environment: environment(&info.python)?,
            tags: Tags::new(minor, &info.abi_version),
            python,
            packages,
            imports,
        })
    }

    /// A package.
    #[must_use]
    pub fn get(&self, name: &PackageName) -> Option<&LockedPackage> {
        self.packages.get(name)
    }

    /// The modules that a package provides.
    #[must_use]
    pub fn imports_of(&self, name: &PackageName) -> Vec<&str> {
        let mut modules: Vec<&str> =
            self.imports.iter().filter(|(_, package)| *package == name).map(|(module, _)| module.as_str()).collect();
        modules.sort_unstable();
        modules
    }

    /// Finds the package of a module: for `a.b.c` the one that lists it, or `a.b`, or `a`.
    #[must_use]
    pub fn of_import(&self, module: &str) -> Option<&PackageName> {
        let mut module = module;
        loop {
            if let Some(name) = self.imports.get(module) {
                return Some(name);
            }
            module = module.rsplit_once('.')?.0;
        }
    }
}

impl LockedPackage {
    /// Whether its file is an archive of shared libraries instead of a wheel.
    #[must_use]
    pub fn is_library(&self) -> bool {
        !self.file_name.ends_with(".whl")
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) const LOCK: &str = r#"{
        "info": { "abi_version": "2026_0", "arch": "wasm32", "platform": "emscripten_5_0_3", "python": "3.14.0" },
        "packages": {
            "numpy": { "depends": [], "file_name": "numpy-2.4.3-cp314-cp314-pyemscripten_2026_0_wasm32.whl",
                "imports": ["numpy"], "install_dir": "site", "name": "numpy", "package_type": "package",
                "sha256": "aa", "unvendored_tests": false, "version": "2.4.3" },
            "pandas": { "depends": ["numpy", "python_dateutil"], "file_name": "pandas-3.0.2-cp314-cp314-pyemscripten_2026_0_wasm32.whl",
                "imports": ["pandas"], "install_dir": "site", "name": "pandas", "package_type": "package",
                "sha256": "bb", "unvendored_tests": true, "version": "3.0.2" },
            "python-dateutil": { "depends": [], "file_name": "python_dateutil-2.9.0-py2.py3-none-any.whl",
                "imports": ["dateutil"], "install_dir": "site", "name": "python-dateutil", "package_type": "package",
                "sha256": "cc", "unvendored_tests": false, "version": "2.9.0" },
            "pydantic": { "depends": [], "file_name": "pydantic-2.12.5-py3-none-any.whl",
                "imports": ["pydantic"], "install_dir": "site", "name": "pydantic", "package_type": "package",
                "sha256": "dd", "unvendored_tests": false, "version": "2.12.5" },
            "ruamel-yaml": { "depends": [], "file_name": "ruamel_yaml-0.19.1-py3-none-any.whl",
                "imports": ["ruamel.yaml"], "install_dir": "site", "name": "ruamel.yaml", "package_type": "package",
                "sha256": "ee", "unvendored_tests": false, "version": "0.19.1" },
            "pandas-tests": { "depends": ["pandas"], "file_name": "pandas-tests.tar",
                "imports": [], "install_dir": "site", "name": "pandas-tests", "package_type": "package",
                "sha256": "ff", "unvendored_tests": false, "version": "3.0.2" }
        }
    }"#;

    #[test]
    fn names_are_normalised_and_imports_found() {
        let lock = Lock::parse(LOCK).unwrap();
        let name = |text| name_of(text).unwrap();
        let pandas = lock.get(&name("Pandas")).unwrap();
        assert_eq!(pandas.depends, [name("numpy"), name("python-dateutil")]);
        assert_eq!(lock.of_import("dateutil.parser"), Some(&name("python-dateutil")));
        assert_eq!(lock.of_import("ruamel.yaml.main"), Some(&name("ruamel-yaml")));
        assert_eq!(lock.of_import("ruamel"), None);
        assert_eq!(lock.imports_of(&name("ruamel-yaml")), ["ruamel.yaml"]);
        assert_eq!(lock.of_import("os"), None);
        assert!(lock.get(&name("pandas-tests")).is_none());
    }

    #[test]
    fn what_is_no_lock_file_is_an_error() {
        for text in ["", "{}", "[]", r#"{"info":{"abi_version":"1","python":"x"},"packages":{}}"#] {
            assert!(Lock::parse(text).is_err(), "{text}");
        }
    }
}
