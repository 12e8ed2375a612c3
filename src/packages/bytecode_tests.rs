use std::cell::RefCell;

use futures::{FutureExt, executor::block_on, stream};
use serde_json::{Value, json};

use super::*;
use crate::{
    packages::{
        Room,
        install::tests::{ONE, Test, test_with},
        wheel::{Size, tests::wheel as zip},
    },
    run::{
        InSandbox,
        protocol::VERSION,
        sandbox::{Deaf, Run, RunEvent, Sandbox},
    },
    virtual_clock::{now, sleep, spawn},
};

/// An isolate in which every program ends with `end`. Records what it was asked for.
struct Ends {
    end: Value,
    asked: Rc<RefCell<Vec<(Value, PackageSet)>>>,
}

impl Sandbox for Ends {
    fn run(&self, request: String, packages: PackageSet) -> Run {
        self.asked.borrow_mut().push((serde_json::from_str(&request).unwrap(), packages));
        let frames = format!("{}\n{}\n", json!({ "protocol": VERSION }), json!({ "end": self.end }));
        Box::new(Deaf(stream::iter([Ok(RunEvent::Began), Ok(RunEvent::Frames(frames.into_bytes()))])))
    }

    fn is_fresh(&self) -> bool {
        true
    }

    fn platform(&self) -> Platform {
        Platform { sleep: |_| futures::future::pending().boxed_local(), spawn, now }
    }
}

type Asked = Rc<RefCell<Vec<(Value, PackageSet)>>>;
type Tasks = Rc<RefCell<Vec<LocalBoxFuture<'static, ()>>>>;

/// Packages with a compiler whose isolates end with `end`; and the tasks for later.
fn compiling(end: Value, compiling: &Compiling) -> (Test, Rc<Packages>, Asked, Tasks) {
    let (test, a, b) = test_with(|_| {});
    test.serve(ONE, "a", Ok(a));
    test.serve(ONE, "b", Ok(b));
    let (asked, tasks) = (Asked::default(), Tasks::default());
    let later = tasks.clone();
    let compiler = Compiler {
        programs: Box::new(InSandbox(Rc::new(Ends { end, asked: asked.clone() }))),
        limits: Limits::default(),
        platform: Platform { sleep, spawn, now },
        later: Box::new(move |task| later.borrow_mut().push(task)),
        compiling: compiling.clone(),
        snapshots: None,
    };
    let packages = Rc::new(test.its_packages().with_compiler(compiler));
    (test, packages, asked, tasks)
}

fn install(packages: &Packages, code: &str) -> PackageSet {
    block_on(packages.install_for(code, None, &|_| {})).unwrap().set
}

fn compiled(path: &str) -> Vec<u8> {
    zip(&[(path, b"\x2b\x0e\r\n\x01\0\0\0hash....code")])
}

fn sizes(test: &Test) -> Vec<Option<usize>> {
    let mut sizes: Vec<_> = test.home.prepared.borrow().values().map(|size| size.bytecode).collect();
    sizes.sort_unstable();
    sizes
}

#[test]
fn wheels_are_compiled_once_after_the_run_and_found_in_the_cache() {
    let good = compiled("__pycache__/a.cpython-314.pyc");
    let (test, packages, asked, tasks) =
        compiling(json!({ "status": "success", "text": BASE64.encode(&good) }), &Compiling::default());
    let set = install(&packages, "import b");
    assert!(asked.borrow().is_empty(), "nothing is compiled before the run");
    packages.prepare_later(&set);
    assert_eq!(tasks.borrow().len(), 1);
    block_on(futures::future::join_all(tasks.take()));
    let runs = asked.take();
    let of = |run: &(Value, PackageSet)| {
        let globals: Value = serde_json::from_str(run.0["globals"].as_str().unwrap()).unwrap();
        assert_eq!(run.0["code"], PROGRAM);
        assert_eq!(run.1.wheels().len(), 1, "each is alone in its isolate");
        globals["name"].as_str().unwrap().to_owned()
    };
    assert_eq!(runs.iter().map(of).collect::<Vec<_>>(), ["a", "b"]);
    let size = wheel::bytecode(&good).unwrap().len();
    assert_eq!(sizes(&test), [Some(size), Some(size)]);
    packages.prepare_later(&set);
    assert!(tasks.borrow().is_empty(), "once");
    // Another process finds it.
    test.home.prepared.take();
    install(&packages, "import b");
    assert_eq!(sizes(&test), [Some(size), Some(size)]);
    // So it does where the wheels were prepared without a compiler.
    test.home.prepared.take();
    install(&test.its_packages(), "import b");
    assert_eq!(sizes(&test), [None, None]);
    packages.prepare_later(&set);
    block_on(futures::future::join_all(tasks.take()));
    assert_eq!(sizes(&test), [Some(size), Some(size)]);
    assert!(asked.borrow().is_empty(), "nothing is compiled twice");
    // Bytecode is cached under a key of its own, not under the wheel's sha256.
    assert_eq!(test.home.cache.borrow().len(), 4);
}

#[test]
fn what_is_no_bytecode_is_not_kept_and_not_tried_again() {
    let raw = |bytes: &[u8]| json!({ "status": "success", "text": BASE64.encode(bytes) });
    for end in [
        raw(b"no zip"),
        raw(&zip(&[("a.py", b"import os")])),
        raw(&compiled("a.cpython-314.pyc")),
        raw(&compiled("__pycache__/a.cpython-313.pyc")),
        raw(&compiled("../__pycache__/a.cpython-314.pyc")),
        raw(&zip(&[("__pycache__/a.cpython-314.pyc", b"\x2b\x0e\r\n\0\0\0\0time....code")])),
        raw(&zip(&[("__pycache__/a.cpython-314.pyc", b"")])),
        json!({ "status": "success", "text": "no base64" }),
        json!({ "status": "success", "json": "1" }),
        json!({ "status": "run-error", "error": "MemoryError" }),
        json!({ "status": "nonsense" }),
    ] {
        let (test, packages, asked, tasks) = compiling(end.clone(), &Compiling::default());
        let set = install(&packages, "import a");
        packages.prepare_later(&set);
        block_on(futures::future::join_all(tasks.take()));
        assert_eq!(sizes(&test), [Some(0)], "{end}");
        assert_eq!(test.home.cache.borrow().len(), 1, "the wheel alone: {end}");
        packages.prepare_later(&set);
        assert!(tasks.borrow().is_empty() && asked.borrow().len() == 1, "{end}");
    }
}

#[test]
fn a_cache_that_was_changed_is_not_used() {
    let good = compiled("__pycache__/a.cpython-314.pyc");
    let (test, packages, _, tasks) =
        compiling(json!({ "status": "success", "text": BASE64.encode(&good) }), &Compiling::default());
    packages.prepare_later(&install(&packages, "import a"));
    block_on(futures::future::join_all(tasks.take()));
    test.home.prepared.take();
    for bytes in test.home.cache.borrow_mut().values_mut().filter(|bytes| **bytes == good) {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
    }
    install(&packages, "import a");
    assert_eq!(sizes(&test), [None]);
}

#[test]
fn one_is_compiled_at_a_time_and_whoever_was_cut_off_holds_nobody_up_for_long() {
    let busy = Compiling::default();
    let (_test, packages, asked, tasks) = compiling(json!({ "status": "run-error", "error": "" }), &busy);
    let set = install(&packages, "import a");
    busy.until.set(now() + Duration::from_secs(1));
    packages.prepare_later(&set);
    assert!(tasks.borrow().is_empty());
    busy.until.set(now());
    packages.prepare_later(&set);
    block_on(futures::future::join_all(tasks.take()));
    assert_eq!(asked.borrow().len(), 1);
}

#[test]
fn bytecode_goes_along_where_there_is_room() {
    let sizes =
        || [Size { code: 10, data: 20, bytecode: Some(30) }, Size { code: 0, data: 40, bytecode: None }].into_iter();
    let carries = |room: Room| room.carries_bytecode(sizes());
    assert!(carries(Room { memory: 100, ..Room::default() }));
    assert!(!carries(Room { memory: 99, ..Room::default() }));
    assert!(carries(Room { budget: Some(250), heap: 50, ..Room::default() }));
    assert!(!carries(Room { budget: Some(249), heap: 50, ..Room::default() }));
}
