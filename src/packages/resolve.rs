//! From requirements to wheels: PubGrub over the lock file and the package index.
//!
//! PubGrub does not wait, but the index has to be awaited: when PubGrub asks for something that is not known yet, the
//! resolution ends, that is fetched, and the resolution starts anew. It takes milliseconds, and what is known does not
//! change meanwhile.

use std::{
    cell::RefCell,
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
    rc::Rc,
};

use futures::future::LocalBoxFuture;
use pep440_rs::Version;
use pep508_rs::{ExtraName, PackageName};
use pubgrub::{
    Dependencies, DependencyConstraints, DependencyProvider, PackageResolutionStatistics, PubGrubError, Ranges,
};

use super::{
    explain::{self, Unresolved},
    index::{IndexWheel, Project},
    lock::{Lock, LockedPackage},
    metadata::Metadata,
    options::{PackageOptions, Source},
    requirement::{self, Requirement, Wanted},
    set::Wheel,
};
use crate::limits::{MAX_LOOKUPS, MAX_PACKAGES};

/// Fetches what a resolution does not know.
pub trait Lookup {
    /// A project's page of the index.
    fn project<'a>(&'a self, name: &'a PackageName) -> LocalBoxFuture<'a, Result<Rc<Project>, String>>;

    /// A wheel's metadata.
    fn metadata<'a>(
        &'a self,
        wheel: &'a Wheel,
        separate: Option<&'a (String, String)>,
    ) -> LocalBoxFuture<'a, Result<Rc<Metadata>, String>>;
}

/// The fixed input of a resolution.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The lock file.
    pub lock: &'a Lock,
    /// The settings.
    pub options: &'a PackageOptions,
    /// The wheels that were built in.
    pub bundled: &'a [Wheel],
    /// Packages of the lock file whose wheels no mirror has: the index may have others.
    pub unfetched: &'a BTreeSet<String>,
}

/// A package, as PubGrub sees it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Node {
    /// The root: all that is asked for.
    Root,
    /// A distribution.
    Package(PackageName),
    /// An extra of a distribution: has the same version.
    Extra(PackageName, ExtraName),
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => f.write_str("what is asked for"),
            Self::Package(name) => name.fmt(f),
            Self::Extra(name, extra) => write!(f, "{name}[{extra}]"),
        }
    }
}

/// Something that has to be looked up first.
#[derive(Debug)]
pub(super) enum Missing {
    Project(PackageName),
    Metadata(PackageName, Version),
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not known yet")
    }
}

impl std::error::Error for Missing {}

/// The results of lookups.
#[derive(Default)]
pub(super) struct Known {
    pub(super) projects: HashMap<PackageName, Result<Rc<Project>, String>>,
    metadata: HashMap<(PackageName, Version), Result<Rc<Metadata>, String>>,
}

/// Finds wheels that fulfil all of `wanted`, dependencies included: sorted by name.
///
/// # Errors
/// Says which requirement cannot be fulfilled, what was searched where, and which versions exist.
pub async fn resolve(context: Context<'_>, wanted: &[Wanted], lookup: &dyn Lookup) -> Result<Vec<Wheel>, Unresolved> {
    let environment = &context.lock.environment;
    let wanted: Vec<&Wanted> =
        wanted.iter().filter(|wanted| wanted.requirement.evaluate_markers(environment, &[])).collect();
    let mut provider = Provider { context, wanted: &wanted, known: Known::default(), refused: RefCell::default() };
    for _ in 0..MAX_LOOKUPS {
        provider.refused.take();
        let missing = match pubgrub::resolve(&provider, Node::Root, Version::new([0])) {
            Ok(solution) => {
                let chosen: BTreeMap<Node, Version> = solution.into_iter().collect();
                let wheels = chosen.iter().filter_map(|(node, version)| match node {
                    Node::Package(name) => provider.wheel(name, version),
                    _ => None,
                });
                let wheels: Vec<Wheel> = wheels.collect();
                if wheels.len() > MAX_PACKAGES {
                    let why = format!("{} packages are needed, and at most {MAX_PACKAGES} are installed", wheels.len());
                    return Err(Unresolved::new(why));
                }
                return Ok(wheels);
            }
            Err(PubGrubError::NoSolution(tree)) => return Err(explain::no_solution(&provider, &tree)),
            Err(
                PubGrubError::ErrorChoosingVersion { source, .. }
                | PubGrubError::ErrorRetrievingDependencies { source, .. }
                | PubGrubError::ErrorInShouldCancel(source),
            ) => source,
        };
        match missing {
            Missing::Project(name) => {
                let project = lookup.project(&name).await;
                provider.known.projects.insert(name, project);
            }
            Missing::Metadata(name, version) => {
                let metadata = match provider.wheel(&name, &version) {
                    Some(wheel) => lookup.metadata(&wheel, provider.separate_metadata(&name, &version)).await,
                    None => Err("it has no wheel".into()),
                };
                provider.known.metadata.insert((name, version), metadata);
            }
        }
    }
    Err(Unresolved::new(format!("the index would have to be asked more than {MAX_LOOKUPS} times")))
}

/// Answers PubGrub's questions.
pub(super) struct Provider<'a> {
    pub(super) context: Context<'a>,
    pub(super) wanted: &'a [&'a Wanted],
    pub(super) known: Known,
    /// Packages that were asked for and of which no version in the range can be had.
    pub(super) refused: RefCell<BTreeMap<PackageName, Ranges<Version>>>,
}

impl Provider<'_> {
    /// Returns the wheel of a version that was chosen.
    fn wheel(&self, name: &PackageName, version: &Version) -> Option<Wheel> {
        if let Some(locked) = self.locked(name).filter(|locked| locked.version == *version) {
            return Some(Wheel {
                name: name.to_string(),
                version: version.to_string(),
                sha256: locked.sha256.clone(),
                file_name: locked.file_name.clone(),
                url: None,
            });
        }
        if let Some(bundled) = self.bundled(name).filter(|bundled| bundled.version == version.to_string()) {
            return Some(bundled.clone());
        }
        let wheel = self.on_index(name)?.wheels.get(version)?;
        Some(Wheel {
            name: name.to_string(),
            version: version.to_string(),
            sha256: wheel.sha256.clone(),
            file_name: wheel.file_name.clone(),
            url: Some(wheel.url.clone()),
        })
    }

    fn locked(&self, name: &PackageName) -> Option<&LockedPackage> {
        self.context.lock.get(name).filter(|_| !self.context.unfetched.contains(name.as_ref()))
    }

    pub(super) fn bundled(&self, name: &PackageName) -> Option<&Wheel> {
        self.context.bundled.iter().find(|wheel| wheel.name == name.as_ref())
    }

    fn on_index(&self, name: &PackageName) -> Option<&Project> {
        self.known.projects.get(name)?.as_deref().ok()
    }

    fn separate_metadata(&self, name: &PackageName, version: &Version) -> Option<&(String, String)> {
        let locked = self.locked(name).is_some_and(|locked| locked.version == *version);
        self.on_index(name)?.wheels.get(version)?.metadata.as_ref().filter(|_| !locked)
    }

    /// Returns the best version in a range that may be installed.
    pub(super) fn choose(&self, name: &PackageName, range: &Ranges<Version>) -> Result<Option<Version>, Missing> {
        let options = self.context.options;
        if options.denied.contains(name) {
            return Ok(None);
        }
        // A built-in package is always there, in its one version.
        if let Some(bundled) = self.bundled(name) {
            return Ok(bundled.version.parse().ok().filter(|version| range.contains(version)));
        }
        if options.source == Source::Bundled {
            return Ok(None);
        }
        if let Some(locked) = self.locked(name).filter(|locked| range.contains(&locked.version)) {
            return Ok(Some(locked.version.clone()));
        }
        if options.source != Source::Pypi {
            return Ok(None);
        }
        match self.known.projects.get(name) {
            None => Err(Missing::Project(name.clone())),
            Some(Err(_)) => Ok(None),
            Some(Ok(project)) => Ok(self.newest(name, project, range)),
        }
    }

    fn newest(&self, name: &PackageName, project: &Project, range: &Ranges<Version>) -> Option<Version> {
        let exact = range.as_singleton();
        let fits = |(version, wheel): &(&Version, &IndexWheel)| {
            range.contains(version) && (!wheel.yanked || exact.is_some_and(|exact| exact == *version))
        };
        let candidates: Vec<&Version> = project.wheels.iter().rev().filter(fits).map(|(version, _)| version).collect();
        let named = self
            .wanted
            .iter()
            .any(|wanted| wanted.requirement.name == *name && requirement::names_prerelease(&wanted.requirement));
        // PEP 440: a pre-release is taken if it is asked for, or if there is nothing else.
        let stable = candidates.iter().find(|version| named || exact.is_some() || !version.any_prerelease());
        stable.or(candidates.first()).map(|version| (*version).clone())
    }

    fn needs(&self, name: &PackageName, version: &Version) -> Result<Result<&Metadata, String>, Missing> {
        match self.known.metadata.get(&(name.clone(), version.clone())) {
            None => Err(Missing::Metadata(name.clone(), version.clone())),
            Some(Ok(metadata)) => Ok(Ok(metadata)),
            Some(Err(why)) => Ok(Err(format!("the metadata of {name} {version} cannot be read: {why}"))),
        }
    }

    fn of_package(&self, name: &PackageName, version: &Version) -> Result<Result<Needs, String>, Missing> {
        let mut needs = Needs::default();
        if let Some(locked) = self.locked(name).filter(|locked| locked.version == *version) {
            for dependency in &locked.depends {
                needs.add(Node::Package(dependency.clone()), Ranges::full());
            }
            return Ok(if locked.is_library() {
                Err(format!("{name} is a shared library, and no package"))
            } else {
                Ok(needs)
            });
        }
        let metadata = match self.needs(name, version)? {
            Ok(metadata) => metadata,
            Err(why) => return Ok(Err(why)),
        };
        let python = &self.context.lock.python;
        if let Some(required) = metadata.requires_python.as_ref().filter(|required| !required.contains(python)) {
            return Ok(Err(format!("{name} {version} requires Python {required}, and this is {python}")));
        }
        for requirement in metadata.requires(&self.context.lock.environment, None) {
            needs.require(requirement);
        }
        Ok(Ok(needs))
    }

    fn of_extra(
        &self,
        name: &PackageName,
        extra: &ExtraName,
        version: &Version,
    ) -> Result<Result<Needs, String>, Missing> {
        let metadata = match self.needs(name, version)? {
            Ok(metadata) => metadata,
            Err(why) => return Ok(Err(why)),
        };
        if !metadata.extras.contains(extra) {
            let there: Vec<String> = metadata.extras.iter().map(ToString::to_string).collect();
            let there = if there.is_empty() { "none".to_owned() } else { there.join(", ") };
            return Ok(Err(format!("{name} {version} has no extra `{extra}`; it has: {there}")));
        }
        let mut needs = Needs::default();
        needs.add(Node::Package(name.clone()), Ranges::singleton(version.clone()));
        for requirement in metadata.requires(&self.context.lock.environment, Some(extra)) {
            needs.require(requirement);
        }
        Ok(Ok(needs))
    }
}

/// The needs of a node, each dependency once.
#[derive(Default)]
struct Needs(BTreeMap<Node, Ranges<Version>>);

impl Needs {
    fn add(&mut self, node: Node, range: Ranges<Version>) {
        let merged = match self.0.get(&node) {
            Some(other) => other.intersection(&range),
            None => range,
        };
        self.0.insert(node, merged);
    }

    fn require(&mut self, requirement: &Requirement) {
        let range = requirement::versions(requirement);
        for extra in &requirement.extras {
            self.add(Node::Extra(requirement.name.clone(), extra.clone()), range.clone());
        }
        self.add(Node::Package(requirement.name.clone()), range);
    }
}

impl DependencyProvider for Provider<'_> {
    type P = Node;
    type V = Version;
    type VS = Ranges<Version>;
    type Priority = (u32, bool, Reverse<Node>);
    type M = String;
    type Err = Missing;

    fn prioritize(
        &self,
        node: &Node,
        range: &Ranges<Version>,
        statistics: &PackageResolutionStatistics,
    ) -> Self::Priority {
        (statistics.conflict_count(), range.as_singleton().is_some(), Reverse(node.clone()))
    }

    fn choose_version(&self, node: &Node, range: &Ranges<Version>) -> Result<Option<Version>, Missing> {
        match node {
            Node::Root => Ok(Some(Version::new([0]))),
            Node::Package(name) | Node::Extra(name, _) => {
                let chosen = self.choose(name, range)?;
                if chosen.is_none() {
                    self.refused.borrow_mut().insert(name.clone(), range.clone());
                }
                Ok(chosen)
            }
        }
    }

    fn get_dependencies(
        &self,
        node: &Node,
        version: &Version,
    ) -> Result<Dependencies<Node, Ranges<Version>, String>, Missing> {
        let needs = match node {
            Node::Root => {
                let mut needs = Needs::default();
                for wanted in self.wanted {
                    needs.require(&wanted.requirement);
                }
                Ok(needs)
            }
            Node::Package(name) => self.of_package(name, version)?,
            Node::Extra(name, extra) => self.of_extra(name, extra, version)?,
        };
        Ok(match needs {
            Ok(Needs(needs)) => Dependencies::Available(needs.into_iter().collect::<DependencyConstraints<_, _>>()),
            Err(why) => Dependencies::Unavailable(why),
        })
    }
}

#[cfg(test)]
#[path = "resolve_tests.rs"]
mod tests;
