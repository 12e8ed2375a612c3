//! The workerd processes, and which of them gets which session or run.
//!
//! All isolates of a process share its thread, and a loop in C blocks them all until the process is ended. So sessions
//! are spread over the processes, runs without a session go where no session is, and nothing goes to a process that
//! does not answer. There is one process until a second is of use; an interpreter is booted in it ahead of need.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::{Duration, Instant},
};

use futures::future::join_all;
use mcp_run_python::session::Ahead;
use tokio::time::{interval, timeout};

use crate::{
    interpreter::Interpreter,
    log::Log,
    packages::Parts,
    platform::{PLATFORM, spawn},
    workerd::{Launch, Started, Workerd},
};

/// How often processes in use are asked whether they still answer.
const PULSE: Duration = Duration::from_millis(500);

/// How long a second unused process is kept.
const IDLE_LIMIT: Duration = Duration::from_secs(60);

/// How often a boot is tried in all, each time in the best process then.
const ATTEMPTS: usize = 2;

/// The processes. Clones share them.
#[derive(Clone)]
pub struct Pool(Rc<Inner>);

struct Inner {
    members: RefCell<Vec<Rc<Member>>>,
    closed: Cell<bool>,
    most: usize,
    keeps_spare: bool,
    launch: Launch,
    log: Log,
}

/// A process, and what is in it.
struct Member {
    workerd: Workerd,
    sessions: Cell<usize>,
    runs: Cell<usize>,
    blocked: Cell<bool>,
    started: Cell<bool>,
    idle_since: Cell<Instant>,
    /// Interpreters booted ahead: with Python alone, and with what the last run without a session asked for.
    ahead: RefCell<Ahead<Rc<Parts>, Spare>>,
    /// Interpreters that were given out.
    taken: RefCell<Vec<Interpreter>>,
}

/// An interpreter that nobody has used. It ends when this is dropped.
struct Spare(Option<Interpreter>);

impl Drop for Spare {
    fn drop(&mut self) {
        if let Some(interpreter) = self.0.take() {
            spawn(async move { interpreter.end().await });
        }
    }
}

/// A place in a process, counted from the moment the process is chosen.
struct Place {
    member: Rc<Member>,
    kept: bool,
}

impl Place {
    fn new(member: Rc<Member>, kept: bool) -> Self {
        let counted = member.counted(kept);
        counted.set(counted.get() + 1);
        Self { member, kept }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let counted = self.member.counted(self.kept);
        counted.set(counted.get().saturating_sub(1));
        self.member.idle_since.set(Instant::now());
    }
}

/// An interpreter that was given out. It ends when this is dropped.
pub struct Lease {
    /// The interpreter.
    pub interpreter: Interpreter,
    place: Place,
}

impl Drop for Lease {
    fn drop(&mut self) {
        let (member, interpreter) = (self.place.member.clone(), self.interpreter.clone());
        spawn(async move {
            interpreter.end().await;
            member.taken.borrow_mut().retain(Interpreter::is_alive);
            member.refill();
        });
    }
}

impl Member {
    fn new(workerd: Workerd) -> Rc<Self> {
        let member = Rc::new(Self {
            workerd,
            sessions: Cell::default(),
            runs: Cell::default(),
            blocked: Cell::default(),
            started: Cell::default(),
            idle_since: Cell::new(Instant::now()),
            ahead: RefCell::new(Ahead::new(1, Some(Rc::default()))),
            taken: RefCell::default(),
        });
        member.refill();
        member
    }

    fn is_used(&self) -> bool {
        self.sessions.get() + self.runs.get() > 0
    }

    /// Whether something runs in it, which may block it.
    fn runs_something(&self) -> bool {
        self.taken.borrow().iter().any(Interpreter::is_busy)
    }

    /// Boots interpreters ahead, unless current runs would have to wait for that.
    fn refill(&self) {
        if self.workerd.ended().is_some() || self.runs.get() > 0 {
            return;
        }
        self.tidy();
        let mut ahead = self.ahead.borrow_mut();
        for parts in ahead.missing() {
            if parts.is_empty() || !self.workerd.is_crowded() {
                let interpreter = Interpreter::boot(self.workerd.clone(), &parts);
                ahead.add(parts, Spare(Some(interpreter)));
            }
        }
    }

    /// Ends spare interpreters that nobody is likely to ask for.
    fn tidy(&self) {
        drop(self.ahead.borrow_mut().tidy((PLATFORM.now)()));
    }

    fn counted(&self, kept: bool) -> &Cell<usize> {
        if kept { &self.sessions } else { &self.runs }
    }

    fn take(&self, parts: &Rc<Parts>, recurs: bool) -> Interpreter {
        if recurs {
            self.ahead.borrow_mut().expect(parts, (PLATFORM.now)());
            self.tidy();
        }
        let spare = self.ahead.borrow_mut().take(parts).and_then(|mut spare| spare.0.take());
        let interpreter = spare.unwrap_or_else(|| Interpreter::boot(self.workerd.clone(), parts));
        self.taken.borrow_mut().push(interpreter.clone());
        interpreter
    }

    /// How bad a place this process is for a further session or run; the lowest is chosen.
    fn cost(&self, kept: bool) -> usize {
        let blocked = if self.blocked.get() { 10_000 } else { 0 };
        blocked + self.sessions.get() * if kept { 100 } else { 20 } + self.runs.get() * 10
    }
}

impl Pool {
    /// A pool of at most `most` processes; `first` was started already. With `keeps_spare`, one unused process is kept
    /// ready, for when many clients are expected.
    pub fn new(launch: Launch, most: usize, keeps_spare: bool, first: Started) -> Self {
        let log = launch.log;
        let pool = Self(Rc::new(Inner {
            members: RefCell::default(),
            closed: Cell::default(),
            most,
            keeps_spare,
            launch,
            log,
        }));
        pool.add(first);
        let watching = Rc::downgrade(&pool.0);
        spawn(async move {
            let mut pulse = interval(PULSE);
            loop {
                pulse.tick().await;
                let Some(pool) = watching.upgrade().filter(|pool| !pool.closed.get()) else { return };
                Self(pool).watch();
            }
        });
        pool
    }

    /// Resolves when an interpreter is booted, so that a run begins at once.
    ///
    /// # Errors
    /// Why it could not be booted.
    pub async fn warm(&self) -> Result<(), String> {
        let member = self.0.members.borrow().first().cloned();
        let spare = member.and_then(|member| member.ahead.borrow().spares().next()?.0.clone());
        match spare {
            Some(spare) => spare.booted().await,
            None => Ok(()),
        }
    }

    /// Returns a booted interpreter; `kept` for a session, `recurs` if more runs with the same packages are likely.
    ///
    /// # Errors
    /// No interpreter could be booted.
    pub async fn take(&self, kept: bool, recurs: bool, parts: &Rc<Parts>) -> Result<Lease, String> {
        let mut attempt = 1;
        loop {
            let member = self.choose(kept)?;
            let shared = member.runs.get() > 0 || member.runs_something();
            let place = Place::new(member.clone(), kept);
            // Something runs there: does it block the process?
            if member.runs_something() && !member.blocked.get() && !member.workerd.answers().await && self.may_grow() {
                self.note(&member, true);
                continue;
            }
            // So that the next one does not have to share a thread.
            if shared {
                self.grow();
            }
            let lease = Lease { interpreter: member.take(parts, recurs), place };
            let Err(error) = lease.interpreter.booted().await else {
                if self.0.keeps_spare {
                    self.grow();
                }
                return Ok(lease);
            };
            // Perhaps its process was ended because of another run: elsewhere the boot may succeed.
            if attempt == ATTEMPTS || self.0.closed.get() {
                return Err(error);
            }
            attempt += 1;
        }
    }

    /// How its processes are started.
    pub fn launch(&self) -> &Launch {
        &self.0.launch
    }

    /// Memory of all processes, in bytes; `usize::MAX` if one of them has hardly any room left.
    pub fn memory(&self) -> usize {
        let members = self.0.members.borrow();
        if members.iter().any(|member| member.workerd.is_crowded()) {
            return usize::MAX;
        }
        members.iter().map(|member| member.workerd.memory()).sum()
    }

    /// Stops all runs, each of which gives its result. Returns whether there was one.
    pub fn interrupt(&self) -> bool {
        let members = self.0.members.borrow();
        let busy: Vec<Interpreter> = members
            .iter()
            .flat_map(|member| member.taken.borrow().iter().filter(|i| i.is_busy()).cloned().collect::<Vec<_>>())
            .collect();
        for interpreter in &busy {
            let interpreter = interpreter.clone();
            spawn(async move { interpreter.interrupt().await });
        }
        !busy.is_empty()
    }

    fn choose(&self, kept: bool) -> Result<Rc<Member>, String> {
        if self.0.closed.get() {
            return Err("the server is ending".to_owned());
        }
        let best = self.0.members.borrow().iter().min_by_key(|member| member.cost(kept)).cloned();
        match best {
            Some(best) if !((best.blocked.get() || (kept && best.sessions.get() > 0)) && self.may_grow()) => Ok(best),
            _ => self.start(),
        }
    }

    fn may_grow(&self) -> bool {
        let members = self.0.members.borrow();
        let blocked = members.iter().filter(|member| member.blocked.get()).count();
        // Blocked ones do not count, as they will be replaced, but there are never more than twice as many in all.
        members.len() - blocked < self.0.most && members.len() < 2 * self.0.most
    }

    /// Starts another process, unless one is unused, or the limit is reached.
    fn grow(&self) {
        let spare = self.0.members.borrow().iter().any(|member| !member.is_used() && !member.blocked.get());
        if !self.0.closed.get()
            && !spare
            && self.may_grow()
            && let Err(error) = self.start()
        {
            self.0.log.error(error);
        }
    }

    fn start(&self) -> Result<Rc<Member>, String> {
        Ok(self.add(self.0.launch.start()?))
    }

    fn add(&self, started: Started) -> Rc<Member> {
        let workerd = Workerd::watch(started);
        let member = Member::new(workerd.clone());
        self.0.members.borrow_mut().push(member.clone());
        let (pool, watched, begun) = (self.clone(), member.clone(), Instant::now());
        spawn(async move {
            match workerd.ready().await {
                Ok(()) => {
                    watched.started.set(true);
                    pool.0.log.debug(format_args!("a workerd process started in {} ms", begun.elapsed().as_millis()));
                }
                Err(error) if !pool.0.closed.get() => pool.0.log.error(error),
                Err(_) => {}
            }
            let why = workerd.end_of().await;
            let known = {
                let mut members = pool.0.members.borrow_mut();
                let before = members.len();
                members.retain(|member| !Rc::ptr_eq(member, &watched));
                before != members.len()
            };
            drop(watched.ahead.borrow_mut().remove(|_| true));
            if known && !pool.0.closed.get() {
                pool.0.log.warning(format_args!("a workerd process ended: {why}"));
                // If it never started, another would only fail again: the next call tries, and is told why.
                if watched.started.get() {
                    pool.grow();
                }
            }
        });
        member
    }

    fn note(&self, member: &Rc<Member>, blocked: bool) {
        if member.blocked.replace(blocked) != blocked {
            let what = if blocked { "blocked by a run" } else { "free again" };
            self.0.log.debug(format_args!("a workerd process is {what}"));
            self.grow();
        }
    }

    fn watch(&self) {
        let members = self.0.members.borrow().clone();
        let idle = members.iter().filter(|member| !member.is_used() && !member.blocked.get());
        for member in idle.skip(1).filter(|member| member.idle_since.get().elapsed() > IDLE_LIMIT) {
            self.0.members.borrow_mut().retain(|other| !Rc::ptr_eq(other, member));
            member.workerd.end("nobody used it");
        }
        for member in members {
            member.tidy();
            if member.started.get() && (member.runs_something() || member.blocked.get()) {
                let pool = self.clone();
                spawn(async move {
                    let answers = member.workerd.answers().await;
                    pool.note(&member, !answers);
                });
            }
        }
    }

    /// Ends all processes. Resolves when nothing is left of them.
    pub async fn close(&self) {
        self.0.closed.set(true);
        let members = self.0.members.take();
        for member in &members {
            member.workerd.end("the server is ending");
        }
        // The guards end them, even if this program ends first.
        let _ = timeout(Duration::from_secs(5), join_all(members.iter().map(|member| member.workerd.gone()))).await;
    }
}
