//! A run that misses a package: it is run again with it, once, if nothing was shown.

use std::{rc::Rc, time::Duration};

use serde_json::{Value, json};

use super::harness::{Call, Home, Reply, initialize, now, request, run, run_params};
use crate::packages::{PackageOptions, requirement::name_of};

fn home() -> Rc<Home> {
    Home::with_packages(PackageOptions::default())
}

/// A call with its log messages.
fn call(code: &str) -> Call {
    let mut params = run_params(code);
    params["_meta"] = json!({ "io.modelcontextprotocol/logLevel": "info", "progressToken": "p" });
    Call::modern("tools/call", params)
}

async fn send(home: &Home, code: &str) -> Reply {
    call(code).send(home).await
}

fn error(reply: &Reply) -> String {
    reply.structured()["error"].as_str().unwrap_or_else(|| panic!("{reply:?}")).to_owned()
}

#[test]
fn a_quiet_run_is_run_again_with_what_it_missed() {
    run(async {
        let home = home();
        let reply = send(&home, "need pandas\nprint a\nreturn 1").await;
        assert_eq!(*reply.structured(), json!({ "status": "success", "output": ["a"], "return_value": 1 }));
        let none: [&str; 0] = [];
        let sets = home.seen.packages.take();
        assert_eq!(sets, [none.as_slice(), &["numpy", "pandas", "python-dateutil"]]);
        let added = "Added pandas 3.0.2: the run missed `pandas`, and is run again with it";
        assert_eq!(reply.logs(), [("info".into(), added.into()), ("info".into(), "a".into())]);
        let told = reply.messages.iter().filter(|message| message["params"]["logger"] == "packages").count();
        assert_eq!(told, 1, "{reply:?}");
        let progress: Vec<f64> =
            reply.messages.iter().filter_map(|message| message["params"]["progress"].as_f64()).collect();
        assert!(progress.len() == 2 && progress.is_sorted_by(|one, two| one < two), "{progress:?}");
    });
}

#[test]
fn what_was_shown_is_not_shown_again() {
    run(async {
        let home = home();
        for code in ["print a\nneed numpy", "warn a\nneed numpy", "draw\nneed numpy"] {
            let error = error(&send(&home, code).await);
            assert!(
                error.ends_with(
                    "add `import numpy` at the top of it, or name the distribution in a `# /// script` block.\n"
                ),
                "{error}"
            );
            assert_eq!(home.seen.started.take(), 1, "{code}");
        }
    });
}

#[test]
fn there_is_no_third_run() {
    run(async {
        let home = home();
        let error_of = error(&send(&home, "need numpy\nneed pydantic\nneed pandas").await);
        assert!(
            error_of
                .starts_with("Traceback (most recent call last):\nModuleNotFoundError: No module named 'pydantic'\n"),
            "{error_of}"
        );
        assert!(error_of.contains("add `import numpy` and `import pydantic` at the top"), "{error_of}");
        assert_eq!(home.seen.started.take(), 2);
        // A second run that fails for another reason gets the advice, too: with the import it would have been the
        // first.
        let reply = send(&home, "need numpy\nprint b\nraise ValueError: x").await;
        assert_eq!(reply.structured()["output"], json!(["b"]));
        assert!(error(&reply).contains("ValueError: x\nPackages are installed before a run"), "{reply:?}");
        assert!(error(&reply).contains("add `import numpy` at the top"), "{reply:?}");
        assert_eq!(home.seen.started.take(), 2);
    });
}

#[test]
fn a_session_runs_nothing_twice() {
    run(async {
        let home = home();
        let arguments = json!({ "python_code": "need numpy", "session": "new" });
        let named = Call::modern("tools/call", json!({ "name": "run_python_code", "arguments": arguments }));
        assert!(error(&named.send(&home).await).contains("add `import numpy`"));
        assert_eq!(home.seen.started.take(), 1);
        let id = initialize(&home, "2025-11-25").await;
        let params = run_params("need numpy");
        let legacy = Call::post(&request(1, "tools/call", params)).session(&id);
        assert!(error(&legacy.send(&home).await).contains("add `import numpy`"));
        assert_eq!(home.seen.started.take(), 1);
    });
}

#[test]
fn what_cannot_or_may_not_be_had_is_not_looked_for() {
    run(async {
        let denied = PackageOptions { denied: vec![name_of("numpy").unwrap()], ..PackageOptions::default() };
        let allowed = PackageOptions { allowed: vec![name_of("pydantic").unwrap()], ..PackageOptions::default() };
        for settings in [denied, allowed] {
            let home = Home::with_packages(settings);
            let error = error(&send(&home, "need numpy").await);
            assert!(error.contains("does not install numpy"), "{error}");
            assert_eq!(home.seen.started.take(), 1);
        }
        let home = home();
        for module in ["humanize", "tkinter", "numpy-x", "../numpy", "nümpy", "", " numpy", "numpy\t"] {
            let reply = send(&home, &format!("need {module}")).await;
            assert_eq!(reply.structured()["status"], "run-error", "{module}");
            assert_eq!((home.seen.started.take(), reply.logs()), (1, vec![]), "{module}");
        }
        // Another error with the same words is no missing module.
        send(&home, "raise ValueError: No module named 'numpy'").await;
        assert_eq!(home.seen.started.take(), 1);
    });
}

#[test]
fn each_run_has_its_time() {
    run(async {
        let home = home();
        let reply = send(&home, "sleep 50\nneed numpy\nreturn 1").await;
        assert_eq!(reply.structured()["return_value"], Value::from(1), "{reply:?}");
        assert_eq!(now(), Duration::from_secs(100));
        let error = error(&send(&home, "need numpy\nsleep 100").await);
        assert!(error.contains("did not end in time"), "{error}");
    });
}

#[test]
fn a_client_that_goes_ends_the_second_run_too() {
    run(async {
        let home = home();
        call("sleep 2\nneed numpy\nsleep 30").closes_after(Duration::from_secs(7)).send(&home).await;
        assert_eq!((home.seen.started.get(), home.seen.dropped.get()), (2, 1));
        assert!(now() < Duration::from_secs(20));
    });
}
