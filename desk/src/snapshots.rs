//! Snapshots of interpreters that have imported packages: made in a workerd process of their own, so that no run waits
//! for that, kept on the disk, and mapped from there.

use bytes::Bytes;
use hyper::{Method, StatusCode};
use mcp_run_python::{backend::NotTaken, limits::MAX_SNAPSHOT};

use crate::{
    packages::Parts,
    workerd::{Launch, Workerd, envelope::Pieces},
};

/// Longest name of a module, in bytes.
const MAX_NAME: usize = 1000;

/// A process that is ended when this is dropped.
struct Own(Workerd);

impl Drop for Own {
    fn drop(&mut self) {
        self.0.end("its snapshot is taken");
    }
}

/// Takes a snapshot of an interpreter with these parts that has imported these modules, and done nothing else.
///
/// # Errors
/// It cannot be taken.
pub async fn take(launch: &Launch, parts: &Parts, modules: &[String]) -> Result<Bytes, NotTaken> {
    let failed = |_| NotTaken::Failed;
    let process = Own(Workerd::watch(Launch { data: None, ..launch.clone() }.start().map_err(failed)?));
    process.0.ready().await.map_err(failed)?;
    process.0.has_libraries(parts.libraries()).await.map_err(failed)?;
    let (text, bytes) = parts.to_be_imported(modules);
    let asked = process.0.ask(Method::POST, "/interpreter/snapshot", Pieces::envelope(text, bytes));
    let mut answer = asked.await.map_err(failed)?;
    let mut taken = Vec::new();
    while let Some(bytes) = answer.next().await {
        taken.extend_from_slice(&bytes.map_err(failed)?);
        // **Boundary.** The packages' own code may be hostile: no more is held than a snapshot may have.
        if taken.len() > if answer.status == StatusCode::OK { MAX_SNAPSHOT } else { MAX_NAME } {
            return Err(NotTaken::Failed);
        }
    }
    match answer.status {
        StatusCode::OK => Ok(taken.into()),
        StatusCode::CONFLICT => Err(NotTaken::Without(String::from_utf8(taken).map_err(|_| NotTaken::Failed)?)),
        _ => Err(NotTaken::Failed),
    }
}
