//! Ends what commands have left running.

use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::error::{Fail, Result};
use crate::guest::serve::reap;

/// How long what was killed may take to go.
const LIMIT: Duration = Duration::from_secs(10);

/// Kills every process but this one, the kernel's threads and udevd; tells which they were.
pub(super) fn end() -> Result<String> {
    let end = Instant::now() + LIMIT;
    let mut ended: Vec<String> = Vec::new();
    loop {
        reap();
        let others = others();
        if others.is_empty() {
            return Ok(ended.join("\n"));
        }
        for (pid, name) in others {
            // It may just have ended.
            let _ = kill_process(pid, Signal::KILL);
            let name = format!("{} {name}", pid.as_raw_nonzero());
            if !ended.contains(&name) {
                ended.push(name);
            }
        }
        if Instant::now() > end {
            return Err(Fail::new(format!("processes that do not end: {}", ended.join(", "))));
        }
        sleep(Duration::from_millis(10));
    }
}

fn others() -> Vec<(Pid, String)> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let named = |pid: i32| {
        let command = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        // A thread of the kernel has none; nor has what has ended and waits for its parent.
        let command = String::from_utf8_lossy(&command).replace('\0', " ");
        let name = command.trim_end().to_owned();
        let kept = pid == 1 || name.is_empty() || name.contains("udev");
        if kept { None } else { Some((Pid::from_raw(pid)?, name)) }
    };
    pids.filter_map(named).collect()
}
