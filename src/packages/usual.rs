//! What people import of packages: the modules that a snapshot has imported ahead.

use futures::future::LocalBoxFuture;
use pep508_rs::PackageName;

use super::{PackageSet, Packages, wheel::sha256};

/// Modules that are usual besides those of the lock file, which names each package's own. None of them draws random numbers
/// when it is imported but numpy, which gets new ones when an interpreter starts.
const USUAL: &[(&str, &[&str])] = &[
    ("matplotlib", &["matplotlib.pyplot", "matplotlib.backends.backend_agg"]),
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
    ("scipy", &["scipy.optimize", "scipy.stats"]),
];

/// The package that is imported first: what it draws is drawn anew.
const FIRST: &str = "numpy";

/// Makes snapshots of interpreters that have imported packages.
pub trait Snapshotter {
    /// Whether there is none of this set yet, and one may be made.
    fn wants(&self, set: &PackageSet) -> bool;

    /// Makes one of an interpreter that has imported these modules.
    fn make(&self, set: PackageSet, modules: Vec<String>) -> LocalBoxFuture<'static, ()>;
}

impl Packages {
    /// What a snapshot of this set has imported: modules by the names of its packages alone, whatever a program imports.
    pub(super) fn usual_modules(&self, set: &PackageSet) -> Vec<String> {
        let modules = |name: &str| {
            let locked = name.parse::<PackageName>().map(|name| self.lock().imports_of(&name)).unwrap_or_default();
            let usual = USUAL.iter().filter(|(package, _)| *package == name).flat_map(|(_, modules)| modules.iter());
            locked.into_iter().chain(usual.copied()).map(str::to_owned).collect::<Vec<_>>()
        };
        let (first, others): (Vec<_>, Vec<_>) = set.wheels().iter().partition(|wheel| wheel.name == FIRST);
        first.into_iter().chain(others).flat_map(|wheel| modules(&wheel.name)).collect()
    }
}

/// Names the snapshot of a set, in a build.
pub(crate) fn snapshot_key(build: &str, set: &PackageSet) -> String {
    sha256(format!("snapshot {build} {} {USUAL:?}", set.hash()).as_bytes())
}
