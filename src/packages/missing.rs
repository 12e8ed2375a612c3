//! Explains why a run missed a module: says what to do about it, or what to add for a second run.
//!
//! **Boundary.** The error was written by the code that ran. Only the name of a module is taken from it, which must
//! look like one, and is then treated as an import in the code is: the settings and every limit of an installation
//! apply.

use std::{
    cell::RefCell,
    collections::{BTreeSet, HashMap},
    rc::Rc,
};

use pep508_rs::PackageName;

use super::{
    imports::{self, is_present},
    install::{Installed, Packages},
    metadata::Metadata,
    options::Source,
    requirement::name_of,
    set::Wheel,
    wheel,
};
use crate::limits::MAX_PACKAGES;

/// How an error begins that is due to a missing module.
const ERRORS: [&str; 3] = ["ModuleNotFoundError: ", "ImportError: ", NO_ZONE];

/// How an error begins that is due to a missing time zone, or to missing time zone data.
const NO_ZONE: &str = "zoneinfo._common.ZoneInfoNotFoundError: ";

/// The modules that multiprocessing needs: `runtime/python/lacks.py` explains why they are missing.
const PROCESSES: [&str; 2] = ["_multiprocessing", "_posixshmem"];

/// The text around the module's name in Python's own errors.
const PYTHONS: (&str, &str) = ("No module named '", "'");

/// The same in errors of pandas, 3 and before, which may name the distribution, mostly the same; and in Pyodide's.
const OTHERS: [(&str, &str); 4] = [
    ("`Import ", "`"),
    ("Missing optional dependency '", "'"),
    ("ImportError: ", " not found, please install"),
    ("pyodide.loadPackage('", "'"),
];

/// A module that a run missed, though it can be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missed {
    /// Its name.
    pub(super) module: String,
    /// The distribution that should have it.
    pub(super) name: PackageName,
}

impl Missed {
    /// The first part of its name.
    pub(crate) fn top(&self) -> &str {
        top(&self.module)
    }
}

/// The names in wheels' metadata, by sha256: reading a wheel takes long, and any run that fails may ask.
#[derive(Default)]
pub(super) struct Named(RefCell<HashMap<String, Rc<BTreeSet<PackageName>>>>);

impl Named {
    fn keep(&self, sha256: &str, names: BTreeSet<PackageName>) -> Rc<BTreeSet<PackageName>> {
        let names = Rc::new(names);
        let mut kept = self.0.borrow_mut();
        // As many as the largest set has. Names in use are soon there again.
        if kept.len() >= MAX_PACKAGES {
            kept.clear();
        }
        kept.insert(sha256.to_owned(), names.clone());
        names
    }
}

/// Why a module is not there.
enum Reason {
    /// It cannot be had.
    Unavailable(String),
    /// It was not known that it would be needed.
    Unforeseen(Missed),
}

impl Packages {
    /// Returns what to say of a run's error, if a module is missing, or if one was added before.
    #[must_use]
    pub fn why_missing(&self, error: &str, installed: &Installed) -> Option<String> {
        let added = installed.added.iter();
        match self.reason(error, installed) {
            Some(Reason::Unforeseen(missed)) => self.advice(added.chain([&missed])),
            Some(Reason::Unavailable(why)) => {
                // Importing an installed package that lacks the module does not help.
                let others = added.filter(|added| missed(error).map(top) != Some(added.top()));
                Some([Some(why), self.advice(others)].into_iter().flatten().collect::<Vec<_>>().join("\n"))
            }
            None => self.advice(added),
        }
    }

    /// Returns what to add for another run of `code`, after one that failed with this error.
    ///
    /// A package of the lock file may be added in any case. For anything else the index is asked, by a name that the
    /// run has chosen: that could tell the index, or those who count its downloads, what the run was given. So the name
    /// must be known without the run: from the lists of this server, the code or the metadata of what is installed.
    pub async fn obtainable(&self, error: &str, code: &str, installed: &Installed) -> Option<Missed> {
        let Reason::Unforeseen(missed) = self.reason(error, installed)? else { return None };
        let is_known = self.lock().get(&missed.name).is_some()
            || imports::is_known(&missed.name)
            || imports::has_word(code, missed.top())
            || self.is_named_by(installed, &missed.name).await;
        is_known.then_some(missed)
    }

    /// Whether an installed wheel says that it may need this. Only cached wheels are read.
    async fn is_named_by(&self, installed: &Installed, name: &PackageName) -> bool {
        for Wheel { sha256, .. } in installed.set.wheels() {
            let known = self.named.0.borrow().get(sha256).cloned();
            let names = match known {
                Some(names) => names,
                None => {
                    let Some(bytes) = self.supply.cached(sha256).await else { continue };
                    let metadata =
                        wheel::check(&self.supply.sha256(&bytes).await, sha256).and_then(|()| wheel::metadata(&bytes));
                    let Ok(metadata) = metadata.and_then(|text| Metadata::parse(&text)) else { continue };
                    self.named.keep(sha256, metadata.names().cloned().collect())
                }
            };
            if names.contains(name) {
                return true;
            }
        }
        false
    }

    fn reason(&self, error: &str, installed: &Installed) -> Option<Reason> {
        let module = missed(error)?;
        let top = top(module);
        let unavailable = |why: String| Some(Reason::Unavailable(why));
        if let Some((_, why)) = installed.missing.iter().find(|(missing, _)| missing == top) {
            return unavailable(why.clone());
        }
        // The error explains it already.
        if PROCESSES.contains(&top) {
            return None;
        }
        if is_present(top) {
            return unavailable(format!("`{module}` belongs to Python itself, but the sandbox has no such module."));
        }
        let (lock, options) = (self.lock(), self.options());
        let name = self.distribution(module)?;
        if let Some(wheel) = installed.wheel(&name) {
            if error.contains(NO_ZONE) {
                return None; // there is no such zone
            }
            return unavailable(format!("{name} {} is installed, and has no module `{module}`.", wheel.version));
        }
        if options.denied.contains(&name) || !options.allowed.is_empty() && !options.allowed.contains(&name) {
            return unavailable(format!("This server does not install {name} (ALLOWED_PACKAGES, DENIED_PACKAGES)."));
        }
        match options.source {
            Source::Bundled => unavailable("This server installs only what is built in (PACKAGES=bundled).".to_owned()),
            Source::Lock if lock.get(&name).is_none() => unavailable(format!(
                "Pyodide has no {name}, and this server does not use the package index: with the setting PACKAGES=pypi it does."
            )),
            Source::Lock | Source::Pypi => Some(Reason::Unforeseen(Missed { module: module.to_owned(), name })),
        }
    }

    fn distribution(&self, module: &str) -> Option<PackageName> {
        self.lock().of_import(module).cloned().or_else(|| name_of(imports::distribution(module)))
    }

    /// Says what to add to the code, so that these are installed before it runs.
    fn advice<'a>(&self, missed: impl Iterator<Item = &'a Missed>) -> Option<String> {
        let imports: Vec<String> = missed
            .map(|Missed { module, name }| {
                // Parts of one package, as of `google`, may be of several distributions.
                let top = Some(top(module)).filter(|top| self.distribution(top).as_ref() == Some(name));
                format!("`import {}`", top.unwrap_or(module))
            })
            .collect();
        if imports.is_empty() {
            return None;
        }
        Some(format!(
            "Packages are installed before a run, by the imports in its code: add {} at the top of it, or name the \
             distribution in a `# /// script` block.",
            imports.join(" and ")
        ))
    }
}

fn top(module: &str) -> &str {
    module.split('.').next().unwrap_or(module)
}

/// Returns the module that an error says is missing: in Python's words, in it or in its causes, or else in others'
/// words.
fn missed(error: &str) -> Option<&str> {
    // Goes back from the last error while each is due to something missing; errors that were handled before do not
    // count.
    let mut lines = error
        .rsplit("Traceback (most recent call last):\n")
        .map_while(|error| error.lines().rev().find(|line| ERRORS.iter().any(|begin| line.starts_with(begin))));
    let last = lines.next()?;
    let mut found = std::iter::once(last).chain(lines).filter_map(|line| between(line, PYTHONS));
    found.next().or_else(|| OTHERS.iter().find_map(|around| between(last, *around)))
}

/// Finds the name of a module between two texts.
fn between<'a>(line: &'a str, (before, after): (&str, &str)) -> Option<&'a str> {
    let (module, _) = line.split_once(before)?.1.split_once(after)?;
    Some(module).filter(|module| is_module(module))
}

/// Longest name of a module that is looked for, in bytes.
const MAX_MODULE: usize = 200;

/// Whether it is a module's name, with letters that a distribution can have.
fn is_module(name: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
    name.len() <= MAX_MODULE
        && name.split('.').all(|part| {
            part.bytes().next().is_some_and(is_letter)
                && part.bytes().all(|byte| is_letter(byte) || byte.is_ascii_digit())
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packages::{
        PackageOptions, PackageSet,
        lock::{Lock, tests::LOCK},
        supply::tests::AtHand,
    };

    fn packages(source: Source) -> Packages {
        let options = PackageOptions { source, denied: vec![name_of("six").unwrap()], ..PackageOptions::default() };
        Packages::new(Rc::new(Lock::parse(LOCK).unwrap()), options, PackageSet::default(), Rc::new(AtHand))
    }

    fn why(module: &str, source: Source, installed: &Installed) -> Option<String> {
        packages(source)
            .why_missing(&format!("Traceback\n  x\nModuleNotFoundError: No module named '{module}'\n"), installed)
    }

    #[test]
    fn each_missing_module_has_its_reason() {
        let nothing = Installed::default();
        for (module, source, part) in [
            ("tkinter", Source::Pypi, "the sandbox has no such module"),
            ("humanize", Source::Lock, "PACKAGES=pypi"),
            ("humanize", Source::Pypi, "add `import humanize` at the top"),
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
        let installed = Installed { set: PackageSet::new(vec![wheel]), missing, added: None };
        assert_eq!(why("torch.nn", Source::Pypi, &installed).unwrap(), "no wheel");
        assert!(why("numpy.x", Source::Lock, &installed).unwrap().contains("numpy 2 is installed"));
    }

    #[test]
    fn a_second_run_that_fails_is_told_what_the_first_missed() {
        let missed = |module: &str, name: &str| Missed { module: module.into(), name: name_of(name).unwrap() };
        let after = |added| Installed {
            added: Some(added),
            missing: vec![("torch".into(), "no wheel".into())],
            ..Installed::default()
        };
        let six = || after(missed("dateutil.tz", "python-dateutil"));
        let advice = "Packages are installed before a run, by the imports in its code: add `import dateutil` at the top of \
                      it, or name the distribution in a `# /// script` block.";
        let packages = packages(Source::Pypi);
        assert_eq!(packages.why_missing("ValueError: x", &six()).unwrap(), advice);
        assert_eq!(why("torch", Source::Pypi, &six()).unwrap(), format!("no wheel\n{advice}"));
        let both = why("google.protobuf.x", Source::Pypi, &six()).unwrap();
        assert!(both.contains("add `import dateutil` and `import google.protobuf.x` at"), "{both}");
        assert_eq!(why("torch.nn", Source::Pypi, &after(missed("torch", "torch"))).unwrap(), "no wheel");
    }

    #[test]
    fn the_name_of_a_module_is_nothing_else() {
        for module in ["six", "_a.b2", "a_.B", &"a".repeat(MAX_MODULE)] {
            assert_eq!(missed(&format!("ImportError: No module named '{module}'")), Some(module));
        }
        for name in [
            "",
            ".",
            "a.",
            ".a",
            "a..b",
            "2a",
            "a.2",
            "a b",
            "a-b",
            "a/b",
            "../a",
            "a%2fb",
            "a\u{0}",
            "a\r",
            "\u{fffd}",
            "é",
            "а",
            "ｓix",
            "six\u{200b}",
            "six==1",
            "six[x]",
            "a@b",
            "a\\",
            "a\"",
            &"a".repeat(MAX_MODULE + 1),
            &"a.".repeat(99),
        ] {
            assert_eq!(missed(&format!("ModuleNotFoundError: No module named '{name}'")), None, "{name}");
        }
    }

    #[test]
    fn an_error_for_want_of_a_module_may_have_other_words() {
        const BEGIN: &str = "Traceback (most recent call last):\n  x\n";
        let chain =
            |errors: &[&str]| errors.iter().map(|error| format!("{BEGIN}{error}\n\nx:\n\n")).collect::<String>();
        let cause = "ModuleNotFoundError: No module named 'odf'";
        for (errors, expected) in [
            (vec![cause, "ImportError: `Import odfpy` failed.  Use pip"], Some("odf")),
            (vec!["ImportError: `Import odfpy` failed.  Use pip"], Some("odfpy")),
            (vec!["ImportError: lxml not found, please install or use the etree parser."], Some("lxml")),
            (vec!["ImportError: It was not found, please install it"], None),
            (vec![cause, "ImportError: x needs y", "ImportError: please install it"], Some("odf")),
            (vec![cause, "KeyError: 'x'", "ImportError: please install it"], None),
            (vec!["KeyError: 'x'", cause], Some("odf")),
            (vec![cause, "zoneinfo._common.ZoneInfoNotFoundError: 'x'"], Some("odf")),
            (
                vec![
                    "KeyError: 'x'",
                    "zoneinfo._common.ZoneInfoNotFoundError: \"No time zone found with key CET. On Pyodide you must do \
                     pyodide.loadPackage('tzdata') package before you use zoneinfo.\"",
                ],
                Some("tzdata"),
            ),
        ] {
            assert_eq!(missed(&chain(&errors)), expected, "{errors:?}");
        }
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
