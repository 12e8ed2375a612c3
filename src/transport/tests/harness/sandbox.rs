//! A sandbox whose programs are a few words, and the host that gives it.

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
    sandbox::{Run, RunEvent, Sandbox, SandboxError},
    session::{Host, Opened, SessionChoice, SessionError},
};

/// What happened in sandboxes.
#[derive(Default)]
pub(in crate::transport::tests) struct Seen {
    /// How many runs were started.
    pub(in crate::transport::tests) started: Cell<usize>,
    /// How many were ended before they were done.
    pub(in crate::transport::tests) dropped: Cell<usize>,
    /// How many runs were opened with each kind of session.
    pub(in crate::transport::tests) opened: RefCell<Vec<SessionChoice>>,
}

/// A sandbox whose programs are lines of `print TEXT`, `warn TEXT`, `sleep SECONDS`, `return JSON`,
/// `globals`, `lose`.
struct Scripted(Rc<Seen>);

impl Sandbox for Scripted {
    fn run(&self, request: String, _: PackageSet) -> Run {
        self.0.started.set(self.0.started.get() + 1);
        let request: Value = serde_json::from_str(&request).unwrap();
        let globals = request["globals"].as_str().unwrap().to_owned();
        let mut lines: Vec<String> = request["code"].as_str().unwrap().lines().map(str::to_owned).collect();
        lines.push("return null".into());
        let running = Running(Some(self.0.clone()));
        let frames =
            stream::unfold((lines.into_iter(), running, globals), |(mut lines, mut running, globals)| async move {
                running.0.as_ref()?;
                let line = lines.next()?;
                let (word, rest) = line.split_once(' ').unwrap_or((&line, ""));
                let frame = match word {
                    "print" => Ok(json!({ "stream": "stdout", "lines": [rest] })),
                    "warn" => Ok(json!({ "stream": "stderr", "lines": [rest] })),
                    "sleep" => {
                        sleep(Duration::from_secs_f64(rest.parse().unwrap())).await;
                        Ok(json!({ "stream": "stdout", "lines": [] }))
                    }
                    "lose" => Err(SandboxError::Lost("it was told to".into())),
                    "globals" => Ok(end(&globals)),
                    "return" => Ok(end(rest)),
                    // Mutated by a fuzzer, say: a panic here would leave the request without an answer.
                    _ => Err(SandboxError::Lost(format!("no such word: {word}"))),
                };
                if frame.is_err() || matches!(word, "globals" | "return") {
                    running.0 = None;
                }
                let frame = frame.map(|frame| RunEvent::Frames(format!("{frame}\n").into_bytes()));
                Some((frame, (lines, running, globals)))
            });
        stream::once(async { Ok(RunEvent::Began) }).chain(frames).boxed_local()
    }

    fn sleep(&self, duration: Duration) -> LocalBoxFuture<'static, ()> {
        sleep(duration)
    }
}

fn end(json_text: &str) -> Value {
    json!({ "end": { "status": "success", "json": json_text } })
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

pub(super) struct TestHost(pub(super) Rc<Seen>);

impl Host for TestHost {
    fn offers_sessions(&self) -> bool {
        true
    }

    fn open(&self, choice: SessionChoice) -> LocalBoxFuture<'static, Result<Opened, SessionError>> {
        self.0.opened.borrow_mut().push(choice.clone());
        let handle = match choice {
            SessionChoice::Unnamed => Ok(None),
            SessionChoice::New => Ok(Some("h1".to_owned())),
            SessionChoice::Handle(handle) if handle == "h1" => Ok(Some(handle)),
            SessionChoice::Handle(_) => Err(SessionError::Unknown),
        };
        let sandbox = Rc::new(Scripted(self.0.clone()));
        Box::pin(async move { Ok(Opened { sandbox, handle: handle? }) })
    }
}
