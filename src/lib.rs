//! The core of `mcp-run-python`: MCP, sessions and results, for every home.
//!
//! Nothing here knows Cloudflare, a page or Node; it compiles to wasm and natively. A home implements
//! [`backend::Backend`] (interpreters, and how bytes get into them and out) and hands HTTP requests or messages to
//! [`transport`].
//!
//! What each of these may use is a table in `docs/architecture.md`.

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
