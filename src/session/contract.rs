//! The contract suite: the life of a run, with every place where somebody may let go, and whatever an interpreter may do
//! wrong.

use std::{cell::Cell, rc::Rc, time::Duration};

use futures::{
    FutureExt, StreamExt,
    future::{LocalBoxFuture, join_all},
    select_biased,
};
use serde_json::{Value, json};

use super::{
    Fresh, MORE_PACKAGES, Places, RESTARTED, SessionInterpreter, Snapshots,
    fake::{BOOT, Fake, World, packages, request},
    quota,
};
use crate::{
    auth::Principal,
    limits::{Limits, PLACE_TIME, Quotas, START_TIME, STOP_MARGIN},
    packages::PackageSet,
    run::{
        Ending, Returned, RunRequest,
        calls::{Call, CallError, Caller},
        execute,
        sandbox::{RunEvent, Sandbox, SandboxError},
    },
    virtual_clock::{self, now, sleep, spawn},
};

const GRACE: Duration = Duration::from_secs(1);
const EVICTABLE_AFTER: Duration = Duration::from_secs(5 * 60);

type Session = SessionInterpreter<Fake>;

/// What came of a run: the notice that its output began with, and its value.
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
        // As the decoder does: whoever has the result reads no further.
        if let Some(end) = text.lines().find(|line| line.starts_with("{\"end\"")) {
            let end: Value = serde_json::from_str(end).unwrap();
            let value = serde_json::from_str(end["end"]["json"].as_str().unwrap()).unwrap();
            let notice = [RESTARTED, MORE_PACKAGES].into_iter().find(|notice| text.contains(notice));
            return Ok((notice, value));
        }
    }
    Err(SandboxError::Lost("no result".into()))
}

/// Lets go of a run after `time`.
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

/// Every 5 ms, to well after the last thing happened.
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
        // The same in the middle of its life.
        world.silent.set(true);
        assert!(matches!(run(&session, "count").await, Err(SandboxError::Lost(_))));
        world.silent.set(false);
        assert_eq!(run(&session, "count").await.unwrap(), (Some(RESTARTED), 1.into()));
        assert_eq!(world.spawned.get(), 4);
        // Let go of, it keeps the next waiting for as long as it might boot, and no longer.
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
        // What cannot be had does not cost the interpreter that there is.
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

#[test]
fn ten_at_once_and_the_eleventh() {
    check(async {
        let fake = Fake::default();
        let places = Places::limited(10, 99, EVICTABLE_AFTER);
        let sessions: Vec<_> = (0..11).map(|_| session(&fake, &places)).collect();
        let came = join_all(sessions.iter().take(10).map(|session| run(session, "wait 1"))).await;
        assert!(came.into_iter().all(|came| value(came) == 1));
        // All ten are idle, and not for long.
        let eleventh = &sessions[10];
        let start = now();
        let why = run(eleventh, "count").await.unwrap_err();
        assert!(matches!(&why, SandboxError::Busy(_)), "{why}");
        assert!(why.to_string().contains("all 10 interpreters are in use"), "{why}");
        assert!(now() - start < PLACE_TIME + Duration::from_secs(1));
        // Whoever lets go while waiting leaves nothing behind.
        let_go(eleventh, "count", PackageSet::default(), Duration::from_secs(1)).await;
        sessions[3].end();
        assert_eq!(value(run(eleventh, "count").await), 1);
        // Another waits for one to end, and gets its place.
        let twelfth = session(&fake, &places);
        let ending = async {
            sleep(Duration::from_secs(5)).await;
            sessions[4].end();
        };
        assert_eq!(value(futures::join!(run(&twelfth, "count"), ending).0), 1);
        assert_eq!(fake.0.alive.get(), 10);
        // One that is idle for long has to go, and its session goes on.
        sleep(EVICTABLE_AFTER / 2).await;
        for session in sessions.iter().skip(1).chain([&twelfth]) {
            let _ = run(session, "count").await;
        }
        sleep(EVICTABLE_AFTER / 2).await;
        let start = now();
        assert_eq!(value(run(&session(&fake, &places), "count").await), 1);
        assert!(now() - start < Duration::from_secs(1), "at once");
        assert!(!sessions[0].is_alive());
        assert_eq!(run(&sessions[0], "count").await.unwrap(), (Some(RESTARTED), 1.into()));
        assert_eq!(fake.0.alive.get(), 10);
    });
}

#[test]
fn who_has_most_makes_room_for_who_has_less() {
    check(async {
        let fake = Fake::default();
        let places = Places::limited(4, 4, EVICTABLE_AFTER);
        let of =
            |owner| SessionInterpreter::new(fake.clone(), places.clone(), Snapshots::default(), owner, GRACE, false);
        let rich: Vec<_> = (0..4).map(|_| of(1)).collect();
        for session in &rich {
            run(session, "count").await.unwrap();
        }
        let start = now();
        let fresh = Fresh::new(fake.clone(), places.clone(), Snapshots::default());
        assert_eq!(value(run(&fresh, "count").await), 1);
        let poor = [of(2), of(2), of(2)];
        for session in &poor[..2] {
            assert_eq!(value(run(session, "count").await), 1);
        }
        assert!(now() - start < Duration::from_secs(1), "at once");
        assert_eq!(rich.iter().filter(|session| session.is_alive()).count(), 2);
        // Both have as many: a third would be one more than the other has.
        assert!(matches!(run(&poor[2], "count").await, Err(SandboxError::Busy(_))));
    });
}

#[test]
fn a_session_that_needs_packages_keeps_its_place() {
    check(async {
        let fake = Fake::default();
        let places = Places::limited(1, 99, EVICTABLE_AFTER);
        let one = session(&fake, &places);
        run(&one, "write kept").await.unwrap();
        let other = session(&fake, &places);
        let waiting = other.clone();
        spawn(Box::pin(async move { drop(run(&waiting, "count").await) }));
        sleep(BOOT).await;
        assert_eq!(run_with(&one, "read", &["a"]).await.unwrap(), (Some(MORE_PACKAGES), "kept".into()));
        fake.0.lose_all();
        assert_eq!(run(&one, "read").await.unwrap(), (Some(RESTARTED), "".into()));
    });
}

#[test]
fn those_that_died_give_their_places_at_once() {
    check(async {
        let fake = Fake::default();
        let places = Places::limited(2, 2, EVICTABLE_AFTER);
        let sessions: Vec<_> = (0..3).map(|_| session(&fake, &places)).collect();
        for session in &sessions[..2] {
            run(session, "count").await.unwrap();
        }
        fake.0.lose_all();
        let start = now();
        assert_eq!(value(run(&sessions[2], "count").await), 1);
        assert!(now() - start < Duration::from_secs(1));
    });
}

#[test]
fn one_owner_cannot_have_all_places() {
    check(async {
        let fake = Fake::default();
        let places = Places::limited(10, 8, EVICTABLE_AFTER);
        let of =
            |owner| SessionInterpreter::new(fake.clone(), places.clone(), Snapshots::default(), owner, GRACE, false);
        let own: Vec<_> = (0..12).map(|_| of(1)).collect();
        for session in &own {
            assert_eq!(run(session, "count").await.unwrap(), (None, 1.into()));
        }
        assert_eq!(fake.0.alive.get(), 8);
        let alive: Vec<_> = own.iter().map(Session::is_alive).collect();
        assert_eq!(alive[..4], [false; 4], "those that were idle for longest went");
        let start = now();
        assert_eq!(value(run(&of(2), "count").await), 1);
        assert!(now() - start < Duration::from_secs(1));
    });
}

#[test]
fn where_all_hold_too_much_idle_ones_that_hold_most_go_first() {
    virtual_clock::run(async {
        let fake = Fake::default();
        let world = fake.0.clone();
        world.memory.set(10);
        let measured = world.clone();
        // With no limit to their number.
        let places = Places::default().with_memory(50, Rc::new(move || measured.held()));
        let [small, large, busy] = [0, 1, 2].map(|owner| {
            SessionInterpreter::new(fake.clone(), places.clone(), Snapshots::default(), owner, GRACE, false)
        });
        for _ in 0..3 {
            assert!(run(&large, "count").await.is_ok());
        }
        assert!(run(&small, "count").await.is_ok());
        sleep(Duration::from_secs(10)).await;
        assert_eq!((world.held(), world.alive.get()), (40, 2), "it is not too much");
        let mut going = busy.run(request("wait 100"), PackageSet::default());
        assert!(matches!(going.next().await, Some(Ok(RunEvent::Began))));
        assert!(run(&small, "count").await.is_ok());
        sleep(Duration::from_millis(500)).await;
        assert_eq!(world.held(), 30, "the one that held most, though another was idle for longer");
        assert_eq!((small.is_alive(), large.is_alive(), busy.is_alive()), (true, false, true));
        // One that runs stays, however much it holds; and when it is idle, it goes.
        world.memory.set(30);
        assert!(run(&large, "count").await.is_ok());
        sleep(Duration::from_secs(10)).await;
        assert_eq!((small.is_alive(), large.is_alive(), busy.is_alive()), (false, false, true));
        world.memory.set(60);
        while going.next().await.is_some() {}
        drop(going);
        sleep(Duration::from_secs(2)).await;
        assert_eq!((world.held(), busy.is_alive()), (0, false));
    });
}

/// Answers `echo`, after a while `wait`, and `never`.
#[derive(Default)]
struct Answers(Rc<Cell<usize>>);

impl Caller for Answers {
    fn names(&self) -> Vec<String> {
        ["echo", "wait", "never"].map(str::to_owned).to_vec()
    }

    fn call(&self, call: Call) -> LocalBoxFuture<'static, Result<String, CallError>> {
        self.0.set(self.0.get() + 1);
        let going = Counted(self.0.clone());
        async move {
            let _going = going;
            match call.name.as_str() {
                "echo" => {}
                "wait" => sleep(Duration::from_millis(100)).await,
                _ => futures::future::pending().await,
            }
            Ok(call.arguments)
        }
        .boxed_local()
    }
}

/// A call that somebody answers.
struct Counted(Rc<Cell<usize>>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// The value of a run that may call, and how many of its calls are being answered when it is over.
async fn calling(sandbox: &Rc<dyn Sandbox>, code: &str) -> (Result<Value, SandboxError>, usize) {
    let answers = Answers::default();
    let request = RunRequest { code: code.into(), globals: "{}".into(), keep_variables: false, files: Vec::new() };
    let limits = Limits { grace: GRACE, ..Limits::default() };
    let set = PackageSet::default();
    let outcome = execute(sandbox.clone(), &request, set, limits, Some(&answers), |_| {}).await;
    let value = outcome.map(|outcome| match outcome.ending {
        Ending::Success(Returned::Json { value, .. }) => value,
        other => panic!("{other:?}"),
    });
    (value, answers.0.get())
}

/// Both kinds of sandboxes of a world.
fn both(world: &Rc<World>) -> [Rc<dyn Sandbox>; 2] {
    let fake = Fake(world.clone());
    let fresh = Fresh::new(fake.clone(), Places::default(), Snapshots::default());
    // As one of those that go on.
    let slot = quota::Runs::default().enter(&Principal::default(), &Quotas::default()).unwrap();
    [slot.hold(Rc::new(session(&fake, &Places::default()))), Rc::new(fresh)]
}

fn ids(value: &Value) -> Vec<u64> {
    value.as_array().unwrap().iter().map(|answer| answer["id"].as_u64().unwrap()).collect()
}

#[test]
fn calls_are_answered() {
    check(async {
        let world = Rc::new(World::default());
        for sandbox in both(&world) {
            let (came, left) = calling(&sandbox, "call 1 echo").await;
            assert_eq!((came.unwrap(), left), (json!([{ "id": 1, "value": "{\"id\":1}" }]), 0));
            let start = now();
            let (came, left) = calling(&sandbox, "call 10 wait").await;
            let came = ids(&came.unwrap());
            assert_eq!((came.len(), left), (10, 0));
            assert!(now() - start < Duration::from_millis(300), "all ten at once: {:?}", now() - start);
            assert_eq!(came.last(), Some(&if sandbox.is_fresh() { 10 } else { 11 }), "ids go on from run to run");
        }
        assert_eq!((world.stray.get(), world.violations.borrow().len()), (0, 0));
    });
}

#[test]
fn what_is_answered_twice_is_answered_once() {
    check(async {
        let world = Rc::new(World::default());
        world.echoes.set(1);
        for sandbox in both(&world) {
            for _ in 0..3 {
                let (came, _) = calling(&sandbox, "call 2 wait").await;
                assert_eq!(ids(&came.unwrap()).len(), 2);
            }
        }
        assert!(world.stray.get() > 0);
    });
}

#[test]
fn an_answer_that_comes_after_the_run_is_nobodys() {
    check(async {
        let world = Rc::new(World::default());
        for sandbox in both(&world) {
            let (came, left) = calling(&sandbox, "hurry wait").await;
            assert!(came.is_ok());
            assert_eq!(left, 0, "nobody works for a run that is over");
            // As at a home whose answers were on their way.
            let mut late = sandbox.run(json!({ "code": "hurry never" }).to_string(), PackageSet::default());
            while late.next().await.is_some() {}
            let brought = late.answer("{\"id\":1,\"value\":\"1\"}");
            let (came, _) = calling(&sandbox, "call 1 echo").await;
            brought.await;
            assert_ne!(ids(&came.unwrap()), [0]);
        }
    });
}

#[test]
fn one_that_is_never_answered_ends_with_its_run() {
    check(async {
        let world = Rc::new(World::default());
        for sandbox in both(&world) {
            // Its own limit answers it.
            let start = now();
            let (came, left) = calling(&sandbox, "call 1 never").await;
            let came = came.unwrap();
            assert_eq!((came[0]["error"]["type"].as_str(), left), (Some("TimeoutError"), 0));
            assert!(now() - start >= Limits::default().calls.time);
        }
    });
}

#[test]
fn a_call_that_was_let_go_of_is_not_answered() {
    check(async {
        let world = Rc::new(World::default());
        for sandbox in both(&world) {
            let start = now();
            let (came, left) = calling(&sandbox, "cancel never").await;
            assert_eq!((ids(&came.unwrap()), left), (vec![2], 0));
            assert!(now() - start < Duration::from_secs(1));
        }
        assert_eq!(world.stray.get(), 0);
    });
}

#[test]
fn a_run_that_calls_may_be_dropped_at_any_moment() {
    for code in ["call 3 wait", "call 3 never", "cancel wait"] {
        for moment in moments() {
            check(async move {
                let world = Rc::new(World::default());
                for sandbox in both(&world) {
                    let mut late = sleep(moment).fuse();
                    select_biased! {
                        () = late => {}
                        _ = std::pin::pin!(calling(&sandbox, code).fuse()) => {}
                    }
                    let (came, left) = calling(&sandbox, "call 2 echo").await;
                    assert_eq!((ids(&came.unwrap()).len(), left), (2, 0), "{code} at {moment:?}");
                }
                assert_eq!(*world.violations.borrow(), [""; 0], "{code} at {moment:?}");
            });
        }
    }
}
