//! Which open session gives way to a new one, and what its owner is told.
//!
//! The home keeps the sessions: in memory, or each in a Durable Object, with other objects that count them.

use std::{collections::VecDeque, fmt, time::Duration};

use serde::{Deserialize, Serialize};

use super::SessionError;
use crate::{auth::Principal, limits::Quotas, run::sandbox::SandboxError};

/// How many ended sessions are remembered.
const MAX_REMEMBERED: usize = 1000;

/// The facts about an open session that decide whether it may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    /// When it was last used, since 1970.
    pub used_at: Duration,
    /// Whether it has run anything. One that has not holds no interpreter, and loses nothing.
    pub has_run: bool,
}

impl Known {
    /// Whether a session in which nothing runs may be ended for another: it has run nothing, or nothing for as long as
    /// `after`.
    #[must_use]
    pub fn may_go(&self, now: Duration, after: Duration) -> bool {
        !self.has_run || now.saturating_sub(self.used_at) >= after
    }
}

/// The sessions that may be ended for another. The first to go come first: those that ran nothing, then those that
/// have been idle for longest.
pub fn evictable<Id>(
    sessions: impl IntoIterator<Item = (Id, Known)>,
    now: Duration,
    after: Duration,
) -> impl Iterator<Item = Id> {
    let mut may_go: Vec<_> = sessions.into_iter().filter(|(_, known)| known.may_go(now, after)).collect();
    may_go.sort_by_key(|(_, known)| (known.has_run, known.used_at));
    may_go.into_iter().map(|(id, _)| id)
}

/// Which sessions are counted, and how many there may be.
#[derive(Debug, Clone, Copy)]
pub struct Count<'a> {
    /// The principal whose sessions are counted; `None`: everybody's.
    pub of: Option<&'a Principal>,
    /// How many there may be.
    pub limit: usize,
}

/// Counts open sessions.
#[allow(async_fn_in_trait, reason = "it is used here, and the core is of one thread")]
pub trait Register {
    /// Counts the session `id`; or, at the limit, returns the sessions that may have to go for it, in order.
    async fn count(&self, id: &str, known: Known, count: &Count<'_>) -> Result<Option<Vec<String>>, SandboxError>;

    /// Stops counting a session that did not begin.
    async fn forget(&self, id: &str, count: &Count<'_>) -> Result<(), SandboxError>;

    /// Ends the session `id`, if it may still go. Returns whether it ended.
    async fn evict(&self, id: &str) -> Result<bool, SandboxError>;
}

/// How often room is made for one new session: once more than needed, as another may take it.
const MAX_TRIES: usize = 2;

/// Counts a new session of `principal` among its own, and among all. Ends one that was not used lately for it, if need
/// be.
///
/// # Errors
/// [`SessionError::TooManySessions`], or an error of counting.
pub async fn admit(
    register: &impl Register,
    principal: &Principal,
    id: &str,
    known: Known,
    quotas: &Quotas,
) -> Result<(), SessionError> {
    let own = Count { of: Some(principal), limit: quotas.sessions_each };
    admit_to(register, id, known, &own).await?;
    let admitted = admit_to(register, id, known, &Count { of: None, limit: quotas.sessions }).await;
    if admitted.is_err() {
        register.forget(id, &own).await.map_err(SessionError::Sandbox)?;
    }
    admitted
}

async fn admit_to(register: &impl Register, id: &str, known: Known, count: &Count<'_>) -> Result<(), SessionError> {
    let mut tries = 0..MAX_TRIES;
    loop {
        let others = register.count(id, known, count).await.map_err(SessionError::Sandbox)?;
        let Some(others) = others else { return Ok(()) };
        if tries.next().is_none() || !evict_one_of(register, &others).await.map_err(SessionError::Sandbox)? {
            let whose = if count.of.is_some() { "yours" } else { "all clients" };
            return Err(SessionError::TooManySessions { limit: count.limit, whose });
        }
    }
}

async fn evict_one_of(register: &impl Register, sessions: &[String]) -> Result<bool, SandboxError> {
    for id in sessions {
        if register.evict(id).await? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Why a session has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ended {
    /// It was idle for so long.
    Idle(Duration),
    /// It was idle, and the limit of sessions was reached.
    Evicted,
    /// Its owner asked for it.
    Asked,
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("this session has ended, with its variables and files: ")?;
        match self {
            Self::Idle(time) => write!(f, "it was idle for {} s", time.as_secs_f64()),
            Self::Evicted => f.write_str("it was idle, and another needed its place"),
            Self::Asked => f.write_str("that was asked for"),
        }?;
        f.write_str("; start one with \"new\"")
    }
}

/// The sessions that ended last, by their handles.
#[derive(Default)]
pub struct Remembered(VecDeque<(String, Principal, Ended)>);

impl Remembered {
    /// Remembers one more, and forgets the oldest if there are too many.
    pub fn add(&mut self, handle: String, owner: Principal, why: Ended) {
        if self.0.len() >= MAX_REMEMBERED {
            self.0.pop_front();
        }
        self.0.push_back((handle, owner, why));
    }

    /// Returns why a session of `owner` ended. Nobody else is told that there was one.
    #[must_use]
    pub fn find(&self, handle: &str, owner: &Principal) -> Option<Ended> {
        self.0.iter().find(|(of, by, _)| of == handle && by == owner).map(|(_, _, why)| *why)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn who_ran_nothing_goes_first_and_who_ran_lately_does_not_go() {
        let known = |minutes, has_run| Known { used_at: minutes * MINUTE, has_run };
        let sessions = [
            ("idle for 6", known(94, true)),
            ("unused, later", known(99, false)),
            ("idle for 90", known(10, true)),
            ("used", known(96, true)),
            ("unused, earlier", known(98, false)),
        ];
        let order: Vec<_> = evictable(sessions, 100 * MINUTE, 5 * MINUTE).collect();
        assert_eq!(order, ["unused, earlier", "unused, later", "idle for 90", "idle for 6"]);
        // No session becomes idle because the clock was set back.
        let used_later = [("one", known(10, true)), ("other", known(96, true))];
        assert_eq!(evictable(used_later, 9 * MINUTE, MINUTE).count(), 0);
    }

    #[test]
    fn who_had_a_session_is_told_why_it_ended_and_nobody_else() {
        let mut remembered = Remembered::default();
        let [ann, bob] = ["ann", "bob"].map(Principal::named);
        for n in 0..=MAX_REMEMBERED {
            remembered.add(n.to_string(), ann.clone(), Ended::Evicted);
        }
        assert_eq!(remembered.find("1", &ann), Some(Ended::Evicted));
        assert_eq!(remembered.find("1", &bob), None);
        assert_eq!(remembered.find("0", &ann), None, "the oldest is forgotten");
        assert_eq!(
            Ended::Idle(MINUTE).to_string(),
            "this session has ended, with its variables and files: it was idle for 60 s; start one with \"new\""
        );
    }
}
