//! What a run without a session made and is too large for its result: it can be read for a while, by whom the run was of.
//!
//! **Boundary.** Its bytes were written by a program, and so was its path: that is a label, compared and given back, and never
//! the name of anything in a home. What has another owner is as if it never was. All of it is bounded, in bytes and in time.

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
    /// As how many bytes an item counts at least: so there are not too many.
    pub least: u64,
    /// How long something can be read.
    pub time: Duration,
}

impl KeptOptions {
    /// Where one run may leave so many bytes, for that time.
    #[must_use]
    pub fn new(of_run: usize, time: Duration) -> Self {
        let of_run = of_run as u64;
        Self { each: of_run.saturating_mul(KEPT_EACH), all: of_run.saturating_mul(KEPT_ALL), least: KEPT_LEAST, time }
    }
}

/// Something that is kept.
#[derive(Debug, PartialEq, Eq)]
pub struct Item {
    /// Random, of 128 bits: who does not know it cannot ask for it.
    pub id: String,
    /// Who may.
    pub owner: Principal,
    /// What the program called it.
    pub path: String,
    /// In bytes.
    pub size: u64,
}

/// Some bytes of an item.
#[derive(Debug, PartialEq, Eq)]
pub struct Piece {
    /// Bytes of the whole.
    pub size: u64,
    /// At least one, unless the item ends where they begin.
    pub bytes: Vec<u8>,
}

/// What a home keeps.
pub trait Kept {
    /// Takes the bytes of an item that begin `at` there: in order, at most [`PART_BYTES`] at once. It can be read once its last
    /// byte is there. Gives whether it is kept so far: if not, the rest of it need not come.
    fn put(&self, item: &Rc<Item>, at: u64, bytes: Vec<u8>) -> LocalBoxFuture<'static, bool>;

    /// Some bytes of the item of this owner, id and path, from `at` on: at most [`PART_BYTES`]. `None`: there is no such
    /// item, or there is no longer.
    fn get(&self, owner: &Principal, id: &str, path: &str, at: u64) -> LocalBoxFuture<'static, Option<Piece>>;
}

/// What a home keeps of one principal.
#[derive(Clone)]
pub struct Keeper {
    store: Rc<dyn Kept>,
    owner: Principal,
    platform: Platform,
}

impl Keeper {
    /// Of `owner`.
    #[must_use]
    pub fn new(store: Rc<dyn Kept>, owner: Principal, platform: Platform) -> Self {
        Self { store, owner, platform }
    }

    /// An item to be put.
    #[must_use]
    pub fn item(&self, path: &str, size: u64) -> Rc<Item> {
        Rc::new(Item { id: new_handle(), owner: self.owner.clone(), path: path.to_owned(), size })
    }

    /// See [`Kept::put`]. What takes too long is not kept.
    pub async fn put(&self, item: &Rc<Item>, at: u64, bytes: Vec<u8>) -> bool {
        select_biased! {
            is_kept = self.store.put(item, at, bytes).fuse() => is_kept,
            () = (self.platform.sleep)(KEEP_TIME).fuse() => false,
        }
    }

    /// Keeps all of a text. Gives its id, if it is kept.
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

    /// See [`Kept::get`]. What takes too long is not there.
    pub async fn get(&self, id: &str, path: &str, at: u64) -> Option<Piece> {
        select_biased! {
            piece = self.store.get(&self.owner, id, path, at).fuse() => piece,
            () = (self.platform.sleep)(KEEP_TIME).fuse() => None,
        }
    }
}

/// Where the bytes of items are. Only [`Shelf`] names them: by their ids.
pub trait Pieces: 'static {
    /// Adds bytes to an item, `at` its end. Whether that went well.
    fn write(&self, id: &str, at: u64, bytes: Vec<u8>) -> LocalBoxFuture<'static, bool>;

    /// Some bytes of an item that has more than `at`: at most [`PART_BYTES`].
    fn read(&self, id: &str, at: u64) -> LocalBoxFuture<'static, Option<Vec<u8>>>;

    /// Removes an item. There may be none.
    fn remove(&self, id: &str);
}

/// What a home keeps that is one process: knows what there is, and sees to the bounds and the time.
pub struct Shelf<P>(Rc<Inner<P>>);

struct Inner<P> {
    pieces: P,
    platform: Platform,
    options: KeptOptions,
    /// The oldest first.
    entries: RefCell<VecDeque<Entry>>,
}

struct Entry {
    item: Rc<Item>,
    /// How many of its bytes are there.
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
        // It may have gone meanwhile, for another.
        if is_written && let Some(entry) = self.entries.borrow_mut().iter_mut().find(|entry| is_next(entry)) {
            entry.written = end;
            return true;
        }
        self.entries.borrow_mut().retain(|entry| entry.item != *item);
        self.pieces.remove(&item.id);
        false
    }

    /// Makes room for an item, and counts it from now on. Whether there can be any.
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
        // Who reads nothing any more, and keeps nothing, is not what it goes by.
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
