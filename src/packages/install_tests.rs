use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
};

use futures::{
    channel::oneshot,
    executor::block_on,
    future::{self, LocalBoxFuture},
};
use serde_json::json;

use super::*;
use crate::packages::{
    requirement,
    supply::{Claim, FetchError},
    wheel::{PreparedWheel, sha256, tests::wheel as zip},
};

/// A network, a cache and a memory.
#[derive(Default)]
pub(in crate::packages) struct Home {
    /// The answer of each address.
    network: RefCell<HashMap<String, Result<Vec<u8>, FetchError>>>,
    fetched: RefCell<Vec<String>>,
    pub cache: RefCell<HashMap<String, Vec<u8>>>,
    pub prepared: RefCell<HashMap<String, Size>>,
    claims: RefCell<HashMap<String, Vec<oneshot::Sender<()>>>>,
    claimed: Cell<usize>,
}

struct Held(Rc<Home>, String);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.claims.borrow_mut().remove(&self.1);
    }
}

struct TestSupply(Rc<Home>);

impl Supply for TestSupply {
    fn fetch(&self, request: FetchRequest) -> LocalBoxFuture<'static, Result<Vec<u8>, FetchError>> {
        self.0.fetched.borrow_mut().push(request.url.clone());
        let answer = self.0.network.borrow().get(&request.url).cloned().unwrap_or(Err(FetchError::Status(404)));
        // As slow as a network: other tasks get a turn.
        async move {
            let mut turns = 3;
            future::poll_fn(|cx| {
                turns -= 1;
                cx.waker().wake_by_ref();
                if turns == 0 { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
            })
            .await;
            answer
        }
        .boxed_local()
    }

    fn cached(&self, sha256: &str) -> LocalBoxFuture<'static, Option<Vec<u8>>> {
        future::ready(self.0.cache.borrow().get(sha256).cloned()).boxed_local()
    }

    fn cache(&self, sha256: &str, wheel: &[u8]) -> LocalBoxFuture<'static, ()> {
        self.0.cache.borrow_mut().insert(sha256.to_owned(), wheel.to_vec());
        future::ready(()).boxed_local()
    }

    fn prepared(&self, sha256: &str) -> Option<Size> {
        self.0.prepared.borrow().get(sha256).copied()
    }

    fn keep(&self, sha256: &str, wheel: PreparedWheel, _: &PackageSet) {
        self.0.prepared.borrow_mut().insert(sha256.to_owned(), wheel.size());
    }

    fn keep_bytecode(&self, sha256: &str, archive: Vec<u8>) {
        self.0.prepared.borrow_mut().get_mut(sha256).unwrap().bytecode = Some(archive.len());
    }

    fn claim(&self, sha256: &str) -> LocalBoxFuture<'static, Claim> {
        let (home, sha256) = (self.0.clone(), sha256.to_owned());
        async move {
            loop {
                let wait = {
                    let mut claims = home.claims.borrow_mut();
                    match claims.get_mut(&sha256) {
                        None => {
                            claims.insert(sha256.clone(), Vec::new());
                            break;
                        }
                        Some(waiting) => {
                            let (done, wait) = oneshot::channel();
                            waiting.push(done);
                            wait
                        }
                    }
                };
                home.claimed.set(home.claimed.get() + 1);
                let _ = wait.await;
            }
            Box::new(Held(home.clone(), sha256)) as Claim
        }
        .boxed_local()
    }
}

pub(in crate::packages) const ONE: &str = "https://one.example/";
const TWO: &str = "https://two.example/";
const INDEX: &str = "https://index.example/simple/";

/// A lock file with the packages `a` and `b`, which needs `a`; and their wheels.
fn lock(a: &[u8], b: &[u8]) -> Rc<Lock> {
    let package = |name: &str, wheel: &[u8], depends: &[&str]| {
        json!({ "name": name, "version": "1.0", "file_name": format!("{name}-1.0-py3-none-any.whl"),
            "sha256": sha256(wheel), "imports": [name], "depends": depends })
    };
    let text = json!({
        "info": { "abi_version": "2026_0", "python": "3.14.0" },
        "packages": { "a": package("a", a, &[]), "b": package("b", b, &["a"]) },
    });
    Rc::new(Lock::parse(&text.to_string()).unwrap())
}

pub(in crate::packages) struct Test {
    pub home: Rc<Home>,
    packages: Packages,
    events: RefCell<Vec<Event>>,
}

pub(in crate::packages) fn test_with(configure: impl FnOnce(&mut PackageOptions)) -> (Test, Vec<u8>, Vec<u8>) {
    let a = zip(&[
        ("a.py", b"A = 1"),
        ("a-1.0.dist-info/METADATA", b"Name: a\nProvides-Extra: x\nRequires-Dist: c; extra=='x'\n"),
    ]);
    let b = zip(&[("b.py", b"B = 2"), ("b-1.0.dist-info/METADATA", b"Name: b\n")]);
    let mut options = PackageOptions { mirrors: vec![ONE.into(), TWO.into()], ..PackageOptions::default() };
    configure(&mut options);
    let home = Rc::new(Home::default());
    let supply = Rc::new(TestSupply(home.clone()));
    let packages = Packages::new(lock(&a, &b), options, PackageSet::default(), supply);
    (Test { home, packages, events: RefCell::default() }, a, b)
}

impl Test {
    pub fn serve(&self, mirror: &str, name: &str, answer: Result<Vec<u8>, FetchError>) {
        self.home.network.borrow_mut().insert(format!("{mirror}{name}-1.0-py3-none-any.whl"), answer);
    }

    pub fn its_packages(&self) -> Packages {
        let Packages { lock, options, bundled, supply, .. } = &self.packages;
        Packages::new(lock.clone(), options.clone(), bundled.clone(), supply.clone())
    }

    fn run(&self, code: &str) -> Result<Installed, String> {
        let log = |event| self.events.borrow_mut().push(event);
        block_on(self.packages.install_for(code, None, &log)).map_err(|InstallError(why)| why)
    }

    fn names(&self, code: &str) -> Vec<String> {
        self.run(code).unwrap().set.wheels().iter().map(|wheel| wheel.name.clone()).collect()
    }

    fn fetched(&self) -> usize {
        self.home.fetched.take().len()
    }
}

#[test]
fn packages_are_fetched_checked_and_kept() {
    let (test, a, b) = test_with(|_| {});
    test.serve(ONE, "a", Ok(a));
    test.serve(ONE, "b", Ok(b));
    assert_eq!(test.names("import b"), ["a", "b"]);
    assert_eq!(test.fetched(), 2);
    let events = test.events.take();
    assert!(events.contains(&Event::Progress(2, 2)), "{events:?}");
    assert!(events.iter().any(|event| matches!(event, Event::Info(text) if text.starts_with("Installed a 1.0"))));
    assert_eq!(test.names("import a, b"), ["a", "b"]);
    assert_eq!(test.names("import os"), [""; 0]);
    // Prepared wheels that were dropped come from the cache.
    test.home.prepared.take();
    assert_eq!(test.names("import b"), ["a", "b"]);
    assert_eq!(test.fetched(), 0);
}

#[test]
fn a_changed_wheel_is_refused_and_another_mirror_asked() {
    let (test, a, _) = test_with(|_| {});
    let mut changed = a.clone();
    changed[3] ^= 1;
    test.serve(ONE, "a", Ok(changed.clone()));
    test.serve(TWO, "a", Ok(a.clone()));
    assert_eq!(test.names("import a"), ["a"]);
    assert!(test.events.take().iter().any(|event| matches!(event, Event::Warning(why) if why.contains("sha256"))));
    test.home.prepared.take();
    // So is a changed cache.
    test.home.cache.borrow_mut().values_mut().for_each(|bytes| bytes.clone_from(&changed));
    assert_eq!(test.names("import a"), ["a"]);
    test.home.prepared.take();
    test.home.cache.take();
    test.serve(TWO, "a", Ok(changed));
    let error = test.run("import a").unwrap_err();
    for part in ["Cannot install a 1.0", ONE, TWO, &sha256(&a)] {
        assert!(error.contains(part), "{error}");
    }
    assert!(test.home.cache.borrow().is_empty());
}

#[test]
fn each_mirror_says_what_happened() {
    let (test, ..) = test_with(|_| {});
    test.serve(ONE, "a", Err(FetchError::Timeout(FETCH_TIME)));
    test.serve(TWO, "a", Err(FetchError::TooLarge(MAX_WHEEL)));
    let error = test.run("import a").unwrap_err();
    assert!(error.contains("within 60 s") && error.contains("larger than"), "{error}");
}

#[test]
fn two_runs_fetch_a_wheel_once() {
    let (test, a, b) = test_with(|_| {});
    test.serve(ONE, "a", Ok(a));
    test.serve(ONE, "b", Ok(b));
    let log = |_| {};
    let runs = (0..5).map(|n| test.packages.install_for(if n % 2 == 0 { "import a" } else { "import b" }, None, &log));
    for installed in block_on(future::join_all(runs)) {
        assert!(!installed.unwrap().set.is_empty());
    }
    assert_eq!(test.fetched(), 2);
    assert!(test.home.claimed.get() > 0);
}

#[test]
fn imports_that_are_not_there_do_not_end_a_run() {
    let (test, a, _) = test_with(|options| {
        options.source = Source::Pypi;
        options.indexes = vec![INDEX.into()];
    });
    test.serve(ONE, "a", Ok(a));
    let installed = test.run("import a, my_own_module\ntry:\n  import other\nexcept ImportError: pass").unwrap();
    assert_eq!(installed.set.wheels().len(), 1);
    let missing: Vec<&str> = installed.missing.iter().map(|(module, _)| module.as_str()).collect();
    assert_eq!(missing, ["my_own_module", "other"]);
    // It is an error if it is asked for by name.
    let error = test.run("# /// script\n# dependencies = ['other']\n# ///\n").unwrap_err();
    assert!(error.contains("it knows no other"), "{error}");
}

#[test]
fn a_wish_that_cannot_be_fetched_ends_no_run() {
    let (test, a, _) = test_with(|_| {});
    test.serve(ONE, "a", Ok(a));
    let installed = test.run("import a\ntry:\n  import b\nexcept ImportError: pass").unwrap();
    assert_eq!(installed.set.wheels().len(), 1);
    let [(module, why)] = installed.missing.as_slice() else { panic!("{:?}", installed.missing) };
    assert!(module == "b" && why.contains("could not be fetched"), "{module}: {why}");
    assert!(test.run("import a, b").unwrap_err().contains("could not be fetched"));
}

#[test]
fn an_extra_of_a_locked_package_is_read_from_its_wheel() {
    let (test, a, _) = test_with(|options| {
        options.source = Source::Pypi;
        options.indexes = vec![INDEX.into()];
    });
    let c = zip(&[("c.py", b""), ("c-3.dist-info/METADATA", b"Name: c\n")]);
    test.serve(ONE, "a", Ok(a));
    let file = json!({ "filename": "c-3-py3-none-any.whl", "url": "../../c.whl", "hashes": { "sha256": sha256(&c) } });
    let page = json!({ "files": [file] }).to_string().into_bytes();
    test.home.network.borrow_mut().insert(format!("{INDEX}c/"), Ok(page));
    test.home.network.borrow_mut().insert("https://index.example/c.whl".into(), Ok(c));
    assert_eq!(test.names("# /// script\n# dependencies = ['a[x]']\n# ///\n"), ["a", "c"]);
    assert_eq!(test.fetched(), 3, "each wheel once, and one page");
}

#[test]
fn what_no_mirror_has_the_index_may_have() {
    let (test, ..) = test_with(|options| {
        options.source = Source::Pypi;
        options.indexes = vec![INDEX.into()];
    });
    let other = zip(&[("a.py", b"A = 2"), ("a-1.0.dist-info/METADATA", b"Name: a\n")]);
    let file = json!({ "filename": "a-1.0-py3-none-any.whl", "url": "/a.whl", "hashes": { "sha256": sha256(&other) } });
    let page = json!({ "files": [file] }).to_string().into_bytes();
    test.home.network.borrow_mut().insert(format!("{INDEX}a/"), Ok(page));
    test.home.network.borrow_mut().insert("https://index.example/a.whl".into(), Ok(other.clone()));
    let installed = test.run("import a").unwrap();
    assert_eq!(installed.set.wheels()[0].sha256, sha256(&other));
}

#[test]
fn what_an_isolate_has_no_room_for_is_named() {
    let (test, a, b) = test_with(|options| options.room.memory = 100);
    test.serve(ONE, "a", Ok(a));
    test.serve(ONE, "b", Ok(b));
    let error = test.run("import b").unwrap_err();
    assert!(error.starts_with("a is too much") && error.contains("of memory"), "{error}");
    assert!(error.contains("(MEMORY_LIMIT_MB)") && !error.contains("Without"), "{error}");
}

/// A test whose isolates have room for `a`, and for one byte less than `a` and `b` need.
fn room_for_a() -> Test {
    let (mut test, a, b) = test_with(|_| {});
    let size = |wheel: &[u8]| wheel::prepare(wheel).unwrap().size().total();
    test.packages.options.room.budget = Some(1000 + size(&a) + size(&b) - 1);
    test.packages.options.room.heap = 1000;
    test.serve(ONE, "a", Ok(a));
    test.serve(ONE, "b", Ok(b));
    test
}

#[test]
fn what_is_too_much_is_told_with_what_could_go_and_where_it_fits() {
    let test = room_for_a();
    assert_eq!(test.names("import a"), ["a"]);
    let error = test.run("# /// script\n# dependencies = ['b']\n# ///\nimport a").unwrap_err();
    for part in
        ["Without `b` of the script block the rest would fit.", "MEMORY_BUDGET_MB", "All of it fits on the desk"]
    {
        assert!(error.contains(part), "{error}");
    }
    let error = test.run("import a, b").unwrap_err();
    assert!(error.contains(" Without `import b` the rest would fit."), "{error}");
}

#[test]
fn what_is_too_much_and_only_wished_for_is_left_out() {
    let test = room_for_a();
    let installed = test.run("import a\ntry:\n  import b\nexcept ImportError: pass").unwrap();
    let names: Vec<&str> = installed.set.wheels().iter().map(|wheel| wheel.name.as_str()).collect();
    assert_eq!(names, ["a"]);
    assert!(test.home.prepared.borrow().contains_key(&installed.set.wheels()[0].sha256), "it is at hand");
    let [(module, why)] = installed.missing.as_slice() else { panic!("{:?}", installed.missing) };
    assert!(module == "b" && why.contains("too much"), "{module}: {why}");
}

#[test]
fn a_wheel_that_is_no_wheel_is_refused() {
    let (test, ..) = test_with(|options| {
        options.source = Source::Pypi;
        options.indexes = vec![INDEX.into()];
    });
    let bad = zip(&[("../../etc/passwd", b"x"), ("d-1.dist-info/METADATA", b"Name: d\n")]);
    let file = json!({ "filename": "d-1-py3-none-any.whl", "url": "/d.whl", "hashes": { "sha256": sha256(&bad) } });
    let page = json!({ "files": [file] }).to_string().into_bytes();
    test.home.network.borrow_mut().insert(format!("{INDEX}d/"), Ok(page));
    test.home.network.borrow_mut().insert("https://index.example/d.whl".into(), Ok(bad));
    let error = test.run("# /// script\n# dependencies = ['d']\n# ///\n").unwrap_err();
    assert!(error.contains("../../etc/passwd"), "{error}");
    let requirement = requirement::parse("d").unwrap();
    assert!(block_on(test.packages.install(vec![Wanted { requirement, origin: Origin::Settings }], &|_| {})).is_err());
}

#[test]
fn a_package_is_the_first_indexs_that_knows_it() {
    const SECOND: &str = "https://second.example/simple/";
    let page = |version: &str| {
        let bytes = zip(&[("d.py", b""), (&format!("d-{version}.dist-info/METADATA"), b"Name: d\n")]);
        let (name, url) = (format!("d-{version}-py3-none-any.whl"), format!("https://files.example/d-{version}.whl"));
        let file = json!({ "filename": name, "url": url, "hashes": { "sha256": sha256(&bytes) } });
        (json!({ "files": [file] }).to_string().into_bytes(), url, bytes)
    };
    for (first, found) in [(Ok(()), Ok("1")), (Err(404), Ok("2")), (Err(500), Err("500")), (Err(403), Err("403"))] {
        let (test, ..) = test_with(|options| {
            options.source = Source::Pypi;
            options.indexes = vec![INDEX.into(), SECOND.into()];
        });
        let mut network = test.home.network.borrow_mut();
        for (index, version) in [(INDEX, "1"), (SECOND, "2")] {
            let (page, url, bytes) = page(version);
            let answer = if index == INDEX { first.map(|()| page).map_err(FetchError::Status) } else { Ok(page) };
            network.insert(format!("{index}d/"), answer);
            network.insert(url, Ok(bytes));
        }
        drop(network);
        let installed = test.run("# /// script\n# dependencies = ['d']\n# ///\n");
        match (installed, found) {
            (Ok(installed), Ok(version)) => assert_eq!(installed.set.wheels()[0].version, version),
            (Err(error), Err(status)) => assert!(error.contains(status), "{error}"),
            (installed, _) => panic!("{first:?}: {:?}", installed.map(|installed| installed.set.wheels().to_vec())),
        }
    }
}

/// A test with an index that has `c` and `d`; and what came of code whose run missed a module.
fn missing(code: &str, module: &str) -> (Test, Installed, Option<Missed>) {
    let (test, a, _) = test_with(|options| {
        options.source = Source::Pypi;
        options.indexes = vec![INDEX.into()];
    });
    test.serve(ONE, "a", Ok(a));
    for name in ["c", "d"] {
        let bytes = zip(&[(&format!("{name}.py"), b""), (&format!("{name}-3.dist-info/METADATA"), b"Name: x\n")]);
        let file = json!({ "filename": format!("{name}-3-py3-none-any.whl"), "url": format!("/{name}.whl"), "hashes": { "sha256": sha256(&bytes) } });
        let page = json!({ "files": [file] }).to_string().into_bytes();
        test.home.network.borrow_mut().insert(format!("{INDEX}{name}/"), Ok(page));
        test.home.network.borrow_mut().insert(format!("https://index.example/{name}.whl"), Ok(bytes));
    }
    let installed = test.run(code).unwrap();
    test.fetched();
    let error = format!("ModuleNotFoundError: No module named '{module}'\n");
    let missed = block_on(test.packages.obtainable(&error, code, &installed));
    assert_eq!(test.fetched(), 0, "nothing is fetched to find out");
    (test, installed, missed)
}

#[test]
fn what_a_run_missed_is_added() {
    for (code, module) in [("1", "a.x"), ("import a", "c"), ("name = 'd'", "d"), ("x(d)", "d.y")] {
        let (test, _, missed) = missing(code, module);
        let missed = missed.unwrap_or_else(|| panic!("{code}: {module}"));
        test.events.take();
        let log = |event| test.events.borrow_mut().push(event);
        let again = block_on(test.packages.install_for(code, Some(&missed), &log)).unwrap();
        assert!(again.set.wheels().iter().any(|wheel| wheel.name == missed.top()), "{code}: {module}");
        assert_eq!(again.added.as_ref(), Some(&missed));
        let events = test.events.take();
        let added = format!("the run missed `{module}`");
        assert!(events.iter().any(|event| matches!(event, Event::Info(text) if text.contains(&added))), "{events:?}");
    }
}

#[test]
fn a_run_does_not_choose_what_the_index_is_asked_for() {
    for (code, module) in
        [("1", "d"), ("import a", "d"), ("import d_, xd, dd, d2", "d"), ("1", "secret_5f3a"), ("é = 'éd'", "d")]
    {
        let (_, installed, missed) = missing(code, module);
        assert_eq!(missed, None, "{code}: {module}");
        assert!(installed.added.is_none());
    }
    // Names in the lists of this server are asked for.
    assert!(missing("1", "docx").2.is_some());
}

#[test]
fn a_wheel_is_read_once_for_what_it_names() {
    let error = "ModuleNotFoundError: No module named 'c'";
    let (test, installed, missed) = missing("import a", "c");
    test.home.cache.take();
    assert_eq!(block_on(test.packages.obtainable(error, "", &installed)), missed);
    // A wheel that was changed in the cache names nothing.
    let (test, installed, _) = missing("1", "c");
    let installed = Installed { set: test.run("import a").unwrap().set, ..installed };
    test.home.cache.borrow_mut().values_mut().for_each(|bytes| bytes[3] ^= 1);
    assert_eq!(block_on(test.packages.obtainable(error, "", &installed)), None);
}

#[test]
fn what_a_run_missed_and_nobody_has_is_told() {
    let (test, _, missed) = missing("__import__('e' + '')", "e");
    let missed = missed.unwrap();
    let again = block_on(test.packages.install_for("1", Some(&missed), &|_| {})).unwrap();
    assert!(again.added.is_none());
    let [(module, why)] = again.missing.as_slice() else { panic!("{:?}", again.missing) };
    assert!(module == "e" && why.contains("it knows no e"), "{module}: {why}");
}
