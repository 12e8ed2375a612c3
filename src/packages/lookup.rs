//! Fetches what a resolution asks of package indexes and of wheels.

use std::{cell::RefCell, collections::HashMap, rc::Rc};

use futures::{FutureExt, future::LocalBoxFuture};
use pep508_rs::PackageName;

use super::{
    Packages, Wheel,
    index::{self, Project},
    install::{Event, InstallError, Log},
    metadata::Metadata,
    resolve::Lookup,
    supply::{FetchError, FetchRequest},
    wheel::{self, sha256},
};
use crate::limits::{INDEX_TIME, MAX_INDEX_PAGE, MAX_METADATA};

/// The lookups of a resolution.
pub(super) struct Asking<'a> {
    packages: &'a Packages,
    log: Log<'a>,
    /// Pages that were fetched for this run.
    projects: RefCell<HashMap<PackageName, Result<Rc<Project>, String>>>,
}

impl<'a> Asking<'a> {
    pub(super) fn new(packages: &'a Packages, log: Log<'a>) -> Self {
        Self { packages, log, projects: RefCell::default() }
    }

    /// **Boundary.** A package is taken from the first index that has it, and an index that does not answer is an error:
    /// otherwise a stranger could publish a private package's name on a public index, and be installed instead.
    async fn page(&self, name: &PackageName) -> Result<Rc<Project>, String> {
        let indexes = &self.packages.options().indexes;
        for index in indexes {
            if let Some(project) = self.page_of(index, name).await? {
                return Ok(project);
            }
        }
        Err(match indexes.as_slice() {
            [] => "no index is set".to_owned(),
            [_] => format!("it knows no {name}"),
            _ => format!("none of them knows {name}"),
        })
    }

    async fn page_of(&self, index: &str, name: &PackageName) -> Result<Option<Rc<Project>>, String> {
        let (supply, lock) = (&self.packages.supply, self.packages.lock());
        let url = format!("{index}{name}/");
        (self.log)(Event::Debug(format!("Looking for {name} at {url}")));
        let request = FetchRequest {
            url: url.clone(),
            accept: Some(index::ACCEPT),
            max_bytes: MAX_INDEX_PAGE,
            timeout: INDEX_TIME,
        };
        match supply.fetch(request).await {
            Ok(page) => Project::parse(&page, &url, name, &lock.tags, &lock.python).map(Rc::new).map(Some),
            Err(FetchError::Status(404)) => Ok(None),
            Err(error) => Err(error.to_string()),
        }
    }

    async fn wheel_metadata(&self, wheel: &Wheel, separate: Option<&(String, String)>) -> Result<Rc<Metadata>, String> {
        let text = match separate {
            Some((url, hash)) => {
                let request =
                    FetchRequest { url: url.clone(), accept: None, max_bytes: MAX_METADATA, timeout: INDEX_TIME };
                let bytes = self.packages.supply.fetch(request).await.map_err(|error| error.to_string())?;
                if sha256(&bytes) != *hash {
                    return Err("it is not the file that the index speaks of (sha256)".into());
                }
                String::from_utf8(bytes).map_err(|error| error.to_string())?
            }
            None => {
                // Others that need this wheel wait for it here; then the bytes are in the cache.
                let _claim = self.packages.supply.claim(&wheel.sha256).await;
                let bytes = self.packages.bytes(wheel, self.log).await.map_err(|InstallError(why)| why)?;
                wheel::metadata(&bytes)?
            }
        };
        Metadata::parse(&text).map(Rc::new)
    }
}

impl Lookup for Asking<'_> {
    fn project<'a>(&'a self, name: &'a PackageName) -> LocalBoxFuture<'a, Result<Rc<Project>, String>> {
        async move {
            if let Some(project) = self.projects.borrow().get(name) {
                return project.clone();
            }
            let project = self.page(name).await;
            self.projects.borrow_mut().insert(name.clone(), project.clone());
            project
        }
        .boxed_local()
    }

    fn metadata<'a>(
        &'a self,
        wheel: &'a Wheel,
        separate: Option<&'a (String, String)>,
    ) -> LocalBoxFuture<'a, Result<Rc<Metadata>, String>> {
        self.wheel_metadata(wheel, separate).boxed_local()
    }
}
