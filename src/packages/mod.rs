//! Packages: what a run needs, where it comes from, and how it gets into an isolate.
//!
//! Resolving, fetching and checking happen here, outside of any sandbox, so that code which is not trusted has neither
//! the network nor the write access that installing needs. In order:
//! requirements ([`script`], [`imports`], settings) -> [`resolve`] (over the [`lock`] file and an [`index`]) ->
//! [`install`] (fetch, check, prepare: [`wheel`]) -> a [`PackageSet`], which an isolate is opened with. After the run
//! the wheels' sources are compiled ([`bytecode`]), for the next.

mod bytecode;
pub mod cache;
mod explain;
pub mod imports;
pub mod index;
pub mod install;
pub mod lock;
mod lookup;
pub mod metadata;
mod missing;
pub mod options;
mod plan;
pub mod requirement;
pub mod resolve;
mod room;
pub mod script;
mod set;
pub mod supply;
pub mod tags;
mod usual;
pub mod wheel;

pub(crate) use self::usual::snapshot_key;
pub use self::{
    bytecode::{Compiler, Compiling, Programs},
    explain::Unresolved,
    install::{Event, InstallError, Installed, Log, Packages},
    missing::Missed,
    options::{PackageOptions, Source},
    plan::Plan,
    room::Room,
    set::{PackageSet, Wheel},
    tags::PYTHON_VERSION,
    usual::Snapshotter,
};
