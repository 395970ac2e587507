//! What a case is, and how it may end.

use std::cell::Cell;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::error::Fail;
use crate::runner::lock;
use crate::vm::{Spec, Vm};

/// Why a case did not pass.
#[derive(Debug, Clone)]
pub enum Stop {
    /// Something is not as it must be.
    Failed(Fail),
    /// It cannot be tried here, and why.
    Skipped(String),
}

/// How a case ends.
pub type Outcome = Result<(), Stop>;

impl From<Fail> for Stop {
    fn from(fail: Fail) -> Self {
        Self::Failed(fail)
    }
}

/// A failure with a reason, for cases.
///
/// # Errors
/// Always.
pub fn fail<T>(why: impl Into<String>) -> Result<T, Stop> {
    Err(Stop::Failed(Fail::new(why)))
}

/// A failure with a reason unless `holds`.
///
/// # Errors
/// Where it does not hold.
pub fn must(holds: bool, why: impl Into<String>) -> Outcome {
    if holds { Ok(()) } else { fail(why) }
}

/// What cases have counted.
static COUNTED: Mutex<Vec<String>> = Mutex::new(Vec::new());

thread_local! {
    /// The case that this thread is at.
    static CASE: Cell<&'static str> = const { Cell::new("") };
}

/// From here on this thread counts for the case of that name.
pub(crate) fn begin(name: &'static str) {
    CASE.set(name);
}

/// Prints what a case has counted, and keeps it for the end of the run.
pub fn counted(line: impl Into<String>) {
    let line = line.into();
    println!("     {line}");
    lock(&COUNTED).push(format!("{}: {line}", CASE.get()));
}

/// What was counted since the last call.
#[must_use]
pub fn all_counted() -> Vec<String> {
    std::mem::take(&mut *lock(&COUNTED))
}

/// The next of a row of numbers that seem random (xorshift).
#[must_use]
pub fn next(random: &mut u64) -> u64 {
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    *random
}

/// Whether cases try all that they could, and not a sample of it.
static WHOLE: AtomicBool = AtomicBool::new(false);

/// From here on cases try all that they could.
pub fn be_whole() {
    WHOLE.store(true, Ordering::Relaxed);
}

/// Whether a case is to try all that it could, and not a sample of it.
#[must_use]
pub fn is_whole() -> bool {
    WHOLE.load(Ordering::Relaxed)
}

/// A case: a script on a machine.
#[derive(Debug, Clone)]
pub struct Case {
    /// How it is chosen, `file::function`.
    pub name: &'static str,
    /// The script.
    pub run: fn(&mut Vm) -> Outcome,
    /// The machine that it wants, with blank disks.
    pub spec: Spec,
    /// When it is stopped.
    pub limit: Duration,
    /// Whether it wants the build with lvm2's library in the guest, in `/tools/liblvm`.
    pub library: bool,
}

impl Case {
    /// A case on the usual machine, with two minutes.
    #[must_use]
    pub fn new(name: &'static str, run: fn(&mut Vm) -> Outcome) -> Self {
        let spec = Spec::plain(&[2048, 2048, 1024, 1024]);
        Self { name, run, spec, limit: Duration::from_secs(120), library: false }
    }

    /// The same with udevd.
    #[must_use]
    pub fn with_udev(self) -> Self {
        Self { spec: self.spec.with_udev(), ..self }
    }

    /// The same with the build that has lvm2's library.
    #[must_use]
    pub fn with_library(self) -> Self {
        Self { library: true, ..self }
    }

    /// The same with another time limit.
    #[must_use]
    pub fn within(self, seconds: u64) -> Self {
        Self { limit: Duration::from_secs(seconds), ..self }
    }
}
