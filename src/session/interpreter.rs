//! A session's interpreter: the one state machine, for every home.
//!
//! It starts with the session's first run, and takes one run at a time. The session outlives it: when it was lost, or
//! needs packages that it cannot be given, the next run gets another, and a line that says so.

use std::{
    cell::{Cell, RefCell},
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use futures::{
    FutureExt, Stream, StreamExt,
    future::{self, LocalBoxFuture},
    lock::{Mutex, OwnedMutexGuard},
};

use super::{
    MORE_PACKAGES, RESTARTED, Snapshots,
    places::{Place, Places, Yields},
};
use crate::{
    backend::{Backend, Going, Interpreter},
    limits::{FILES_TIME, LAST_BYTE, PARTS_TIME, START_TIME, STOP_MARGIN},
    packages::PackageSet,
    platform::Platform,
    run::protocol::asks_for_files,
    run::sandbox::{Run, RunEvent, Running, Sandbox, SandboxError},
};

type Handle<B> = <B as Backend>::Interpreter;
type RunOf<B> = <Handle<B> as Interpreter>::Run;
type FilesOf<B> = <Handle<B> as Interpreter>::Files;

/// A session's interpreter. Clones share it.
pub struct SessionInterpreter<B: Backend>(Rc<Inner<B>>);

impl<B: Backend> Clone for SessionInterpreter<B> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

struct Inner<B: Backend> {
    backend: B,
    places: Places,
    snapshots: Snapshots<B::Snapshot>,
    /// Its owner, among those that share the places.
    owner: u32,
    /// How long a run that is stopped may take to end.
    patience: Duration,
    /// The run lock: held from before a run's start until the interpreter is ready for the next.
    lock: Arc<Mutex<()>>,
    live: RefCell<Option<Live<B>>>,
    /// Whether an interpreter of this session has run anything.
    used: Cell<bool>,
    used_at: Cell<Duration>,
    /// Notice for the beginning of the next output.
    notice: Cell<Option<&'static str>>,
    quiet: Cell<bool>,
    ended: Cell<bool>,
}

struct Live<B: Backend> {
    interpreter: Handle<B>,
    packages: PackageSet,
    place: Place,
}

impl<B: Backend> SessionInterpreter<B> {
    /// An interpreter that starts with its first run, in one of the `places` of `owner`, from one of the `snapshots`.
    /// `grace` is a run's own time to clean up; `used` says whether the session has had an interpreter before.
    pub fn new(
        backend: B,
        places: Places,
        snapshots: Snapshots<B::Snapshot>,
        owner: u32,
        grace: Duration,
        used: bool,
    ) -> Self {
        let inner = Rc::new(Inner {
            backend,
            snapshots,
            places: places.clone(),
            owner,
            patience: grace + STOP_MARGIN,
            lock: Arc::default(),
            live: RefCell::default(),
            used: Cell::new(used),
            used_at: Cell::default(),
            notice: Cell::default(),
            quiet: Cell::default(),
            ended: Cell::default(),
        });
        let yields: Rc<dyn Yields> = inner.clone();
        places.watch(owner, &yields);
        Self(inner)
    }

    /// From now on clients are not told of restarts, for runs that expect nothing of earlier ones.
    pub fn restart_quietly(&self) {
        self.0.quiet.set(true);
    }

    /// The home's backend.
    #[must_use]
    pub fn backend(&self) -> &B {
        &self.0.backend
    }

    /// Whether it has started and was not lost.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.0.live.borrow().is_some()
    }

    /// Whether no run is going on.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.0.is_idle()
    }

    /// Whether the session has run anything.
    #[must_use]
    pub fn is_used(&self) -> bool {
        self.0.used.get()
    }

    /// When a run last started or ended, since 1970; 0 for never.
    #[must_use]
    pub fn used_at(&self) -> Duration {
        self.0.used_at.get()
    }

    /// Ends it for good: a run that goes on is lost, and no interpreter follows.
    pub fn end(&self) {
        self.0.ended.set(true);
        self.0.discard();
    }
}

impl<B: Backend> Sandbox for SessionInterpreter<B> {
    fn run(&self, request: String, packages: PackageSet) -> Run {
        let of_files = asks_for_files(&request);
        let starting = self.0.clone().start(request, packages).boxed_local();
        Box::new(SessionRun { state: State::Starting(starting), of_files })
    }

    fn is_fresh(&self) -> bool {
        false
    }

    fn platform(&self) -> Platform {
        self.0.platform()
    }
}

impl<B: Backend> Yields for Inner<B> {
    fn holds(&self) -> bool {
        self.live.borrow().is_some()
    }

    fn idle_since(&self) -> Option<Duration> {
        if !self.is_idle() {
            return None;
        }
        let alive = self.live.borrow().as_ref()?.interpreter.is_alive();
        Some(if alive { self.used_at.get() } else { Duration::ZERO })
    }

    fn memory(&self) -> usize {
        self.live.borrow().as_ref().map_or(0, |live| live.interpreter.memory())
    }

    fn give_up(&self) {
        self.discard();
    }
}

impl<B: Backend> Inner<B> {
    fn platform(&self) -> Platform {
        self.backend.platform()
    }

    fn is_idle(&self) -> bool {
        self.lock.try_lock().is_some()
    }

    fn touch(&self) {
        self.used_at.set((self.platform().now)());
    }

    /// Ends the interpreter, if there is one, and returns its place.
    fn discard(&self) -> Option<Place> {
        let Live { interpreter, place, .. } = self.live.take()?;
        drop(interpreter);
        Some(place)
    }

    /// Starts a run in the live interpreter or in a new one. Returns it once it has begun.
    ///
    /// Dropping the future drops the run, at whatever stage: what has to settle first keeps the lock.
    async fn start(self: Rc<Self>, request: String, mut packages: PackageSet) -> Result<Held<B>, SandboxError> {
        let guard = self.lock.clone().lock_owned().await;
        self.touch();
        self.check_ended()?;
        let mut held = Held::new(self.clone(), guard);
        let had = self.live.borrow().as_ref().map(|live| live.packages.clone());
        let mut parts = None;
        let mut files = None;
        if let Some(had) = had {
            if had.contains(&packages) || self.add(&had, &packages).await? {
                // If it does not begin, the interpreter was lost since its last run: with its isolate, or through what
                // the code did to it.
                if held.begin(&request).await?.is_none() {
                    return Ok(held);
                }
            } else {
                packages = packages.with(&had);
                // Packages that cannot be had must not cost the live interpreter.
                parts = Some(self.parts(&packages).await?);
                files = self.take_files().await;
            }
        }
        let mut place = self.discard();
        loop {
            let parts = match parts.take() {
                Some(parts) => parts,
                None => self.parts(&packages).await?,
            };
            let place = match place.take() {
                Some(place) => place,
                None => self.places.take(self.platform(), Some(self.owner)).await?,
            };
            self.check_ended()?;
            self.spawn(packages.clone(), parts, place, files.as_ref());
            let Some(error) = held.begin(&request).await? else { return Ok(held) };
            // The snapshot or the files may be the cause: tries without the one, then without the other.
            if !self.snapshots.forget(&packages) && files.take().is_none() {
                self.discard();
                return Err(error);
            }
        }
    }

    fn check_ended(&self) -> Result<(), SandboxError> {
        if self.ended.get() { Err(SandboxError::Lost("its session has ended".into())) } else { Ok(()) }
    }

    /// Gathers the parts of an interpreter. Wheels are needed here only: a live interpreter has its own.
    async fn parts(&self, packages: &PackageSet) -> Result<B::Parts, SandboxError> {
        let late = || SandboxError::Start("its packages did not come in time".into());
        let parts = self.within(PARTS_TIME, self.snapshots.parts(&self.backend, packages)).await.ok_or_else(late)??;
        self.check_ended().map(|()| parts)
    }

    /// Adds packages to the live interpreter. Returns whether that is possible: what was imported stays imported, so
    /// another version of it cannot be added.
    async fn add(&self, had: &PackageSet, packages: &PackageSet) -> Result<bool, SandboxError> {
        let all = packages.with(had);
        if !self.backend.adds_packages() || !all.contains(had) {
            return Ok(false);
        }
        let parts = self.parts(&all).await?;
        if let Some(live) = self.live.borrow_mut().as_mut() {
            live.interpreter.add(parts);
            live.packages = all;
        }
        Ok(true)
    }

    /// **Boundary.** Files that an isolate gives go back into an isolate of the same session, and nowhere else.
    async fn take_files(&self) -> Option<FilesOf<B>> {
        let files = self.live.borrow().as_ref().map(|live| live.interpreter.files())?;
        self.within(FILES_TIME, files).await.flatten()
    }

    /// Spawns an interpreter, and sets the notice about it.
    fn spawn(&self, packages: PackageSet, parts: B::Parts, place: Place, files: Option<&FilesOf<B>>) {
        let interpreter = self.backend.spawn(parts);
        if let Some(files) = files {
            interpreter.put_files(files);
        }
        if self.used.get() && !self.quiet.get() {
            self.notice.set(Some(if files.is_some() { MORE_PACKAGES } else { RESTARTED }));
        }
        // The one before is dropped after the borrow.
        let before = self.live.replace(Some(Live { interpreter, packages, place }));
        drop(before);
    }

    /// Puts the notice, if there is one, after the first frame, which names the isolate's version.
    fn with_notice(&self, mut frames: Vec<u8>) -> Vec<u8> {
        if let Some(notice) = self.notice.get()
            && let Some(end) = frames.iter().position(|&byte| byte == b'\n')
        {
            self.notice.take();
            frames.splice(end + 1..end + 1, notice.bytes());
        }
        frames
    }

    /// Awaits `future`, but not for longer than `time`.
    async fn within<T>(&self, time: Duration, future: impl Future<Output = T>) -> Option<T> {
        let mut late = (self.platform().sleep)(time).fuse();
        futures::select_biased! {
            done = std::pin::pin!(future.fuse()) => Some(done),
            () = late => None,
        }
    }
}

/// A run and the run lock. On drop, the run is stopped and awaited, and only then is the lock released.
struct Held<B: Backend> {
    inner: Rc<Inner<B>>,
    guard: Option<OwnedMutexGuard<()>>,
    run: Option<RunOf<B>>,
    began: bool,
}

impl<B: Backend> Held<B> {
    fn new(inner: Rc<Inner<B>>, guard: OwnedMutexGuard<()>) -> Self {
        Self { inner, guard: Some(guard), run: None, began: false }
    }

    /// Starts the run in the live interpreter, and waits until it has begun. Returns an error if it did not begin and
    /// may be started elsewhere.
    ///
    /// # Errors
    /// The run may have begun, and its interpreter is gone.
    async fn begin(&mut self, request: &str) -> Result<Option<SandboxError>, SandboxError> {
        let inner = self.inner.clone();
        let gone = || SandboxError::Start("its interpreter was ended".into());
        let run = match &*inner.live.borrow() {
            Some(live) => live.interpreter.run(request),
            None => return inner.check_ended().map(|()| Some(gone())),
        };
        let run = self.run.insert(run);
        let error = match inner.within(START_TIME, run.next()).await {
            Some(Some(Ok(RunEvent::Began))) => {
                self.began = true;
                inner.used.set(true);
                return Ok(None);
            }
            Some(Some(Ok(RunEvent::Frames(_)))) => SandboxError::Protocol("frames of a run that has not begun"),
            Some(Some(Err(error))) => error,
            Some(None) => SandboxError::Lost("it ended before its run began".into()),
            None => SandboxError::Lost("it did not answer in time".into()),
        };
        // There is nothing to settle.
        self.run = None;
        inner.check_ended()?;
        if matches!(error, SandboxError::Start(_)) {
            return Ok(Some(error));
        }
        inner.discard();
        Err(error)
    }
}

impl<B: Backend> Drop for Held<B> {
    fn drop(&mut self) {
        self.inner.touch();
        let (inner, guard, began) = (self.inner.clone(), self.guard.take(), self.began);
        let Some(run) = self.run.take() else {
            drop(guard);
            return inner.places.relieve(inner.platform());
        };
        (self.inner.platform().spawn)(Box::pin(async move {
            // The lock is held: there is no other interpreter meanwhile.
            if !inner.settle(run, began).await {
                inner.discard();
            }
            inner.touch();
            drop(guard);
            inner.places.relieve(inner.platform());
        }));
    }
}

impl<B: Backend> Inner<B> {
    /// Waits for the end of a run that nobody reads any longer, or stops it. Returns whether its interpreter is ready
    /// for the next.
    async fn settle(&self, mut run: RunOf<B>, began: bool) -> bool {
        // A run that was dropped while it started cannot be stopped before it has begun.
        if !began {
            match self.within(START_TIME, run.next()).await {
                Some(Some(Ok(RunEvent::Began))) => self.used.set(true),
                _ => return false,
            }
        }
        // A caller that has the result stops reading: then the run is about to end by itself.
        match self.within(LAST_BYTE, run.next()).await {
            Some(None) => return true,
            Some(Some(Err(_))) => return false,
            Some(Some(Ok(_))) | None => {}
        }
        // **Boundary.** That it lives is the isolate's own word. One that lies harms only its own session, whose code
        // runs in it.
        self.within(self.patience, run.stop()).await == Some(true)
    }
}

/// A run of a session, as its caller has it.
struct SessionRun<B: Backend> {
    state: State<B>,
    /// Whether it asks for files only: no code runs, and nobody would read the notice.
    of_files: bool,
}

enum State<B: Backend> {
    Starting(LocalBoxFuture<'static, Result<Held<B>, SandboxError>>),
    Going(Held<B>),
    Over,
}

impl<B: Backend> Stream for SessionRun<B> {
    type Item = Result<RunEvent, SandboxError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let of_files = self.of_files;
        match &mut self.state {
            State::Starting(starting) => {
                let started = ready!(starting.poll_unpin(cx));
                let (state, event) = match started {
                    Ok(held) => (State::Going(held), Ok(RunEvent::Began)),
                    Err(error) => (State::Over, Err(error)),
                };
                self.state = state;
                Poll::Ready(Some(event))
            }
            State::Going(held) => {
                let Some(run) = held.run.as_mut() else { return Poll::Ready(None) };
                match ready!(run.poll_next_unpin(cx)) {
                    Some(Ok(RunEvent::Began)) => {
                        Poll::Ready(Some(Err(SandboxError::Protocol("a run that began twice"))))
                    }
                    // The interpreter is ready, or gone: there is nothing to settle.
                    None => {
                        held.run = None;
                        self.state = State::Over;
                        Poll::Ready(None)
                    }
                    Some(Err(error)) => {
                        held.run = None;
                        held.inner.discard();
                        self.state = State::Over;
                        Poll::Ready(Some(Err(error)))
                    }
                    Some(Ok(RunEvent::Frames(frames))) if of_files => Poll::Ready(Some(Ok(RunEvent::Frames(frames)))),
                    Some(Ok(RunEvent::Frames(frames))) => {
                        Poll::Ready(Some(Ok(RunEvent::Frames(held.inner.with_notice(frames)))))
                    }
                }
            }
            State::Over => Poll::Ready(None),
        }
    }
}

impl<B: Backend> Running for SessionRun<B> {
    fn answer(&self, answer: &str) -> LocalBoxFuture<'static, ()> {
        match &self.state {
            State::Going(Held { run: Some(run), .. }) => run.answer(answer),
            _ => future::ready(()).boxed_local(),
        }
    }
}
