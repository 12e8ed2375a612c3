//! Runs suites and counts.

use std::{
    fmt,
    io::{BufRead, BufReader, Read, Write},
    ops::AddAssign,
    process::{Command, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
    time::Instant,
};

use anyhow::{Context, Result};
use clap::{Args, builder::PossibleValuesParser};

use crate::{
    build, dev,
    suites::{Kind, OF_PROGRAM, SUITES, Suite},
};

/// Runs the tests.
#[derive(Args)]
pub struct Test {
    /// Suites to run [default: all, `deny` only with --long]
    #[arg(value_parser = PossibleValuesParser::new(SUITES.iter().map(|suite| suite.name)))]
    names: Vec<String>,
    /// How many suites run side by side. If more than one, those that measure no time run beside them at low priority.
    #[arg(long, value_name = "NUMBER", default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..))]
    jobs: u8,
    /// Also what only repeats, or goes on for long: CONTRIBUTING.md lists it.
    #[arg(long)]
    long: bool,
}

/// The environment variable that has tests run in their long form. Tests that only that has are not selected without
/// it, so none is counted as skipped.
const LONG: &str = "LONG";

/// How many of a suite's failed tests are named at the end, and with how many characters at most.
const FAILURES: usize = 20;
const FAILURE: usize = 300;

/// Tests that passed, that failed, and that could not be tried here.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Count {
    passed: usize,
    failed: usize,
    skipped: usize,
}

impl AddAssign for Count {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)?;
        if self.skipped > 0 {
            write!(f, ", {} skipped", self.skipped)?;
        }
        Ok(())
    }
}

impl Test {
    /// Runs all suites, also after one failed: `jobs` at a time, and those that measure no time in what time these leave.
    /// A suite that failed beside another is run again alone, as it may have lacked processor time; its line says so.
    pub fn run(self) -> Result<()> {
        dev::end_with_signals()?;
        let chosen = |suite: &&Suite| match self.names.as_slice() {
            [] => self.long || suite.kind != Kind::Long,
            names => names.iter().any(|name| name == suite.name),
        };
        let suites: Vec<&Suite> = SUITES.iter().filter(chosen).collect();
        let beside = self.jobs > 1 && suites.len() > 1;
        let of_program = suites.iter().any(|suite| OF_PROGRAM.contains(&suite.name));
        let (patient, timed): (Vec<_>, Vec<_>) =
            suites.into_iter().enumerate().partition(|(_, suite)| suite.kind != Kind::Timed);
        let (patient, timed) = (Mutex::new(patient.into_iter()), Mutex::new(timed.into_iter()));
        let done = Mutex::new(Vec::new());
        let run = |(at, suite)| {
            let outcome = Outcome::of(suite, self.long);
            locked(&done).push((at, suite, outcome));
        };
        // A function, so that the lock is not held while the suite runs.
        let next = |suites: &Mutex<std::vec::IntoIter<_>>| locked(suites).next();
        thread::scope(|scope| {
            for _ in 0..self.jobs {
                scope.spawn(|| {
                    while let Some(suite) = next(&timed).or_else(|| next(&patient)) {
                        run(suite);
                    }
                });
            }
            // Only one: two slow the lanes down by more than they gain, as processors share their cores.
            if beside {
                scope.spawn(|| {
                    lower_priority();
                    if of_program && let Err(error) = build::program() {
                        // The suites that need it fail by this, too.
                        eprintln!("error: {error:#}");
                    }
                    while let Some(suite) = next(&patient) {
                        run(suite);
                    }
                });
            }
        });
        let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
        done.sort_by_key(|(at, ..)| *at);
        for (_, suite, outcome) in done.iter_mut().filter(|(.., outcome)| beside && outcome.count.failed > 0) {
            let failed = outcome.count.failed;
            *outcome = Outcome::of(suite, self.long);
            outcome.line += &format!("; beside another suite {failed} failed");
        }
        let mut total = Count::default();
        println!();
        for (.., outcome) in &done {
            println!("{}", outcome.line);
            total += outcome.count;
        }
        // So that the end of the output names what failed.
        for (_, suite, outcome) in &done {
            for test in &outcome.failures {
                println!("failed: {}: {test}", suite.name);
            }
        }
        if total.skipped > 0 {
            println!("{} could not be tried here", total.skipped);
        }
        println!("{} passed, {} failed", total.passed, total.failed);
        std::io::stdout().flush()?;
        if total.failed > 0 {
            std::process::exit(1);
        }
        Ok(())
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Gives this thread, and the processes that it starts, the lowest priority, as tests that measure time run beside it. Only on
/// Linux, where each thread has a priority: elsewhere, this would lower that of all tests.
fn lower_priority() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(None, 19) {
        eprintln!("the background runs at full priority: {error}");
    }
}

/// The outcome of a suite.
struct Outcome {
    count: Count,
    /// Its summary.
    line: String,
    /// Its failed tests, as their runners name them.
    failures: Vec<String>,
}

impl Outcome {
    /// Runs a suite.
    fn of(suite: &Suite, long: bool) -> Self {
        let start = Instant::now();
        eprintln!("==> suite {}", suite.name);
        let mut shown_to = Named { suite: suite.name, failures: Vec::new() };
        let count = run_suite(suite, long, &mut shown_to).unwrap_or_else(|error| {
            eprintln!("error: {error:#}");
            shown_to.failures.push(format!("{error:#}"));
            Count { failed: 1, ..Count::default() }
        });
        let line = format!("{:12} {count}, {:.0} s", suite.name, start.elapsed().as_secs_f32());
        eprintln!("==> suite {line}");
        Self { count, line, failures: shown_to.failures }
    }
}

/// Prints lines with the name of their suite, as those of two suites mingle, and keeps those that name a failed test.
struct Named {
    suite: &'static str,
    failures: Vec<String>,
}

impl Write for Named {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        if let Some(test) = failure(&String::from_utf8_lossy(line))
            && self.failures.len() < FAILURES
            && !self.failures.contains(&test)
        {
            self.failures.push(test);
        }
        let mut stdout = std::io::stdout().lock();
        write!(stdout, "{:>11}  ", self.suite)?;
        stdout.write_all(line)?;
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        std::io::stdout().flush()
    }
}

/// The test that a line of a runner's output says has failed: node's `✖ name (5ms)`, pytest's `FAILED file::name - why`,
/// cargo's `test name ... FAILED`.
fn failure(line: &str) -> Option<String> {
    let line = line.trim();
    let node = line.strip_prefix("✖ ").filter(|test| *test != "failing tests:");
    let node = node.map(|test| test.rsplit_once(" (").map_or(test, |(name, _)| name));
    let cargo = line.strip_prefix("test ").and_then(|test| test.strip_suffix(" ... FAILED"));
    let test = node.or(cargo).or_else(|| line.strip_prefix("FAILED "))?;
    Some(test.chars().take(FAILURE).collect())
}

fn run_suite(suite: &Suite, long: bool, shown_to: &mut Named) -> Result<Count> {
    let prepared = (suite.prepare)().with_context(|| format!("the suite {} cannot run", suite.name))?;
    let mut total = Count::default();
    for mut command in prepared.commands {
        match long {
            true => command.env(LONG, "1"),
            false => command.env_remove(LONG),
        };
        total += run_command(command, shown_to)?;
    }
    drop(prepared.servers);
    Ok(total)
}

/// Runs a command, shows what it prints, and reads from it how many tests there were. A command that does not say
/// is one test.
fn run_command(mut command: Command, shown_to: &mut impl Write) -> Result<Count> {
    let shown = format!("{command:?}");
    let shown = shown.rsplit('/').next().unwrap_or(&shown);
    eprintln!("--> {}", shown.replace('"', ""));
    let mut child = command.stdout(Stdio::piped()).spawn().with_context(|| format!("{shown} cannot be started"))?;
    let mut counted = Count::default();
    if let Some(stdout) = child.stdout.take() {
        let mut stdout = BufReader::new(stdout);
        let mut line = Vec::new();
        while stdout.by_ref().take(1 << 20).read_until(b'\n', &mut line)? > 0 {
            shown_to.write_all(&line)?;
            counted += count(&String::from_utf8_lossy(&line));
            line.clear();
        }
    }
    let succeeded = child.wait()?.success();
    Ok(match (counted, succeeded) {
        (Count { passed: 0, failed: 0, skipped: 0 }, true) => Count { passed: 1, ..counted },
        (_, false) if counted.failed == 0 => Count { failed: 1, ..counted },
        _ => counted,
    })
}

/// The counts in one line of a runner's output: cargo's `test result: ok. 5 passed; 0 failed; 1 ignored; ...`, pytest's
/// `1 failed, 4 passed, 1 skipped in 0.5s`, node's `pass 4`, `fail 1`, `cancelled 0` and `skipped 1`, and our own
/// `4 passed, 1 failed`.
fn count(line: &str) -> Count {
    let words: Vec<&str> = line
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '.' && c != '_')
        .filter(|word| !word.is_empty())
        .collect();
    match words.as_slice() {
        ["pass", n] => return Count { passed: n.parse().unwrap_or(0), ..Count::default() },
        // Tests that are cancelled, as their suite failed before, are in no other of node's counts.
        ["fail" | "cancelled", n] => return Count { failed: n.parse().unwrap_or(0), ..Count::default() },
        ["skipped", n] => return Count { skipped: n.parse().unwrap_or(0), ..Count::default() },
        _ => {}
    }
    let summary = line.starts_with("test result:")
        || words.first().is_some_and(|word| word.parse::<usize>().is_ok())
            && words.get(1).is_some_and(|word| matches!(*word, "passed" | "failed" | "error" | "errors" | "skipped"));
    if !summary {
        return Count::default();
    }
    let before = |wanted: &[&str]| -> usize {
        words.windows(2).filter(|pair| wanted.contains(&pair[1])).filter_map(|pair| pair[0].parse::<usize>().ok()).sum()
    };
    Count {
        passed: before(&["passed"]),
        failed: before(&["failed", "error", "errors"]),
        skipped: before(&["skipped", "ignored"]),
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use walkdir::WalkDir;

    use super::*;
    use crate::step::root;

    #[test]
    fn counts_are_read_from_each_runner() {
        for (line, passed, failed, skipped) in [
            (
                "test result: ok. 67 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.75s",
                67,
                0,
                0,
            ),
            ("test result: FAILED. 6 passed; 2 failed; 1 ignored", 6, 2, 1),
            ("ℹ pass 12", 12, 0, 0),
            ("ℹ fail 3", 0, 3, 0),
            ("ℹ cancelled 2", 0, 2, 0),
            ("ℹ skipped 4", 0, 0, 4),
            ("# pass 12", 12, 0, 0),
            ("# skipped 4", 0, 0, 4),
            ("============ 1 failed, 4 passed in 0.50s ============", 4, 1, 0),
            ("4 passed in 0.50s", 4, 0, 0),
            ("4 passed, 2 skipped in 0.50s", 4, 0, 2),
            ("3 skipped in 0.01s", 0, 0, 3),
            ("2 errors in 0.10s", 0, 2, 0),
            ("130 passed, 1 failed", 130, 1, 0),
            ("130 passed, 1 failed, 2 skipped", 130, 1, 2),
            ("ℹ tests 12", 0, 0, 0),
            ("the 3 passed a house", 0, 0, 0),
            ("﹣ a test of what is not here (0.2ms) # Firefox was not found", 0, 0, 0),
        ] {
            assert_eq!(count(line), Count { passed, failed, skipped }, "{line}");
        }
    }

    #[test]
    fn what_failed_is_named() {
        for (line, test) in [
            ("  ✖ files go in (24.5ms)\n", Some("files go in")),
            ("✖ failing tests:\n", None),
            ("✔ files go in (24.5ms)\n", None),
            ("FAILED tests/a.py::test_b - assert 1 == 2\n", Some("tests/a.py::test_b - assert 1 == 2")),
            ("test a::b ... FAILED\n", Some("a::b")),
            ("test a::b ... ok\n", None),
        ] {
            assert_eq!(failure(line).as_deref(), test, "{line}");
        }
    }

    #[test]
    fn what_only_the_long_form_has_is_listed() {
        let read = |path: &Path| fs::read_to_string(path).unwrap();
        let contributing = read(&root().join("CONTRIBUTING.md"));
        let (_, listed) = contributing.split_once("## The long form").unwrap();
        let listed = listed.split_once("\n## ").map_or(listed, |(section, _)| section);
        let mut found = 0;
        for folder in ["tests", "python/tests"] {
            for entry in WalkDir::new(root().join(folder)) {
                let path = entry.unwrap().into_path();
                let is_code = path.extension().is_some_and(|end| end == "mjs" || end == "py");
                if !is_code || path.ends_with("tests/long.mjs") {
                    continue;
                }
                let text = read(&path);
                if ["LONG ", "longTest(", "longDescribe("].iter().any(|way| text.contains(way)) {
                    let name = path.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
                    assert!(listed.contains(&format!("`{name}`")), "CONTRIBUTING.md does not list {name}");
                    found += 1;
                }
            }
        }
        assert!(found > 0);
    }

    #[test]
    fn what_was_skipped_is_told_where_there_is_any() {
        let mut total = Count { passed: 5, failed: 1, skipped: 0 };
        assert_eq!(total.to_string(), "5 passed, 1 failed");
        total += Count { passed: 1, failed: 0, skipped: 2 };
        assert_eq!(total.to_string(), "6 passed, 1 failed, 2 skipped");
    }

    #[test]
    fn a_command_that_does_not_count_is_one_test() {
        let shell = |script| {
            let mut command = Command::new("sh");
            command.args(["-c", script]);
            run_command(command, &mut std::io::sink()).unwrap()
        };
        assert_eq!(shell("true"), Count { passed: 1, ..Count::default() });
        assert_eq!(shell("false"), Count { failed: 1, ..Count::default() });
        assert_eq!(shell("echo 5 passed, 0 failed; exit 1"), Count { passed: 5, failed: 1, skipped: 0 });
        assert_eq!(shell("echo 3 skipped in 0.1s"), Count { skipped: 3, ..Count::default() });
    }
}
