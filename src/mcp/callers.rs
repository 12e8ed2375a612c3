//! Calls that the runs of a server may make: none, except for runs of a home's own library.

use std::rc::Rc;

use rmcp::model::RequestId;

use super::Server;
use crate::{
    limits::CallLimits,
    run::calls::{Caller, Callers},
};

impl Server {
    /// The same server, whose runs may call what `callers` answer: people, who are slow.
    #[must_use]
    pub fn with_callers(mut self, callers: Callers) -> Self {
        self.options.limits.calls = CallLimits::INPUT;
        Self { callers: Some(callers), ..self }
    }

    /// Returns who answers the calls of a request's run. Requests of the libraries have numbers as ids.
    pub(super) fn caller(&self, id: &RequestId) -> Option<Rc<dyn Caller>> {
        match (&self.callers, id) {
            (Some(callers), RequestId::Number(number)) => callers(u64::try_from(*number).ok()?),
            _ => None,
        }
    }
}
