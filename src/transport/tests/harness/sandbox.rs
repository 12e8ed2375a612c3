//! A sandbox whose programs are a few words, and its host.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::Duration,
};

use futures::{StreamExt, future::LocalBoxFuture, stream};
use serde_json::{Value, json};

use super::sleep;
use crate::{
    packages::PackageSet,
    platform::Platform,
    run::{
        protocol::VERSION,
        sandbox::{Deaf, Run, RunEvent, Sandbox, SandboxError},
    },
    session::{Host, Opened, SessionChoice, SessionError},
    virtual_clock::PLATFORM,
};

/// Records of what happened in sandboxes.
#[derive(Default)]
pub(in crate::transport::tests) struct Seen {
    /// How many runs were started.
    pub(in crate::transport::tests) started: Cell<usize>,
    /// How many were ended before they were done.
    pub(in crate::transport::tests) dropped: Cell<usize>,
    /// The packages of each run.
    pub(in crate::transport::tests) packages: RefCell<Vec<Vec<String>>>,
    /// The kind of session that each run was opened with.
    pub(in crate::transport::tests) opened: RefCell<Vec<SessionChoice>>,
}

/// A sandbox whose programs are lines of `print TEXT`, `warn TEXT`, `sleep SECONDS`, `return JSON`,
/// `globals`, `lose`, `draw`, `raise ERROR`, and `need MODULE`, of a package of that name.
struct Scripted {
    seen: Rc<Seen>,
    fresh: bool,
}

impl Sandbox for Scripted {
    fn run(&self, request: String, packages: PackageSet) -> Run {
        self.seen.started.set(self.seen.started.get() + 1);
        let packages: Vec<String> = packages.wheels().iter().map(|wheel| wheel.name.clone()).collect();
        self.seen.packages.borrow_mut().push(packages.clone());
        let request: Value = serde_json::from_str(&request).unwrap();
        let globals = request["globals"].as_str().unwrap().to_owned();
        let mut lines: Vec<String> = request["code"].as_str().unwrap().lines().map(str::to_owned).collect();
        lines
            .retain(|line| line.strip_prefix("need ").is_none_or(|module| !packages.iter().any(|name| name == module)));
        lines.push("return null".into());
        let running = Running(Some(self.seen.clone()));
        let frames =
            stream::unfold((lines.into_iter(), running, globals), |(mut lines, mut running, globals)| async move {
                running.0.as_ref()?;
                let line = lines.next()?;
                let (word, rest) = line.split_once(' ').unwrap_or((&line, ""));
                let frame = match word {
                    "print" => Ok(json!({ "stdout": [rest] })),
                    "warn" => Ok(json!({ "stderr": [rest] })),
                    "sleep" => {
                        sleep(Duration::from_secs_f64(rest.parse().unwrap())).await;
                        Ok(json!({ "stdout": [] }))
                    }
                    "lose" => Err(SandboxError::Lost("it was told to".into())),
                    "draw" => Ok(json!({ "image": "iVBORw0KGgo=" })),
                    "raise" => Ok(failed(rest)),
                    "need" => Ok(failed(&format!("ModuleNotFoundError: No module named '{rest}'"))),
                    "globals" => Ok(end(&globals)),
                    "return" => Ok(end(rest)),
                    // A fuzzer may send any word: a panic here would leave the request without an answer.
                    _ => Err(SandboxError::Lost(format!("no such word: {word}"))),
                };
                if frame.is_err() || matches!(word, "globals" | "return" | "raise" | "need") {
                    running.0 = None;
                }
                let frame = frame.map(|frame| RunEvent::Frames(format!("{frame}\n").into_bytes()));
                Some((frame, (lines, running, globals)))
            });
        let first = format!("{}\n", json!({ "protocol": VERSION }));
        let begun = stream::iter([Ok(RunEvent::Began), Ok(RunEvent::Frames(first.into_bytes()))]);
        Box::new(Deaf(begun.chain(frames).boxed_local()))
    }

    fn is_fresh(&self) -> bool {
        self.fresh
    }

    fn platform(&self) -> Platform {
        PLATFORM
    }
}

fn end(json_text: &str) -> Value {
    json!({ "end": { "status": "success", "json": json_text } })
}

fn failed(error: &str) -> Value {
    json!({ "end": { "status": "run-error", "error": format!("Traceback (most recent call last):\n{error}\n") } })
}

/// Notices a run that is dropped before its end.
struct Running(Option<Rc<Seen>>);

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(seen) = &self.0 {
            seen.dropped.set(seen.dropped.get() + 1);
        }
    }
}

pub(super) struct TestHost {
    pub(super) seen: Rc<Seen>,
    /// Whether calls that name no session get an interpreter each.
    pub(super) fresh: bool,
}

impl Host for TestHost {
    fn offers_sessions(&self) -> bool {
        true
    }

    fn open(&self, choice: SessionChoice) -> LocalBoxFuture<'static, Result<Opened, SessionError>> {
        self.seen.opened.borrow_mut().push(choice.clone());
        let handle = match choice {
            SessionChoice::Unnamed => Ok(None),
            SessionChoice::New => Ok(Some("h1".to_owned())),
            SessionChoice::Handle(handle) if handle == "h1" => Ok(Some(handle)),
            SessionChoice::Handle(_) => Err(SessionError::Unknown),
        };
        let fresh = self.fresh && matches!(handle, Ok(None));
        let sandbox = Rc::new(Scripted { seen: self.seen.clone(), fresh });
        Box::pin(async move { Ok(Opened { sandbox, handle: handle? }) })
    }

    fn end(&self, handle: String) -> LocalBoxFuture<'static, Result<(), SessionError>> {
        let ended = if handle == "h1" { Ok(()) } else { Err(SessionError::Unknown) };
        Box::pin(async move { ended })
    }
}
