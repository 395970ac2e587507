//! Signals that ask a program to end: what was ignored before, what waits while it is blocked,
//! and an end by exit code rather than by the signal.

use std::io;
use std::sync::atomic::{AtomicI32, Ordering};

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

use crate::checked;

/// What [`exit_upon`] ends the process with.
static STATUS: AtomicI32 = AtomicI32::new(0);

/// True where whoever started this process had the signal ignored.
pub fn is_ignored(signal: Signal) -> bool {
    // SAFETY: all zeros is a valid value, a plain C structure of integers and addresses.
    let mut now: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: no new action is given, and `now` is valid for writing.
    let result = unsafe { libc::sigaction(signal as i32, std::ptr::null(), &raw mut now) };
    result == 0 && now.sa_sigaction == libc::SIG_IGN
}

/// True where one of these signals was sent to the process or to this thread and waits, blocked.
pub fn is_pending(signals: &SigSet) -> bool {
    // SAFETY: all zeros is a valid value, a plain array of integers.
    let mut waiting: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: the set is valid for writing.
    let result = checked(unsafe { libc::sigpending(&raw mut waiting) });
    // SAFETY: the set is valid for reading, and the numbers are those of signals.
    let waits = |signal: Signal| unsafe { libc::sigismember(&raw const waiting, signal as i32) };
    result.is_ok() && signals.iter().any(|signal| waits(signal) == 1)
}

/// From now on each of these signals ends the process with this exit code: nothing is flushed and
/// nothing is dropped.
///
/// # Errors
/// None that a valid signal can give.
pub fn exit_upon(signals: &SigSet, status: u8) -> io::Result<()> {
    extern "C" fn end(_: libc::c_int) {
        // SAFETY: async-signal-safe, as is reading an atomic.
        unsafe { libc::_exit(STATUS.load(Ordering::Relaxed)) }
    }
    STATUS.store(status.into(), Ordering::Relaxed);
    let action = SigAction::new(SigHandler::Handler(end), SaFlags::SA_RESTART, SigSet::empty());
    for signal in signals {
        // SAFETY: the handler calls nothing that is not async-signal-safe.
        unsafe { sigaction(signal, &action) }?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_blocked_waits_and_can_be_seen() {
        let asked = SigSet::from(Signal::SIGWINCH);
        assert!(!is_ignored(Signal::SIGWINCH));
        let before = asked.thread_swap_mask(nix::sys::signal::SigmaskHow::SIG_BLOCK);
        let before = before.expect("has a mask");
        assert!(!is_pending(&asked));
        nix::sys::signal::raise(Signal::SIGWINCH).expect("is sent");
        assert!(is_pending(&asked));
        assert!(!is_pending(&SigSet::from(Signal::SIGURG)));
        // Delivered, and ignored by default.
        before.thread_set_mask().expect("has a mask");
        assert!(!is_pending(&asked));
    }
}
