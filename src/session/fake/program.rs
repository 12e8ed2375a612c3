//! The programs of the fake's interpreters. Each is a word or two:
//!
//! - `count`: how many programs this interpreter has begun, itself included
//! - `wait SECONDS`: the same, after so long
//! - `loop`: writes until it is stopped
//! - `write TEXT`, `read`: the session's file
//! - `show FRAMES`: sends these frames, and its end after them
//! - `file REQUEST`: answers a file request
//! - `die`: the interpreter is lost in the middle of the run
//! - `mute`: begins, and sends nothing more
//! - `import ...`: its value is the modules that are missing
//! - `call N NAME`: makes N calls at once; its value is the answers, in the order in which they came
//! - `hurry NAME`: makes a call, and does not wait for the answer
//! - `cancel NAME`: makes a call, and cancels it soon; then it makes another and waits for that
//!
//! The ids of calls go on from run to run, as in a real interpreter.

use std::{rc::Rc, time::Duration};

use futures::{
    FutureExt, Stream, StreamExt,
    channel::{mpsc, oneshot},
    lock::Mutex,
    stream,
};
use serde_json::{Value, json};

use super::{BEGIN, State, World};
use crate::{
    run::{
        protocol::VERSION,
        sandbox::{RunEvent, SandboxError},
    },
    virtual_clock::{now, sleep},
};

fn end(json_text: impl ToString) -> Result<RunEvent, SandboxError> {
    let frame = json!({ "end": { "status": "success", "json": json_text.to_string() } });
    Ok(RunEvent::Frames(format!("{frame}\n").into_bytes()))
}

/// Returns the events of a run of `code`. A `silent` one never begins; an `unbootable` one says so.
pub(super) fn events(
    world: Rc<World>,
    state: Rc<State>,
    code: String,
    unbootable: bool,
    silent: bool,
    stopped: oneshot::Receiver<()>,
) -> impl Stream<Item = Result<RunEvent, SandboxError>> {
    let gone = || SandboxError::Start("it is dead".into());
    stream::once(async move {
        if silent {
            return futures::future::pending().await;
        }
        sleep(state.booted_at.get().saturating_sub(now()) + BEGIN).await;
        if unbootable || state.dead.get() {
            return stream::once(async move { Err(gone()) }).boxed_local();
        }
        world.begun.borrow_mut().push(code.clone());
        state.counted.set(state.counted.get() + 1);
        if world.vague.get() {
            return stream::once(async { Err(SandboxError::Lost("nobody knows".into())) }).boxed_local();
        }
        if world.hasty.get() {
            return stream::once(async { end(0) }).boxed_local();
        }
        let version = format!("{}\n", json!({ "protocol": VERSION }));
        let begun = stream::iter([Ok(RunEvent::Began), Ok(RunEvent::Frames(version.into_bytes()))]);
        begun.chain(steps(world, state, code, stopped)).boxed_local()
    })
    .flatten()
}

fn steps(
    world: Rc<World>,
    state: Rc<State>,
    code: String,
    stopped: oneshot::Receiver<()>,
) -> impl Stream<Item = Result<RunEvent, SandboxError>> {
    let (word, rest) = code.split_once(' ').unwrap_or((&code, ""));
    let (word, rest) = (word.to_owned(), rest.to_owned());
    let line = r#"{"stdout":["."]}"#.to_owned() + "\n";
    let (answers_in, answers) = mpsc::unbounded();
    state.answers.replace(Some(answers_in));
    state.calls.take();
    let answers = Rc::new(Mutex::new(answers));
    let mut stopped = stopped.fuse();
    let mut written = 0;
    stream::unfold(false, move |over| {
        let (state, world, word, rest) = (state.clone(), world.clone(), word.clone(), rest.clone());
        let answers = answers.clone();
        let line = RunEvent::Frames(line.clone().into_bytes());
        written += 1;
        let stop = match word.as_str() {
            "loop" => (&mut stopped).now_or_never().is_some() && !world.unstoppable.get(),
            _ => false,
        };
        async move {
            if over {
                return None;
            }
            match word.as_str() {
                "loop" if !stop => {
                    sleep(Duration::from_millis(20)).await;
                    return Some((Ok(line), false));
                }
                "wait" => sleep(Duration::from_secs_f64(rest.parse().unwrap())).await,
                "show" if written == 1 => {
                    return Some((Ok(RunEvent::Frames(format!("{rest}\n").into_bytes())), false));
                }
                "die" if written == 1 => return Some((Ok(line), false)),
                "die" => {
                    state.dead.set(true);
                    return Some((Err(SandboxError::Lost("it died".into())), true));
                }
                "mute" => return futures::future::pending().await,
                "call" => {
                    let (number, name) = rest.split_once(' ').unwrap();
                    let number = number.parse().unwrap();
                    if written == 1 {
                        return Some((state.call(number, name), false));
                    }
                    let came: Vec<Value> = (&mut *answers.lock().await).take(number).collect().await;
                    return Some((end(json!(came)), true));
                }
                "hurry" if written == 1 => return Some((state.call(1, &rest), false)),
                "cancel" if written == 1 => return Some((state.call(1, &rest), false)),
                "cancel" if written == 2 => {
                    sleep(Duration::from_millis(50)).await;
                    let id = state.last_call.get();
                    state.calls.borrow_mut().remove(&id);
                    let cancel = format!("{}\n", json!({ "cancel": id }));
                    return Some((Ok(RunEvent::Frames(cancel.into_bytes())), false));
                }
                "cancel" if written == 3 => return Some((state.call(1, "echo"), false)),
                "cancel" => {
                    let came = answers.lock().await.next().await;
                    return Some((end(json!([came])), true));
                }
                "file" => {
                    let forged = world.forged.borrow().clone();
                    let frames = forged.unwrap_or_else(|| state.asked(&rest).to_string());
                    return Some((Ok(RunEvent::Frames(format!("{frames}\n").into_bytes())), true));
                }
                "write" => *state.file.borrow_mut() = rest,
                word if word.starts_with("import") => {
                    return Some((end(if world.finds_all.get() { "[]" } else { "[\"a\"]" }), true));
                }
                "read" => return Some((end(json!(*state.file.borrow())), true)),
                _ => {}
            }
            if state.dead.get() {
                return Some((Err(SandboxError::Lost("it was ended".into())), true));
            }
            Some((end(state.counted.get()), true))
        }
    })
}
