//! Explains why requirements cannot be fulfilled, and which versions exist.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use pep440_rs::Version;
use pep508_rs::PackageName;
use pubgrub::{DefaultStringReporter, DerivationTree, External, Ranges, Reporter};

use super::{
    index::Project,
    options::Source,
    requirement::Origin,
    resolve::{Node, Provider},
};

/// How many versions are named at most.
const VERSIONS: usize = 8;

/// Why there is no set of packages. The text is for people and models.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unresolved {
    /// The text.
    pub why: String,
    /// The distributions that are to blame.
    pub names: BTreeSet<PackageName>,
}

impl Unresolved {
    pub(super) fn new(why: String) -> Self {
        Self { why, names: BTreeSet::new() }
    }
}

impl fmt::Display for Unresolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

impl std::error::Error for Unresolved {}

type Tree = DerivationTree<Node, Ranges<Version>, String>;

/// The causes in a derivation tree.
#[derive(Default)]
struct Causes {
    /// The versions that are demanded of each package.
    demanded: BTreeMap<PackageName, Vec<Ranges<Version>>>,
    /// The dependents of each package.
    dependents: BTreeMap<PackageName, BTreeSet<String>>,
    /// Packages that cannot be used, and why.
    unusable: BTreeSet<String>,
    names: BTreeSet<PackageName>,
}

impl Causes {
    fn collect(&mut self, tree: &Tree) {
        // The tree is as deep as the derivation is long: no recursion.
        let mut open = vec![tree];
        while let Some(tree) = open.pop() {
            match tree {
                DerivationTree::Derived(derived) => open.extend([&*derived.cause1, &*derived.cause2]),
                DerivationTree::External(External::NoVersions(node, _)) => {
                    self.names.extend(name_of(node).cloned());
                }
                DerivationTree::External(External::FromDependencyOf(dependent, range, node, needed)) => {
                    if let Some(name) = name_of(node) {
                        let demanded = self.demanded.entry(name.clone()).or_default();
                        if !demanded.contains(needed) {
                            demanded.push(needed.clone());
                        }
                    }
                    if *dependent == Node::Root {
                        continue;
                    }
                    if let Some(name) = name_of(node).filter(|name| name_of(dependent) != Some(name)) {
                        let version = range.as_singleton().map(|version| format!(" {version}")).unwrap_or_default();
                        self.dependents.entry(name.clone()).or_default().insert(format!("{dependent}{version}"));
                    }
                }
                DerivationTree::External(External::Custom(node, _, why)) => {
                    self.names.extend(name_of(node).cloned());
                    self.unusable.insert(why.clone());
                }
                DerivationTree::External(External::NotRoot(..)) => {}
            }
        }
    }
}

fn name_of(node: &Node) -> Option<&PackageName> {
    match node {
        Node::Root => None,
        Node::Package(name) | Node::Extra(name, _) => Some(name),
    }
}

/// Explains a failed resolution.
pub(super) fn no_solution(provider: &Provider<'_>, tree: &Tree) -> Unresolved {
    let mut causes = Causes::default();
    causes.collect(tree);
    let mut lines: Vec<String> = causes.unusable.iter().map(|why| format!("{why}.")).collect();
    for (name, ranges) in &causes.demanded {
        // A range that can be had by itself is part of a conflict, which is told below.
        let unheard = ranges.iter().filter(|range| matches!(provider.choose(name, range), Ok(None)));
        lines.extend(unheard.map(|range| missing(provider, &causes, name, range)));
    }
    if lines.is_empty() {
        let mut tree = tree.clone();
        tree.collapse_no_versions();
        lines.push(DefaultStringReporter::report(&tree));
        causes.names.extend(provider.wanted.iter().map(|wanted| wanted.requirement.name.clone()));
    }
    // A requirement that was asked for is to blame for what it depends on.
    let blamed = provider.wanted.iter().map(|wanted| &wanted.requirement.name);
    if !provider.wanted.iter().any(|wanted| causes.names.contains(&wanted.requirement.name)) {
        causes.names.extend(blamed.cloned());
    }
    Unresolved { why: lines.join("\n"), names: causes.names }
}

/// Says what was searched, where, and which versions exist.
fn missing(provider: &Provider<'_>, causes: &Causes, name: &PackageName, range: &Ranges<Version>) -> String {
    let mut asked: Vec<String> = provider
        .wanted
        .iter()
        .filter(|wanted| wanted.requirement.name == *name)
        .map(|wanted| match &wanted.origin {
            Origin::Import(_) | Origin::Use(_) => format!("`{name}` for {}", wanted.origin),
            origin => format!("`{}`, required by {origin}", wanted.requirement),
        })
        .collect();
    if asked.is_empty() {
        let dependents = causes.dependents.get(name).into_iter().flatten().cloned().collect::<Vec<_>>().join(", ");
        let range = if *range == Ranges::full() { String::new() } else { format!(" {range}") };
        asked.push(format!("`{name}{range}`, required by {dependents}"));
    }
    let options = provider.context.options;
    let what = asked.join(" and ");
    if options.denied.contains(name) {
        return format!("Cannot install {what}: this server does not install {name}.");
    }
    if let Some(bundled) = provider.bundled(name) {
        return format!("Cannot install {what}: this server has {name} {} built in, and no other.", bundled.version);
    }
    let mut places = Vec::new();
    if options.source == Source::Bundled {
        let there: Vec<String> =
            provider.context.bundled.iter().map(|wheel| format!("{} {}", wheel.name, wheel.version)).collect();
        let there = if there.is_empty() { "none".to_owned() } else { there.join(", ") };
        places.push(format!("this server installs only what is built in: {there}"));
    } else {
        places.push(match provider.context.lock.get(name) {
            Some(locked) if provider.context.unfetched.contains(name.as_ref()) => {
                format!("Pyodide has {name} {}, but no mirror gives it", locked.version)
            }
            Some(locked) => format!("Pyodide has {name} {}", locked.version),
            None => format!("Pyodide has no {name}"),
        });
        places.push(match (options.source, provider.known.projects.get(name)) {
            (Source::Pypi, Some(Ok(project))) => on_index(project, range, provider.context.lock.tags.platform()),
            (Source::Pypi, Some(Err(why))) => format!("the package index: {why}"),
            (Source::Pypi, None) => "the package index was not asked".into(),
            _ => "the package index is not used by this server (PACKAGES=lock)".into(),
        });
    }
    format!("Cannot install {what}: {}.", places.join("; "))
}

fn on_index(project: &Project, range: &Ranges<Version>, platform: &str) -> String {
    let here: Vec<&Version> = project.wheels.keys().rev().collect();
    if here.is_empty() {
        let others: Vec<&Version> = project.others.iter().rev().collect();
        if others.is_empty() {
            return "the package index has no files of it".into();
        }
        return format!(
            "the package index has {}, but none with a wheel that runs here (pure Python, or {platform})",
            versions(&others)
        );
    }
    let elsewhere: Vec<&Version> = project.others.iter().rev().filter(|version| range.contains(version)).collect();
    let mut text = format!("the package index has, with a wheel that runs here, {}", versions(&here));
    if !elsewhere.is_empty() {
        text.push_str(&format!("; without one (pure Python, or {platform}), {}", versions(&elsewhere)));
    }
    text
}

/// A list of versions, newest first, cut where it gets long.
fn versions(newest_first: &[&Version]) -> String {
    let shown: Vec<String> = newest_first.iter().take(VERSIONS).map(ToString::to_string).collect();
    match newest_first.len().saturating_sub(VERSIONS) {
        0 => shown.join(", "),
        more => format!("{} and {more} older versions", shown.join(", ")),
    }
}
