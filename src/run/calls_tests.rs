use std::{cell::RefCell, pin::Pin, rc::Rc};

use futures::{Stream, StreamExt, channel::mpsc};
use serde_json::{Value, json};

use super::*;
use crate::{
    packages::PackageSet,
    run::{
        Ending, Line, Returned, RunRequest,
        decoder::Decoder,
        execute,
        protocol::VERSION,
        sandbox::{Run, RunEvent, Running, Sandbox},
    },
    virtual_clock::{self, PLATFORM, now, sleep, spawn},
};

/// Answers `echo` with its arguments, `wait` after a second, `fail` with an error, `long` with 100 bytes, and `never`
/// not at all.
#[derive(Default)]
struct Answers {
    asked: RefCell<Vec<Call>>,
    dropped: Rc<RefCell<Vec<String>>>,
}

/// Records a call that is dropped before it is answered.
struct Noted(Option<String>, Rc<RefCell<Vec<String>>>);

impl Drop for Noted {
    fn drop(&mut self) {
        self.1.borrow_mut().extend(self.0.take());
    }
}

impl Caller for Answers {
    fn names(&self) -> Vec<String> {
        ["echo", "wait", "never", "fail", "long"].map(str::to_owned).to_vec()
    }

    fn call(&self, call: Call) -> LocalBoxFuture<'static, Result<String, CallError>> {
        self.asked.borrow_mut().push(call.clone());
        let mut noted = Noted(Some(call.name.clone()), self.dropped.clone());
        async move {
            let answer = match call.name.as_str() {
                "echo" => Ok(call.arguments),
                "wait" => sleep(Duration::from_secs(1)).map(|()| Ok("1".into())).await,
                "long" => Ok(format!("\"{}\"", "x".repeat(98))),
                "fail" => Err(CallError { kind: "KeyError".into(), message: "no such key".into() }),
                _ => futures::future::pending().await,
            };
            noted.0.take();
            answer
        }
        .boxed_local()
    }
}

fn limits() -> Limits {
    let calls = CallLimits {
        at_once: 3,
        in_all: 5,
        argument_bytes: 100,
        argument_items: 10,
        argument_depth: 4,
        time: Duration::from_secs(10),
        answer_bytes: 99,
        wait: Duration::from_secs(20),
    };
    Limits { time: Duration::from_secs(1), grace: Duration::from_secs(1), calls, ..Limits::default() }
}

fn frame(id: u64, name: &str, arguments: &str) -> String {
    format!("{}\n", json!({ "call": { "id": id, "name": name, "arguments": arguments } }))
}

/// Decodes frames that come after the first.
fn decode(caller: Option<&dyn Caller>, frames: &str) -> Result<(), SandboxError> {
    let mut calls = Calls::new(caller, &limits(), PLATFORM);
    let frames = format!("{{\"protocol\":{VERSION}}}\n{frames}");
    Decoder::new(limits(), |_: &Line| {}).push(frames.as_bytes(), &mut calls).map(|_| ())
}

fn refused(frames: &str) -> &'static str {
    match decode(Some(&Answers::default()), frames) {
        Err(SandboxError::Protocol(why)) => why,
        other => panic!("{frames}: {other:?}"),
    }
}

#[test]
fn a_run_calls_what_it_may_and_nothing_else() {
    let answers = Answers::default();
    assert_eq!(decode(Some(&answers), &frame(1, "echo", "{}")), Ok(()));
    assert_eq!(*answers.asked.borrow(), [Call { name: "echo".into(), arguments: "{}".into() }]);
    let may_not = SandboxError::Protocol("a call of a run that may not call");
    assert_eq!(decode(None, &frame(1, "echo", "{}")), Err(may_not.clone()));
    struct Nothing;
    impl Caller for Nothing {
        fn names(&self) -> Vec<String> {
            Vec::new()
        }

        fn call(&self, call: Call) -> LocalBoxFuture<'static, Result<String, CallError>> {
            panic!("{call:?}")
        }
    }
    assert_eq!(decode(Some(&Nothing), &frame(1, "", "{}")), Err(may_not));
    for name in ["other", "", "Echo", "echo ", "ech\u{6f}\u{0}", "__proto__"] {
        assert_eq!(refused(&frame(1, name, "{}")), "a call that the run may not make", "{name}");
    }
}

#[test]
fn ids_only_rise() {
    let low = "a call whose id is not higher than those before";
    for ids in [[1, 1], [2, 1], [7, 7]] {
        assert_eq!(refused(&ids.map(|id| frame(id, "echo", "{}")).concat()), low, "{ids:?}");
    }
    assert_eq!(refused(&frame(0, "echo", "{}")), low);
    assert_eq!(refused(&frame(1 << 53, "echo", "{}")), low);
    for id in ["-1", "1.5", "\"1\"", "1e3", "18446744073709551616", "null"] {
        let forged = frame(9, "echo", "{}").replace(":9", &format!(":{id}"));
        assert_eq!(refused(&forged), "a frame that is not one", "{id}");
    }
    // The id of a call that was answered or cancelled is not used again.
    assert_eq!(refused(&format!("{}{{\"cancel\":4}}\n{}", frame(4, "never", "{}"), frame(4, "echo", "{}"))), low);
    assert_eq!(refused("{\"cancel\":1}\n"), "the end of a call that it has not made");
    let frames = format!("{}{{\"cancel\":4}}\n{{\"cancel\":4}}\n{{\"cancel\":2}}\n", frame(4, "never", "{}"));
    assert_eq!(decode(Some(&Answers::default()), &frames), Ok(()), "it may have been answered meanwhile");
}

#[test]
fn arguments_are_an_object_of_bounded_size() {
    let args = |text: &str| refused(&frame(1, "echo", text));
    for none in
        ["", "1", "[]", "null", "\"{}\"", "{", "{}}", "{} {}", "{\"a\":}", "{a:1}", "{\"a\":NaN}", " {}", "\u{feff}{}"]
    {
        assert_eq!(args(none), "arguments that are no object", "{none}");
    }
    assert_eq!(args(&format!("{{\"a\":\"{}\"}}", "x".repeat(93))), "arguments that are too long");
    assert_eq!(refused(&format!("{{\"call\":{}", "x".repeat(5_000_000))), "a frame that is too long");
    let good = format!("{{\"a\":\"{}\"}}", "x".repeat(92));
    assert_eq!(decode(Some(&Answers::default()), &frame(1, "echo", &good)), Ok(()));
    for more in [",\"more\":1", ",\"id\":2"] {
        let forged = frame(1, "echo", "{}").replace("}\"}", &format!("}}\"{more}}}"));
        assert_eq!(refused(&forged), "a frame that is not one", "{more}");
    }
}

#[test]
fn calls_are_counted() {
    let many = |name: &str, number| (1..=number).map(|id| frame(id, name, "{}")).collect::<String>();
    assert_eq!(decode(Some(&Answers::default()), &many("never", 3)), Ok(()));
    assert_eq!(refused(&many("never", 4)), "more calls at once than it may make");
    let let_go = |number| (1..=number).map(|id| frame(id, "never", "{}") + &format!("{{\"cancel\":{id}}}\n"));
    assert_eq!(decode(Some(&Answers::default()), &let_go(5).collect::<String>()), Ok(()));
    assert_eq!(refused(&let_go(6).collect::<String>()), "more calls than it may make");
}

/// An isolate whose program makes calls, waits for so many answers, works for a while, and returns the answers.
struct Asks {
    frames: String,
    answers: usize,
    work: Duration,
}

struct AsksRun {
    events: mpsc::UnboundedReceiver<Result<RunEvent, SandboxError>>,
    answers: mpsc::UnboundedSender<String>,
}

impl Stream for AsksRun {
    type Item = Result<RunEvent, SandboxError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.events.poll_next_unpin(cx)
    }
}

impl Running for AsksRun {
    fn answer(&self, answer: &str) -> LocalBoxFuture<'static, ()> {
        let (answers, answer) = (self.answers.clone(), answer.to_owned());
        async move {
            sleep(Duration::from_millis(1)).await;
            let _ = answers.unbounded_send(answer);
        }
        .boxed_local()
    }
}

impl Sandbox for Asks {
    fn run(&self, _: String, _: PackageSet) -> Run {
        let (events_in, events) = mpsc::unbounded();
        let (answers, came) = mpsc::unbounded::<String>();
        let (frames, number, work) = (self.frames.clone(), self.answers, self.work);
        let send = move |event| events_in.unbounded_send(Ok(event)).is_ok();
        let text = |text: String| RunEvent::Frames(text.into_bytes());
        spawn(Box::pin(async move {
            send(RunEvent::Began);
            send(text(format!("{{\"protocol\":{VERSION}}}\n{frames}")));
            let came: Vec<Value> =
                came.take(number).map(|answer| serde_json::from_str(&answer).unwrap()).collect().await;
            sleep(work).await;
            send(text(format!("{}\n", json!({ "end": { "status": "success", "json": json!(came).to_string() } }))));
        }));
        Box::new(AsksRun { events, answers })
    }

    fn is_fresh(&self) -> bool {
        true
    }

    fn platform(&self) -> Platform {
        PLATFORM
    }
}

/// Returns the answers that the program got, and the calls that were dropped.
async fn run(frames: String, answers: usize, work: Duration) -> (Result<Value, SandboxError>, Vec<String>) {
    run_within(limits(), frames, answers, work).await
}

async fn run_within(
    limits: Limits,
    frames: String,
    answers: usize,
    work: Duration,
) -> (Result<Value, SandboxError>, Vec<String>) {
    let caller = Answers::default();
    let request = RunRequest { code: String::new(), globals: "{}".into(), keep_variables: false, files: Vec::new() };
    let sandbox = Rc::new(Asks { frames, answers, work });
    let ended = execute(sandbox, &request, PackageSet::default(), limits, Some(&caller), None, |_| {}).await;
    let came = ended.map(|outcome| match outcome.ending {
        Ending::Success(Returned::Json { value, .. }) => value,
        other => panic!("{other:?}"),
    });
    let dropped = caller.dropped.borrow().clone();
    (came, dropped)
}

#[test]
fn calls_are_answered_as_they_are_done() {
    virtual_clock::run(async {
        let frames = frame(1, "wait", "{}") + &frame(2, "echo", "{\"a\":1}") + &frame(3, "fail", "{}");
        let (came, dropped) = run(frames, 3, Duration::ZERO).await;
        let expected = json!([
            { "id": 2, "value": "{\"a\":1}" },
            { "id": 3, "error": { "type": "KeyError", "message": "no such key" } },
            { "id": 1, "value": "1" },
        ]);
        assert_eq!((came, dropped), (Ok(expected), Vec::new()));
    });
}

#[test]
fn an_answer_is_bounded_in_time_and_size() {
    virtual_clock::run(async {
        let (came, dropped) = run(frame(1, "never", "{}") + &frame(2, "long", "{}"), 2, Duration::ZERO).await;
        let error = |id, kind, message| json!({ "id": id, "error": { "type": kind, "message": message } });
        let long = error(2, "ValueError", "the answer of `long` is 100 bytes long, and at most 99 are allowed");
        let never = error(1, "TimeoutError", "the call of `never` took longer than 10 s");
        assert_eq!((came, dropped), (Ok(json!([long, never])), vec!["never".to_owned()]));
        assert_eq!(now(), Duration::from_millis(10_001));
    });
}

#[test]
fn arguments_of_too_many_values_are_not_read() {
    virtual_clock::run(async {
        let many = frame(1, "echo", "{\"a\":[1,2,3,4,5,6,7,8,9]}") + &frame(2, "echo", "{\"a\":[[[[]]]]}");
        let (came, _) = run(many + &frame(3, "echo", "{\"a\":[[[1,2,3,4,5]]]}"), 3, Duration::ZERO).await;
        let message = "the arguments of `echo` may consist of 10 values, and nest 4 levels deep";
        let error = |id| json!({ "id": id, "error": { "type": "ValueError", "message": message } });
        assert_eq!(came, Ok(json!([error(1), error(2), { "id": 3, "value": "{\"a\":[[[1,2,3,4,5]]]}" }])));
    });
}

#[test]
fn what_nobody_waits_for_is_dropped() {
    virtual_clock::run(async {
        let frames = frame(1, "wait", "{}") + "{\"cancel\":1}\n" + &frame(2, "echo", "{}");
        let (came, dropped) = run(frames, 1, Duration::ZERO).await;
        assert_eq!((came, dropped), (Ok(json!([{ "id": 2, "value": "{}" }])), vec!["wait".to_owned()]));
        // They are also dropped with their run.
        let (came, dropped) = run(frame(1, "never", "{}"), 0, Duration::from_secs(1)).await;
        assert_eq!((came, dropped), (Ok(json!([])), vec!["never".to_owned()]));
        assert!(now() < Duration::from_secs(2));
    });
}

#[test]
fn the_watchdog_stands_still_for_answers_and_not_for_ever() {
    let late = Err(SandboxError::Lost("it did not end in time".into()));
    let limit = limits().time + limits().grace + crate::limits::WATCHDOG_MARGIN;
    let ended =
        |frames: String, answers, work| virtual_clock::run(async move { (run(frames, answers, work).await.0, now()) });
    let second = Duration::from_secs(1);
    // Without calls, and with calls that are answered at once.
    assert_eq!(ended(String::new(), 0, limit + second), (late.clone(), limit));
    let (came, at) = ended(frame(1, "echo", "{}"), 1, limit + second);
    assert_eq!((came, at), (late.clone(), limit));
    // Ten seconds of waiting do not count as the program's.
    let (came, at) = ended(frame(1, "never", "{}"), 1, limit - second);
    assert!(came.is_ok() && at > limit + 8 * second, "{came:?} at {at:?}");
    let (came, at) = ended(frame(1, "never", "{}"), 1, limit + second);
    assert!(came == late && at >= limit + 10 * second && at < limit + 12 * second, "{came:?} at {at:?}");
    // More than twenty do.
    let (came, at) = virtual_clock::run(async {
        let mut limits = limits();
        limits.calls.time = Duration::from_secs(1000);
        (run_within(limits, frame(1, "never", "{}"), 1, Duration::ZERO).await.0, now())
    });
    assert!(came == late && at >= limit + 20 * second, "{came:?} at {at:?}");
    assert!(at < limit + 22 * second, "{at:?}");
}
