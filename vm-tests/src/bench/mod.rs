//! The benchmark's half in the guest: measures, and prints a line for each figure.
//!
//! | line | meaning |
//! |---|---|
//! | `sample NAME MICROSECONDS` | something took so long |
//! | `mapped NAME PERCENT` | so much of a volume is mapped afterwards |
//! | `wrote NAME BYTES` | so much was written to the group's disks |
//!
//! It is one process that lives through all rounds, as an installer would: what it measures of
//! the library is a call, not a program's start. The contestants take turns, so that whatever
//! else the machine does burdens them alike, each with a few runs in a row, so that none pays for
//! the caches that another has emptied.

mod bare_copy;
mod bases;
mod boots;
mod cold;
mod contest;
mod diffs;
mod disks;
mod etc;
mod floor;
mod layers;
mod lists;
mod many;
mod meter;
mod profile;
mod scale;
mod sources;
mod updates;
mod volumes;
mod wide;

use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use crate::error::{Doing, Fail, Result};

const USAGE: &str = "bench-guest GROUP ROUNDS, or profile";

/// Chooses by the first argument.
#[must_use]
pub fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match choose(&args.iter().map(String::as_str).collect::<Vec<_>>()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(fail) => {
            eprintln!("bench-guest: {fail}");
            ExitCode::FAILURE
        }
    }
}

fn choose(args: &[&str]) -> Result<()> {
    let [what, rest @ ..] = args else { return Err(Fail::new(USAGE)) };
    let rounds = rest.first().map_or(Ok(0), |rounds| rounds.parse::<u32>()).doing("ROUNDS")?;
    match *what {
        "layers" => layers::run(rounds),
        "lists" => lists::run(rounds),
        "many" => many::run(rounds),
        "scale" => scale::run(rounds),
        "bases" => bases::run(rounds),
        "sources" => sources::run(rounds),
        "diff" => diffs::run(rounds),
        "updates" => updates::run(rounds),
        "etc" => etc::run(rounds),
        "disks" => wide::disks(rounds),
        "more" => wide::more(rounds),
        "boots" => boots::run(rounds),
        "profile" => profile::run(),
        _ => Err(Fail::new(USAGE)),
    }
}

/// So many runs in a row.
const ROW: u32 = 5;

fn in_a_row(mut once: impl FnMut() -> Result<()>) -> Result<()> {
    (0..ROW).try_for_each(|_| once())
}

/// Measures something that must succeed.
fn sample<T>(name: &str, act: impl FnOnce() -> Result<T>) -> Result<T> {
    let start = Instant::now();
    let value = act().doing(name)?;
    println!("sample {name} {}", start.elapsed().as_micros());
    Ok(value)
}

/// Runs a program that must succeed; what it prints is dropped.
fn process(argv: &[&str]) -> Result<()> {
    let [program, args @ ..] = argv else { return Err(Fail::new("no program")) };
    let done = Command::new(program).args(args).stdin(Stdio::null()).stdout(Stdio::null()).status();
    let status = done.doing(program)?;
    if status.success() { Ok(()) } else { Err(Fail::new(format!("{argv:?}: {status}"))) }
}

/// Runs a program that must succeed and returns what it prints.
fn output(argv: &[&str]) -> Result<String> {
    let [program, args @ ..] = argv else { return Err(Fail::new("no program")) };
    let done = Command::new(program).args(args).stdin(Stdio::null()).output().doing(program)?;
    if done.status.success() {
        return Ok(String::from_utf8_lossy(&done.stdout).trim().to_owned());
    }
    Err(Fail::new(format!("{argv:?}: {}", String::from_utf8_lossy(&done.stderr))))
}
