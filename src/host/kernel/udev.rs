//! One udev cookie for a batch of operations.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use imgbase_sys::cookie::Cookie;
use imgbase_sys::dm::Answer;

use crate::dm::DevNo;
use crate::error::{Error, ErrorKind, Result};

/// How long udev may take over a batch.
const LIMIT: Duration = Duration::from_secs(30);
/// Bits that keep udev's rules from making nodes and links (libdevmapper.h,
/// `DM_UDEV_DISABLE_DM_RULES_FLAG`, `DM_UDEV_DISABLE_SUBSYSTEM_RULES_FLAG`): set where a udev runs
/// and we make them all the same.
const NO_NODES: u16 = 0x3;

/// Who makes nodes and links.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Udev {
    /// Udev does, and is waited for.
    Runs,
    /// There is none: we do.
    Absent,
    /// There is one, but `DM_DISABLE_UDEV` is set: we do, and tell it not to.
    Overruled,
    /// There is none yet: we do as it would, and leave what it will need to know.
    ToCome,
}

impl Udev {
    /// As libdevmapper finds out: a running udev has a control socket.
    pub(super) fn find() -> Self {
        let running = Path::new("/run/udev/control").exists();
        let disabled = std::env::var_os("DM_DISABLE_UDEV").is_some();
        match (running, disabled) {
            (true, false) => Self::Runs,
            (true, true) => Self::Overruled,
            (false, _) => Self::Absent,
        }
    }
}

/// The batch's cookie, made when the first operation needs it.
#[derive(Debug)]
pub(super) struct Batch {
    udev: Udev,
    cookie: Option<Cookie>,
}

impl Batch {
    pub(super) fn new(udev: Udev) -> Self {
        Self { udev, cookie: None }
    }

    /// Makes the cookie, so that later operations need no more than the semaphore.
    pub(super) fn prepare(&mut self) -> Result<()> {
        if self.udev == Udev::Runs && self.cookie.is_none() {
            self.cookie = Some(create()?);
        }
        Ok(())
    }

    /// Counts one operation and gives its `event_nr`.
    pub(super) fn event(&mut self, flags: u16) -> Result<u32> {
        self.prepare()?;
        let high = |flags: u16| u32::from(flags) << 16;
        match (self.udev, &self.cookie) {
            (Udev::Runs, Some(cookie)) => {
                cookie.increment().map_err(|error| Error::io(error).op("count for udev"))?;
                Ok(high(flags) | u32::from(cookie.base()))
            }
            (Udev::Overruled, _) => Ok(high(flags | NO_NODES)),
            _ => Ok(0),
        }
    }

    /// The operation is over: where it raised no event, its unit comes back.
    pub(super) fn done(&self, answer: Option<&Answer>) {
        if answer.is_some_and(Answer::raised_event) {
            return;
        }
        if let Some(Err(error)) = self.cookie.as_ref().map(Cookie::decrement) {
            log::warn!("udev's cookie: {error}");
        }
    }

    /// Waits until udev has dealt with all of the batch.
    pub(super) fn settle(&mut self) -> Result<()> {
        let Some(cookie) = self.cookie.take() else { return Ok(()) };
        let (key, left) = (cookie.key(), cookie.outstanding().unwrap_or(0).saturating_sub(1));
        match cookie.wait(LIMIT) {
            Ok(true) => Ok(()),
            Ok(false) => Err(Error::new(ErrorKind::Busy, late(key, left)).op("wait for udev")),
            // Somebody ran `dmsetup udevcomplete_all`: nothing is left to be waited for.
            Err(error) if matches!(error.raw_os_error(), Some(libc::EIDRM | libc::EINVAL)) => {
                log::warn!("udev's cookie {key:#x} was taken away: nodes may come late");
                Ok(())
            }
            Err(error) => Err(Error::io(error).op("wait for udev")),
        }
    }
}

fn late(key: u32, left: u32) -> String {
    format!(
        "it did not finish within {} s (cookie {key:#010x}, {left} events left): is systemd-udevd \
         alive? the devices are there, their nodes and links come when it goes on",
        LIMIT.as_secs()
    )
}

fn create() -> Result<Cookie> {
    loop {
        let mut random = [0; 2];
        getrandom::fill(&mut random).map_err(|error| Error::io(error.into()))?;
        match Cookie::create(u16::from_ne_bytes(random).max(1)) {
            Ok(cookie) => return Ok(cookie),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(Error::io(error).op("make a cookie for udev")),
        }
    }
}

/// Where udev keeps what it knows of devices.
const DATABASE: &str = "/run/udev/data";

/// Flags of a device's activation and what udev's rules call them (lvm2: udev/10-dm.rules). They
/// come with the event of the activation alone, and a udev that starts later, having missed that,
/// takes them from its database: without the flag of a primary source it lets the device be.
const REMEMBERED: [(u16, &str); 8] = [
    (0x01, "DM_UDEV_DISABLE_DM_RULES_FLAG"),
    (0x02, "DM_UDEV_DISABLE_SUBSYSTEM_RULES_FLAG"),
    (0x04, "DM_UDEV_DISABLE_DISK_RULES_FLAG"),
    (0x08, "DM_UDEV_DISABLE_OTHER_RULES_FLAG"),
    // The same in lvm2 from 2.03.24 on.
    (0x08, "DM_COOKIE_DISABLE_OTHER_RULES_FLAG"),
    (0x10, "DM_UDEV_LOW_PRIORITY_FLAG"),
    (0x20, "DM_UDEV_DISABLE_LIBRARY_FALLBACK_FLAG"),
    (0x40, "DM_UDEV_PRIMARY_SOURCE_FLAG"),
];

/// Leaves what a udev that is still to come must know of a device that was activated.
pub(super) fn remember(number: DevNo, flags: u16) -> io::Result<()> {
    remember_in(Path::new(DATABASE), number, flags)
}

/// The device is gone.
pub(super) fn forget(number: DevNo) {
    // Where nothing was remembered there is nothing to forget.
    let _ = fs::remove_file(record(Path::new(DATABASE), number));
}

fn record(database: &Path, number: DevNo) -> PathBuf {
    database.join(format!("b{number}"))
}

fn remember_in(database: &Path, number: DevNo, flags: u16) -> io::Result<()> {
    let set = REMEMBERED.iter().filter(|(bit, _)| flags & bit != 0);
    let lines: String = set.map(|(_, name)| format!("E:{name}=1\n")).collect();
    fs::create_dir_all(database)?;
    fs::write(record(database, number), lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_has_one_cookie_and_counts_what_raised_nothing_back() {
        let mut batch = Batch::new(Udev::Runs);
        let first = batch.event(0x60).expect("counts");
        let second = batch.event(0x6e).expect("counts");
        assert_eq!((first >> 16, second >> 16), (0x60, 0x6e));
        assert_eq!(first & 0xffff, second & 0xffff);
        assert_ne!(first & 0xffff, 0);
        // Neither raised an event: the wait is over at once.
        batch.done(None);
        batch.done(None);
        batch.settle().expect("nothing is outstanding");
        let third = batch.event(0x60).expect("counts");
        batch.done(None);
        assert_eq!(third >> 16, 0x60);
        batch.settle().expect("nothing is outstanding");
    }

    #[test]
    fn a_udev_to_come_finds_what_it_needs() {
        let dir = tempfile::tempdir().expect("a folder");
        let database = dir.path().join("udev/data");
        let number = DevNo { major: 254, minor: 3 };
        let read = || fs::read_to_string(database.join("b254:3")).expect("written");
        remember_in(&database, number, 0x6e).expect("written");
        assert!(read().contains("E:DM_UDEV_DISABLE_OTHER_RULES_FLAG=1\n"), "{}", read());
        remember_in(&database, number, 0x60).expect("written");
        let wanted = "E:DM_UDEV_DISABLE_LIBRARY_FALLBACK_FLAG=1\n\
                      E:DM_UDEV_PRIMARY_SOURCE_FLAG=1\n";
        assert_eq!(read(), wanted);
    }

    #[test]
    fn without_udev_there_is_no_cookie() {
        assert_eq!(Batch::new(Udev::Absent).event(0x60).expect("nothing to do"), 0);
        assert_eq!(Batch::new(Udev::Overruled).event(0x60).expect("nothing to do"), 0x63_0000);
    }
}
