//! The files of a client's sessions, as far as they are his.

use std::rc::Rc;

use super::{Host, Opened, SessionChoice, SessionError};
use crate::{
    limits::Limits,
    run::asking::{Answered, FileRequest, ask},
};

/// The files of a client's sessions.
#[derive(Clone)]
pub(crate) struct SessionFiles {
    /// **Boundary.** It opens what is the client's, and nothing else.
    pub(crate) host: Rc<dyn Host>,
    pub(crate) limits: Limits,
}

impl SessionFiles {
    /// Asks a session. It is opened each time, and counts as a run for as long as it takes: a client that is slow holds
    /// nothing between two parts of a file.
    pub(crate) async fn ask(&self, of: SessionChoice, request: &FileRequest) -> Result<Answered, SessionError> {
        let Opened { sandbox, .. } = self.host.open(of).await?;
        ask(&*sandbox, request, self.limits).await.map_err(SessionError::Sandbox)
    }
}
