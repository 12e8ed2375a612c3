//! Modules that people usually import of packages: a snapshot has imported them ahead.

use std::collections::HashSet;

use futures::future::LocalBoxFuture;
use pep508_rs::PackageName;

use super::{PackageSet, Packages, Wheel, wheel::sha256};
use crate::limits::MIN_SNAPSHOT;

/// Modules that are usual besides those of the lock file, which names each package's own. A module that draws
/// random numbers when it is imported is left out of the snapshot.
const USUAL: &[(&str, &[&str])] = &[
    ("matplotlib", &["matplotlib.pyplot", "matplotlib.backends.backend_agg"]),
    (
        "pillow",
        &[
            "PIL.BmpImagePlugin",
            "PIL.GifImagePlugin",
            "PIL.JpegImagePlugin",
            "PIL.PngImagePlugin",
            "PIL.PpmImagePlugin",
        ],
    ),
    (
        "scikit-learn",
        &[
            "sklearn.cluster",
            "sklearn.datasets",
            "sklearn.decomposition",
            "sklearn.ensemble",
            "sklearn.linear_model",
            "sklearn.metrics",
            "sklearn.model_selection",
            "sklearn.neighbors",
            "sklearn.pipeline",
            "sklearn.preprocessing",
            "sklearn.svm",
            "sklearn.tree",
        ],
    ),
    ("scipy", &["scipy.optimize"]),
];

/// Modules of one package that another imports once both are used together.
const TOGETHER: &[(&str, &str, &[&str])] = &[("pandas", "matplotlib", &["pandas.plotting._matplotlib"])];

/// Modules that draw random numbers when they are imported, by the packages that import them. `runner.py` draws these
/// anew. They come first, so that draws of other modules are noticed.
const FIRST: &[(&str, &[&str])] = &[
    ("numpy", &["numpy", "numpy.random"]),
    ("scipy", &["multiprocessing.process", "scipy", "scipy.stats"]),
    ("joblib", &["multiprocessing.process"]),
];

/// Makes snapshots of interpreters that have imported packages.
pub trait Snapshotter {
    /// Returns the wheels of this set that no snapshot has, so that an interpreter has to import them; none if no
    /// snapshot is to be made.
    fn lacks(&self, set: &PackageSet) -> Vec<Wheel>;

    /// Whether snapshots are made in the background: then no bytecode is needed first.
    fn is_aside(&self) -> bool;

    /// Makes a snapshot of an interpreter that has imported these modules.
    fn make(&self, set: PackageSet, modules: Vec<String>) -> LocalBoxFuture<'static, ()>;
}

impl Packages {
    /// Whether a snapshot of this set would be worth its memory.
    pub(super) fn deserves_snapshot(&self, snapshots: &dyn Snapshotter, set: &PackageSet) -> bool {
        // Built-in packages are in the build's own snapshot.
        if self.bundled.contains(set) {
            return false;
        }
        let size = |wheel: &Wheel| self.supply.prepared(&wheel.sha256).map_or(0, |size| size.total());
        snapshots.lacks(set).iter().map(size).sum::<usize>() >= MIN_SNAPSHOT
    }

    /// Returns the modules that a snapshot of this set has imported: by the names of its packages alone, whatever a
    /// program imports.
    pub(super) fn usual_modules(&self, set: &PackageSet) -> Vec<String> {
        let modules = |name: &str| {
            let locked = name.parse::<PackageName>().map(|name| self.lock().imports_of(&name)).unwrap_or_default();
            let usual = USUAL.iter().filter(|(package, _)| *package == name).flat_map(|(_, modules)| modules.iter());
            locked.into_iter().chain(usual.copied()).map(str::to_owned).collect::<Vec<_>>()
        };
        let has = |name: &str| set.wheels().iter().any(|wheel| wheel.name == name);
        let first = FIRST.iter().filter(|(package, _)| has(package)).flat_map(|(_, modules)| modules.iter());
        let all = first.map(|module| (*module).to_owned());
        let together = TOGETHER.iter().filter(|(one, other, _)| has(one) && has(other));
        let together = together.flat_map(|(.., modules)| modules.iter()).map(|module| (*module).to_owned());
        let of_each = set.wheels().iter().flat_map(|wheel| modules(&wheel.name));
        let mut all: Vec<String> = all.chain(of_each).chain(together).collect();
        let mut seen = HashSet::new();
        all.retain(|module| seen.insert(module.clone()));
        all
    }
}

/// The key of a set's snapshot, in a build.
pub(crate) fn snapshot_key(build: &str, set: &PackageSet) -> String {
    sha256(format!("snapshot {build} {} {FIRST:?} {USUAL:?} {TOGETHER:?}", set.hash()).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::{super::install::tests::test_with, *};

    #[test]
    fn modules_are_those_of_the_packages_and_what_draws_comes_first() {
        let packages = test_with(|_| {}).0.its_packages();
        let wheel = |name: &str| Wheel {
            name: name.into(),
            version: String::new(),
            sha256: name.into(),
            file_name: String::new(),
            url: None,
        };
        let modules =
            |names: &[&str]| packages.usual_modules(&PackageSet::new(names.iter().map(|n| wheel(n)).collect()));
        assert_eq!(modules(&["matplotlib", "numpy"])[..3], ["numpy", "numpy.random", "matplotlib.pyplot"]);
        assert_eq!(modules(&["scipy"])[0], "multiprocessing.process");
        assert_eq!(modules(&["unknown to the lock file"]), [""; 0]);
        let plots = |names: &[&str]| modules(names).contains(&"pandas.plotting._matplotlib".to_owned());
        assert!(plots(&["matplotlib", "pandas"]) && !plots(&["pandas"]));
        for module in FIRST.iter().chain(USUAL).flat_map(|(_, modules)| modules.iter()) {
            assert!(module.split('.').all(|part| !part.is_empty()), "{module}");
        }
    }
}
