//! What must hold while a device is suspended that this program itself may
//! run from: its own text and data lie there, and a page that must be read
//! from a suspended device is never read.
//!
//! [`Quiet`] keeps the process from needing the disk: all its memory is locked
//! and signals wait. [`Watchdog`] is a small child that resumes the device
//! whatever happens to its parent: where the parent dies at once, where it
//! hangs after some seconds. A guard in the parent alone could not: it cannot
//! run if its own process is blocked on the suspended device.

mod watchdog;

use std::io;
use std::thread::ThreadId;

use nix::sys::mman::{MlockAllFlags, mlockall, munlockall};
use nix::sys::signal::{SigSet, SigmaskHow};

pub use watchdog::{Verdict, Watchdog};

/// All memory locked, present and future, and all signals of this thread held back. Dropping it
/// undoes both.
#[derive(Debug)]
pub struct Quiet {
    mask: SigSet,
    thread: ThreadId,
    /// False where memory was locked already, by whoever uses this library.
    unlock: bool,
}

impl Quiet {
    /// Locks and blocks.
    ///
    /// # Errors
    /// `EPERM` or `ENOMEM` where memory may not be locked; nothing is changed then.
    pub fn begin() -> io::Result<Self> {
        let unlock = !memory_is_locked();
        mlockall(MlockAllFlags::MCL_CURRENT | MlockAllFlags::MCL_FUTURE)?;
        match SigSet::all().thread_swap_mask(SigmaskHow::SIG_BLOCK) {
            Ok(mask) => Ok(Self { mask, thread: std::thread::current().id(), unlock }),
            Err(errno) => {
                if unlock {
                    let _ = munlockall();
                }
                Err(errno.into())
            }
        }
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        if self.unlock {
            let _ = munlockall();
        }
        // A mask belongs to a thread: another one's is left alone.
        if self.thread == std::thread::current().id() {
            let _ = self.mask.thread_set_mask();
        }
    }
}

/// `VmLck` of this process is not zero.
fn memory_is_locked() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmLck:"));
    line.is_some_and(|rest| !rest.trim_start().starts_with("0 "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quiet_locks_memory_and_lets_go_of_it() {
        let before = SigSet::thread_get_mask().expect("has a mask");
        let quiet = match Quiet::begin() {
            Ok(quiet) => quiet,
            // A user may lock little.
            Err(error) => {
                let errno = error.raw_os_error();
                assert!(matches!(errno, Some(libc::EPERM | libc::ENOMEM)), "{error}");
                return;
            }
        };
        assert!(memory_is_locked());
        let mask = SigSet::thread_get_mask().expect("has a mask");
        assert!(mask.contains(nix::sys::signal::SIGINT));
        drop(quiet);
        assert!(!memory_is_locked());
        assert_eq!(SigSet::thread_get_mask().expect("has a mask"), before);
    }
}
