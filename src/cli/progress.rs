//! Tells the user how a long operation goes.

use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use imgbase::ops::{Progress, Watch};

use super::interrupt::Interrupts;
use super::render::Console;
use super::tick::Tick;

/// Shortest time between two reports of a step.
const PAUSE: Duration = Duration::from_millis(200);

/// So long no second look is taken for a signal: a copy asks several times a file.
const LOOK: Duration = Duration::from_millis(20);

/// How fast a step goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pace {
    /// Since the step began; `None` before it can be told.
    pub(crate) bytes_per_second: Option<u64>,
    /// `None` where the total or the rate is not known.
    pub(crate) seconds_left: Option<u64>,
}

impl Pace {
    fn of(progress: Progress, elapsed: Duration) -> Self {
        let done = u128::from(progress.done.get());
        let rate = (done * 1000).checked_div(elapsed.as_millis());
        let rate = rate.and_then(|rate| u64::try_from(rate).ok());
        let left = progress.total.map(|total| total.saturating_sub(progress.done).get());
        let seconds_left = match (left, rate) {
            (Some(0), _) => Some(0),
            (Some(left), Some(rate)) if rate > 0 => Some(left.div_ceil(rate)),
            _ => None,
        };
        Self { bytes_per_second: rate, seconds_left }
    }
}

/// Watches an operation and tells the console.
pub(crate) struct Reporter {
    console: Arc<Console>,
    interrupts: Arc<Interrupts>,
    step: String,
    began: Instant,
    reported: Option<Tick>,
    looked: Cell<Option<Tick>>,
    cancelled: Cell<bool>,
}

impl Reporter {
    /// Tells this console; the operation ends when a signal came.
    pub(crate) fn new(console: &Arc<Console>, interrupts: &Arc<Interrupts>) -> Self {
        Self {
            console: Arc::clone(console),
            interrupts: Arc::clone(interrupts),
            step: String::new(),
            began: Instant::now(),
            reported: None,
            looked: Cell::new(None),
            cancelled: Cell::new(false),
        }
    }

    /// True where enough time has passed, or the step is at its end.
    fn is_due(&self, progress: Progress) -> bool {
        let rested = self.reported.is_none_or(|last| last.is_past(PAUSE));
        rested || progress.total == Some(progress.done)
    }
}

impl Watch for Reporter {
    fn step(&mut self, step: &str) {
        step.clone_into(&mut self.step);
        self.began = Instant::now();
        self.reported = None;
        self.console.step(step);
    }

    fn committed(&mut self, what: &str) {
        self.console.committed(what);
    }

    fn progress(&mut self, progress: Progress) {
        if self.is_due(progress) {
            self.reported = Some(Tick::now());
            let pace = Pace::of(progress, self.began.elapsed());
            self.console.progress(&self.step, progress, pace);
        }
    }

    fn warn(&mut self, warning: &str) {
        self.console.warning(warning);
    }

    fn cancelled(&self) -> bool {
        if !self.cancelled.get() && self.looked.get().is_none_or(|last| last.is_past(LOOK)) {
            self.looked.set(Some(Tick::now()));
            self.cancelled.set(self.interrupts.came());
        }
        self.cancelled.get()
    }
}

impl Drop for Reporter {
    fn drop(&mut self) {
        self.console.end_progress();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::render::Format;
    use crate::cli::settings::Loudness;
    use imgbase::units::Bytes;
    use nix::sys::signal::{Signal, raise};

    fn progress(done: u64, total: Option<u64>) -> Progress {
        Progress { done: Bytes::new(done), total: total.map(Bytes::new), written: Bytes::ZERO }
    }

    #[test]
    fn pace_is_what_was_done_over_the_time() {
        let pace = Pace::of(progress(1000, Some(4001)), Duration::from_secs(2));
        assert_eq!(pace, Pace { bytes_per_second: Some(500), seconds_left: Some(7) });
        let stream = Pace::of(progress(1000, None), Duration::from_secs(2));
        assert_eq!(stream.seconds_left, None);
    }

    #[test]
    fn nothing_is_promised_before_it_can_be() {
        assert_eq!(Pace::of(progress(1, Some(9)), Duration::ZERO), Pace::default());
        assert_eq!(Pace::of(progress(0, Some(9)), Duration::from_secs(1)).seconds_left, None);
        assert_eq!(Pace::of(progress(9, Some(9)), Duration::ZERO).seconds_left, Some(0));
        let huge = Pace::of(progress(u64::MAX, Some(u64::MAX)), Duration::from_millis(1));
        assert_eq!(huge.bytes_per_second, None);
    }

    #[test]
    fn a_signal_is_noticed_soon_and_stays_noticed() {
        // The signal goes to this thread alone, and ends with it.
        let thread = std::thread::spawn(|| {
            let console = Arc::new(Console::new(Format::Text, Loudness::Quiet));
            let interrupts = Arc::new(Interrupts::watch(true, &console).expect("it is blocked"));
            let reporter = Reporter::new(&console, &interrupts);
            assert!(!reporter.cancelled());
            raise(Signal::SIGTERM).expect("it is sent");
            std::thread::sleep(LOOK + Duration::from_millis(20));
            assert!(reporter.cancelled() && reporter.cancelled());
        });
        thread.join().expect("it is noticed");
    }
}
