//! Runs cases, a few machines at a time, and counts.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::case::{self, Case, Outcome, Stop};
use crate::error::{Doing, Result};
use crate::setup::{self, Assets, Binaries};
use crate::vm::{Host, Spec, Vm};

/// How many passed, failed, were skipped.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Did what they must.
    pub passed: u64,
    /// Did not.
    pub failed: u64,
    /// Were not tried.
    pub skipped: u64,
}

impl Tally {
    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            passed: self.passed + other.passed,
            failed: self.failed + other.failed,
            skipped: self.skipped + other.skipped,
        }
    }

    fn count(&mut self, outcome: &Outcome) {
        match outcome {
            Ok(()) => self.passed += 1,
            Err(Stop::Failed(_)) => self.failed += 1,
            Err(Stop::Skipped(_)) => self.skipped += 1,
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

/// The folder of one run, which goes when the run ends.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    next: AtomicU32,
}

impl RunFolder {
    /// Makes it, and removes those of runs that died.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn new() -> Result<Self> {
        remove_dead_runs();
        let path = setup::cache().join(format!("run-{}", std::process::id()));
        fs::create_dir_all(&path).doing(path.display())?;
        Ok(Self { path, next: AtomicU32::new(1) })
    }

    /// A name for the next machine's folder.
    #[must_use]
    pub fn next(&self) -> PathBuf {
        self.path.join(format!("vm-{}", self.next.fetch_add(1, Ordering::Relaxed)))
    }

    /// What the machines of this run share, with a disk of `binaries`.
    ///
    /// # Errors
    /// Where the disk cannot be made.
    pub fn host(&self, assets: &Assets, binaries: &Binaries) -> Result<Host> {
        let tools = setup::tools_disk(binaries, &self.path)?;
        let Assets { emulator, kernel, guest_root, sample, images, systems, ovmf } = assets.clone();
        let namespaces = vec![guest_root, tools, sample, images, systems];
        Ok(Host { emulator, kernel, ovmf, namespaces })
    }
}

impl Drop for RunFolder {
    fn drop(&mut self) {
        // What stays is removed by a later run.
        let _ = fs::remove_dir_all(&self.path);
    }
}

fn remove_dead_runs() {
    for entry in fs::read_dir(setup::cache()).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let pid = name.to_str().and_then(|name| name.strip_prefix("run-"));
        if pid.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Runs `cases` on up to `jobs` machines at once; returns what failed, and why, too.
#[must_use]
pub fn run(cases: Vec<Case>, host: &Host, runs: &RunFolder, jobs: usize) -> (Tally, Vec<String>) {
    let shared = Shared { queue: Mutex::new(cases), tally: Mutex::default(), host, runs };
    thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| work(&shared));
        }
    });
    std::mem::take(&mut *lock(&shared.tally))
}

struct Shared<'a> {
    queue: Mutex<Vec<Case>>,
    tally: Mutex<(Tally, Vec<String>)>,
    host: &'a Host,
    runs: &'a RunFolder,
}

/// Locks it, whatever became of who held it before.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn work(shared: &Shared<'_>) {
    let mut machine: Option<Vm> = None;
    while let Some(case) = next(&shared.queue, machine.as_ref().map(|vm| &vm.spec)) {
        let start = Instant::now();
        case::begin(case.name);
        let outcome = attempt(shared, &case, &mut machine);
        let seconds = start.elapsed().as_secs_f64();
        let mut tally = lock(&shared.tally);
        tally.0.count(&outcome);
        if let Err(Stop::Failed(fail)) = &outcome {
            tally.1.push(format!("{}: {}", case.name, brief(&fail.to_string())));
        }
        report(&case, &outcome, seconds);
    }
}

/// So many letters of a reason, on one line, are told once more at the end of a run.
const BRIEF: usize = 600;

/// The beginning of a reason on one line.
pub(crate) fn brief(why: &str) -> String {
    let mut line = why.trim().replace('\n', " | ");
    if let Some((end, _)) = line.char_indices().nth(BRIEF) {
        line.truncate(end);
        line.push('…');
    }
    line
}

/// A case with a longer time limit is begun when its turn comes, whatever machine it wants: at the
/// end all others would wait for it.
const LONG: Duration = Duration::from_secs(1000);

/// The next long case, or one for the machine that runs already, where there is one.
fn next(queue: &Mutex<Vec<Case>>, running: Option<&Spec>) -> Option<Case> {
    let mut queue = lock(queue);
    let long = queue.iter().position(|case| case.limit > LONG);
    let fitting = || queue.iter().position(|case| Some(&case.spec) == running);
    let place = long.or_else(fitting).unwrap_or(0);
    (place < queue.len()).then(|| queue.remove(place))
}

/// Runs a case; the machine stays for the next one only where all went well.
fn attempt(shared: &Shared<'_>, case: &Case, machine: &mut Option<Vm>) -> Outcome {
    let mut vm = match machine.take().filter(|vm| vm.spec == case.spec).and_then(reset) {
        Some(vm) => vm,
        None => boot(shared, case)?,
    };
    vm.note(&format!("=== {}", case.name));
    vm.limit(case.limit);
    match (case.run)(&mut vm) {
        Err(Stop::Failed(fail)) => {
            vm.note(&format!("!!! {fail}"));
            let folder = vm.folder().to_path_buf();
            drop(vm);
            keep(&folder, case);
            Err(Stop::Failed(fail))
        }
        outcome => {
            // What an earlier run kept is of no use any more.
            let _ = fs::remove_dir_all(failed_folder(case));
            *machine = Some(vm);
            outcome
        }
    }
}

fn boot(shared: &Shared<'_>, case: &Case) -> Result<Vm, Stop> {
    let folder = shared.runs.next();
    Vm::start(shared.host, &case.spec, &folder).map_err(|fail| {
        keep(&folder, case);
        Stop::Failed(fail)
    })
}

fn reset(mut vm: Vm) -> Option<Vm> {
    match vm.reset() {
        Ok(()) => Some(vm),
        Err(fail) => {
            println!("     a machine was not clean after its last case and is replaced: {fail}");
            None
        }
    }
}

/// Where the disks, the console and the transcript of a failed case are kept.
fn failed_folder(case: &Case) -> PathBuf {
    setup::cache().join("failed").join(case.name.replace("::", "-"))
}

fn keep(folder: &Path, case: &Case) {
    let kept = failed_folder(case);
    let _ = fs::remove_dir_all(&kept);
    let moved =
        fs::create_dir_all(setup::cache().join("failed")).and_then(|()| fs::rename(folder, &kept));
    moved.unwrap_or_else(|error| eprintln!("keeping {}: {error}", kept.display()));
}

fn report(case: &Case, outcome: &Outcome, seconds: f64) {
    let name = case.name;
    match outcome {
        Ok(()) => println!("ok   {name} ({seconds:.1} s)"),
        Err(Stop::Skipped(why)) => println!("skip {name}: {why}"),
        Err(Stop::Failed(fail)) => {
            let kept = failed_folder(case);
            println!("FAIL {name} ({seconds:.1} s): {fail}");
            println!("     disks, console, transcript: {}", kept.display());
            println!("     once more: cargo vm {name}");
        }
    }
}
