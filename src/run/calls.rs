//! Calls out of a running program, and who answers them.
//!
//! **Boundary.** What a run may call is decided when it starts: it is what its [`Caller`] names. Nothing that comes
//! from an isolate adds to it. An honest isolate keeps to every bound here by itself, so one that does not ends its
//! run.

use std::{
    collections::BTreeMap,
    future::poll_fn,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use futures::{
    FutureExt,
    future::{self, LocalBoxFuture},
    select_biased,
};
use serde::de::IgnoredAny;

pub use super::protocol::CallError;
use super::{
    protocol::{Answer, Answered, CallFrame, Callable},
    sandbox::SandboxError,
};
use crate::{
    json::shape,
    limits::{CallLimits, Limits},
    platform::Platform,
};

/// The largest id: the largest integer that JavaScript holds exactly.
const MAX_ID: u64 = (1 << 53) - 1;

/// The call by which a program asks a person for a line, with `{"prompt": text}`. The answer is a text, or `null` at
/// the end of input. Only a library's own caller answers it, never a client of MCP.
pub const INPUT: &str = "input";

/// Returns who answers the calls of a client's run, by the number of its request. `None`: the run may call nothing.
pub type Callers = Rc<dyn Fn(u64) -> Option<Rc<dyn Caller>>>;

/// Answers the calls of one run.
pub trait Caller {
    /// Names what the run may call. Asked once, when it starts.
    fn names(&self) -> Vec<String>;

    /// Answers a call of one of those names, with JSON. The future is dropped when the answer is no longer awaited, or
    /// when it takes longer than [`CallLimits::time`].
    fn call(&self, call: Call) -> LocalBoxFuture<'static, Result<String, CallError>>;
}

/// A call of a running program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// One of the [`Caller::names`].
    pub name: String,
    /// JSON of an object, bounded by [`CallLimits`]. The program chose its content.
    pub arguments: String,
}

/// The calls of one run.
pub(super) struct Calls<'a> {
    caller: Option<&'a dyn Caller>,
    names: Vec<String>,
    limits: CallLimits,
    platform: Platform,
    last_id: u64,
    made: usize,
    /// Calls that wait for their answers, by their ids.
    waiting: BTreeMap<u64, LocalBoxFuture<'static, Answered>>,
    /// Answers on their way to the isolate.
    leaving: Vec<LocalBoxFuture<'static, ()>>,
    /// How long calls have waited so far, and since when some wait now.
    waited: Duration,
    since: Option<Duration>,
}

impl<'a> Calls<'a> {
    pub(super) fn new(caller: Option<&'a dyn Caller>, limits: &Limits, platform: Platform) -> Self {
        Self {
            caller,
            names: caller.map(Caller::names).unwrap_or_default(),
            limits: limits.calls,
            platform,
            last_id: 0,
            made: 0,
            waiting: BTreeMap::new(),
            leaving: Vec::new(),
            waited: Duration::ZERO,
            since: None,
        }
    }

    /// Names and limits of calls, for the isolate.
    pub(super) fn callable(&self) -> Option<Callable> {
        (!self.names.is_empty()).then(|| Callable::new(self.names.clone(), &self.limits))
    }

    /// Bytes of the longest text in a frame.
    pub(super) fn largest(&self) -> usize {
        if self.names.is_empty() { 0 } else { self.limits.argument_bytes }
    }

    /// Begins a call.
    ///
    /// # Errors
    /// A call that no honest isolate makes.
    pub(super) fn begin(&mut self, CallFrame { id, name, arguments }: CallFrame) -> Result<(), SandboxError> {
        let bad = |what| Err(SandboxError::Protocol(what));
        let Some(caller) = self.caller.filter(|_| !self.names.is_empty()) else {
            return bad("a call of a run that may not call");
        };
        if !self.names.contains(&name) {
            return bad("a call that the run may not make");
        }
        if id <= self.last_id || id > MAX_ID {
            return bad("a call whose id is not higher than those before");
        }
        if self.made >= self.limits.in_all {
            return bad("more calls than it may make");
        }
        if self.waiting.len() >= self.limits.at_once {
            return bad("more calls at once than it may make");
        }
        if arguments.len() > self.limits.argument_bytes {
            return bad("arguments that are too long");
        }
        self.last_id = id;
        self.made += 1;
        let shape = shape(arguments.as_bytes());
        if shape.items > self.limits.argument_items || shape.depth > self.limits.argument_depth {
            // Isolates do not count values, so this is no violation.
            let refused = too_large(&name, &self.limits);
            self.waiting.insert(id, future::ready(Answered::Error(refused)).boxed_local());
            self.count();
            return Ok(());
        }
        // serde_json's own limit of depth applies here, which is higher.
        if !arguments.starts_with('{') || serde_json::from_str::<IgnoredAny>(&arguments).is_err() {
            return bad("arguments that are no object");
        }
        let late = (self.platform.sleep)(self.limits.time);
        let answered = caller.call(Call { name: name.clone(), arguments });
        let limits = self.limits;
        let answered = async move {
            let answer = select_biased! {
                answer = answered.fuse() => answer,
                () = late.fuse() => Err(timeout(&name, limits.time)),
            };
            let answer = answer.and_then(|value| match value.len() {
                size if size > limits.answer_bytes => Err(too_long(&name, size, limits.answer_bytes)),
                _ => Ok(value),
            });
            answer.map_or_else(Answered::Error, Answered::Value)
        };
        self.waiting.insert(id, answered.boxed_local());
        self.count();
        Ok(())
    }

    /// Drops a call, if it still waits.
    ///
    /// # Errors
    /// There has been no such call.
    pub(super) fn cancel(&mut self, id: u64) -> Result<(), SandboxError> {
        if id > self.last_id {
            return Err(SandboxError::Protocol("the end of a call that it has not made"));
        }
        self.waiting.remove(&id);
        self.count();
        Ok(())
    }

    /// Waits for the next answer.
    pub(super) async fn next(&mut self) -> Answer {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Answer> {
        self.leaving.retain_mut(|answer| answer.poll_unpin(cx).is_pending());
        let answered = self.waiting.iter_mut().find_map(|(&id, call)| match call.poll_unpin(cx) {
            Poll::Ready(answered) => Some(Answer { id, answered }),
            Poll::Pending => None,
        });
        let Some(answer) = answered else { return Poll::Pending };
        self.waiting.remove(&answer.id);
        self.count();
        Poll::Ready(answer)
    }

    /// Has an answer delivered while [`Self::next`] is awaited.
    pub(super) fn send(&mut self, answer: LocalBoxFuture<'static, ()>) {
        self.leaving.push(answer);
    }

    /// How long the program has waited for answers so far, by the host's clock: the run's clock stood still meanwhile.
    pub(super) fn waited(&self) -> Duration {
        let now = || (self.platform.now)();
        let going = self.since.map_or(Duration::ZERO, |since| now().saturating_sub(since));
        (self.waited + going).min(self.limits.wait)
    }

    /// Updates the waiting time when calls begin or cease to wait.
    fn count(&mut self) {
        match (self.since, self.waiting.is_empty()) {
            (None, false) => self.since = Some((self.platform.now)()),
            (Some(since), true) => {
                self.waited += (self.platform.now)().saturating_sub(since);
                self.since = None;
            }
            _ => {}
        }
    }
}

fn timeout(name: &str, limit: Duration) -> CallError {
    let message = format!("the call of `{name}` took longer than {} s", limit.as_secs_f64());
    CallError { kind: "TimeoutError".into(), message }
}

fn too_large(name: &str, CallLimits { argument_items, argument_depth, .. }: &CallLimits) -> CallError {
    let message = format!(
        "the arguments of `{name}` may consist of {argument_items} values, and nest {argument_depth} levels deep"
    );
    CallError { kind: "ValueError".into(), message }
}

fn too_long(name: &str, size: usize, limit: usize) -> CallError {
    let message = format!("the answer of `{name}` is {size} bytes long, and at most {limit} are allowed");
    CallError { kind: "ValueError".into(), message }
}

#[cfg(test)]
#[path = "calls_tests.rs"]
mod tests;
