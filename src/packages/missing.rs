//! Why a run missed a module, in words that say what to do about it.

use super::{
    imports::{self, is_present},
    install::{Installed, Packages},
    options::Source,
    requirement::name_of,
};

/// How an error begins that is for want of a module.
const ERRORS: [&str; 2] = ["ModuleNotFoundError: ", "ImportError: "];

/// What multiprocessing is made of: `runtime/lacks.py` has the words.
const PROCESSES: [&str; 2] = ["_multiprocessing", "_posixshmem"];

/// What stands before the module: Python's own words, and those of pandas.
const BEFORE: [&str; 2] = ["No module named '", "Missing optional dependency '"];

impl Packages {
    /// What to say of a run's error, if it is for want of a module.
    #[must_use]
    pub fn why_missing(&self, error: &str, installed: &Installed) -> Option<String> {
        let module = missed(error)?;
        let top = module.split('.').next().unwrap_or(module);
        if let Some((_, why)) = installed.missing.iter().find(|(missing, _)| missing == top) {
            return Some(why.clone());
        }
        // Python's own words for it follow already.
        if PROCESSES.contains(&top) {
            return None;
        }
        if is_present(top) {
            return Some(format!("`{module}` belongs to Python itself, but the sandbox has no such module."));
        }
        let (lock, options) = (self.lock(), self.options());
        let locked = lock.of_import(module).cloned();
        let name = locked.clone().or_else(|| name_of(imports::distribution(module)))?;
        if let Some(wheel) = installed.set.wheels().iter().find(|wheel| wheel.name == name.as_ref()) {
            return Some(format!("{name} {} is installed, and has no module `{module}`.", wheel.version));
        }
        if options.denied.contains(&name) || !options.allowed.is_empty() && !options.allowed.contains(&name) {
            return Some(format!("This server does not install {name} (ALLOWED_PACKAGES, DENIED_PACKAGES)."));
        }
        Some(match options.source {
            Source::Bundled => "This server installs only what is built in (PACKAGES=bundled).".to_owned(),
            Source::Lock if locked.is_none() => format!(
                "Pyodide has no {name}, and this server does not use the package index: with the setting PACKAGES=pypi it does."
            ),
            Source::Lock | Source::Pypi => format!(
                "Packages are installed before a run, by the imports in its code: add `import {top}` to it, or name the \
                 distribution in a `# /// script` block."
            ),
        })
    }
}

/// The module that an error is for want of.
fn missed(error: &str) -> Option<&str> {
    // Not in what came before it.
    let (_, last) = error.rsplit_once("Traceback (most recent call last):\n").unwrap_or(("", error));
    let line = last.lines().rev().find(|line| ERRORS.iter().any(|begin| line.starts_with(begin)))?;
    let (_, after) = BEFORE.iter().find_map(|before| line.split_once(before))?;
    let (module, _) = after.split_once('\'')?;
    Some(module).filter(|module| !module.is_empty() && module.len() <= MAX_MODULE)
}

/// Longest name of a module that is looked for, in bytes.
const MAX_MODULE: usize = 200;

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use futures::{FutureExt, future::LocalBoxFuture};

    use super::*;
    use crate::packages::{
        PackageOptions, PackageSet, Wheel,
        lock::{Lock, tests::LOCK},
        supply::{Claim, FetchError, FetchRequest, Supply},
        wheel::{PreparedWheel, Size},
    };

    /// What is missed is not looked for.
    struct Nothing;

    impl Supply for Nothing {
        fn fetch(&self, _: FetchRequest) -> LocalBoxFuture<'static, Result<Vec<u8>, FetchError>> {
            async { Err(FetchError::Status(404)) }.boxed_local()
        }
        fn cached(&self, _: &str) -> LocalBoxFuture<'static, Option<Vec<u8>>> {
            async { None }.boxed_local()
        }
        fn cache(&self, _: &str, _: &[u8]) -> LocalBoxFuture<'static, ()> {
            async {}.boxed_local()
        }
        fn prepared(&self, _: &str) -> Option<Size> {
            None
        }
        fn keep(&self, _: &str, _: PreparedWheel, _: &PackageSet) {}
        fn keep_bytecode(&self, _: &str, _: Vec<u8>) {}
        fn claim(&self, _: &str) -> LocalBoxFuture<'static, Claim> {
            async { Box::new(()) as Claim }.boxed_local()
        }
    }

    fn why(module: &str, source: Source, installed: &Installed) -> Option<String> {
        let options = PackageOptions { source, denied: vec![name_of("six").unwrap()], ..PackageOptions::default() };
        let packages =
            Packages::new(Rc::new(Lock::parse(LOCK).unwrap()), options, PackageSet::default(), Rc::new(Nothing));
        packages.why_missing(&format!("Traceback\n  x\nModuleNotFoundError: No module named '{module}'\n"), installed)
    }

    #[test]
    fn each_missing_module_has_its_reason() {
        let nothing = Installed::default();
        for (module, source, part) in [
            ("tkinter", Source::Pypi, "the sandbox has no such module"),
            ("humanize", Source::Lock, "PACKAGES=pypi"),
            ("humanize", Source::Pypi, "add `import humanize`"),
            ("numpy.x", Source::Lock, "add `import numpy`"),
            ("numpy", Source::Bundled, "only what is built in"),
            ("six", Source::Pypi, "does not install six"),
        ] {
            let why = why(module, source, &nothing).unwrap();
            assert!(why.contains(part), "{module}: {why}");
        }
        let wheel = Wheel {
            name: "numpy".into(),
            version: "2".into(),
            sha256: String::new(),
            file_name: String::new(),
            url: None,
        };
        let missing = vec![("torch".to_owned(), "no wheel".to_owned())];
        let installed = Installed { set: PackageSet::new(vec![wheel]), missing };
        assert_eq!(why("torch.nn", Source::Pypi, &installed).unwrap(), "no wheel");
        assert!(why("numpy.x", Source::Lock, &installed).unwrap().contains("numpy 2 is installed"));
    }

    #[test]
    fn other_errors_are_no_missing_modules() {
        let handled = "Traceback (most recent call last):\n  x\nImportError: No module named 'x'\n\nTraceback (most recent \
                       call last):\n  y\nValueError: y\n";
        assert_eq!(missed(handled), None);
        assert_eq!(missed("ImportError: Missing optional dependency 'openpyxl'.  Use pip\n"), Some("openpyxl"));
        for error in
            ["", "ValueError: No module named 'x'", "ModuleNotFoundError: no", "ImportError: No module named ''"]
        {
            assert_eq!(missed(error), None, "{error}");
        }
    }
}
