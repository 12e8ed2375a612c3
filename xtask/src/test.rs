//! Runs suites and counts.

use std::{
    io::{BufRead, BufReader, Read, Write},
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::{
    dev,
    suites::{SUITES, Suite},
};

/// Runs the tests.
#[derive(Args)]
pub struct Test {
    /// Suites to run: fmt, lint, deny, rust, edge, security, packages, clients, page, desk, parity, conformance, deploy [default: all]
    names: Vec<String>,
}

/// Tests that passed and failed.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Count {
    passed: usize,
    failed: usize,
}

impl Test {
    /// Runs them all, also after one failed.
    pub fn run(self) -> Result<()> {
        if let Some(unknown) = self.names.iter().find(|name| SUITES.iter().all(|suite| suite.name != **name)) {
            let known: Vec<_> = SUITES.iter().map(|suite| suite.name).collect();
            bail!("there is no suite `{unknown}`; there are: {}", known.join(", "));
        }
        dev::end_with_signals()?;
        let chosen = |suite: &&Suite| self.names.is_empty() || self.names.iter().any(|name| name == suite.name);
        let mut total = Count::default();
        let mut lines = Vec::new();
        for suite in SUITES.iter().filter(chosen) {
            let start = Instant::now();
            eprintln!("==> suite {}", suite.name);
            let count = run_suite(suite).unwrap_or_else(|error| {
                eprintln!("error: {error:#}");
                Count { passed: 0, failed: 1 }
            });
            lines.push(format!(
                "{:12} {} passed, {} failed, {:.0} s",
                suite.name,
                count.passed,
                count.failed,
                start.elapsed().as_secs_f32()
            ));
            total.passed += count.passed;
            total.failed += count.failed;
        }
        println!("\n{}\n{} passed, {} failed", lines.join("\n"), total.passed, total.failed);
        std::io::stdout().flush()?;
        if total.failed > 0 {
            std::process::exit(1);
        }
        Ok(())
    }
}

fn run_suite(suite: &Suite) -> Result<Count> {
    let prepared = (suite.prepare)().with_context(|| format!("the suite {} cannot run", suite.name))?;
    let mut total = Count::default();
    for command in prepared.commands {
        let count = run_command(command)?;
        total.passed += count.passed;
        total.failed += count.failed;
    }
    drop(prepared.servers);
    Ok(total)
}

/// Runs a command, shows what it prints, and reads from it how many tests there were. A command that does not say
/// is one test.
fn run_command(mut command: Command) -> Result<Count> {
    let shown = format!("{command:?}");
    let shown = shown.rsplit('/').next().unwrap_or(&shown);
    eprintln!("--> {}", shown.replace('"', ""));
    let mut child = command.stdout(Stdio::piped()).spawn().with_context(|| format!("{shown} cannot be started"))?;
    let mut counted = Count::default();
    if let Some(stdout) = child.stdout.take() {
        let mut stdout = BufReader::new(stdout);
        let mut line = Vec::new();
        while stdout.by_ref().take(1 << 20).read_until(b'\n', &mut line)? > 0 {
            std::io::stdout().write_all(&line)?;
            let found = count(&String::from_utf8_lossy(&line));
            counted.passed += found.passed;
            counted.failed += found.failed;
            line.clear();
        }
    }
    let succeeded = child.wait()?.success();
    Ok(match (counted.passed + counted.failed, succeeded) {
        (0, true) => Count { passed: 1, failed: 0 },
        (_, false) if counted.failed == 0 => Count { failed: 1, ..counted },
        _ => counted,
    })
}

/// What one line of a runner's output says: cargo's `test result: ok. 5 passed; 0 failed; ...`, pytest's
/// `1 failed, 4 passed in 0.5s`, node's `pass 4` and `fail 1`, and our own `4 passed, 1 failed`.
fn count(line: &str) -> Count {
    let words: Vec<&str> = line
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '.' && c != '_')
        .filter(|word| !word.is_empty())
        .collect();
    match words.as_slice() {
        ["pass", n] => return Count { passed: n.parse().unwrap_or(0), failed: 0 },
        ["fail", n] => return Count { passed: 0, failed: n.parse().unwrap_or(0) },
        _ => {}
    }
    let summary = line.starts_with("test result:")
        || words.first().is_some_and(|word| word.parse::<usize>().is_ok())
            && words.get(1).is_some_and(|word| matches!(*word, "passed" | "failed" | "error" | "errors"));
    if !summary {
        return Count::default();
    }
    let before = |wanted: &[&str]| -> usize {
        words.windows(2).filter(|pair| wanted.contains(&pair[1])).filter_map(|pair| pair[0].parse::<usize>().ok()).sum()
    };
    Count { passed: before(&["passed"]), failed: before(&["failed", "error", "errors"]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read_from_each_runner() {
        for (line, passed, failed) in [
            ("test result: ok. 67 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.75s", 67, 0),
            ("test result: FAILED. 6 passed; 2 failed; 0 ignored", 6, 2),
            ("ℹ pass 12", 12, 0),
            ("ℹ fail 3", 0, 3),
            ("# pass 12", 12, 0),
            ("============ 1 failed, 4 passed in 0.50s ============", 4, 1),
            ("4 passed in 0.50s", 4, 0),
            ("2 errors in 0.10s", 0, 2),
            ("130 passed, 1 failed", 130, 1),
            ("ℹ tests 12", 0, 0),
            ("the 3 passed a house", 0, 0),
        ] {
            assert_eq!(count(line), Count { passed, failed }, "{line}");
        }
    }

    #[test]
    fn a_command_that_does_not_count_is_one_test() {
        assert_eq!(run_command(Command::new("true")).unwrap(), Count { passed: 1, failed: 0 });
        assert_eq!(run_command(Command::new("false")).unwrap(), Count { passed: 0, failed: 1 });
        let mut lying = Command::new("sh");
        lying.args(["-c", "echo 5 passed, 0 failed; exit 1"]);
        assert_eq!(run_command(lying).unwrap(), Count { passed: 5, failed: 1 });
    }
}
