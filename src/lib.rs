//! The core of `mcp-run-python`: MCP, sessions and results, for every home.
//!
//! Nothing here knows Cloudflare, a page or Node; it compiles to wasm and natively. A home implements
//! [`backend::Backend`] (interpreters, and how bytes get into them and out) and hands HTTP requests or messages to
//! [`transport`].
//!
//! The layers, outermost first: `transport` -> `server` -> `session` -> `run` -> `backend`.

pub mod backend;
pub mod config;
pub mod files;
#[cfg(feature = "conformance")]
mod fixtures;
mod json;
pub mod limits;
pub mod packages;
pub mod quota;
pub mod report;
pub mod run;
pub mod sandbox;
pub mod server;
pub mod session;
pub mod transport;
#[cfg(test)]
mod virtual_clock;
