use std::time::Duration;

use futures::StreamExt;

use super::*;
use crate::{
    run::sandbox::{RunEvent, Sandbox},
    session::{
        SessionInterpreter,
        fake::{Fake, SNAPSHOT, World, packages, request},
    },
    virtual_clock::run,
};

struct Test {
    world: Rc<World>,
    snapshots: Snapshots<<Fake as Backend>::Snapshot>,
    maker: Maker<Fake>,
}

fn test() -> Test {
    let fake = Fake::default();
    let world = fake.0.clone();
    world.finds_all.set(true);
    let snapshots = Snapshots::limited(3 * SNAPSHOT);
    let maker = Maker { backend: fake, snapshots: snapshots.clone(), limits: Limits::default() };
    Test { world, snapshots, maker }
}

impl Test {
    async fn make(&self, names: &[&str]) {
        self.maker.make(packages(names), vec!["a".into()]).await;
    }

    fn lacks(&self, names: &[&str]) -> Vec<String> {
        self.maker.lacks(&packages(names)).into_iter().map(|wheel| wheel.name).collect()
    }

    /// The packages of the snapshot that a run with these starts from.
    async fn from(&self, names: &[&str]) -> Option<Vec<String>> {
        self.snapshots.parts(&self.maker.backend, &packages(names)).await.unwrap();
        let names = |set: &PackageSet| set.wheels().iter().map(|wheel| wheel.name.clone()).collect();
        let from = self.world.from.take().map(|snapshot| names(&snapshot.of));
        assert_eq!(self.world.violations.take(), Vec::<String>::new());
        from
    }

    async fn run(&self, names: &[&str]) -> bool {
        let fresh = Fresh::new(self.maker.backend.clone(), Places::default(), self.snapshots.clone());
        let mut run = fresh.run(request("count"), packages(names));
        matches!(run.next().await, Some(Ok(RunEvent::Began)))
    }
}

#[test]
fn a_set_gets_a_snapshot_once_and_further_packages_come_after_it() {
    run(async {
        let test = test();
        assert_eq!(test.lacks(&["b", "c"]), ["b", "c"]);
        assert_eq!(test.from(&["b", "c"]).await, None);
        test.make(&["b", "c"]).await;
        assert_eq!(test.lacks(&["b", "c"]), [""; 0]);
        let made = || Some(vec!["b".to_owned(), "c".to_owned()]);
        assert_eq!(test.from(&["b", "c"]).await, made());
        assert_eq!(test.from(&["a", "b", "c", "d"]).await, made(), "the nearest serves");
        assert_eq!(test.from(&["b"]).await, None, "it has no more than what was asked for");
        assert_eq!(test.from(&["b", "c=2"]).await, None, "nor another version");
        assert_eq!(test.from(&[]).await, None);
        test.make(&["a", "b", "c"]).await;
        assert_eq!(test.from(&["a", "b", "c", "d"]).await.unwrap().len(), 3, "that of the most");
        assert_eq!(test.lacks(&["a", "b", "c", "d"]), ["d"]);
    });
}

#[test]
fn those_that_were_used_least_lately_go_and_another_process_finds_them() {
    run(async {
        let test = test();
        for name in ["a", "b", "c"] {
            test.make(&[name]).await;
        }
        assert!(test.from(&["a"]).await.is_some());
        test.make(&["d"]).await;
        assert!(test.from(&["a"]).await.is_some());
        assert_eq!(test.lacks(&["d"]), [""; 0]);
        // It was kept: so it comes back, for another.
        assert!(test.from(&["b"]).await.is_some());
        let other = Test { snapshots: Snapshots::limited(SNAPSHOT), ..test };
        assert!(other.from(&["c"]).await.is_some());
        assert_eq!(other.from(&["c=2"]).await, None);
    });
}

#[test]
fn what_draws_random_numbers_is_left_out_and_what_cannot_be_made_is_not_tried_again() {
    run(async {
        let test = test();
        let make = |modules: &[&str]| {
            test.maker.make(packages(&["a"]), modules.iter().map(|module| (*module).to_owned()).collect())
        };
        make(&["a", "random1", "b", "random2"]).await;
        assert_eq!(test.world.taken.borrow().last().unwrap(), &["a", "b"]);
        assert!(test.from(&["a"]).await.is_some());
    });
    for spoil in [
        (|world| world.no_snapshot.set(true)) as fn(&World),
        |world| world.bad_snapshot.set(true),
        |world| world.no_parts.set(true),
        |world| world.finds_all.set(false),
    ] {
        run(async move {
            let test = test();
            spoil(&test.world);
            test.make(&["a"]).await;
            test.world.no_parts.set(false);
            assert_eq!(test.from(&["a"]).await, None);
            assert_eq!(test.lacks(&["a"]), [""; 0]);
            assert!(test.world.kept.borrow().is_empty());
            assert_eq!(test.world.alive.get(), 0);
        });
    }
}

#[test]
fn a_snapshot_that_nothing_starts_from_any_longer_costs_no_run() {
    run(async {
        let test = test();
        for kept in [false, true] {
            test.make(&["a"]).await;
            let mut bad = test.world.kept.take();
            for snapshot in bad.values_mut() {
                snapshot.bad = true;
            }
            let snapshots = Snapshots::limited(SNAPSHOT);
            test.world.kept.replace(bad);
            let test = Test { snapshots, world: test.world.clone(), maker: test.maker.clone() };
            match kept {
                false => assert!(test.run(&["a"]).await),
                true => {
                    let backend = test.maker.backend.clone();
                    let grace = Duration::from_secs(1);
                    let session =
                        SessionInterpreter::new(backend, Places::default(), test.snapshots.clone(), 0, grace, false);
                    let mut run = session.run(request("count"), packages(&["a"]));
                    assert!(matches!(run.next().await, Some(Ok(RunEvent::Began))));
                }
            }
            assert_eq!(test.from(&["a"]).await, None, "it is forgotten");
        }
    });
}

#[test]
fn where_none_are_held_none_are_made() {
    run(async {
        let test = test();
        test.snapshots.limit(0);
        assert_eq!(test.lacks(&["a"]), [""; 0]);
        assert_eq!(test.from(&["a"]).await, None);
    });
}
