//! The files of a client's own sessions.

use std::rc::Rc;

use super::{Host, Opened, SessionChoice, SessionError};
use crate::{
    limits::Limits,
    run::asking::{Answered, FileRequest, ask},
};

/// The files of a client's sessions.
#[derive(Clone)]
pub(crate) struct SessionFiles {
    /// **Boundary.** It opens the client's sessions, and no others.
    pub(crate) host: Rc<dyn Host>,
    pub(crate) limits: Limits,
}

impl SessionFiles {
    /// Asks a session. It is opened for each request, and counts as a run only for as long as that takes: a slow client
    /// holds nothing between two parts of a file.
    pub(crate) async fn ask(&self, of: SessionChoice, request: &FileRequest) -> Result<Answered, SessionError> {
        let Opened { sandbox, .. } = self.host.open(of).await?;
        ask(&*sandbox, request, self.limits).await.map_err(SessionError::Sandbox)
    }
}
