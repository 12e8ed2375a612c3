//! Files of a run that are too large for its result: kept where there is a keeper, whatever isolate it ran in.

use std::rc::Rc;

use serde_json::json;

use super::*;
use crate::{
    auth::Principal,
    kept::{Keeper, KeptOptions, Memory, Shelf},
    limits::Limits,
    run::{Outcome, RunRequest, execute, files::ChangedFile},
    virtual_clock::PLATFORM,
};

fn keeper(each: u64) -> Keeper {
    let options = KeptOptions { each, all: 1_000_000, least: 1, time: Duration::from_secs(60) };
    Keeper::new(Rc::new(Shelf::new(Memory::default(), PLATFORM, options)), Principal::named("ann"), PLATFORM)
}

async fn run_in(sandbox: Rc<dyn Sandbox>, keeper: Option<&Keeper>, frames: &[Value]) -> Result<Outcome, SandboxError> {
    let frames: Vec<String> = frames.iter().map(ToString::to_string).collect();
    let code = format!("show {}", frames.join("\n"));
    let request = RunRequest { code, globals: "{}".into(), keep_variables: false, files: Vec::new() };
    let limits = Limits { embed_bytes: 2, ..Limits::default() };
    execute(sandbox, &request, PackageSet::default(), limits, None, keeper, |_| {}).await
}

fn file(path: &str, size: u64) -> Value {
    json!({ "file": { "path": path, "change": "created", "size": size } })
}

fn fresh() -> Rc<dyn Sandbox> {
    Rc::new(Fresh::new(Fake::default(), Places::default(), Snapshots::default()))
}

#[test]
fn the_large_files_of_a_run_of_its_own_are_kept() {
    check(async {
        let keeper = keeper(10);
        let hello = json!({ "part": "aGVsbG8=" });
        let frames = [file("a", 5), hello.clone(), file("b", 5), file("c", 6), json!({ "part": "aGVsbG8h" })];
        let outcome = run_in(fresh(), Some(&keeper), &frames).await.unwrap();
        let uris: Vec<_> = outcome.changes.files.iter().map(|ChangedFile { uri, .. }| uri.clone()).collect();
        assert_eq!(uris[1], None, "it was not sent");
        let [a, c] = [0, 2].map(|n| uris[n].clone().unwrap());
        assert_eq!((&*a.path, &*c.path), ("a", "c"));
        assert_eq!(keeper.get(&a.handle, "a", 0).await, None, "11 bytes of 10: the first is gone by now");
        assert_eq!(keeper.get(&c.handle, "c", 0).await.unwrap().bytes, b"hello!");
        // A file that is too large for the store is listed without a URI.
        let all = [file("a", 11), json!({ "part": "aGVsbG8gd29ybGQ=" }), file("b", 5), hello];
        let outcome = run_in(fresh(), Some(&keeper), &all).await.unwrap();
        let uris: Vec<_> = outcome.changes.files.iter().map(|file| file.uri.is_some()).collect();
        assert_eq!(uris, [false, true]);
    });
}

#[test]
fn without_a_keeper_nothing_is_kept_whatever_is_sent() {
    check(async {
        let (_, session) = alone();
        for sandbox in [fresh(), Rc::new(session)] {
            let outcome = run_in(sandbox.clone(), None, &[file("a", 5)]).await.unwrap();
            assert_eq!(outcome.changes.files[0].uri, None);
            let forged = run_in(sandbox, None, &[file("a", 5), json!({ "part": "aGVsbG8=" })]).await;
            assert_eq!(forged.unwrap_err(), SandboxError::Protocol("more of files than it may send"));
        }
    });
}

#[test]
fn what_an_interpreter_that_stays_leaves_is_kept_too() {
    check(async {
        let (_, session) = alone();
        let keeper = keeper(10);
        let frames = [file("a", 5), json!({ "part": "aGVsbG8=" })];
        let outcome = run_in(Rc::new(session), Some(&keeper), &frames).await.unwrap();
        let uri = outcome.changes.files[0].uri.clone().unwrap();
        assert_eq!(keeper.get(&uri.handle, "a", 0).await.unwrap().bytes, b"hello");
    });
}
