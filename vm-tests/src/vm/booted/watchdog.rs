//! Notices that a machine hangs, as a hardware watchdog does, and no later than one has to.
//!
//! A boot has long times with nothing on the console, longer where other work shares the processors:
//! a machine hangs where nothing came for a while in which it was idle, or worked for longer than any
//! part of a boot takes.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long the console must have been silent.
const SILENCE: Duration = Duration::from_secs(25);
/// What emulation takes of the processor in that time where the guest is idle, at most.
const IDLE: Duration = Duration::from_secs(2);
/// More than firmware, a loader or a kernel works without a word.
const BUSY: Duration = Duration::from_secs(40);
/// In all.
const LIMIT: Duration = Duration::from_secs(400);

pub(super) struct Watchdog {
    console: PathBuf,
    process: u32,
    start: Instant,
    said: u64,
    silent_since: Instant,
    worked_then: Duration,
}

impl Watchdog {
    pub(super) fn new(console: &Path, process: u32) -> Self {
        let (console, now) = (console.to_path_buf(), Instant::now());
        let (start, silent_since) = (now, now);
        let worked_then = Duration::ZERO;
        Self { console, process, start, said: 0, silent_since, worked_then }
    }

    /// To be asked now and then.
    pub(super) fn barks(&mut self) -> bool {
        let said = fs::metadata(&self.console).map_or(0, |meta| meta.len());
        let worked = processor_time(self.process).unwrap_or_default();
        if said != self.said {
            (self.said, self.silent_since, self.worked_then) = (said, Instant::now(), worked);
        }
        let (silent, worked) =
            (self.silent_since.elapsed(), worked.saturating_sub(self.worked_then));
        self.start.elapsed() > LIMIT || (silent > SILENCE && !(IDLE..BUSY).contains(&worked))
    }
}

/// What all threads of a process have used of the processors, out of `/proc/PID/stat`: its fields 14
/// and 15, in hundredths of a second.
fn processor_time(process: u32) -> Option<Duration> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let mut next = || fields.next()?.parse::<u64>().ok();
    Some(Duration::from_millis(10 * (next()? + next()?)))
}
