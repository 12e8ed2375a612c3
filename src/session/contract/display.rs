//! What a program displays, and everything that an interpreter may send instead.

use serde_json::json;

use super::*;
use crate::{
    limits::{Limits, MAX_DISPLAY, MAX_DISPLAYS},
    run::{Outcome, RunRequest, execute},
};

async fn shown(sandbox: &Rc<dyn Sandbox>, frames: &[Value]) -> Result<Outcome, SandboxError> {
    let frames: Vec<String> = frames.iter().map(ToString::to_string).collect();
    let code = format!("show {}", frames.join("\n"));
    let request = RunRequest { code, globals: "{}".into(), keep_variables: false, files: Vec::new() };
    execute(sandbox.clone(), &request, PackageSet::default(), Limits::default(), None, None, |_| {}).await
}

#[test]
fn a_run_displays_bundles() {
    check(async {
        let (_, session) = alone();
        let sandbox: Rc<dyn Sandbox> = Rc::new(session);
        let bundle = json!({ "text/html": "<b>", "text/markdown": "b" });
        let outcome = shown(&sandbox, &[json!({ "display": bundle }), json!({ "stdout": ["."] })]).await.unwrap();
        assert_eq!(json!(outcome.displayed.bundles), json!([bundle]));
        // The next run has its own bundles only.
        let outcome = shown(&sandbox, &[json!({ "stdout": ["."] })]).await.unwrap();
        assert!(outcome.displayed.is_empty());
    });
}

#[test]
fn what_is_no_bundle_ends_the_run_and_no_other() {
    let html = |text: String| json!({ "display": { "text/html": text } });
    let all: serde_json::Map<String, Value> = (0..10_000).map(|n| (format!("text/x-{n}"), json!("x"))).collect();
    let hostile = [
        vec![json!({ "display": all })],
        vec![json!({ "display": { "text/javascript": "x" } })],
        vec![json!({ "display": { "application/vnd.plotly.v1+json": "<script>" } })],
        vec![html("x".repeat(MAX_DISPLAY + 1))],
        vec![html("x".into()); MAX_DISPLAYS + 1],
        vec![html("x".repeat(MAX_DISPLAY)); 5],
    ];
    for frames in hostile {
        check(async move {
            let (_, session) = alone();
            let sandbox: Rc<dyn Sandbox> = Rc::new(session);
            let outcome = shown(&sandbox, &frames).await;
            assert!(matches!(outcome, Err(SandboxError::Protocol(_))), "{outcome:?}");
            let after = shown(&sandbox, &[html("x".into())]).await.unwrap();
            assert_eq!(after.displayed.bundles.len(), 1);
        });
    }
    check(async move {
        let (_, session) = alone();
        let sandbox: Rc<dyn Sandbox> = Rc::new(session);
        let end = json!({ "end": { "status": "success" } });
        let outcome = shown(&sandbox, &[end, html("late".into())]).await.unwrap();
        assert!(outcome.displayed.is_empty());
    });
}
