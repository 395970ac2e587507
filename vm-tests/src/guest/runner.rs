//! Runs one command in a process group of its own and measures it.
//!
//! It is a process of its own because the kernel keeps the peak of memory for all children of a
//! process together.

use std::fs;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitCode, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use rustix::process::{Pid, Signal, kill_process_group};

use crate::wire::Done;

/// Runs `argv`, kills it after `millis` and writes the figures into the file `result`.
pub(super) fn run(millis: &str, result: &str, argv: &[&str]) -> ExitCode {
    let limit = Duration::from_millis(millis.parse().unwrap_or(0));
    let figures = measure(limit, argv).figures();
    match fs::write(result, figures) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn measure(limit: Duration, argv: &[&str]) -> Done {
    let [program, args @ ..] = argv else { return Done { status: 127, ..Done::default() } };
    let start = Instant::now();
    match Command::new(program).args(args).process_group(0).spawn() {
        Ok(child) => watch(child, start, limit),
        Err(error) => {
            eprintln!("{program}: {error}");
            Done { status: 127, ..Done::default() }
        }
    }
}

fn watch(mut child: Child, start: Instant, limit: Duration) -> Done {
    let late = Arc::new(AtomicBool::new(false));
    kill_later(&child, limit, Arc::clone(&late));
    let status = child.wait().map_or(127, shell_status);
    let wall = start.elapsed();
    let peak = getrusage(UsageWho::RUSAGE_CHILDREN).map_or(0, |usage| usage.max_rss());
    let timed_out = late.load(Ordering::SeqCst);
    Done { status, wall, max_rss_kib: peak.unsigned_abs(), timed_out, ..Done::default() }
}

fn kill_later(child: &Child, limit: Duration, late: Arc<AtomicBool>) {
    let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    thread::spawn(move || {
        thread::sleep(limit);
        late.store(true, Ordering::SeqCst);
        group.map(|group| kill_process_group(group, Signal::KILL))
    });
}

fn shell_status(status: ExitStatus) -> i32 {
    status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(127)
}
