//! Where calls run: in a fresh isolate, in the caller's own session, or in one that he names.

use std::rc::Rc;

use futures::{FutureExt, future::LocalBoxFuture};
use mcp_run_python::{
    auth::Principal,
    limits::Quotas,
    run::sandbox::Sandbox,
    session::quota::Runs,
    session::{Fresh, Host, Opened, Places, SessionChoice, SessionError},
    settings::Isolation,
};
use worker::Env;

use crate::{isolate::Isolates, remote::Sessions};

thread_local! {
    /// The runs of this instance of the Worker. The platform may have several, each with a count of its own.
    static RUNS: Runs = Runs::default();
}

/// Serves the calls of one principal.
pub struct EdgeHost {
    sessions: Sessions,
    principal: Principal,
    quotas: Quotas,
    unnamed: Unnamed,
}

/// Where a call runs that names no session.
enum Unnamed {
    /// In an isolate of its own.
    Fresh(Env),
    /// In the interpreter that all such runs of its principal share.
    Shared,
    /// In that of its legacy session.
    Own(Rc<dyn Sandbox>),
}

impl EdgeHost {
    /// For calls that are not of a legacy session; isolates start by the bindings of `env`.
    pub fn new(env: Env, sessions: Sessions, principal: Principal, quotas: Quotas, isolation: Isolation) -> Rc<Self> {
        let unnamed = match isolation {
            Isolation::Principal => Unnamed::Shared,
            _ => Unnamed::Fresh(env),
        };
        Rc::new(Self { sessions, principal, quotas, unnamed })
    }

    /// For those of a legacy session, with the interpreter `own`.
    pub fn of_session(own: Rc<dyn Sandbox>, sessions: Sessions, principal: Principal, quotas: Quotas) -> Rc<Self> {
        Rc::new(Self { sessions, principal, quotas, unnamed: Unnamed::Own(own) })
    }
}

impl Host for EdgeHost {
    fn offers_sessions(&self) -> bool {
        true
    }

    fn open(&self, choice: SessionChoice) -> LocalBoxFuture<'static, Result<Opened, SessionError>> {
        let principal = self.principal.clone();
        let slot = RUNS.with(|runs| runs.enter(&principal, &self.quotas));
        let sessions = self.sessions.clone();
        let unnamed = match &self.unnamed {
            Unnamed::Fresh(env) => {
                Some(Rc::new(Fresh::new(Isolates(env.clone()), Places::default())) as Rc<dyn Sandbox>)
            }
            Unnamed::Shared => None,
            Unnamed::Own(own) => Some(own.clone()),
        };
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
}
