//! A backend whose interpreters do as they are told (`program.rs`), including what no honest one does.

mod program;

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet, HashMap},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use base64::{Engine, prelude::BASE64_STANDARD as BASE64};
use futures::{
    FutureExt, Stream, StreamExt,
    channel::{mpsc, oneshot},
    future::LocalBoxFuture,
    stream,
};
use serde_json::{Value, json};

use crate::{
    backend::{Backend, Going, Interpreter, NotTaken},
    packages::{PackageSet, Wheel},
    platform::Platform,
    run::sandbox::{RunEvent, SandboxError},
    virtual_clock::{PLATFORM, now, sleep, spawn},
};

pub(super) const BOOT: Duration = Duration::from_millis(30);
const PARTS: Duration = Duration::from_millis(20);
const FILES: Duration = Duration::from_millis(10);
const BEGIN: Duration = Duration::from_millis(10);
const STOP: Duration = Duration::from_millis(15);
const ANSWER: Duration = Duration::from_millis(5);

/// Switches for all interpreters of a backend, and records of what they did.
#[derive(Default)]
pub(super) struct World {
    /// Whether interpreters take further packages.
    pub(super) adds: Cell<bool>,
    /// The next interpreters do not boot: they say so, or say nothing.
    pub(super) unbootable: Cell<bool>,
    pub(super) silent: Cell<bool>,
    /// Packages cannot be had.
    pub(super) no_parts: Cell<bool>,
    /// Files are not given at all or in time; or cannot be taken.
    pub(super) no_files: Cell<bool>,
    pub(super) late_files: Cell<bool>,
    pub(super) bad_files: Cell<bool>,
    /// Runs fail, and it is not known whether they have begun.
    pub(super) vague: Cell<bool>,
    /// Runs send frames before they begin.
    pub(super) hasty: Cell<bool>,
    /// Runs do not stop when they are asked to; or only say that they did.
    pub(super) unstoppable: Cell<bool>,
    pub(super) lying: Cell<bool>,
    /// How many interpreters live, and runs go on in them.
    pub(super) alive: Cell<usize>,
    pub(super) going: Cell<usize>,
    pub(super) spawned: Cell<usize>,
    /// Each answer is delivered this many times more.
    pub(super) echoes: Cell<usize>,
    /// Answers that no call waited for.
    pub(super) stray: Cell<usize>,
    /// The code of the runs that have begun.
    pub(super) begun: RefCell<Vec<String>>,
    /// Violations of the contract by callers.
    pub(super) violations: RefCell<Vec<String>>,
    /// Bytes that an interpreter holds for each run that it has begun.
    pub(super) memory: Cell<usize>,
    /// Whether `import` finds all modules.
    pub(super) finds_all: Cell<bool>,
    /// Snapshots cannot be taken; or no interpreter starts from them.
    pub(super) no_snapshot: Cell<bool>,
    pub(super) bad_snapshot: Cell<bool>,
    /// The modules of the snapshots that were taken or tried.
    pub(super) taken: RefCell<Vec<Vec<String>>>,
    /// Snapshots that outlive a process.
    pub(super) kept: RefCell<HashMap<String, FakeSnapshot>>,
    /// The snapshot that the next interpreter starts from.
    pub(super) from: RefCell<Option<FakeSnapshot>>,
    /// Answer to file requests, in place of the honest one.
    pub(super) forged: RefCell<Option<String>>,
    state: RefCell<Vec<Rc<State>>>,
}

/// One interpreter.
#[derive(Default)]
struct State {
    dead: Cell<bool>,
    /// A run goes on in it, even if its caller dropped the run.
    busy: Cell<bool>,
    booted_at: Cell<Duration>,
    counted: Cell<usize>,
    file: RefCell<String>,
    /// The files by their paths, with their versions; and the uploads, by their names.
    files: RefCell<BTreeMap<String, (Vec<u8>, u64)>>,
    uploads: RefCell<HashMap<String, Vec<u8>>>,
    writes: Cell<u64>,
    packages: RefCell<Option<PackageSet>>,
    stop: RefCell<Option<oneshot::Sender<()>>>,
    last_call: Cell<u64>,
    /// The calls of its run that wait for an answer, and the channel for answers.
    calls: RefCell<BTreeSet<u64>>,
    answers: RefCell<Option<mpsc::UnboundedSender<Value>>>,
}

impl State {
    fn put(&self, path: &str, bytes: Vec<u8>) -> bool {
        self.writes.set(self.writes.get() + 1);
        self.files.borrow_mut().insert(path.to_owned(), (bytes, self.writes.get())).is_none()
    }

    /// Answers a file request as an honest isolate does.
    fn asked(&self, request: &str) -> Value {
        let request: Value = serde_json::from_str(request).unwrap();
        let (kind, asked) = request.as_object().unwrap().iter().next().unwrap();
        let text = |name: &str| asked[name].as_str().unwrap_or_default();
        let number = |name: &str| usize::try_from(asked[name].as_u64().unwrap()).unwrap();
        match kind.as_str() {
            "list" => {
                let files = self.files.borrow();
                let mut rest = files.iter().filter(|(path, _)| path.as_str() > text("after"));
                let first: Vec<Value> = (&mut rest)
                    .take(number("most"))
                    .map(|(path, (bytes, _))| json!({ "path": path, "size": bytes.len() }))
                    .collect();
                json!({ "listed": { "files": first, "more": rest.next().is_some() } })
            }
            "read" => match self.files.borrow().get(text("path")) {
                None => json!({ "refused": "missing" }),
                Some((bytes, version)) => {
                    let at = number("at").min(bytes.len());
                    let part = &bytes[at..bytes.len().min(at + number("bytes"))];
                    json!({ "read": { "size": bytes.len(), "version": version, "base64": BASE64.encode(part) } })
                }
            },
            "write" => {
                let mut uploads = self.uploads.borrow_mut();
                let upload = uploads.entry(text("upload").to_owned()).or_default();
                assert_eq!(upload.len(), number("at"));
                upload.extend(BASE64.decode(text("base64")).unwrap());
                if asked["last"] == false {
                    return json!({ "done": "taken" });
                }
                let whole = uploads.remove(text("upload")).unwrap();
                json!({ "done": if self.put(text("path"), whole) { "created" } else { "replaced" } })
            }
            "delete" => match self.files.borrow_mut().remove(text("path")) {
                None => json!({ "refused": "missing" }),
                Some(_) => json!({ "done": "deleted" }),
            },
            _ => {
                self.uploads.borrow_mut().remove(text("upload"));
                json!({ "done": "taken" })
            }
        }
    }

    /// Makes calls. Returns their frames.
    fn call(&self, number: usize, name: &str) -> Result<RunEvent, SandboxError> {
        let mut frames = String::new();
        for _ in 0..number {
            let id = self.last_call.get() + 1;
            self.last_call.set(id);
            self.calls.borrow_mut().insert(id);
            let call = json!({ "call": { "id": id, "name": name, "arguments": json!({ "id": id }).to_string() } });
            frames.push_str(&format!("{call}\n"));
        }
        Ok(RunEvent::Frames(frames.into_bytes()))
    }
}

impl World {
    /// Writes a file, as a program of the session would.
    pub(super) fn write(&self, path: &str, bytes: &[u8]) {
        for state in self.state.borrow().iter() {
            state.put(path, bytes.to_vec());
        }
    }

    /// The files of all live interpreters, and the number of their unfinished uploads.
    pub(super) fn files(&self) -> (Vec<(String, usize)>, usize) {
        let (mut files, mut uploads) = (Vec::new(), 0);
        for state in self.state.borrow().iter().filter(|state| !state.dead.get()) {
            files.extend(state.files.borrow().iter().map(|(path, (bytes, _))| (path.clone(), bytes.len())));
            uploads += state.uploads.borrow().len();
        }
        (files, uploads)
    }

    /// Ends all interpreters without telling anybody.
    pub(super) fn lose_all(&self) {
        for state in self.state.borrow().iter() {
            state.dead.set(true);
        }
    }

    /// Memory of all live interpreters: it grows with each run.
    pub(super) fn held(&self) -> usize {
        let live = |state: &&Rc<State>| !state.dead.get();
        self.state.borrow().iter().filter(live).map(|state| state.counted.get() * self.memory.get()).sum()
    }

    pub(super) fn has_begun(&self, code: &str) -> usize {
        self.begun.borrow().iter().filter(|begun| *begun == code).count()
    }
}

#[derive(Clone, Default)]
pub(super) struct Fake(pub(super) Rc<World>);

pub(super) fn request(code: &str) -> String {
    json!({ "code": code }).to_string()
}

pub(super) fn packages(names: &[&str]) -> PackageSet {
    let wheel = |name: &&str| {
        let (name, version) = name.split_once('=').unwrap_or((name, "1"));
        let sha256 = format!("{name}{version}");
        Wheel { name: name.into(), version: version.into(), sha256, file_name: String::new(), url: None }
    };
    PackageSet::new(names.iter().map(wheel).collect())
}

impl Backend for Fake {
    type Parts = PackageSet;
    type Interpreter = FakeInterpreter;
    type Snapshot = FakeSnapshot;

    fn platform(&self) -> Platform {
        PLATFORM
    }

    fn adds_packages(&self) -> bool {
        self.0.adds.get()
    }

    fn parts(
        &self,
        packages: &PackageSet,
        from: Option<&FakeSnapshot>,
    ) -> LocalBoxFuture<'static, Result<PackageSet, SandboxError>> {
        let (world, packages) = (self.0.clone(), packages.clone());
        if let Some(FakeSnapshot { of, .. }) = from {
            let first: Vec<_> = packages.wheels().iter().take(of.wheels().len()).cloned().collect();
            if PackageSet::new(first).hash() != of.hash() {
                world.violations.borrow_mut().push("a snapshot of others".into());
            }
        }
        world.from.replace(from.cloned());
        async move {
            sleep(PARTS).await;
            if world.no_parts.get() { Err(SandboxError::Start("no parts".into())) } else { Ok(packages) }
        }
        .boxed_local()
    }

    fn spawn(&self, parts: PackageSet) -> FakeInterpreter {
        let world = &self.0;
        world.alive.set(world.alive.get() + 1);
        world.spawned.set(world.spawned.get() + 1);
        let state = Rc::new(State::default());
        state.booted_at.set(now() + BOOT);
        state.packages.replace(Some(parts));
        world.state.borrow_mut().push(state.clone());
        let bad = world.from.take().is_some_and(|snapshot| snapshot.bad);
        FakeInterpreter { world: world.clone(), state, bad: Cell::new(bad) }
    }

    fn take_snapshot(
        &self,
        parts: PackageSet,
        modules: &[String],
    ) -> LocalBoxFuture<'static, Result<(FakeSnapshot, usize), NotTaken>> {
        let (world, modules) = (self.0.clone(), modules.to_vec());
        async move {
            sleep(BOOT).await;
            world.taken.borrow_mut().push(modules.clone());
            if let Some(drawing) = modules.into_iter().find(|module| module.starts_with("random")) {
                return Err(NotTaken::Without(drawing));
            }
            match world.no_snapshot.get() {
                true => Err(NotTaken::Failed),
                false => Ok((FakeSnapshot { of: parts, bad: world.bad_snapshot.get() }, SNAPSHOT)),
            }
        }
        .boxed_local()
    }

    fn keep(&self, key: &str, snapshot: &FakeSnapshot) -> LocalBoxFuture<'static, ()> {
        self.0.kept.borrow_mut().insert(key.to_owned(), snapshot.clone());
        async {}.boxed_local()
    }

    fn kept(&self, key: &str) -> LocalBoxFuture<'static, Option<(FakeSnapshot, usize)>> {
        let kept = self.0.kept.borrow().get(key).cloned();
        async { Some((kept?, SNAPSHOT)) }.boxed_local()
    }
}

/// A snapshot: the packages that its interpreter had.
#[derive(Debug, Clone)]
pub(super) struct FakeSnapshot {
    pub(super) of: PackageSet,
    pub(super) bad: bool,
}

/// Size of a snapshot.
pub(super) const SNAPSHOT: usize = 100;

pub(super) struct FakeInterpreter {
    world: Rc<World>,
    state: Rc<State>,
    bad: Cell<bool>,
}

impl Drop for FakeInterpreter {
    fn drop(&mut self) {
        self.state.dead.set(true);
        self.world.alive.set(self.world.alive.get() - 1);
    }
}

impl Interpreter for FakeInterpreter {
    type Parts = PackageSet;
    type Files = String;
    type Run = FakeRun;

    fn run(&self, request: &str) -> FakeRun {
        let request: Value = serde_json::from_str(request).unwrap();
        let code = match request.get("file") {
            Some(asked) => format!("file {asked}"),
            None => request["code"].as_str().unwrap().to_owned(),
        };
        let (world, state) = (self.world.clone(), self.state.clone());
        if state.busy.replace(true) {
            world.violations.borrow_mut().push(format!("two runs at once: {code}"));
        }
        world.going.set(world.going.get() + 1);
        let (stop, stopped) = oneshot::channel();
        state.stop.replace(Some(stop));
        let unbootable = self.bad.get() || world.unbootable.get();
        let silent = world.silent.get();
        let going = Busy { world: world.clone(), state: state.clone() };
        let events = program::events(world, state.clone(), code, unbootable, silent, stopped);
        FakeRun { events: events.boxed_local(), state, world: self.world.clone(), going: Some(going), began: false }
    }

    fn is_alive(&self) -> bool {
        !self.state.dead.get()
    }

    fn memory(&self) -> usize {
        self.state.counted.get() * self.world.memory.get()
    }

    fn add(&self, parts: PackageSet) {
        self.state.packages.replace(Some(parts));
    }

    fn files(&self) -> LocalBoxFuture<'static, Option<String>> {
        let (world, state) = (self.world.clone(), self.state.clone());
        async move {
            sleep(if world.late_files.get() { Duration::from_secs(1000) } else { FILES }).await;
            (!world.no_files.get() && !state.dead.get()).then(|| state.file.borrow().clone())
        }
        .boxed_local()
    }

    fn put_files(&self, files: &String) {
        self.state.file.replace(files.clone());
        self.bad.set(self.world.bad_files.get());
    }
}

/// A run that goes on in an interpreter; dropped once the interpreter is done with it.
struct Busy {
    world: Rc<World>,
    state: Rc<State>,
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.state.busy.set(false);
        self.world.going.set(self.world.going.get() - 1);
    }
}

pub(super) struct FakeRun {
    events: stream::LocalBoxStream<'static, Result<RunEvent, SandboxError>>,
    state: Rc<State>,
    world: Rc<World>,
    going: Option<Busy>,
    began: bool,
}

impl Stream for FakeRun {
    type Item = Result<RunEvent, SandboxError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = self.events.poll_next_unpin(cx);
        match &next {
            Poll::Ready(Some(Ok(RunEvent::Began))) => self.began = true,
            Poll::Ready(Some(Err(_)) | None) => self.going = None,
            _ => {}
        }
        next
    }
}

impl Going for FakeRun {
    fn answer(&self, answer: &str) -> LocalBoxFuture<'static, ()> {
        let (state, world) = (self.state.clone(), self.world.clone());
        let answer: Value = serde_json::from_str(answer).unwrap();
        async move {
            sleep(ANSWER).await;
            for _ in 0..world.echoes.get() + 1 {
                // A run that is over takes no answer: the next one has other ids.
                if !state.calls.borrow_mut().remove(&answer["id"].as_u64().unwrap()) {
                    world.stray.set(world.stray.get() + 1);
                } else if let Some(answers) = &*state.answers.borrow() {
                    let _ = answers.unbounded_send(answer.clone());
                }
            }
        }
        .boxed_local()
    }

    fn stop(mut self) -> LocalBoxFuture<'static, bool> {
        if !self.began {
            self.world.violations.borrow_mut().push("stopped before it began".into());
        }
        let (going, state, world) = (self.going.take(), self.state.clone(), self.world.clone());
        async move {
            if world.lying.get() {
                return true;
            }
            if world.unstoppable.get() {
                return futures::future::pending().await;
            }
            sleep(STOP).await;
            drop(going);
            !state.dead.get()
        }
        .boxed_local()
    }
}

impl Drop for FakeRun {
    /// A dropped run goes on in its interpreter for a while, at most as long as that lives.
    fn drop(&mut self) {
        if let Some(going) = self.going.take() {
            let (state, unstoppable) = (self.state.clone(), self.world.unstoppable.get() || self.world.lying.get());
            spawn(Box::pin(async move {
                while unstoppable && !state.dead.get() {
                    sleep(Duration::from_millis(100)).await;
                }
                if !state.dead.get() {
                    sleep(STOP).await;
                }
                drop(going);
            }));
        }
    }
}
