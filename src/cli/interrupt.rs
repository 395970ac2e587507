//! SIGINT, SIGTERM and SIGHUP: an end at once, or at the next safe point.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use imgbase::error::IoContext;
use imgbase::{ErrorKind, Result};
use imgbase_sys::signals;
use nix::sys::signal::{SigSet, Signal};

use super::render::Console;

/// Whether the user wants the verb to stop. Where it must stop cleanly the signals are blocked,
/// before any other thread starts, and looked for at each safe point: no handler runs, no call is
/// cut short, and a second signal kills nothing.
pub(crate) struct Interrupts {
    signals: SigSet,
    told: AtomicBool,
    console: Arc<Console>,
}

impl Interrupts {
    /// Starts to take signals; without `cleanly` the first ends the process.
    ///
    /// # Errors
    /// [`ErrorKind::Io`], which no kernel gives.
    pub(crate) fn watch(cleanly: bool, console: &Arc<Console>) -> Result<Self> {
        let signals = wanted(signals::is_ignored);
        let taken = if cleanly {
            signals.thread_block().map_err(std::io::Error::from)
        } else {
            signals::exit_upon(&signals, ErrorKind::Interrupted.exit_code())
        };
        taken.context("take signals", "this process")?;
        Ok(Self { signals, told: AtomicBool::new(false), console: Arc::clone(console) })
    }

    /// True once one came; says so once.
    pub(crate) fn came(&self) -> bool {
        let came = signals::is_pending(&self.signals);
        if came && !self.told.swap(true, Ordering::SeqCst) {
            self.console.note("stopping at the next safe point");
        }
        came
    }
}

/// The signals to take: not the ones that whoever started us had ignored (nohup, a shell's
/// background job).
fn wanted(is_ignored: impl Fn(Signal) -> bool) -> SigSet {
    let all = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP];
    all.into_iter().filter(|signal| !is_ignored(*signal)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ignored_signals_stay_ignored() {
        assert!(wanted(|_| false).contains(Signal::SIGHUP));
        let nohup = wanted(|signal| signal == Signal::SIGHUP);
        assert!(!nohup.contains(Signal::SIGHUP) && nohup.contains(Signal::SIGINT));
    }
}
