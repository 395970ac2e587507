//! `cargo hostile`: fuzzers on everything that reads what a disk, a kernel or an image says.
//!
//! libFuzzer guides them by the coverage that the stable compiler can count; a panic, an overflow, half
//! a minute on one input or memory beyond a small multiple of it are failures.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::thread;
use std::time::Instant;

use crate::error::{Doing, Fail, Result};
use crate::runner::{self, Tally};
use crate::setup;

/// What the compiler counts, as cargo-fuzz asks for it; and what .cargo/config.toml says, whose
/// flags these replace.
const RUSTFLAGS: &[&str] = &[
    "--cfg=fuzzing",
    "--cfg=getrandom_backend=\"linux_getrandom\"",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Ccodegen-units=1",
];

/// Seconds for each, unless told otherwise.
const SECONDS: u32 = 60;

/// So many at once: all of them are through in two rounds.
const JOBS: usize = 5;

/// Runs it.
pub(super) fn main(args: &[String]) -> Result<bool> {
    let (mut seconds, mut words) = (SECONDS, Vec::new());
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--seconds" => seconds = args.next().and_then(|n| n.parse().ok()).unwrap_or(SECONDS),
            word if word.starts_with('-') => return Err(Fail::new(super::USAGE)),
            word => words.push(word.to_owned()),
        }
    }
    let mut figures = Vec::new();
    let tally = run(seconds, &words, &mut figures)?;
    println!("{tally}");
    Ok(tally.failed == 0)
}

/// Every target, for `cargo verify`.
pub(super) fn all(figures: &mut Vec<String>) -> Result<Tally> {
    run(SECONDS, &[], figures)
}

fn run(seconds: u32, words: &[String], figures: &mut Vec<String>) -> Result<Tally> {
    let mut names = targets()?;
    names.retain(|name| words.is_empty() || words.iter().any(|word| name.contains(word)));
    if names.is_empty() {
        return Err(Fail::new(format!("no fuzzer is called like {words:?}")));
    }
    build()?;
    let (queue, ended) = (Mutex::new(names), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..JOBS {
            scope.spawn(|| {
                while let Some(name) = next(&queue) {
                    let start = Instant::now();
                    let inputs = fuzz(&name, seconds);
                    report(&name, start.elapsed().as_secs(), &inputs);
                    runner::lock(&ended).push((name, inputs));
                }
            });
        }
    });
    let mut tally = Tally::default();
    for (name, inputs) in runner::lock(&ended).drain(..) {
        tally.passed += u64::from(inputs.is_ok());
        tally.failed += u64::from(inputs.is_err());
        figures.push(match inputs {
            Ok(inputs) => format!("hostile input: {inputs} tried by {name} in {seconds} s"),
            Err(fail) => format!("FAIL hostile::{name}: {}", reason(&fail.to_string())),
        });
    }
    Ok(tally)
}

fn next(queue: &Mutex<Vec<String>>) -> Option<String> {
    runner::lock(queue).pop()
}

/// Each file in its folder is one.
fn targets() -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(source().join("targets")).doing("fuzz/targets")? {
        let path = entry?.path();
        names.extend(path.file_stem().and_then(|stem| stem.to_str()).map(str::to_owned));
    }
    names.sort_unstable();
    Ok(names)
}

fn source() -> PathBuf {
    setup::workspace().join("fuzz")
}

fn built() -> PathBuf {
    setup::workspace().join("target/fuzz")
}

/// Builds them all.
pub(super) fn build() -> Result<()> {
    setup::install(&["g++"])?;
    eprintln!("set-up: the fuzzers");
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "--quiet", "--release", "--bins", "--locked", "--target", setup::TARGET]);
    cargo.arg("--manifest-path").arg(source().join("Cargo.toml"));
    cargo.arg("--target-dir").arg(built());
    cargo.env("CARGO_ENCODED_RUSTFLAGS", RUSTFLAGS.join("\u{1f}"));
    let status = cargo.status().doing("cargo build")?;
    if status.success() { Ok(()) } else { Err(Fail::new("the fuzzers do not build")) }
}

/// How many inputs were tried without a failure.
fn fuzz(name: &str, seconds: u32) -> Result<u64> {
    let (grown, log) = (built().join("corpus").join(name), built().join(format!("{name}.log")));
    fs::create_dir_all(&grown).doing(grown.display())?;
    let found = built().join(format!("found-{name}-"));
    let said = File::create(&log).doing(log.display())?;
    let mut fuzzer = Command::new(built().join(setup::TARGET).join("release").join(name));
    // Long enough for a machine that stands still for a while.
    fuzzer.args(["-timeout=30", "-rss_limit_mb=1024", "-max_len=32768", "-print_final_stats=1"]);
    fuzzer.arg(format!("-max_total_time={seconds}"));
    fuzzer.arg(format!("-artifact_prefix={}", found.display()));
    fuzzer.arg(&grown).arg(source().join("corpus").join(name));
    let status = fuzzer.stdout(said.try_clone()?).stderr(said).status().doing(name)?;
    let inputs = inputs(&log)?;
    match inputs {
        Some(inputs) if status.success() && inputs > 0 => Ok(inputs),
        _ => Err(Fail::new(last_lines(&log))),
    }
}

fn inputs(log: &Path) -> Result<Option<u64>> {
    let said = fs::read(log).doing(log.display())?;
    let said = String::from_utf8_lossy(&said);
    let line = said.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:"));
    Ok(line.and_then(|number| number.trim().parse().ok()))
}

fn last_lines(log: &Path) -> String {
    let said = fs::read(log).unwrap_or_default();
    let said = String::from_utf8_lossy(&said);
    let lines: Vec<&str> = said.lines().collect();
    let end = lines.get(lines.len().saturating_sub(40)..).unwrap_or_default();
    end.join("\n")
}

/// The lines that say why, of the last ones of a fuzzer that failed.
fn reason(lines: &str) -> String {
    let says = ["panicked", "ERROR", "assertion", "deadly", "Test unit"];
    let telling = lines.lines().filter(|line| says.iter().any(|word| line.contains(word)));
    telling.collect::<Vec<_>>().join("; ")
}

fn report(name: &str, seconds: u64, inputs: &Result<u64>) {
    match inputs {
        Ok(inputs) => println!("ok   hostile::{name} ({seconds} s): {inputs} inputs"),
        Err(fail) => {
            println!("FAIL hostile::{name} ({seconds} s): {fail}");
            println!("     the input: {}", built().join(format!("found-{name}-*")).display());
            println!("     once more: cargo hostile {name}");
        }
    }
}
