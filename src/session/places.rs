//! How many interpreters a home has room for, in number and in memory, and the queue for places.

use std::{
    cell::RefCell,
    cmp::Reverse,
    collections::{HashMap, VecDeque},
    rc::{Rc, Weak},
    time::Duration,
};

use futures::{FutureExt, channel::oneshot, select_biased};

use crate::{limits::PLACE_TIME, platform::Platform, run::sandbox::SandboxError};

/// How often those that wait look for interpreters that may go.
const AGAIN: Duration = Duration::from_secs(1);

/// How long a new interpreter waits at most while idle ones are ended for their memory.
const RELIEF_TIME: Duration = Duration::from_secs(3);

/// How often it checks whether that is over.
const RELIEVED: Duration = Duration::from_millis(50);

/// The places of a home's interpreters. Clones share them.
#[derive(Clone, Default)]
pub struct Places(Rc<RefCell<Inner>>);

#[derive(Default)]
struct Inner {
    /// How many places there are, in all and for the sessions of each owner; `None`: no limit.
    limits: Option<(usize, usize)>,
    /// How long a session's interpreter must be idle before others may have its place.
    evictable_after: Duration,
    /// How much memory all may hold, and a measure of what they hold.
    memory: Option<(usize, Measure)>,
    /// Whether idle interpreters are being ended because all hold too much.
    relieving: bool,
    taken: usize,
    waiting: VecDeque<oneshot::Sender<Place>>,
    sessions: Vec<(u32, Weak<dyn Yields>)>,
}

/// Measures the bytes of memory that all interpreters hold. **Boundary.** The home does; never trusts what one reports.
pub type Measure = Rc<dyn Fn() -> usize>;

/// A session whose interpreter others may need more.
pub trait Yields {
    /// Whether there is an interpreter.
    fn holds(&self) -> bool;
    /// Since when, since 1970, it has run nothing; `None` if there is none, or it runs. 0 if it is dead.
    fn idle_since(&self) -> Option<Duration>;
    /// Bytes that the interpreter holds, or that are freed when it ends, as far as the home knows; 0 if it does not.
    fn memory(&self) -> usize;
    /// Ends the interpreter.
    fn give_up(&self);
}

/// A place, until it is dropped.
pub struct Place(Option<Places>);

impl Places {
    /// `limit` places, and `each` at most for the sessions of one owner: a further one takes the place of that owner's
    /// session that has been idle for longest.
    #[must_use]
    pub fn limited(limit: usize, each: usize, evictable_after: Duration) -> Self {
        Self(Rc::new(RefCell::new(Inner { limits: Some((limit, each)), evictable_after, ..Inner::default() })))
    }

    /// The same with a limit of memory: while all hold more than `bytes`, idle interpreters are ended, one a second,
    /// those that hold most first.
    #[must_use]
    pub fn with_memory(self, bytes: usize, measure: Measure) -> Self {
        self.0.borrow_mut().memory = Some((bytes, measure));
        self
    }

    /// Ends idle interpreters in the background while all hold too much. Called when one may hold more than before.
    pub(super) fn relieve(&self, platform: Platform) {
        if !self.is_too_much() || std::mem::replace(&mut self.0.borrow_mut().relieving, true) {
            return;
        }
        let places = self.clone();
        (platform.spawn)(Box::pin(async move {
            while places.is_too_much() {
                let mut idle: Vec<_> =
                    places.sessions(None).into_iter().filter_map(|one| Some((one.idle_since()?, one))).collect();
                idle.sort_by_key(|(since, one)| (Reverse(one.memory()), *since));
                let Some((_, first)) = idle.first() else { break };
                first.give_up();
                // Its memory is freed after a while.
                (platform.sleep)(AGAIN).await;
            }
            places.0.borrow_mut().relieving = false;
        }));
    }

    fn is_too_much(&self) -> bool {
        let memory = self.0.borrow().memory.clone();
        memory.is_some_and(|(limit, measure)| measure() > limit)
    }

    /// Registers `session`, one of `owner`'s: it gives up its interpreter when others need its place.
    pub fn watch(&self, owner: u32, session: &Rc<dyn Yields>) {
        let mut inner = self.0.borrow_mut();
        if inner.limits.is_none() && inner.memory.is_none() {
            return;
        }
        inner.sessions.retain(|(_, session)| session.strong_count() > 0);
        inner.sessions.push((owner, Rc::downgrade(session)));
    }

    /// Takes a place for a session of `owner`, or for a run without a session, as soon as there is one, and the memory
    /// for it. Those that wait get places in the order in which they came.
    ///
    /// # Errors
    /// [`SandboxError::Busy`] if there was none for [`PLACE_TIME`].
    pub async fn take(&self, platform: Platform, owner: Option<u32>) -> Result<Place, SandboxError> {
        self.relieve(platform);
        let relieved = async {
            while self.0.borrow().relieving {
                (platform.sleep)(RELIEVED).await;
            }
        };
        select_biased! {
            () = std::pin::pin!(relieved.fuse()) => {}
            () = (platform.sleep)(RELIEF_TIME).fuse() => {}
        }
        let Some((limit, each)) = self.0.borrow().limits else { return Ok(Place(None)) };
        if let Some(owner) = owner {
            let own: Vec<_> = self.sessions(Some(owner)).into_iter().filter(|session| session.holds()).collect();
            if own.len() >= each {
                yield_longest_idle(&own, Duration::MAX);
            }
        }
        let mut place = {
            let mut inner = self.0.borrow_mut();
            if inner.taken < limit {
                inner.taken += 1;
                return Ok(Place(Some(self.clone())));
            }
            let (given, place) = oneshot::channel();
            inner.waiting.push_back(given);
            place
        };
        let mut late = (platform.sleep)(PLACE_TIME).fuse();
        loop {
            let idle_before = (platform.now)().saturating_sub(self.0.borrow().evictable_after);
            if !yield_longest_idle(&self.sessions(None), idle_before) {
                yield_longest_idle(&self.hoarded(owner), Duration::MAX);
            }
            select_biased! {
                place = (&mut place).fuse() => {
                    return place.map_err(|_| SandboxError::Busy("the server is ending".into()));
                }
                () = late => return Err(SandboxError::Busy(format!(
                    "all {limit} interpreters are in use; end a session, or try again in a while"
                ))),
                () = (platform.sleep)(AGAIN).fuse() => {}
            }
        }
    }

    /// The sessions of the owner with the most interpreters, if it then still has as many as the asking owner.
    fn hoarded(&self, asking: Option<u32>) -> Vec<Rc<dyn Yields>> {
        let mut held: HashMap<u32, Vec<Rc<dyn Yields>>> = HashMap::new();
        for (owner, session) in &self.0.borrow().sessions {
            if let Some(session) = session.upgrade().filter(|session| session.holds()) {
                held.entry(*owner).or_default().push(session);
            }
        }
        let own = asking.and_then(|owner| held.get(&owner)).map_or(0, Vec::len);
        let most = held.into_values().max_by_key(Vec::len).unwrap_or_default();
        if most.len() > own + 1 { most } else { Vec::new() }
    }

    fn sessions(&self, owner: Option<u32>) -> Vec<Rc<dyn Yields>> {
        let inner = self.0.borrow();
        let asked = inner.sessions.iter().filter(|(of, _)| owner.is_none_or(|owner| owner == *of));
        asked.filter_map(|(_, session)| session.upgrade()).collect()
    }
}

/// Ends the interpreter that has been idle for longest, if it has been since `limit`. Returns whether one was ended.
fn yield_longest_idle(sessions: &[Rc<dyn Yields>], limit: Duration) -> bool {
    let idle = sessions.iter().filter_map(|session| Some((session.idle_since()?, session)));
    match idle.min_by_key(|(since, _)| *since) {
        Some((since, session)) if since <= limit => {
            session.give_up();
            true
        }
        _ => false,
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some(places) = self.0.take() else { return };
        loop {
            let next = places.0.borrow_mut().waiting.pop_front();
            let Some(next) = next else { break };
            match next.send(Place(Some(places.clone()))) {
                Ok(()) => return,
                // The waiter is gone: the place is still free.
                Err(mut place) => place.0 = None,
            }
        }
        places.0.borrow_mut().taken -= 1;
    }
}
