//! Prepared wheels, kept in a home's memory, and a lock so that each is fetched once. Generic over the handle by which
//! a home has them: for example in JavaScript's memory, which shrinks again, unlike our own.

use std::{cell::RefCell, collections::HashMap, rc::Rc, time::Duration};

use futures::{FutureExt, channel::oneshot, future::LocalBoxFuture, select_biased};

use super::{PackageSet, Wheel, wheel::Size};

/// How long to wait for another run that fetches the same wheel: it may have been cut off.
const PATIENCE: Duration = Duration::from_secs(30);

/// Makes a signal: what gives it, and what waits for it. Giver and waiter may belong to different requests.
pub type Signal = fn() -> (Give, LocalBoxFuture<'static, ()>);

/// Gives a signal.
pub type Give = Box<dyn FnOnce()>;

/// A signal between tasks that can wake each other directly.
#[must_use]
pub fn local_signal() -> (Give, LocalBoxFuture<'static, ()>) {
    let (give, given) = oneshot::channel::<()>();
    (Box::new(move || drop(give)), given.map(|_| ()).boxed_local())
}

/// The wheels, by sha256: the same for everybody, and never changed. Clones share them.
pub struct WheelCache<H>(Rc<Inner<H>>);

impl<H> Clone for WheelCache<H> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

struct Inner<H> {
    sleep: fn(Duration) -> LocalBoxFuture<'static, ()>,
    signal: Signal,
    kept: RefCell<Kept<H>>,
    /// The waiters for each locked wheel.
    locks: RefCell<HashMap<String, Vec<Give>>>,
}

struct Kept<H> {
    wheels: HashMap<String, Entry<H>>,
    /// Counts uses: the least recently used goes first.
    clock: u64,
}

struct Entry<H> {
    handle: H,
    size: Size,
    used: u64,
    built_in: bool,
}

impl<H: Clone + 'static> WheelCache<H> {
    /// An empty cache.
    #[must_use]
    pub fn new(sleep: fn(Duration) -> LocalBoxFuture<'static, ()>, signal: Signal) -> Self {
        let kept = RefCell::new(Kept { wheels: HashMap::new(), clock: 0 });
        Self(Rc::new(Inner { sleep, signal, kept, locks: RefCell::default() }))
    }

    /// Keeps a wheel for good, outside of the budget.
    pub fn build_in(&self, sha256: &str, size: Size, handle: H) {
        let entry = Entry { handle, size, used: 0, built_in: true };
        self.0.kept.borrow_mut().wheels.insert(sha256.to_owned(), entry);
    }

    /// Keeps a wheel. If there are more than `budget` bytes, drops the least recently used wheels, but none of the set
    /// `of`, which needs it.
    pub fn keep(&self, sha256: &str, size: Size, handle: H, of: &PackageSet, budget: usize) {
        let dropped: Vec<Entry<H>> = {
            let mut kept = self.0.kept.borrow_mut();
            let used = kept.tick();
            let before = kept.wheels.insert(sha256.to_owned(), Entry { handle, size, used, built_in: false });
            kept.shrink(of, budget).into_iter().chain(before).collect()
        };
        // After the borrow.
        drop(dropped);
    }

    /// Notes that a kept wheel has so many bytes of bytecode.
    pub fn grow(&self, sha256: &str, bytecode: usize, budget: usize) {
        let dropped = {
            let mut kept = self.0.kept.borrow_mut();
            if let Some(entry) = kept.wheels.get_mut(sha256) {
                entry.size.bytecode = Some(bytecode);
            }
            kept.shrink(&PackageSet::default(), budget)
        };
        // After the borrow.
        drop(dropped);
    }

    /// A wheel, if it is here.
    #[must_use]
    pub fn find(&self, sha256: &str) -> Option<H> {
        let mut kept = self.0.kept.borrow_mut();
        let used = kept.tick();
        let entry = kept.wheels.get_mut(sha256)?;
        entry.used = used;
        Some(entry.handle.clone())
    }

    /// The size of a wheel, if it is here.
    #[must_use]
    pub fn size(&self, sha256: &str) -> Option<Size> {
        self.find(sha256)?;
        self.0.kept.borrow().wheels.get(sha256).map(|entry| entry.size)
    }

    /// All wheels of a set. As long as they are held, they cannot be dropped.
    ///
    /// # Errors
    /// The one that is not here.
    pub fn all<'a>(&self, set: &'a PackageSet) -> Result<Vec<(&'a Wheel, H)>, &'a Wheel> {
        set.wheels().iter().map(|wheel| Ok((wheel, self.find(&wheel.sha256).ok_or(wheel)?))).collect()
    }

    /// Locks this wheel until the result is dropped.
    pub async fn lock(self, sha256: String) -> Locked<H> {
        loop {
            let free = match self.0.locks.borrow_mut().get_mut(&sha256) {
                None => break,
                Some(waiting) => {
                    let (give, free) = (self.0.signal)();
                    waiting.push(give);
                    free
                }
            };
            select_biased! {
                () = free.fuse() => {}
                () = (self.0.sleep)(PATIENCE).fuse() => break,
            }
        }
        self.0.locks.borrow_mut().entry(sha256.clone()).or_default();
        Locked { cache: self, sha256 }
    }
}

impl<H> Kept<H> {
    fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    /// Takes out the least recently used wheels over the budget, but none of this set.
    fn shrink(&mut self, of: &PackageSet, budget: usize) -> Vec<Entry<H>> {
        let fetched = self.wheels.iter().filter(|(_, entry)| !entry.built_in);
        let mut by_use: Vec<(u64, usize, String)> =
            fetched.map(|(sha256, entry)| (entry.used, entry.size.with_bytecode(), sha256.clone())).collect();
        by_use.sort_unstable();
        let mut bytes: usize = by_use.iter().map(|(_, size, _)| size).sum();
        by_use.retain(|(_, _, sha256)| of.wheels().iter().all(|wheel| wheel.sha256 != *sha256));
        let mut dropped = Vec::new();
        for (_, size, sha256) in by_use {
            if bytes <= budget {
                break;
            }
            bytes -= size;
            dropped.extend(self.wheels.remove(&sha256));
        }
        dropped
    }
}

/// The lock of a wheel, until it is dropped.
pub struct Locked<H> {
    cache: WheelCache<H>,
    sha256: String,
}

impl<H> Drop for Locked<H> {
    fn drop(&mut self) {
        let waiting = self.cache.0.locks.borrow_mut().remove(&self.sha256);
        for give in waiting.into_iter().flatten() {
            give();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use futures::future::join_all;

    use super::*;
    use crate::virtual_clock::{now, run, sleep};

    fn cache() -> WheelCache<&'static str> {
        WheelCache::new(sleep, local_signal)
    }

    const fn of(data: usize) -> Size {
        Size { code: 0, data, bytecode: None }
    }

    fn set(names: &[&str]) -> PackageSet {
        let wheel = |name: &&str| {
            let of = || (*name).to_owned();
            Wheel { name: of(), version: of(), sha256: of(), file_name: of(), url: None }
        };
        PackageSet::new(names.iter().map(wheel).collect())
    }

    #[test]
    fn what_was_used_least_lately_goes_first() {
        let cache = cache();
        let keep = |name: &'static str, size| cache.keep(name, of(size), name, &set(&[name]), 100);
        cache.build_in("b", of(1000), "built in");
        for name in ["1", "2", "3"] {
            keep(name, 40);
        }
        assert_eq!(["b", "1", "2", "3"].map(|name| cache.find(name).is_some()), [true, false, true, true]);
        assert_eq!(cache.find("2"), Some("2"));
        keep("4", 40);
        assert_eq!(["2", "3", "4"].map(|name| cache.find(name).is_some()), [true, false, true]);
        keep("5", 500);
        assert_eq!(["2", "4", "5"].map(|name| cache.size(name).map(Size::total)), [None, None, Some(500)]);
        let needed = set(&["6", "7"]);
        for name in ["6", "7"] {
            cache.keep(name, of(90), name, &needed, 100);
        }
        assert_eq!(["5", "6", "7"].map(|name| cache.find(name).is_some()), [false, true, true], "a set stays whole");
        assert!(cache.all(&needed).is_ok());
        assert_eq!(cache.all(&set(&["7", "5"])).map_err(|wheel| wheel.name.as_str()), Err("5"));
        assert_eq!(cache.find("b"), Some("built in"));
    }

    #[test]
    fn bytecode_counts_when_it_is_there() {
        let cache = cache();
        for name in ["1", "2"] {
            cache.keep(name, of(40), name, &set(&[name]), 100);
        }
        cache.grow("2", 20, 100);
        assert_eq!(["1", "2"].map(|name| cache.find(name).is_some()), [true, true]);
        assert_eq!(cache.size("2").and_then(|size| size.bytecode), Some(20));
        cache.grow("1", 1, 100);
        assert_eq!(["1", "2"].map(|name| cache.find(name).is_some()), [false, true]);
    }

    #[test]
    fn one_at_a_time_holds_a_lock_and_nobody_waits_for_ever() {
        run(async {
            let cache = cache();
            let held = Rc::new(Cell::new(0));
            let hold = |n: u64| {
                let (cache, held) = (cache.clone(), held.clone());
                async move {
                    let lock = cache.lock("x".into()).await;
                    assert_eq!(held.replace(held.get() + 1), 0, "{n}");
                    sleep(Duration::from_secs(1)).await;
                    held.set(0);
                    drop(lock);
                }
            };
            join_all((0..5).map(hold)).await;
            assert_eq!(now(), Duration::from_secs(5));
            let _other = cache.clone().lock("y".into()).await;
            assert_eq!(now(), Duration::from_secs(5), "another's is free");
            // A holder that was cut off does not release its lock.
            std::mem::forget(cache.clone().lock("x".into()).await);
            let _lock = cache.lock("x".into()).await;
            assert_eq!(now(), Duration::from_secs(5) + PATIENCE);
        });
    }
}
