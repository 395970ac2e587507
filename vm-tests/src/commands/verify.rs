//! `cargo verify`: every test there is, counted.

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Instant;

use crate::case;
use crate::commands::{hostile, vm};
use crate::error::{Doing, Fail, Result};
use crate::runner::{self, Tally};
use crate::setup::{self, Binaries};

/// Builds that must work though no test is in them: the pure half with no C headers in sight.
const BUILDS: &[&[&str]] =
    &[&["check", "--lib", "--no-default-features", "--target", setup::TARGET]];

/// Runs it; the last line counts.
pub(super) fn main(args: &[String]) -> Result<bool> {
    match args {
        [] => {}
        [all] if all == "--all" => case::be_whole(),
        _ => return Err(Fail::new("cargo verify [--all]")),
    }
    let (mut tally, mut figures, mut times) = (Tally::default(), Vec::new(), Times::begin());
    setup::assets()?;
    times.end("set-up");
    tally = tally.plus(builds()?);
    times.end("builds");
    tally = tally.plus(tests(&mut figures)?);
    times.end("tests");
    tally = tally.plus(hostile::all(&mut figures)?);
    times.end("fuzzers");
    tally = tally.plus(machines(&mut figures));
    times.end("machines");
    figures.push(times.figure());
    for figure in &figures {
        println!("{figure}");
    }
    tally = tally.plus(enough(states(&figures)));
    println!("{tally}");
    Ok(tally.failed == 0)
}

/// What each part took.
struct Times {
    since: Instant,
    parts: Vec<String>,
}

impl Times {
    fn begin() -> Self {
        Self { since: Instant::now(), parts: Vec::new() }
    }

    fn end(&mut self, part: &str) {
        let now = Instant::now();
        self.parts.push(format!("{part} {} s", (now - self.since).as_secs()));
        self.since = now;
    }

    fn figure(&self) -> String {
        format!("time: {}", self.parts.join(", "))
    }
}

/// All tests.
const TESTS: &[&str] = &["test", "--workspace", "--no-fail-fast"];

/// Names the program of a registry to a test.
const REGISTRY: &str = "IMGBASE_REGISTRY";

/// What goes into the machines, the fuzzers and the tests, built side by side: each has stretches
/// that a single processor works on. Each is asked for again where it is run.
fn builds() -> Result<Tally> {
    println!("builds");
    thread::scope(|scope| {
        let fuzzers = scope.spawn(hostile::build);
        let binaries = scope.spawn(|| Binaries::all()?.with_library());
        let no_run = [TESTS, setup::FOR_TESTS, &["--no-run"]].concat();
        let mut tally = build(&no_run)?;
        for args in BUILDS {
            tally = tally.plus(build(args)?);
        }
        setup::finished(fuzzers)?;
        setup::finished(binaries)?;
        Ok(tally)
    })
}

/// What a test's own count begins with.
const FIGURE: &str = "figure: ";

/// Seconds after which cargo is ended: what hangs must show as a failure.
const LIMIT: &str = "1500";

fn cargo(args: &[&str]) -> Command {
    let mut command = Command::new("timeout");
    command.args(["--kill-after=10", LIMIT, "cargo"]);
    command.args(args).current_dir(setup::workspace()).stdin(Stdio::null());
    command
}

fn build(args: &[&str]) -> Result<Tally> {
    println!("cargo {}", args.join(" "));
    let built = cargo(args).status().doing("cargo")?.success();
    Ok(Tally { passed: u64::from(built), failed: u64::from(!built), skipped: 0 })
}

fn tests(figures: &mut Vec<String>) -> Result<Tally> {
    let tests = [TESTS, setup::FOR_TESTS].concat();
    println!("cargo {}", tests.join(" "));
    let mut command = cargo(&tests);
    if case::is_whole() {
        command.env("IMGBASE_TEST_ALL", "1");
    }
    command.env(REGISTRY, setup::registry()?);
    let mut child = command.stdout(Stdio::piped()).spawn().doing("cargo test")?;
    let output = child.stdout.take().ok_or_else(|| Fail::new("cargo test: no output"))?;
    let mut tally = count(output, figures)?;
    let failed = !child.wait().doing("cargo test")?.success();
    if failed && tally.failed == 0 {
        // It did not even build, or a test ended its process.
        tally.failed = 1;
    }
    Ok(tally)
}

/// Passes libtest's output on, adds its results up and keeps what the tests counted themselves.
fn count(output: impl Read, figures: &mut Vec<String>) -> Result<Tally> {
    let (mut tally, mut failed) = (Tally::default(), None);
    for line in BufReader::new(output).lines() {
        let line = line?;
        println!("{line}");
        tally = tally.plus(result_line(&line).unwrap_or_default());
        // Behind the name of the test that libtest is about to judge.
        figures.extend(line.split_once(FIGURE).map(|(_, figure)| figure.to_owned()));
        // What a failed test has said ends with an empty line.
        match (failed_test(&line), &mut failed) {
            (Some(name), _) => failed = Some(format!("{name}:")),
            (None, Some(said)) if !line.is_empty() => *said += &format!("\n{line}"),
            (None, _) => figures.extend(failed.take().map(told)),
        }
    }
    figures.extend(failed.map(told));
    Ok(tally)
}

fn told(said: String) -> String {
    format!("FAIL {}", runner::brief(&said))
}

/// The name above what a failed test has said: `---- NAME stdout ----`.
fn failed_test(line: &str) -> Option<&str> {
    line.strip_prefix("---- ")?.strip_suffix(" stdout ----")
}

/// Reads `test result: ok. 3 passed; 0 failed; 1 ignored; ...`.
fn result_line(line: &str) -> Option<Tally> {
    let counts = line.strip_prefix("test result: ")?.split_once(". ")?.1;
    let number = |name: &str| {
        let part = counts.split("; ").find_map(|part| part.strip_suffix(name));
        part.and_then(|n| n.trim().parse().ok())
    };
    let (passed, failed) = (number("passed")?, number("failed")?);
    Some(Tally { passed, failed, skipped: number("ignored")? })
}

/// Fewer states after power cuts than this, and something has gone missing.
const STATES: u64 = 100_000;

/// The states that the tests have counted: `power cuts in VERB: 12 distinct states of ...`.
fn states(figures: &[String]) -> u64 {
    let number = |figure: &String| {
        let before = figure.split_once(" distinct states")?.0;
        before.rsplit(' ').next()?.parse::<u64>().ok()
    };
    figures.iter().filter_map(number).sum()
}

fn enough(states: u64) -> Tally {
    println!("states after power cuts: {states}, at least {STATES} wanted");
    let passed = u64::from(states >= STATES);
    Tally { passed, failed: 1 - passed, skipped: 0 }
}

fn machines(figures: &mut Vec<String>) -> Tally {
    println!("cases in virtual machines");
    vm::all(figures).unwrap_or_else(|fail| {
        println!("FAIL {fail}");
        figures.push(format!("FAIL {fail}"));
        Tally { failed: 1, ..Tally::default() }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libtest_is_understood() {
        let output = "running 1 test\n\
            test layers ... figure: power cuts in x: 12 distinct states of 3\n\
            test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out\n\
            ---- a_commit_is_torn stdout ----\n\
            assertion failed\n\
            at line 5\n\
            \n\
            test result: FAILED. 2 passed; 4 failed; 0 ignored; 0 measured; 0 filtered out\n";
        let mut figures = Vec::new();
        let tally = count(output.as_bytes(), &mut figures).expect("it is text");
        let said = [
            "power cuts in x: 12 distinct states of 3",
            "FAIL a_commit_is_torn: | assertion failed | at line 5",
        ];
        assert_eq!(figures, said);
        assert_eq!((states(&figures), enough(12).failed), (12, 1));
        assert_eq!(tally, Tally { passed: 5, failed: 4, skipped: 1 });
    }
}
