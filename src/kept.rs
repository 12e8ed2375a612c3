//! Keeps what a run without a session made and is too large for its result. The run's principal can read it for a
//! while.
//!
//! **Boundary.** A program wrote both the bytes and the path. The path is a label, compared and given back, and never
//! names anything in a home. Another owner's items seem not to exist. All of it is bounded, in bytes and in time.

use std::{
    cell::RefCell,
    collections::{BTreeMap, HashMap, VecDeque},
    rc::{Rc, Weak},
    time::Duration,
};

use futures::{
    FutureExt,
    future::{self, LocalBoxFuture},
    select_biased,
};

use crate::{
    auth::Principal,
    handle::new_handle,
    limits::{KEEP_TIME, KEPT_ALL, KEPT_EACH, KEPT_LEAST, PART_BYTES},
    platform::Platform,
};

/// How much is kept, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct KeptOptions {
    /// Bytes of one principal.
    pub each: u64,
    /// Bytes of all.
    pub all: u64,
    /// How many bytes an item counts as at least, which bounds the number of items.
    pub least: u64,
    /// How long something can be read.
    pub time: Duration,
}

impl KeptOptions {
    /// Options where one run may leave `of_run` bytes, for `time`.
    #[must_use]
    pub fn new(of_run: usize, time: Duration) -> Self {
        let of_run = of_run as u64;
        Self { each: of_run.saturating_mul(KEPT_EACH), all: of_run.saturating_mul(KEPT_ALL), least: KEPT_LEAST, time }
    }
}

/// Something that is kept.
#[derive(Debug, PartialEq, Eq)]
pub struct Item {
    /// Random, of 128 bits: an item cannot be asked for without it.
    pub id: String,
    /// The principal that may read it.
    pub owner: Principal,
    /// The program's name for it.
    pub path: String,
    /// In bytes.
    pub size: u64,
}

/// Some bytes of an item.
#[derive(Debug, PartialEq, Eq)]
pub struct Piece {
    /// Bytes of the whole item.
    pub size: u64,
    /// Empty only from the item's end on.
    pub bytes: Vec<u8>,
}

/// A home's store of items.
pub trait Kept {
    /// Stores the bytes of an item from `at` on: in order, at most [`PART_BYTES`] at once. It can be read once its last
    /// byte is there. Returns whether it is kept so far; if not, the rest need not be sent.
    fn put(&self, item: &Rc<Item>, at: u64, bytes: Vec<u8>) -> LocalBoxFuture<'static, bool>;

    /// Returns bytes of the item with this owner, id and path, from `at` on: at most [`PART_BYTES`]. `None`: there is
    /// no such item, or no longer.
    fn get(&self, owner: &Principal, id: &str, path: &str, at: u64) -> LocalBoxFuture<'static, Option<Piece>>;
}

/// The items of one principal.
#[derive(Clone)]
pub struct Keeper {
    store: Rc<dyn Kept>,
    owner: Principal,
    platform: Platform,
}

impl Keeper {
    /// The items of `owner`.
    #[must_use]
    pub fn new(store: Rc<dyn Kept>, owner: Principal, platform: Platform) -> Self {
        Self { store, owner, platform }
    }

    /// A new item, to be stored by [`Self::put`].
    #[must_use]
    pub fn item(&self, path: &str, size: u64) -> Rc<Item> {
        Rc::new(Item { id: new_handle(), owner: self.owner.clone(), path: path.to_owned(), size })
    }

    /// See [`Kept::put`]. An item whose storing takes too long is not kept.
    pub async fn put(&self, item: &Rc<Item>, at: u64, bytes: Vec<u8>) -> bool {
        select_biased! {
            is_kept = self.store.put(item, at, bytes).fuse() => is_kept,
            () = (self.platform.sleep)(KEEP_TIME).fuse() => false,
        }
    }

    /// Keeps a whole text. Returns its id, if it is kept.
    pub async fn keep(&self, path: &str, text: &str) -> Option<String> {
        let item = self.item(path, text.len() as u64);
        let mut at = 0;
        for part in text.as_bytes().chunks(PART_BYTES) {
            if !self.put(&item, at, part.to_vec()).await {
                return None;
            }
            at += part.len() as u64;
        }
        Some(item.id.clone())
    }

    /// See [`Kept::get`]. `None` also if that takes too long.
    pub async fn get(&self, id: &str, path: &str, at: u64) -> Option<Piece> {
        select_biased! {
            piece = self.store.get(&self.owner, id, path, at).fuse() => piece,
            () = (self.platform.sleep)(KEEP_TIME).fuse() => None,
        }
    }
}

/// Storage of the items' bytes. Only [`Shelf`] uses it, by their ids.
pub trait Pieces: 'static {
    /// Appends bytes to an item; `at` is its end. Returns whether that succeeded.
    fn write(&self, id: &str, at: u64, bytes: Vec<u8>) -> LocalBoxFuture<'static, bool>;

    /// Returns bytes of an item from `at` on, which is before its end: at most [`PART_BYTES`].
    fn read(&self, id: &str, at: u64) -> LocalBoxFuture<'static, Option<Vec<u8>>>;

    /// Removes an item, if there is one.
    fn remove(&self, id: &str);
}

/// The store of a home that is one process: knows the items, and enforces the bounds and the time.
pub struct Shelf<P>(Rc<Inner<P>>);

struct Inner<P> {
    pieces: P,
    platform: Platform,
    options: KeptOptions,
    /// Oldest first.
    entries: RefCell<VecDeque<Entry>>,
}

struct Entry {
    item: Rc<Item>,
    /// How many of its bytes are stored.
    written: u64,
    until: Duration,
}

impl<P: Pieces> Shelf<P> {
    /// An empty one.
    pub fn new(pieces: P, platform: Platform, options: KeptOptions) -> Self {
        Self(Rc::new(Inner { pieces, platform, options, entries: RefCell::default() }))
    }
}

impl<P: Pieces> Kept for Shelf<P> {
    fn put(&self, item: &Rc<Item>, at: u64, bytes: Vec<u8>) -> LocalBoxFuture<'static, bool> {
        let (inner, item) = (self.0.clone(), item.clone());
        async move { inner.put(&item, at, bytes).await }.boxed_local()
    }

    fn get(&self, owner: &Principal, id: &str, path: &str, at: u64) -> LocalBoxFuture<'static, Option<Piece>> {
        let inner = self.0.clone();
        inner.remove_where(|entry, now| entry.until <= now);
        let size = inner.entries.borrow().iter().find_map(|Entry { item, written, .. }| {
            let is_it = item.id == id && item.owner == *owner && item.path == path && *written == item.size;
            is_it.then_some(item.size)
        });
        let Some(size) = size else { return future::ready(None).boxed_local() };
        if at >= size {
            return future::ready(Some(Piece { size, bytes: Vec::new() })).boxed_local();
        }
        let bytes = inner.pieces.read(id, at);
        async move { bytes.await.map(|bytes| Piece { size, bytes }) }.boxed_local()
    }
}

impl<P: Pieces> Inner<P> {
    async fn put(self: Rc<Self>, item: &Rc<Item>, at: u64, bytes: Vec<u8>) -> bool {
        let end = at.saturating_add(bytes.len() as u64);
        if at == 0 && !self.begin(item) {
            return false;
        }
        let is_next = |entry: &Entry| entry.item == *item && entry.written == at && end <= item.size;
        if !self.entries.borrow().iter().any(is_next) {
            return false;
        }
        let is_written = self.pieces.write(&item.id, at, bytes).await;
        // The entry may have been removed meanwhile, for another.
        if is_written && let Some(entry) = self.entries.borrow_mut().iter_mut().find(|entry| is_next(entry)) {
            entry.written = end;
            return true;
        }
        self.entries.borrow_mut().retain(|entry| entry.item != *item);
        self.pieces.remove(&item.id);
        false
    }

    /// Makes room for an item, and counts it from now on. Returns whether it can be kept.
    fn begin(self: &Rc<Self>, item: &Rc<Item>) -> bool {
        let KeptOptions { each, all, time, .. } = self.options;
        let size = self.counted(item);
        if size > each.min(all) || self.entries.borrow().iter().any(|entry| entry.item.id == item.id) {
            return false;
        }
        let now = (self.platform.now)();
        self.remove_where(|entry, now| entry.until <= now);
        let is_own = |entry: &Entry| entry.item.owner == item.owner;
        while self.bytes(is_own) > each - size && self.remove_first(is_own) {}
        while self.bytes(|_| true) > all - size && self.remove_first(|_| true) {}
        self.entries.borrow_mut().push_back(Entry { item: item.clone(), written: 0, until: now + time });
        // Items expire even if nobody reads or keeps anything any more.
        let (weak, late): (Weak<Self>, _) = (Rc::downgrade(self), (self.platform.sleep)(time));
        (self.platform.spawn)(Box::pin(async move {
            late.await;
            if let Some(inner) = weak.upgrade() {
                inner.remove_where(|entry, now| entry.until <= now);
            }
        }));
        true
    }

    fn bytes(&self, of: impl Fn(&Entry) -> bool) -> u64 {
        self.entries.borrow().iter().filter(|entry| of(entry)).map(|entry| self.counted(&entry.item)).sum()
    }

    fn counted(&self, item: &Item) -> u64 {
        item.size.max(self.options.least)
    }

    fn remove_first(&self, of: impl Fn(&Entry) -> bool) -> bool {
        let mut entries = self.entries.borrow_mut();
        let first = entries.iter().position(of).and_then(|at| entries.remove(at));
        if let Some(Entry { item, .. }) = &first {
            self.pieces.remove(&item.id);
        }
        first.is_some()
    }

    fn remove_where(&self, chosen: impl Fn(&Entry, Duration) -> bool) {
        let now = (self.platform.now)();
        while self.remove_first(|entry| chosen(entry, now)) {}
    }
}

/// The pieces of one item, by where they begin.
type InOrder = BTreeMap<u64, Rc<[u8]>>;

/// Bytes in memory.
#[derive(Debug, Clone, Default)]
pub struct Memory(Rc<RefCell<HashMap<String, InOrder>>>);

impl Pieces for Memory {
    fn write(&self, id: &str, at: u64, bytes: Vec<u8>) -> LocalBoxFuture<'static, bool> {
        self.0.borrow_mut().entry(id.to_owned()).or_default().insert(at, bytes.into());
        future::ready(true).boxed_local()
    }

    fn read(&self, id: &str, at: u64) -> LocalBoxFuture<'static, Option<Vec<u8>>> {
        let all = self.0.borrow();
        let piece = all.get(id).and_then(|pieces| pieces.range(..=at).next_back());
        let bytes = piece.and_then(|(begin, bytes)| bytes.get(usize::try_from(at - begin).ok()?..));
        future::ready(bytes.map(<[u8]>::to_vec)).boxed_local()
    }

    fn remove(&self, id: &str) {
        self.0.borrow_mut().remove(id);
    }
}

#[cfg(test)]
#[path = "kept_tests.rs"]
mod tests;
