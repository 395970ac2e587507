//! `cargo vm`: chosen cases, or a script of the moment.

use std::time::Duration;

use crate::case::{self, Case};
use crate::cases;
use crate::error::{Fail, Result};
use crate::runner::{self, RunFolder, Tally};
use crate::setup::{self, Binaries};
use crate::vm::{Host, Spec, Vm};

/// Two processors carry two machines: one waits while the other works. Three were no faster in all, and
/// each case took half as long again.
const JOBS: usize = 2;

struct Options {
    jobs: usize,
    udev: bool,
    list: bool,
    plain: bool,
    library: bool,
    script: Option<String>,
    words: Vec<String>,
}

/// Runs what the arguments say.
pub(super) fn main(args: &[String]) -> Result<bool> {
    let options = parse(args)?;
    if options.list {
        cases::all().iter().for_each(|case| println!("{}", case.name));
        return Ok(true);
    }
    let runs = RunFolder::new()?;
    if let Some(script) = &options.script {
        return run_script(&runs, &options, script);
    }
    let tally = run_cases(&options, &runs)?;
    println!("{tally}");
    Ok(tally.failed == 0)
}

/// Every case, for `cargo verify`; `figures` gets what the cases counted, and what failed.
pub(super) fn all(figures: &mut Vec<String>) -> Result<Tally> {
    let runs = RunFolder::new()?;
    let host = host(&runs, false, true)?;
    let (tally, failed) = runner::run(cases::all(), &host, &runs, JOBS);
    figures.extend(case::all_counted());
    figures.extend(failed.into_iter().map(|case| format!("FAIL {case}")));
    Ok(tally)
}

fn host(runs: &RunFolder, plain: bool, library: bool) -> Result<Host> {
    let assets = setup::assets()?;
    let binaries = if plain { Binaries::guest_only()? } else { Binaries::all()? };
    let binaries = if library { binaries.with_library()? } else { binaries };
    runs.host(&assets, &binaries)
}

fn parse(args: &[String]) -> Result<Options> {
    let mut options = Options {
        jobs: JOBS,
        udev: false,
        list: false,
        plain: false,
        library: false,
        script: None,
        words: Vec::new(),
    };
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--" => {}
            "--all" => case::be_whole(),
            "--udev" => options.udev = true,
            "--list" => options.list = true,
            "--without-imgbase" => options.plain = true,
            "--liblvm" => options.library = true,
            "--sh" => options.script = args.next().cloned(),
            "--jobs" => options.jobs = args.next().and_then(|n| n.parse().ok()).unwrap_or(JOBS),
            word if word.starts_with('-') => return Err(Fail::new(super::USAGE)),
            word => options.words.push(word.to_owned()),
        }
    }
    Ok(options)
}

fn run_cases(options: &Options, runs: &RunFolder) -> Result<Tally> {
    let words = &options.words;
    let wanted =
        |case: &Case| words.is_empty() || words.iter().any(|word| case.name.contains(word));
    let chosen: Vec<Case> = cases::all().into_iter().filter(wanted).collect();
    if chosen.is_empty() {
        return Err(Fail::new(format!("no case is called like {words:?}")));
    }
    let library = options.library || chosen.iter().any(|case| case.library);
    let host = host(runs, options.plain, library)?;
    Ok(runner::run(chosen, &host, runs, options.jobs).0)
}

fn run_script(runs: &RunFolder, options: &Options, script: &str) -> Result<bool> {
    let host = host(runs, options.plain, options.library)?;
    let plain = Spec::plain(&[2048, 2048, 1024, 1024]);
    let spec = if options.udev { plain.with_udev() } else { plain };
    let mut vm = Vm::start(&host, &spec, &runs.next())?;
    vm.limit(Duration::from_secs(1800));
    let done = vm.sh(script)?;
    print!("{}", done.stdout);
    eprint!("{}", done.stderr);
    eprintln!(
        "exit {} after {:.3} s, {} KiB",
        done.status,
        done.wall.as_secs_f64(),
        done.max_rss_kib
    );
    Ok(done.status == 0)
}
