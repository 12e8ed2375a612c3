//! How many runs go on at once: of each principal, and of all.

use std::{cell::RefCell, collections::HashMap, rc::Rc};

use crate::{
    auth::Principal,
    limits::Quotas,
    packages::PackageSet,
    platform::Platform,
    run::sandbox::{Run, Sandbox},
    session::SessionError,
};

/// The runs that go on. Clones share the count.
#[derive(Clone, Default)]
pub struct Runs(Rc<RefCell<HashMap<Principal, usize>>>);

impl Runs {
    /// Counts one more run while the slot exists.
    ///
    /// # Errors
    /// [`SessionError::TooManyRuns`].
    pub fn enter(&self, principal: &Principal, quotas: &Quotas) -> Result<RunSlot, SessionError> {
        let mut runs = self.0.borrow_mut();
        let of_all: usize = runs.values().sum();
        let own = runs.get(principal).copied().unwrap_or(0);
        if own >= quotas.runs_each {
            return Err(SessionError::TooManyRuns { going: own, limit: quotas.runs_each, whose: "yours" });
        }
        if of_all >= quotas.runs {
            return Err(SessionError::TooManyRuns { going: of_all, limit: quotas.runs, whose: "all clients" });
        }
        runs.insert(principal.clone(), own + 1);
        Ok(RunSlot { runs: self.clone(), principal: principal.clone() })
    }
}

/// The slot of one run among those that go on.
pub struct RunSlot {
    runs: Runs,
    principal: Principal,
}

impl RunSlot {
    /// Wraps `sandbox`; dropping it frees the slot.
    #[must_use]
    pub fn hold(self, sandbox: Rc<dyn Sandbox>) -> Rc<dyn Sandbox> {
        Rc::new(Counted { sandbox, _slot: self })
    }
}

impl Drop for RunSlot {
    fn drop(&mut self) {
        let mut runs = self.runs.0.borrow_mut();
        if let Some(count) = runs.get_mut(&self.principal) {
            *count -= 1;
            if *count == 0 {
                runs.remove(&self.principal);
            }
        }
    }
}

struct Counted {
    sandbox: Rc<dyn Sandbox>,
    _slot: RunSlot,
}

impl Sandbox for Counted {
    fn run(&self, request: String, packages: PackageSet) -> Run {
        self.sandbox.run(request, packages)
    }

    fn is_fresh(&self) -> bool {
        self.sandbox.is_fresh()
    }

    fn platform(&self) -> Platform {
        self.sandbox.platform()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_counted_for_each_and_for_all() {
        let runs = Runs::default();
        let quotas = Quotas { runs_each: 2, runs: 3, ..Quotas::default() };
        let [ann, bob] = ["ann", "bob"].map(Principal::named);
        let first = runs.enter(&ann, &quotas).unwrap_or_else(|error| panic!("{error}"));
        let _second = runs.enter(&ann, &quotas);
        let why = |principal| runs.enter(principal, &quotas).err().map(|error| error.to_string());
        assert_eq!(
            why(&ann).unwrap(),
            "too many runs: 2 of yours are going on, and at most 2 may; try again in a while"
        );
        let third = runs.enter(&bob, &quotas);
        assert!(why(&bob).unwrap().contains("3 of all clients"));
        drop(first);
        assert!(why(&ann).is_none(), "a slot that is dropped at once is free again");
        drop(third);
        assert_eq!(runs.0.borrow().len(), 1, "nothing is kept of who runs nothing");
    }

    /// A sandbox of which only [`Sandbox::is_fresh`] is asked.
    struct Asked(bool);

    impl Sandbox for Asked {
        fn run(&self, _: String, _: PackageSet) -> Run {
            unreachable!()
        }

        fn is_fresh(&self) -> bool {
            self.0
        }

        fn platform(&self) -> Platform {
            unreachable!()
        }
    }

    #[test]
    fn what_is_counted_is_as_fresh_as_it_was() {
        for fresh in [true, false] {
            let slot = Runs::default().enter(&Principal::named("ann"), &Quotas::default());
            let slot = slot.unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(slot.hold(Rc::new(Asked(fresh))).is_fresh(), fresh);
        }
    }
}
