//! Streamable HTTP over plain HTTP types, both eras of the protocol on one endpoint; and the same over a channel of
//! messages ([`Channel`]).
//!
//! ```text
//! Request -> Endpoint::route -+-> modern (2026-07-28): answered, each request by itself
//!                             +-> legacy, stateless: the same
//!                             `-> legacy, with sessions: Routed::{NewSession, Session} -> LegacySession::handle
//! ```
//! Each JSON-RPC request is served by an rmcp service loop of its own (`message_loop`), on a tokio runtime
//! that is polled instead of run (`driver`).
//!
//! **A closed connection ends what it asked for**, in both eras. The legacy eras say that a disconnection
//! SHOULD NOT be taken as a cancellation; but this server resumes no streams, so nobody could ever get the
//! result, and code that nobody waits for should not go on running.

// Logging is deprecated from 2026-07-28 on (SEP-2577), and specified in every version served here.
#![allow(deprecated)]
// A refusal is a whole response, moved once per request.
#![allow(clippy::result_large_err)]

mod access;
mod channel;
mod driver;
mod files;
mod headers;
mod http;
mod legacy;
mod legacy_session;
mod message;
mod message_loop;
mod modern;
mod reply;
mod route;

use std::time::Duration;

pub use self::{
    access::{Access, Entered, Hosts},
    channel::Channel,
    http::{Body, Request, Response},
    legacy_session::{Change, LegacySession, NewSession, SessionRecord},
    route::{Endpoint, Routed},
};
pub use crate::platform::Platform;

/// Options of the transport, which the home sets.
#[derive(Debug, Clone)]
pub struct TransportOptions {
    /// Timers and tasks.
    pub platform: Platform,
    /// Access to the endpoint.
    pub access: Access,
    /// Whether legacy clients get sessions. If not, every request of theirs is served by itself, as by the
    /// original's `streamable-http-stateless`.
    pub legacy_sessions: bool,
    /// How often a silent response stream gets a comment. On workerd, it is also how long a run goes on whose client is
    /// gone.
    pub keep_alive: Duration,
}

impl TransportOptions {
    /// The defaults: reached on loopback, with sessions, a comment every second.
    #[must_use]
    pub fn new(platform: Platform) -> Self {
        Self { platform, access: Access::default(), legacy_sessions: true, keep_alive: Duration::from_secs(1) }
    }
}

#[cfg(test)]
mod tests;
