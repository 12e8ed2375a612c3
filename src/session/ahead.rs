//! Decides which interpreters are booted ahead of the runs that need one: with the packages that were asked for last.

use std::time::Duration;

use crate::limits::AHEAD_TIME;

/// Spare interpreters, which nobody has had. `Parts` is what one is made of: spares with equal parts serve for each
/// other. `Spare` says where one is.
///
/// **Boundary.** A spare is given out once, and one that was given out never comes back.
pub struct Ahead<Parts, Spare> {
    /// How many kinds are kept, one of each.
    most: usize,
    /// Always kept, even if no run asked for it.
    always: Option<Parts>,
    /// The parts that were asked for, and when, since 1970: the last first.
    asked: Vec<(Parts, Duration)>,
    spares: Vec<(Parts, Spare)>,
}

impl<Parts: Clone + PartialEq, Spare> Ahead<Parts, Spare> {
    /// Keeps up to `most` kinds that were asked for, and the one of `always`.
    #[must_use]
    pub fn new(most: usize, always: Option<Parts>) -> Self {
        Self { most, always, asked: Vec::new(), spares: Vec::new() }
    }

    /// Sets how many kinds are kept from now on.
    pub fn limit(&mut self, most: usize) {
        self.most = most;
    }

    /// Notes that a run asked for these parts: one spare is kept for a run that asks for the same within
    /// [`AHEAD_TIME`].
    pub fn expect(&mut self, parts: &Parts, now: Duration) {
        if self.always.as_ref() != Some(parts) {
            self.asked.retain(|(asked, _)| asked != parts);
            self.asked.insert(0, (parts.clone(), now));
            self.asked.truncate(self.most);
        }
    }

    /// Takes out a spare with these parts, to be used.
    pub fn take(&mut self, parts: &Parts) -> Option<Spare> {
        let at = self.spares.iter().position(|(of, _)| of == parts)?;
        Some(self.spares.remove(at).1)
    }

    /// Takes out the spares that are of no more use; the caller ends them.
    #[must_use]
    pub fn tidy(&mut self, now: Duration) -> Vec<Spare> {
        self.asked.truncate(self.most);
        self.asked.retain(|(_, at)| now.saturating_sub(*at) <= AHEAD_TIME);
        let (asked, always) = (&self.asked, &self.always);
        let is_over = |parts: &Parts| always.as_ref() != Some(parts) && asked.iter().all(|(of, _)| of != parts);
        self.spares.extract_if(.., |(parts, _)| is_over(parts)).map(|(_, spare)| spare).collect()
    }

    /// Returns what to boot next: what is always kept, then what was asked for last.
    #[must_use]
    pub fn missing(&self) -> Vec<Parts> {
        let wanted = self.always.iter().chain(self.asked.iter().map(|(parts, _)| parts));
        wanted.filter(|parts| self.spares.iter().all(|(of, _)| of != *parts)).cloned().collect()
    }

    /// Adds a spare that boots or has booted.
    pub fn add(&mut self, parts: Parts, spare: Spare) {
        self.spares.push((parts, spare));
    }

    /// All spares.
    pub fn spares(&self) -> impl Iterator<Item = &Spare> {
        self.spares.iter().map(|(_, spare)| spare)
    }

    /// Takes out the spares that are gone, or of which nothing is known any longer.
    #[must_use]
    pub fn remove(&mut self, is_gone: impl Fn(&Spare) -> bool) -> Vec<Spare> {
        self.spares.extract_if(.., |(_, spare)| is_gone(spare)).map(|(_, spare)| spare).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1_000_000);

    #[test]
    fn one_is_kept_of_what_was_asked_for_last() {
        let mut ahead = Ahead::new(2, None);
        assert!(ahead.missing().is_empty());
        for parts in ["numpy", "pandas", "numpy", "scipy"] {
            ahead.expect(&parts, NOW);
        }
        assert_eq!(ahead.missing(), ["scipy", "numpy"]);
        ahead.add("numpy", 1);
        assert_eq!(ahead.missing(), ["scipy"]);
        assert_eq!(ahead.take(&"pandas"), None);
        ahead.expect(&"pandas", NOW);
        assert_eq!(ahead.tidy(NOW), [1]);
        assert_eq!(ahead.missing(), ["pandas", "scipy"]);
    }

    #[test]
    fn each_is_given_out_once() {
        let mut ahead = Ahead::new(1, None);
        ahead.expect(&"", NOW);
        ahead.add("", 1);
        assert_eq!((ahead.take(&""), ahead.take(&"")), (Some(1), None));
    }

    #[test]
    fn what_nobody_asks_for_again_ends_in_time() {
        let mut ahead = Ahead::new(2, Some("python"));
        ahead.expect(&"python", NOW);
        ahead.expect(&"numpy", NOW);
        assert_eq!(ahead.missing(), ["python", "numpy"]);
        ahead.add("python", 1);
        ahead.add("numpy", 2);
        assert!(ahead.tidy(NOW + AHEAD_TIME).is_empty());
        assert_eq!(ahead.tidy(NOW + AHEAD_TIME + Duration::from_millis(1)), [2]);
        assert!(ahead.missing().is_empty());
        ahead.limit(0);
        ahead.expect(&"numpy", NOW);
        assert!(ahead.missing().is_empty());
        assert_eq!(ahead.remove(|spare| *spare == 1), [1]);
        assert_eq!(ahead.missing(), ["python"]);
    }
}
