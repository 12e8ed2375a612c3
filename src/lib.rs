//! The core of `mcp-run-python`: MCP, sessions and results, for every home.
//!
//! Nothing here knows Cloudflare, a page or Node; it compiles to wasm and natively. A home implements
//! [`sandbox::Sandbox`] (how a run gets into an isolate) and hands HTTP requests or messages to
//! [`transport`].
//!
//! The layers, outermost first: `transport` -> `server` -> `run` -> `sandbox`.

pub mod config;
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
