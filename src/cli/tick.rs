//! The time for whoever asks often.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// A moment, as of the kernel's last tick: up to 10 ms before. To ask costs no system call,
/// whatever clock the machine has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tick(Option<Duration>);

impl Tick {
    /// This moment.
    pub(crate) fn now() -> Self {
        Self(clock_gettime(ClockId::CLOCK_MONOTONIC_COARSE).ok().map(Duration::from))
    }

    /// True once so much time has passed since, or where nobody can tell.
    pub(crate) fn is_past(self, pause: Duration) -> bool {
        let passed = Self::now().0.zip(self.0).map(|(now, then)| now.saturating_sub(then));
        passed.is_none_or(|passed| passed >= pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_passes() {
        let begin = Tick::now();
        assert!(begin.is_past(Duration::ZERO) && !begin.is_past(Duration::from_secs(600)));
        std::thread::sleep(Duration::from_millis(60));
        assert!(begin.is_past(Duration::from_millis(30)));
        assert!(Tick(None).is_past(Duration::from_secs(600)));
    }
}
