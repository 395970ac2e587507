//! `cargo verify`: every test there is, counted.

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};

use crate::commands::vm;
use crate::error::{Doing, Fail, Result};
use crate::runner::Tally;
use crate::setup;

/// Builds that must work though no test is in them: the pure half with no C headers in sight.
const BUILDS: &[&[&str]] = &[&["build", "--lib", "--no-default-features"]];

/// Runs it; the last line counts.
pub(super) fn main() -> Result<bool> {
    setup::assets()?;
    let mut tally = Tally::default();
    for args in BUILDS {
        tally = tally.plus(build(args)?);
    }
    tally = tally.plus(tests()?).plus(machines());
    println!("{tally}");
    Ok(tally.failed == 0)
}

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

fn tests() -> Result<Tally> {
    println!("cargo test --workspace");
    let mut command = cargo(&["test", "--workspace", "--no-fail-fast"]);
    let mut child = command.stdout(Stdio::piped()).spawn().doing("cargo test")?;
    let output = child.stdout.take().ok_or_else(|| Fail::new("cargo test: no output"))?;
    let mut tally = count(output)?;
    let failed = !child.wait().doing("cargo test")?.success();
    if failed && tally.failed == 0 {
        // It did not even build, or a test ended its process.
        tally.failed = 1;
    }
    Ok(tally)
}

/// Passes libtest's output on and adds its results up.
fn count(output: impl Read) -> Result<Tally> {
    let mut tally = Tally::default();
    for line in BufReader::new(output).lines() {
        let line = line?;
        println!("{line}");
        tally = tally.plus(result_line(&line).unwrap_or_default());
    }
    Ok(tally)
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

fn machines() -> Tally {
    println!("cases in virtual machines");
    vm::all().unwrap_or_else(|fail| {
        println!("FAIL {fail}");
        Tally { failed: 1, ..Tally::default() }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libtest_is_understood() {
        let output = "running 1 test\n\
            test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out\n\
            test result: FAILED. 2 passed; 4 failed; 0 ignored; 0 measured; 0 filtered out\n";
        let tally = count(output.as_bytes()).expect("it is text");
        assert_eq!(tally, Tally { passed: 5, failed: 4, skipped: 1 });
    }
}
