//! A session's interpreter: the one state machine, for every home.
//!
//! It starts with the session's first run, and takes one run at a time. It is mortal, and the session is not: when it was
//! lost, or needs packages that it cannot be given, the next run gets another, and a line that says so.

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
    backend::{Backend, Going, Interpreter, Platform},
    limits::{FILES_TIME, LAST_BYTE, PARTS_TIME, START_TIME, STOP_MARGIN},
    packages::PackageSet,
    run::protocol::asks_for_files,
    run::sandbox::{Run, RunEvent, Running, Sandbox, SandboxError},
};

type Handle<B> = <B as Backend>::Interpreter;
type RunOf<B> = <Handle<B> as Interpreter>::Run;
type FilesOf<B> = <Handle<B> as Interpreter>::Files;

/// A session's interpreter. Clones are of the same.
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
    /// Whose it is, among those that share the places.
    owner: u32,
    /// How long a run that is stopped may take to end.
    patience: Duration,
    /// The run lock: held from before a run's start until the interpreter is ready for the next.
    lock: Arc<Mutex<()>>,
    live: RefCell<Option<Live<B>>>,
    /// Whether an interpreter of this session has run anything.
    used: Cell<bool>,
    used_at: Cell<Duration>,
    /// What the next output is to begin with.
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
    /// One that starts with its first run, in one of the `places` of `owner`, from one of the `snapshots`. `grace` is a run's own time to clean up, and
    /// `used` whether the session has had an interpreter before.
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

    /// From now on, nobody is told that it was restarted: those whose runs stand for themselves expect nothing of it.
    pub fn restart_quietly(&self) {
        self.0.quiet.set(true);
    }

    /// The home's side of it.
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

    /// Ends it for good: a run that goes on is lost, and there is no other.
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

    /// Ends the interpreter, if there is one, and gives its place.
    fn discard(&self) -> Option<Place> {
        let Live { interpreter, place, .. } = self.live.take()?;
        drop(interpreter);
        Some(place)
    }

    /// Starts a run, in the interpreter that there is or in another. Gives it once it has begun.
    ///
    /// Whoever drops this lets go of the run, wherever it is: what has to settle first keeps the lock.
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
                // If it does not begin, the interpreter was lost since its last run: with its isolate, or by what the code
                // did to it.
                if held.begin(&request).await?.is_none() {
                    return Ok(held);
                }
            } else {
                packages = packages.with(&had);
                // What cannot be had must not cost the interpreter that there is.
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
            // The snapshot may be what it cannot start from, or the files what it cannot start with.
            if !self.snapshots.forget(&packages) && files.take().is_none() {
                self.discard();
                return Err(error);
            }
        }
    }

    fn check_ended(&self) -> Result<(), SandboxError> {
        if self.ended.get() { Err(SandboxError::Lost("its session has ended".into())) } else { Ok(()) }
    }

    /// The wheels are needed here and nowhere else: an interpreter that is alive has its own.
    async fn parts(&self, packages: &PackageSet) -> Result<B::Parts, SandboxError> {
        let late = || SandboxError::Start("its packages did not come in time".into());
        let parts = self.within(PARTS_TIME, self.snapshots.parts(&self.backend, packages)).await.ok_or_else(late)??;
        self.check_ended().map(|()| parts)
    }

    /// Adds packages to the interpreter that there is. Whether that can be done: what was imported stays imported, so
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

    /// **Boundary.** What an isolate gives as its files goes back into one of the same session, and nowhere else.
    async fn take_files(&self) -> Option<FilesOf<B>> {
        let files = self.live.borrow().as_ref().map(|live| live.interpreter.files())?;
        self.within(FILES_TIME, files).await.flatten()
    }

    /// Spawns an interpreter, and notes what is to be said of it.
    fn spawn(&self, packages: PackageSet, parts: B::Parts, place: Place, files: Option<&FilesOf<B>>) {
        let interpreter = self.backend.spawn(parts);
        if let Some(files) = files {
            interpreter.put_files(files);
        }
        if self.used.get() && !self.quiet.get() {
            self.notice.set(Some(if files.is_some() { MORE_PACKAGES } else { RESTARTED }));
        }
        // What was there is dropped after the borrow.
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

/// A run and the run lock. When it is dropped, the run is stopped and awaited, and only then the lock is released.
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

    /// Starts the run in the interpreter that there is, and waits until it has begun. Gives why it did not begin, and may
    /// be started elsewhere.
    ///
    /// # Errors
    /// It may have begun, and its interpreter is gone.
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
    /// Waits for the end of a run that nobody follows any longer, or stops it. Whether its interpreter is ready for the
    /// next.
    async fn settle(&self, mut run: RunOf<B>, began: bool) -> bool {
        // One that was let go while it started cannot be stopped before it has begun.
        if !began {
            match self.within(START_TIME, run.next()).await {
                Some(Some(Ok(RunEvent::Began))) => self.used.set(true),
                _ => return false,
            }
        }
        // Who has the result reads no further: then the run is about to end by itself.
        match self.within(LAST_BYTE, run.next()).await {
            Some(None) => return true,
            Some(Some(Err(_))) => return false,
            Some(Some(Ok(_))) | None => {}
        }
        // **Boundary.** Whether it lives is the isolate's own word. One that lies harms the session that it is of, which
        // is whose code runs in it.
        self.within(self.patience, run.stop()).await == Some(true)
    }
}

/// A run of a session, as its caller has it.
struct SessionRun<B: Backend> {
    state: State<B>,
    /// Whether nothing runs in it: then nobody reads what is to be said of the interpreter.
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
