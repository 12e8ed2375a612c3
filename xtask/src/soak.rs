//! A soak: good and hostile runs, mixed, some of them with packages, by several clients, for minutes. No answer may be
//! lost or wrong, nothing may keep the worker from answering, and memory has to come back to where it began: it is
//! measured before and after, each time once the same programs have run one by one.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use crate::{
    bench::{list, memory},
    build::{self, Variant},
    dev::{Server, run_python},
    step::timed,
};

const CLIENTS: u64 = 4;

/// How often each program runs before memory is measured: V8 collects an isolate while others run.
const ROUNDS: usize = 3;

/// The largest ratio of memory at the end to memory at the beginning.
const GROWTH: f64 = 1.1;

/// How often the worker is asked for its tools meanwhile, and how long that may take: longer is a stall.
const PULSE: Duration = Duration::from_millis(100);
const STALL: Duration = Duration::from_millis(500);

/// Wait before memory is measured: isolates that nothing holds are collected after a while.
const SETTLE: Duration = Duration::from_secs(20);

/// Programs, with what has to be in the answer. `{n}` is a number that differs in each run.
const PROGRAMS: &[(&str, &str)] = &[
    ("{n} * 2", "\"return_value\":{2n}}"),
    ("print({n})\n{n} + 1", "\"output\":[\"{n}\"]"),
    ("import asyncio\nawait asyncio.sleep(0.05)\n{n}", "\"return_value\":{n}}"),
    ("import json, statistics\nstatistics.mean([{n}, {n}])", "\"return_value\":{n}}"),
    ("import numpy\nint(numpy.full(3, {n}).max())", "\"return_value\":{n}}"),
    ("import pandas\nint(pandas.Series([{n}, {n}]).sum())", "\"return_value\":{2n}}"),
    ("raise ValueError({n})", "ValueError: {n}"),
    ("while True: pass # {n}", "TimeoutError: the run took longer"),
    ("x = []\nwhile True: x.append(bytearray(4_000_000)) # {n}", "MemoryError"),
    ("for i in range(3000): print({n})", "output cut: 1000 more lines"),
    ("import os\nos._exit({n} % 100)", "ended the interpreter"),
    ("import js\njs.JSON.stringify = lambda *args: \"{n}\"\nprint({n})", "broke its protocol"),
];

/// Runs the soak.
pub fn run(minutes: f64) -> Result<()> {
    build::worker(Variant::Release)?;
    let settings = [("TIME_LIMIT_SECONDS", "6"), ("MEMORY_LIMIT_MB", "256"), ("OUTPUT_LIMIT_LINES", "2000")];
    let server = Server::start(Variant::Release, "soak", &settings)?;
    let url = server.url();
    let before = at_rest(&server)?;
    let (runs, wrong) = (AtomicU64::new(0), Mutex::new(Vec::new()));
    let mut waits = Vec::new();
    let end = Instant::now() + Duration::from_secs_f64(minutes * 60.0);
    timed(&format!("soaking for {minutes} minutes with {CLIENTS} clients"), || {
        thread::scope(|scope| {
            for client in 0..CLIENTS {
                let (url, runs, wrong) = (&url, &runs, &wrong);
                scope.spawn(move || {
                    // Each client begins with a different program.
                    let mut n = client * 1003;
                    while Instant::now() < end {
                        if let Err(error) = one(url, n) {
                            let mut wrong = wrong.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
                            wrong.push(format!("{error:#}"));
                        }
                        runs.fetch_add(1, Ordering::Relaxed);
                        n += 1;
                    }
                });
            }
            while Instant::now() < end {
                let asked = Instant::now();
                if let Err(error) = list(&url) {
                    wrong.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push(format!("{error:#}"));
                }
                waits.push(asked.elapsed());
                thread::sleep(PULSE);
            }
        });
        Ok(())
    })?;
    let busy = memory(&server)?;
    let after = at_rest(&server)?;
    let wrong = wrong.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
    let runs = runs.into_inner();
    println!(
        "runs: {runs}, lost or wrong: {}; memory: {before} MB before, {after} MB after ({busy} MB at once)",
        wrong.len()
    );
    waits.sort();
    let at = |part: usize| waits.get(waits.len() * part / 100).or(waits.last()).copied().unwrap_or_default();
    println!(
        "its tools were listed {} times: within {:.0?} half of them, {:.0?} 99 of a hundred, {:.0?} all; {} beyond {STALL:?}",
        waits.len(),
        at(50),
        at(99),
        at(100),
        waits.iter().filter(|wait| **wait > STALL).count()
    );
    for why in wrong.iter().take(10) {
        println!("  {why}");
    }
    if !wrong.is_empty() || after as f64 > before as f64 * GROWTH {
        bail!("the worker did not come through");
    }
    Ok(())
}

/// The memory of a worker that ran each program a few times, one by one, and then nothing for a while.
fn at_rest(server: &Server) -> Result<u64> {
    for n in 0..(ROUNDS * PROGRAMS.len()) as u64 {
        one(&server.url(), n)?;
    }
    thread::sleep(SETTLE);
    memory(server)
}

/// Runs the `n`th program and looks at its answer.
fn one(url: &str, n: u64) -> Result<()> {
    let (program, expected) = PROGRAMS[(n % PROGRAMS.len() as u64) as usize];
    let fill = |text: &str| text.replace("{2n}", &(2 * n).to_string()).replace("{n}", &n.to_string());
    let (program, expected) = (fill(program), fill(expected));
    let answer = run_python(url, &program).with_context(|| format!("no answer to {program:?}"))?;
    if !answer.contains(&expected) {
        let shown: String = answer.chars().rev().take(300).collect::<Vec<_>>().into_iter().rev().collect();
        bail!("the answer to {program:?} is without {expected:?}: ...{shown}");
    }
    Ok(())
}
