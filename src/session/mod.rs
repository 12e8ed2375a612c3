//! Where a call of the tool runs: a fresh isolate, or a session's interpreter.
//!
//! There are two kinds of session. A *legacy* session is the protocol's own (`Mcp-Session-Id`): the
//! transport keeps it, and its host gives every call the same sandbox. A *handle* is asked for by the
//! tool's `session` argument, in any protocol version, and kept by the host.

pub mod ahead;
#[cfg(test)]
mod contract;
#[cfg(test)]
mod fake;
pub(crate) mod files;
mod fresh;
mod interpreter;
mod places;
pub mod quota;
pub mod registry;
pub mod snapshots;

use std::{fmt, rc::Rc};

use futures::{
    FutureExt,
    future::{self, LocalBoxFuture},
};

pub use self::{
    ahead::Ahead,
    fresh::Fresh,
    interpreter::SessionInterpreter,
    places::Places,
    registry::{Ended, Known, Remembered},
    snapshots::Snapshots,
};
use crate::{
    kept::Keeper,
    run::sandbox::{Sandbox, SandboxError},
};

/// Stderr frame put after an isolate's first when a session's interpreter was replaced.
pub const RESTARTED: &str = concat!(
    r#"{"stderr":["The Python interpreter of this session was restarted: "#,
    r#"its files, imported modules and variables are gone."]}"#,
    "\n"
);

/// The same, for one whose files were carried over.
pub const MORE_PACKAGES: &str = concat!(
    r#"{"stderr":["The Python interpreter of this session was restarted to add packages: "#,
    r#"its files are kept, imported modules and variables are gone."]}"#,
    "\n"
);

/// The tool's `session` argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SessionChoice {
    /// Not given: a fresh isolate, or the interpreter of the legacy session that the host serves.
    Unnamed,
    /// `"new"`: a session to be started.
    New,
    /// The handle of a session started before.
    Handle(String),
}

impl SessionChoice {
    /// Reads the tool's `session` argument.
    #[must_use]
    pub fn parse(argument: &str) -> Self {
        match argument {
            "new" => Self::New,
            handle => Self::Handle(handle.to_owned()),
        }
    }
}

/// Where to run one call.
pub struct Opened {
    /// The isolate to run in.
    pub sandbox: Rc<dyn Sandbox>,
    /// The session's handle, to be told to the client; `None` for [`SessionChoice::Unnamed`].
    pub handle: Option<String>,
}

/// The interpreter that a client has of its own: that of its legacy session, or of its connection.
#[derive(Debug, Clone)]
pub struct Own {
    /// Names its files: as unguessable as a handle, and of use to this client only.
    pub handle: String,
    /// Whether it is live at the moment. If not, there are no files.
    pub is_started: bool,
}

/// Why a session could not be opened.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum SessionError {
    /// No session has this handle: there never was one, or it ended long ago.
    Unknown,
    /// The session of this handle has ended.
    Ended(Ended),
    /// The limit of open sessions is reached.
    TooManySessions {
        /// The limit.
        limit: usize,
        /// The owners of the counted sessions, in words.
        whose: &'static str,
    },
    /// The limit of runs at once is reached.
    TooManyRuns {
        /// How many go on.
        going: usize,
        /// The limit.
        limit: usize,
        /// The owners of the counted runs, in words.
        whose: &'static str,
    },
    /// The isolate failed.
    Sandbox(SandboxError),
}

impl fmt::Display for SessionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("unknown or ended session; start one with \"new\""),
            Self::Ended(why) => why.fmt(f),
            Self::TooManySessions { limit, whose } => {
                write!(
                    f,
                    "too many sessions: at most {limit} of {whose} may be open; end some, or wait until they are idle"
                )
            }
            Self::TooManyRuns { going, limit, whose } => {
                write!(
                    f,
                    "too many runs: {going} of {whose} are going on, and at most {limit} may; try again in a while"
                )
            }
            Self::Sandbox(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for SessionError {}

/// A home as the server sees it: provides sandboxes.
pub trait Host {
    /// Whether [`SessionChoice::New`] and [`SessionChoice::Handle`] are served. If not, the tool has
    /// no `session` argument.
    fn offers_sessions(&self) -> bool {
        false
    }

    /// Returns where to run a call. Called once per call, before its run.
    fn open(&self, choice: SessionChoice) -> LocalBoxFuture<'static, Result<Opened, SessionError>>;

    /// Keeps what is too large for a result of this client, if the home keeps anything.
    fn keeper(&self) -> Option<Keeper> {
        None
    }

    /// The interpreter for calls that name no session, if it is the client's own and stays.
    fn own(&self) -> Option<Own> {
        None
    }

    /// Ends the session of this handle, its interpreter, and whatever runs in it.
    ///
    /// **Boundary.** Only its owner may: to others it looks as if there never was such a session.
    fn end(&self, handle: String) -> LocalBoxFuture<'static, Result<(), SessionError>> {
        let _ = handle;
        future::ready(Err(SessionError::Unknown)).boxed_local()
    }
}
