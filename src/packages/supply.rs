//! Services that a home provides for packages: the network, and places to keep wheels.

use std::{any::Any, fmt, time::Duration};

use futures::{
    FutureExt,
    future::{self, LocalBoxFuture},
};

use super::{
    set::PackageSet,
    wheel::{self, PreparedWheel, Size},
};

/// One file to be fetched.
#[derive(Debug, Clone)]
pub struct FetchRequest {
    /// Its address: `http:`, `https:`, or what the home itself gave as a mirror.
    pub url: String,
    /// The header `Accept`.
    pub accept: Option<&'static str>,
    /// How many bytes are taken at most. The rest is never read.
    pub max_bytes: usize,
    /// How long the whole of it may take.
    pub timeout: Duration,
}

/// Why a file was not fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum FetchError {
    /// It answered with this status instead of 200.
    Status(u16),
    /// It is larger than this limit.
    TooLarge(usize),
    /// It did not arrive in time.
    Timeout(Duration),
    /// It cannot be reached.
    Unreachable(String),
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(404) => f.write_str("it is not there (404)"),
            Self::Status(status) => write!(f, "it answered with status {status}"),
            Self::TooLarge(limit) => write!(f, "it is larger than {limit} bytes"),
            Self::Timeout(limit) => write!(f, "it did not arrive within {} s", limit.as_secs()),
            Self::Unreachable(why) => write!(f, "it cannot be reached: {why}"),
        }
    }
}

impl std::error::Error for FetchError {}

/// Held while a wheel is fetched: see [`Supply::claim`].
pub type Claim = Box<dyn Any>;

/// Interface that a home implements. Wheels are named by their sha256 everywhere, and never by anything else.
pub trait Supply {
    /// Fetches a file; bounded while it is read.
    fn fetch(&self, request: FetchRequest) -> LocalBoxFuture<'static, Result<Vec<u8>, FetchError>>;

    /// Returns the cached bytes of a wheel, or its cached bytecode. The caller checks them.
    fn cached(&self, sha256: &str) -> LocalBoxFuture<'static, Option<Vec<u8>>>;

    /// Caches the bytes of a wheel, or its bytecode. Best effort: a cache may refuse.
    fn cache(&self, sha256: &str, wheel: &[u8]) -> LocalBoxFuture<'static, ()>;

    /// Returns the size of a prepared wheel ([`PreparedWheel::size`]), if it is kept for the isolates.
    fn prepared(&self, sha256: &str) -> Option<Size>;

    /// Keeps a prepared wheel. Others may be dropped for it, but none of the set that needs it.
    fn keep(&self, sha256: &str, wheel: PreparedWheel, of: &PackageSet);

    /// Adds bytecode to a prepared wheel that is kept.
    fn keep_bytecode(&self, sha256: &str, archive: Vec<u8>);

    /// Returns the sha256 of a file, in lower-case hexadecimal digits. For homes that have something quicker than the
    /// core's.
    fn sha256<'a>(&'a self, bytes: &'a [u8]) -> LocalBoxFuture<'a, String> {
        future::ready(wheel::sha256(bytes)).boxed_local()
    }

    /// Announces that a set is about to be fetched: a home that makes its own snapshots may look for one meanwhile.
    /// `modules` are those that a snapshot of it has imported.
    fn expect(&self, set: &PackageSet, modules: &[String]) {
        let _ = (set, modules);
    }

    /// Waits until nobody else holds the claim on this wheel. Two runs that need one wheel at once fetch it once: the
    /// second waits for the first, and then finds it [`prepared`](Self::prepared).
    fn claim(&self, sha256: &str) -> LocalBoxFuture<'static, Claim>;
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Every wheel is prepared already, and nothing can be fetched.
    pub(crate) struct AtHand;

    impl Supply for AtHand {
        fn fetch(&self, _: FetchRequest) -> LocalBoxFuture<'static, Result<Vec<u8>, FetchError>> {
            async { Err(FetchError::Status(404)) }.boxed_local()
        }
        fn cached(&self, _: &str) -> LocalBoxFuture<'static, Option<Vec<u8>>> {
            async { None }.boxed_local()
        }
        fn cache(&self, _: &str, _: &[u8]) -> LocalBoxFuture<'static, ()> {
            async {}.boxed_local()
        }
        fn prepared(&self, _: &str) -> Option<Size> {
            Some(Size::default())
        }
        fn keep(&self, _: &str, _: PreparedWheel, _: &PackageSet) {}
        fn keep_bytecode(&self, _: &str, _: Vec<u8>) {}
        fn claim(&self, _: &str) -> LocalBoxFuture<'static, Claim> {
            async { Box::new(()) as Claim }.boxed_local()
        }
    }
}
