//! Calls out of a running program, and everything that may get in their way.

use std::cell::Cell;

use futures::future::LocalBoxFuture;
use serde_json::json;

use super::{super::quota, *};
use crate::{
    auth::Principal,
    limits::{Limits, Quotas},
    run::{
        Ending, Returned, RunRequest,
        calls::{Call, CallError, Caller},
        execute,
    },
};

/// Answers `echo` at once, `wait` after a while, and `never` not at all.
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

/// A call that is being answered.
struct Counted(Rc<Cell<usize>>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// Returns the value of a run that may call, and how many of its calls are still being answered when it is over.
async fn calling(sandbox: &Rc<dyn Sandbox>, code: &str) -> (Result<Value, SandboxError>, usize) {
    let answers = Answers::default();
    let request = RunRequest { code: code.into(), globals: "{}".into(), keep_variables: false, files: Vec::new() };
    let limits = Limits { grace: GRACE, ..Limits::default() };
    let set = PackageSet::default();
    let outcome = execute(sandbox.clone(), &request, set, limits, Some(&answers), None, |_| {}).await;
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
    // With a slot, as a run that is counted.
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
            // As in a home whose answers were on their way.
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
            // The time limit of calls answers it.
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
