//! SIGINT, SIGTERM and SIGHUP: noted, and acted upon at the next safe point.
//!
//! They are blocked before any other thread starts, and a thread takes them
//! one by one, so no handler runs and a second signal kills nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use imgbase::error::IoContext;
use imgbase::{ErrorKind, Result};
use nix::sys::signal::{SigSet, Signal};

use super::process;
use super::render::Console;

/// Starts to take signals and returns the flag that the first one sets. With `cleanly` that is
/// all it does; else it ends the process.
///
/// # Errors
/// [`ErrorKind::Io`] where no thread can be started.
pub(crate) fn watch(cleanly: bool, console: &Arc<Console>) -> Result<Arc<AtomicBool>> {
    let flag = Arc::new(AtomicBool::new(false));
    let signals = wanted(process::mask("SigIgn").unwrap_or(0));
    let blocked = signals.thread_block().map_err(std::io::Error::from);
    blocked.context("block signals", "this process")?;
    let (theirs, console) = (Arc::clone(&flag), Arc::clone(console));
    let thread = std::thread::Builder::new().name("signals".to_owned());
    let started = thread.spawn(move || take(&signals, cleanly, &theirs, &console));
    started.context("start a thread", "this process")?;
    Ok(flag)
}

/// The signals to take: not the ones that whoever started us had ignored (nohup, a shell's
/// background job).
fn wanted(ignored: u64) -> SigSet {
    let all = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP];
    all.into_iter().filter(|signal| ignored >> (*signal as u32 - 1) & 1 == 0).collect()
}

fn take(signals: &SigSet, cleanly: bool, flag: &AtomicBool, console: &Console) {
    while signals.wait().is_ok() {
        if !cleanly {
            std::process::exit(i32::from(ErrorKind::Interrupted.exit_code()));
        }
        if !flag.swap(true, Ordering::SeqCst) {
            console.note("stopping at the next safe point");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ignored_signals_stay_ignored() {
        assert!(wanted(0).contains(Signal::SIGHUP));
        let nohup = wanted(1);
        assert!(!nohup.contains(Signal::SIGHUP) && nohup.contains(Signal::SIGINT));
        assert!(!wanted(1 << 1).contains(Signal::SIGINT));
    }
}
