//! Decides where a call runs: in a fresh isolate, in the caller's legacy session, or in a session named in the call.

use std::rc::Rc;

use crate::{isolate::Facet, kept::KeptElsewhere, remote::Sessions};
use futures::{FutureExt, future::LocalBoxFuture};
use mcp_run_python::{
    auth::Principal,
    kept::Keeper,
    limits::Quotas,
    run::sandbox::Sandbox,
    session::quota::Runs,
    session::{Host, Opened, Own, SessionChoice, SessionError, SessionInterpreter},
};

thread_local! {
    /// The runs of this instance of the Worker. The platform may have several, each with a count of its own.
    static RUNS: Runs = Runs::default();
}

/// Serves the calls of one principal.
pub struct EdgeHost {
    /// Sandbox for calls that name no session: an isolate of their own, or the interpreter of their legacy session.
    /// `None`: the interpreter that all such runs of the principal share.
    pub unnamed: Option<Rc<dyn Sandbox>>,
    /// The interpreter of its legacy session, and the handle that names its files.
    pub own: Option<(String, SessionInterpreter<Facet>)>,
    pub sessions: Sessions,
    pub kept: KeptElsewhere,
    pub principal: Principal,
    pub quotas: Quotas,
}

impl Host for EdgeHost {
    fn offers_sessions(&self) -> bool {
        true
    }

    fn open(&self, choice: SessionChoice) -> LocalBoxFuture<'static, Result<Opened, SessionError>> {
        let principal = self.principal.clone();
        let slot = RUNS.with(|runs| runs.enter(&principal, &self.quotas));
        let sessions = self.sessions.clone();
        let unnamed = self.unnamed.clone();
        async move {
            let slot = slot?;
            let Opened { sandbox, handle } = match (choice, unnamed) {
                (SessionChoice::Unnamed, Some(sandbox)) => Opened { sandbox, handle: None },
                (SessionChoice::Unnamed, None) => sessions.shared(principal)?,
                (SessionChoice::New, _) => sessions.start(principal).await?,
                (SessionChoice::Handle(handle), _) => sessions.open(&handle, principal).await?,
            };
            Ok(Opened { sandbox: slot.hold(sandbox), handle })
        }
        .boxed_local()
    }

    fn keeper(&self) -> Option<Keeper> {
        self.kept.keeper(&self.principal)
    }

    fn own(&self) -> Option<Own> {
        let (handle, own) = self.own.as_ref()?;
        Some(Own { handle: handle.clone(), is_started: own.is_alive() })
    }

    fn end(&self, handle: String) -> LocalBoxFuture<'static, Result<(), SessionError>> {
        let (sessions, principal) = (self.sessions.clone(), self.principal.clone());
        async move { sessions.end(&handle, principal).await }.boxed_local()
    }
}
