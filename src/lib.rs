//! The core of `mcp-run-python`: MCP, sessions and results, for every home.
//!
//! Nothing here knows Cloudflare, a page or Node; it compiles to wasm and natively. A home implements
//! [`backend::Backend`] (interpreters, and how bytes get into them and out) and hands HTTP requests or messages to
//! [`transport`].
//!
//! `docs/architecture.md` has a table of what each of these may use.

pub mod auth;
pub mod backend;
pub mod handle;
pub mod home;
mod json;
pub mod kept;
pub mod limits;
pub mod mcp;
pub mod packages;
pub mod platform;
pub mod run;
pub mod session;
pub mod settings;
pub mod transport;
#[cfg(test)]
mod virtual_clock;
