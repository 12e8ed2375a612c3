//! The contract suite: the life of a run, dropped at every possible moment, and everything that an interpreter may do
//! wrong.

use std::{rc::Rc, time::Duration};

use futures::{FutureExt, StreamExt, future::join_all, select_biased};
use serde_json::Value;

use super::{
    Fresh, MORE_PACKAGES, Places, RESTARTED, SessionInterpreter, Snapshots,
    fake::{BOOT, Fake, World, packages, request},
};
use crate::{
    limits::{PLACE_TIME, START_TIME, STOP_MARGIN},
    packages::PackageSet,
    run::sandbox::{RunEvent, Sandbox, SandboxError},
    virtual_clock::{self, now, sleep, spawn},
};

mod calls;
mod display;
mod ending;
mod files;
mod keeping;
mod places;

const GRACE: Duration = Duration::from_secs(1);
const EVICTABLE_AFTER: Duration = Duration::from_secs(5 * 60);

type Session = SessionInterpreter<Fake>;

/// The outcome of a run: the notice that its output began with, and its value.
type Came = Result<(Option<&'static str>, Value), SandboxError>;

fn session(fake: &Fake, places: &Places) -> Session {
    SessionInterpreter::new(fake.clone(), places.clone(), Snapshots::default(), 0, GRACE, false)
}

fn alone() -> (Rc<World>, Session) {
    let fake = Fake::default();
    (fake.0.clone(), session(&fake, &Places::default()))
}

async fn run(sandbox: &dyn Sandbox, code: &str) -> Came {
    run_with(sandbox, code, &[]).await
}

async fn run_with(sandbox: &dyn Sandbox, code: &str, names: &[&str]) -> Came {
    let set = if names.is_empty() { PackageSet::default() } else { packages(names) };
    let mut run = sandbox.run(request(code), set);
    let mut text = String::new();
    let mut began = false;
    while let Some(event) = run.next().await {
        match event? {
            RunEvent::Began => assert!(!std::mem::replace(&mut began, true), "it began twice"),
            RunEvent::Frames(bytes) => {
                assert!(began, "frames before it began");
                text.push_str(std::str::from_utf8(&bytes).unwrap());
            }
        }
        // Stops reading once the result is there, as the decoder does.
        if let Some(end) = text.lines().find(|line| line.starts_with("{\"end\"")) {
            let end: Value = serde_json::from_str(end).unwrap();
            let value = serde_json::from_str(end["end"]["json"].as_str().unwrap()).unwrap();
            let notice = [RESTARTED, MORE_PACKAGES].into_iter().find(|notice| text.contains(notice));
            return Ok((notice, value));
        }
    }
    Err(SandboxError::Lost("no result".into()))
}

/// Drops a run after `time`.
async fn let_go(sandbox: &dyn Sandbox, code: &str, set: PackageSet, time: Duration) {
    let mut run = sandbox.run(request(code), set);
    let mut late = sleep(time).fuse();
    loop {
        select_biased! {
            () = late => return,
            event = run.next().fuse() => if event.is_none() { return late.await },
        }
    }
}

fn value(came: Came) -> Value {
    came.unwrap().1
}

fn check(test: impl Future<Output = ()> + 'static) {
    virtual_clock::run(test);
}

/// Every 5 ms, until well after the last event.
fn moments() -> impl Iterator<Item = Duration> {
    (0..60).map(|n| Duration::from_millis(5 * n))
}

const PATIENCE: Duration = Duration::from_millis(2500 + 100);

#[test]
fn a_session_may_be_let_go_of_at_any_moment() {
    // Its interpreter boots, is there, gets packages, or is replaced for them.
    for (alive, names, adds) in
        [(false, &[][..], false), (true, &[], false), (true, &["a"], true), (true, &["a"], false)]
    {
        for code in ["count", "wait 0.05", "loop", "read"] {
            for moment in moments() {
                check(async move {
                    let (world, session) = alone();
                    world.adds.set(adds);
                    if alive {
                        run(&session, "write kept").await.unwrap();
                    }
                    let before = (now(), world.begun.borrow().len());
                    let set = if names.is_empty() { PackageSet::default() } else { packages(names) };
                    let_go(&session, code, set, moment).await;
                    assert!(now() - before.0 <= moment + Duration::from_millis(1), "letting go takes no time");
                    let what = format!("{code} {names:?} {adds} at {moment:?}");
                    let (notice, kept) = run(&session, "read").await.unwrap_or_else(|error| panic!("{what}: {error}"));
                    assert_eq!(kept, if alive { "kept" } else { "" }, "{what}: files are kept");
                    assert!(now() - before.0 - moment < PATIENCE, "{what}: the next took {:?}", now() - before.0);
                    let replaced = world.spawned.get() > usize::from(alive) && alive;
                    if notice.is_some() {
                        assert!(replaced, "{what}: told of a restart that was none");
                    }
                    assert_eq!(world.alive.get(), 1, "{what}: interpreters");
                    assert!(world.begun.borrow().len() - before.1 <= 2, "{what}: begun twice: {:?}", world.begun);
                    sleep(PATIENCE).await;
                    assert_eq!(world.going.get(), 0, "{what}: runs that go on");
                    assert!(session.is_idle());
                    assert_eq!(*world.violations.borrow(), [""; 0], "{what}");
                });
            }
        }
    }
}

#[test]
fn a_fresh_isolate_may_be_let_go_of_at_any_moment() {
    for code in ["count", "wait 0.05", "loop", "mute"] {
        for moment in moments() {
            check(async move {
                let fake = Fake::default();
                let fresh = Fresh::new(fake.clone(), Places::limited(1, 99, EVICTABLE_AFTER), Snapshots::default());
                let_go(&fresh, code, PackageSet::default(), moment).await;
                sleep(Duration::from_millis(50)).await;
                assert_eq!((fake.0.alive.get(), fake.0.going.get()), (0, 0), "{code} at {moment:?}");
                assert_eq!(value(run(&fresh, "count").await), 1);
                assert!(fake.0.begun.borrow().len() <= 2);
                assert_eq!(*fake.0.violations.borrow(), [""; 0]);
            });
        }
    }
}

#[test]
fn a_restart_is_told_also_when_the_run_that_caused_it_was_let_go() {
    for moment in moments() {
        check(async move {
            let (world, session) = alone();
            run(&session, "count").await.unwrap();
            world.lose_all();
            let mut told = 0;
            let mut first = session.run(request("count"), PackageSet::default());
            let mut late = sleep(moment).fuse();
            loop {
                select_biased! {
                    () = late => break,
                    event = first.next().fuse() => match event {
                        Some(Ok(RunEvent::Frames(frame))) if frame.ends_with(RESTARTED.as_bytes()) => told += 1,
                        Some(event) => drop(event.unwrap()),
                        None => break,
                    },
                }
            }
            drop(first);
            for _ in 0..2 {
                told += usize::from(run(&session, "count").await.unwrap().0 == Some(RESTARTED));
            }
            assert_eq!(told, 1, "at {moment:?}");
        });
    }
}

#[test]
fn runs_of_a_session_wait_for_each_other() {
    check(async {
        let (world, session) = alone();
        let came = join_all((0..10).map(|_| run(&session, "wait 0.1"))).await;
        let values: Vec<_> = came.into_iter().map(value).collect();
        assert_eq!(values, (1..=10).collect::<Vec<_>>());
        assert_eq!((world.spawned.get(), world.violations.borrow().len()), (1, 0));
    });
}

#[test]
fn one_that_was_lost_is_replaced_and_nothing_is_done_twice() {
    check(async {
        let (world, session) = alone();
        assert_eq!(run(&session, "write x").await.unwrap().0, None);
        world.lose_all();
        assert_eq!(run(&session, "read").await.unwrap(), (Some(RESTARTED), "".into()));
        assert_eq!(run(&session, "count").await.unwrap(), (None, 2.into()));
        assert!(matches!(run(&session, "die").await, Err(SandboxError::Lost(why)) if why == "it died"));
        assert_eq!(world.has_begun("die"), 1, "what began is not begun again");
        assert_eq!(run(&session, "count").await.unwrap(), (Some(RESTARTED), 1.into()));
        session.restart_quietly();
        world.lose_all();
        assert_eq!(run(&session, "count").await.unwrap(), (None, 1.into()));
    });
}

#[test]
fn what_may_have_begun_is_not_begun_again() {
    check(async {
        let (world, session) = alone();
        run(&session, "count").await.unwrap();
        let fresh = Fresh::new(Fake(world.clone()), Places::default(), Snapshots::default());
        world.vague.set(true);
        for (sandbox, spawned) in [(&session as &dyn Sandbox, 1), (&session, 2), (&fresh, 3)] {
            assert!(matches!(run(sandbox, "read").await, Err(SandboxError::Lost(_))));
            assert_eq!((world.spawned.get(), world.has_begun("read")), (spawned, spawned));
        }
    });
}

#[test]
fn one_that_cannot_start_says_so_once() {
    check(async {
        let (world, session) = alone();
        world.unbootable.set(true);
        assert!(matches!(run(&session, "count").await, Err(SandboxError::Start(_))));
        assert_eq!((world.alive.get(), world.spawned.get()), (0, 1));
        world.unbootable.set(false);
        assert_eq!(run(&session, "count").await.unwrap(), (None, 1.into()), "its first is no restart");
        let fresh = Fresh::new(Fake(world.clone()), Places::default(), Snapshots::default());
        world.unbootable.set(true);
        assert!(matches!(run(&fresh, "count").await, Err(SandboxError::Start(_))));
        assert_eq!(world.spawned.get(), 4, "elsewhere it might have gone well");
    });
}

#[test]
fn one_that_never_answers_is_given_up() {
    check(async {
        let (world, session) = alone();
        let fresh = Fresh::new(Fake(world.clone()), Places::default(), Snapshots::default());
        for (sandbox, spawned) in [(&session as &dyn Sandbox, 1), (&fresh, 2)] {
            world.silent.set(true);
            let start = now();
            assert!(matches!(run(sandbox, "count").await, Err(SandboxError::Lost(_))));
            assert!(now() - start < START_TIME + Duration::from_secs(1));
            assert_eq!(world.spawned.get(), spawned, "it may have begun");
            world.silent.set(false);
        }
        assert_eq!(value(run(&session, "count").await), 1);
        // The same for one that has run before.
        world.silent.set(true);
        assert!(matches!(run(&session, "count").await, Err(SandboxError::Lost(_))));
        world.silent.set(false);
        assert_eq!(run(&session, "count").await.unwrap(), (Some(RESTARTED), 1.into()));
        assert_eq!(world.spawned.get(), 4);
        // A dropped run keeps the next waiting for as long as its interpreter might boot, and no longer.
        world.silent.set(true);
        let_go(&session, "count", PackageSet::default(), Duration::from_millis(100)).await;
        world.silent.set(false);
        let start = now();
        assert_eq!(run(&session, "count").await.unwrap(), (Some(RESTARTED), 1.into()));
        assert!(now() - start < START_TIME + Duration::from_secs(1));
    });
}

#[test]
fn one_that_does_not_stop_is_ended() {
    check(async {
        let (world, session) = alone();
        world.unstoppable.set(true);
        for code in ["loop", "mute"] {
            let_go(&session, code, PackageSet::default(), Duration::from_millis(200)).await;
            let start = now();
            let (notice, count) = run(&session, "count").await.unwrap();
            assert_eq!((notice, count), (Some(RESTARTED), 1.into()), "{code}");
            assert!(now() - start < GRACE + STOP_MARGIN + Duration::from_millis(200), "{code}: {:?}", now() - start);
        }
        assert_eq!(*world.violations.borrow(), [""; 0]);
    });
}

#[test]
fn one_that_lies_harms_itself() {
    check(async {
        let (world, session) = alone();
        world.hasty.set(true);
        assert!(matches!(run(&session, "count").await, Err(SandboxError::Protocol(_))));
        world.hasty.set(false);
        assert_eq!((world.alive.get(), world.has_begun("count")), (0, 1));
        let other =
            SessionInterpreter::new(Fake(world.clone()), Places::default(), Snapshots::default(), 0, GRACE, false);
        world.lying.set(true);
        let_go(&session, "loop", PackageSet::default(), Duration::from_millis(200)).await;
        sleep(Duration::from_secs(5)).await;
        assert!(session.is_idle(), "it has its lock again");
        world.lying.set(false);
        assert_eq!(value(run(&other, "count").await), 1);
    });
}

#[test]
fn wheels_that_were_dropped_are_needed_for_a_new_interpreter_only() {
    check(async {
        let (world, session) = alone();
        run_with(&session, "write kept", &["a"]).await.unwrap();
        world.no_parts.set(true);
        assert_eq!(run_with(&session, "read", &["a"]).await.unwrap(), (None, "kept".into()));
        assert_eq!(run(&session, "read").await.unwrap(), (None, "kept".into()));
        // Packages that cannot be had do not cost the live interpreter.
        for adds in [false, true] {
            world.adds.set(adds);
            assert!(matches!(run_with(&session, "read", &["b"]).await, Err(SandboxError::Start(_))));
            assert_eq!(run(&session, "read").await.unwrap(), (None, "kept".into()));
        }
        world.no_parts.set(false);
        assert_eq!(run_with(&session, "read", &["b"]).await.unwrap(), (None, "kept".into()));
        assert_eq!(world.spawned.get(), 1);
    });
}

#[test]
fn files_go_into_the_next_interpreter() {
    check(async {
        let (world, session) = alone();
        run(&session, "write kept").await.unwrap();
        assert_eq!(run_with(&session, "read", &["a"]).await.unwrap(), (Some(MORE_PACKAGES), "kept".into()));
        assert_eq!(run(&session, "read").await.unwrap(), (None, "kept".into()), "what it has is enough");
        // Another version cannot be added, even where packages can.
        world.adds.set(true);
        assert_eq!(run_with(&session, "read", &["a=2"]).await.unwrap(), (Some(MORE_PACKAGES), "kept".into()));
        world.adds.set(false);
        for (n, unfit) in [&world.no_files, &world.late_files, &world.bad_files].into_iter().enumerate() {
            run(&session, "write lost").await.unwrap();
            unfit.set(true);
            let start = now();
            let came = run_with(&session, "read", &[["b", "c", "d"][n]]).await.unwrap();
            assert_eq!(came, (Some(RESTARTED), "".into()), "{n}");
            assert!(now() - start < Duration::from_secs(6));
            unfit.set(false);
        }
        assert_eq!(world.alive.get(), 1);
    });
}

#[test]
fn a_session_that_ends_ends_its_run() {
    check(async {
        for moment in moments() {
            let (world, session) = alone();
            let other = session.clone();
            spawn(Box::pin(async move {
                sleep(moment).await;
                other.end();
            }));
            let came = run(&session, "wait 1").await;
            assert!(matches!(came, Err(SandboxError::Lost(_))), "{came:?}");
            let why = run(&session, "count").await.unwrap_err().to_string();
            assert_eq!(why, "the sandbox was lost: its session has ended");
            sleep(PATIENCE).await;
            assert_eq!((world.alive.get(), world.going.get()), (0, 0), "at {moment:?}");
        }
    });
}
