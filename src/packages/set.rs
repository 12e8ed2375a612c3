//! The wheels that an isolate is opened with, and nothing about how they are stored.

use std::rc::Rc;

use serde::{Deserialize, Serialize};

use super::wheel::sha256;

/// A wheel that was chosen, and where to get its bytes. Its sha256 decides what they must be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wheel {
    /// The distribution, as PEP 503 normalises it.
    pub name: String,
    /// Its version.
    pub version: String,
    /// SHA-256 of its file, lower-case hexadecimal.
    pub sha256: String,
    /// Its file's name.
    pub file_name: String,
    /// Its address on the index; `None` for a wheel of the lock file, which any mirror may serve.
    pub url: Option<String>,
}

/// The wheels of one isolate, in the order in which they are installed. Cheap to clone.
#[derive(Debug, Clone)]
pub struct PackageSet {
    wheels: Rc<[Wheel]>,
    hash: Rc<str>,
}

impl PackageSet {
    /// A set of these wheels.
    #[must_use]
    pub fn new(wheels: Vec<Wheel>) -> Self {
        let all: Vec<&str> = wheels.iter().map(|wheel| wheel.sha256.as_str()).collect();
        Self { hash: sha256(all.join(" ").as_bytes()).into(), wheels: wheels.into() }
    }

    /// The wheels.
    #[must_use]
    pub fn wheels(&self) -> &[Wheel] {
        &self.wheels
    }

    /// Names the set: the same for the same wheels in the same order.
    #[must_use]
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// Whether there are no wheels.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.wheels.is_empty()
    }

    /// The union with `others`; of a package in both, this set's version.
    #[must_use]
    pub fn with(&self, others: &Self) -> Self {
        let more = others.wheels.iter().filter(|wheel| self.wheels.iter().all(|own| own.name != wheel.name));
        let mut wheels: Vec<Wheel> = self.wheels.iter().chain(more).cloned().collect();
        wheels.sort_by(|one, two| one.name.cmp(&two.name));
        Self::new(wheels)
    }

    /// The wheels of this set first, and then those of `all` that are not in it.
    #[must_use]
    pub fn followed_by(&self, all: &Self) -> Self {
        let others = all.wheels.iter().filter(|wheel| self.wheels.iter().all(|own| own.sha256 != wheel.sha256));
        Self::new(self.wheels.iter().chain(others).cloned().collect())
    }

    /// Whether each of `others` is in it.
    #[must_use]
    pub fn contains(&self, others: &Self) -> bool {
        others.wheels.iter().all(|wheel| self.wheels.iter().any(|own| own.sha256 == wheel.sha256))
    }
}

impl Default for PackageSet {
    fn default() -> Self {
        Self::new(Vec::new())
    }
}
