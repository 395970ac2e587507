//! Udev cookies: a System V semaphore that counts the events which udev has
//! still to deal with.
//!
//! The protocol is libdevmapper's. The semaphore's key is `0x0D4D` in the
//! high half and a random base, not zero, in the low half. Each ioctl that
//! carries the base in the low half of `event_nr` is preceded by +1; a rule of
//! udev's (95-dm-notify) runs `dmsetup udevcomplete`, which does -1; one unit
//! belongs to whoever made the semaphore and is given back before the wait.

use std::io;
use std::time::Duration;

use libc::c_int;

/// High half of every cookie's key (libdevmapper: `DM_COOKIE_MAGIC`).
const MAGIC: u32 = 0x0D4D;

unsafe extern "C" {
    // semtimedop(2), which the libc crate lacks on glibc.
    fn semtimedop(
        id: c_int,
        ops: *mut libc::sembuf,
        count: libc::size_t,
        timeout: *const libc::timespec,
    ) -> c_int;
}

/// A semaphore for one batch of operations. Dropping it removes it from the system.
#[derive(Debug)]
pub struct Cookie {
    id: c_int,
    base: u16,
}

impl Cookie {
    /// Makes one with the given low half of its key.
    ///
    /// # Errors
    /// `EEXIST` where another process uses that base, `InvalidInput` for base 0, `ENOSPC` where
    /// the system has no semaphore left.
    pub fn create(base: u16) -> io::Result<Self> {
        if base == 0 {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let key = (MAGIC << 16) | u32::from(base);
        let flags = libc::IPC_CREAT | libc::IPC_EXCL | 0o600;
        // SAFETY: semget takes three integers and touches no memory of ours.
        let id = crate::checked(unsafe { libc::semget(key.cast_signed(), 1, flags) })?;
        let cookie = Self { id, base };
        // Linux makes a semaphore with the value 0; this is our own unit.
        cookie.change(1)?;
        Ok(cookie)
    }

    /// The low half, for `event_nr`.
    pub fn base(&self) -> u16 {
        self.base
    }

    /// The whole key, as `dmsetup udevcookies` shows it.
    pub fn key(&self) -> u32 {
        (MAGIC << 16) | u32::from(self.base)
    }

    /// Counts an operation that is about to be made.
    ///
    /// # Errors
    /// `EINVAL` or `EIDRM` where somebody removed the semaphore.
    pub fn increment(&self) -> io::Result<()> {
        self.change(1)
    }

    /// Takes back an operation that raised no event.
    ///
    /// # Errors
    /// As [`increment`](Cookie::increment).
    pub fn decrement(&self) -> io::Result<()> {
        self.change(-1)
    }

    /// How many events are outstanding, our own unit included.
    ///
    /// # Errors
    /// As [`increment`](Cookie::increment).
    pub fn outstanding(&self) -> io::Result<u32> {
        // SAFETY: GETVAL takes no fourth argument and touches no memory of ours.
        let value = crate::checked(unsafe { libc::semctl(self.id, 0, libc::GETVAL) })?;
        Ok(value.unsigned_abs())
    }

    /// Gives back our own unit and waits until udev has given back the others. False where that
    /// took longer than `limit`.
    ///
    /// # Errors
    /// As [`increment`](Cookie::increment).
    pub fn wait(self, limit: Duration) -> io::Result<bool> {
        self.change(-1)?;
        let end = std::time::Instant::now() + limit;
        loop {
            let left = end.saturating_duration_since(std::time::Instant::now());
            match self.operate(0, 0, Some(left)) {
                Ok(()) => return Ok(true),
                Err(error) => match error.raw_os_error() {
                    Some(libc::EINTR) => {}
                    Some(libc::EAGAIN) => return Ok(false),
                    _ => return Err(error),
                },
            }
        }
    }

    /// Adds `by`, never waiting.
    fn change(&self, by: i16) -> io::Result<()> {
        self.operate(by, libc::IPC_NOWAIT, None)
    }

    fn operate(&self, op: i16, flags: c_int, limit: Option<Duration>) -> io::Result<()> {
        let flags = i16::try_from(flags).unwrap_or_default();
        let mut op = libc::sembuf { sem_num: 0, sem_op: op, sem_flg: flags };
        let limit = limit.map(|limit| libc::timespec {
            tv_sec: libc::time_t::try_from(limit.as_secs()).unwrap_or(libc::time_t::MAX),
            tv_nsec: limit.subsec_nanos() as libc::c_long,
        });
        let limit = limit.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
        // SAFETY: one live sembuf, and a null or a live timespec; the kernel keeps no pointer.
        crate::checked(unsafe { semtimedop(self.id, &raw mut op, 1, limit) })?;
        Ok(())
    }
}

impl Drop for Cookie {
    fn drop(&mut self) {
        // SAFETY: IPC_RMID takes no fourth argument. A failure means that it is gone already.
        unsafe { libc::semctl(self.id, 0, libc::IPC_RMID) };
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU16, Ordering};

    use super::*;

    /// A base that nobody else here uses: bases of this process's tests differ.
    fn cookie() -> Cookie {
        static NEXT: AtomicU16 = AtomicU16::new(0);
        loop {
            let base = (std::process::id() as u16) ^ NEXT.fetch_add(0x101, Ordering::Relaxed);
            match Cookie::create(base) {
                Ok(cookie) => return cookie,
                Err(error) if error.raw_os_error() == Some(libc::EEXIST) || base == 0 => {}
                Err(error) => panic!("no semaphore: {error}"),
            }
        }
    }

    #[test]
    fn waits_for_others_and_no_longer_than_allowed() {
        let waits = cookie();
        waits.increment().expect("counts");
        assert_eq!(waits.outstanding().expect("is there"), 2);
        assert!(!waits.wait(Duration::from_millis(30)).expect("waits"));

        let done = cookie();
        done.increment().expect("counts");
        let other = Cookie { id: done.id, base: done.base };
        let udev = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(30));
            other.decrement().expect("counts");
            std::mem::forget(other);
        });
        assert!(done.wait(Duration::from_secs(10)).expect("waits"));
        udev.join().expect("no panic");
    }

    #[test]
    fn is_gone_when_dropped() {
        let first = cookie();
        let base = first.base();
        assert_eq!(Cookie::create(base).expect_err("taken").raw_os_error(), Some(libc::EEXIST));
        assert_eq!(first.key() >> 16, 0x0D4D);
        drop(first);
        Cookie::create(base).expect("free again");
        assert!(Cookie::create(0).is_err());
    }
}
