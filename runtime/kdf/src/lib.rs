//! PBKDF2 and scrypt as WebAssembly: Python's `hashlib` has them from OpenSSL, which Pyodide lacks (`runtime/js/kdf.js`
//! calls this for `runtime/python/lacks.py`).
//!
//! **Boundary.** It runs inside of an isolate, for the program that runs there, which may call it with anything: all that it
//! can reach is a memory of its own. Work is done in short steps, between which Python looks for signals.

use std::{
    mem, ptr,
    sync::{Mutex, MutexGuard, PoisonError},
};

mod pbkdf2;
mod scrypt;
#[cfg(test)]
mod tests;

use scrypt::Scrypt;

/// A key that is being derived.
trait Steps: Send {
    /// Works for about a millisecond; returns the key once it is complete.
    fn step(&mut self) -> Option<Vec<u8>>;
}

/// The memory does not suffice.
#[derive(Debug)]
struct NoMemory;

/// An empty list with room for `length` items.
fn room<T>(length: usize) -> Result<Vec<T>, NoMemory> {
    let mut list = Vec::new();
    list.try_reserve_exact(length).map_err(|_| NoMemory)?;
    Ok(list)
}

fn zeros(length: usize) -> Result<Vec<u8>, NoMemory> {
    let mut bytes = room(length)?;
    bytes.resize(length, 0);
    Ok(bytes)
}

#[derive(Default)]
struct Work {
    /// The password, and then the salt.
    given: Vec<u8>,
    steps: Option<Box<dyn Steps>>,
    /// The derived key.
    key: Vec<u8>,
}

static WORK: Mutex<Work> = Mutex::new(Work { given: Vec::new(), steps: None, key: Vec::new() });

fn work() -> MutexGuard<'static, Work> {
    WORK.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Begins anew: makes room for the bytes of the password and, behind them, the salt. Null if out of memory.
#[allow(unsafe_code, reason = "a name for JavaScript")]
#[unsafe(no_mangle)]
pub extern "C" fn place(length: usize) -> *mut u8 {
    let mut work = work();
    *work = Work::default();
    let Ok(given) = zeros(length) else { return ptr::null_mut() };
    work.given = given;
    work.given.as_mut_ptr()
}

/// Begins PBKDF2 with what was placed: the password, then the salt. False if out of memory or `digest` is unknown.
#[allow(unsafe_code, reason = "a name for JavaScript")]
#[unsafe(no_mangle)]
pub extern "C" fn pbkdf2(digest: u32, password: usize, iterations: u32, length: usize) -> bool {
    begin(password, |password, salt| pbkdf2::begin(digest, password, salt, iterations, length))
}

/// Begins scrypt in the same way.
#[allow(unsafe_code, reason = "a name for JavaScript")]
#[unsafe(no_mangle)]
pub extern "C" fn scrypt(password: usize, n: usize, r: usize, p: usize, length: usize) -> bool {
    begin(password, |password, salt| Ok(Some(Box::new(Scrypt::new(password, salt, (n, r, p), length)?))))
}

fn begin(password: usize, steps: impl FnOnce(&[u8], &[u8]) -> Result<Option<Box<dyn Steps>>, NoMemory>) -> bool {
    let mut work = work();
    let given = mem::take(&mut work.given);
    let Some((password, salt)) = given.split_at_checked(password) else { return false };
    work.steps = steps(password, salt).ok().flatten();
    work.steps.is_some()
}

/// Works for about a millisecond; returns the address of the key once it is complete, and null before.
#[allow(unsafe_code, reason = "a name for JavaScript")]
#[unsafe(no_mangle)]
pub extern "C" fn step() -> *const u8 {
    let mut work = work();
    let Some(key) = work.steps.as_mut().and_then(|steps| steps.step()) else { return ptr::null() };
    *work = Work { key, ..Work::default() };
    work.key.as_ptr()
}
