//! The device-mapper ioctls that the devicemapper crate does not offer as we
//! need them: resume, remove and rename with a udev cookie of the caller's
//! (that crate makes one per ioctl and waits for it at once), create with a
//! fixed minor number, a list with UUIDs, and a suspend and a message that
//! neither log nor wait.
//!
//! Numbers and layout are those of `linux/dm-ioctl.h`, interface 4. Each
//! request is one buffer: the header of 312 bytes, then what belongs to it.
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0 | 3 x 4 | `version`: 4.0.0 is sent, the kernel answers with its own |
//! | 12 | 4 | `data_size`: the whole buffer |
//! | 16 | 4 | `data_start`: 312 |
//! | 20 | 4 | `target_count` |
//! | 24 | 4 | `open_count` |
//! | 28 | 4 | `flags` |
//! | 32 | 4 | `event_nr`: in, the udev cookie; out, the event counter |
//! | 40 | 8 | `dev` |
//! | 48 | 128 | `name`, ends with NUL |
//! | 176 | 129 | `uuid`, ends with NUL |

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

mod list;
mod request;

pub use list::{Listed, Uuid};
pub use request::Answer;
pub(crate) use request::{Command, Request};

/// Flags of a request (`DM_*_FLAG`).
pub(crate) mod flag {
    pub(crate) const READONLY: u32 = 1;
    pub(crate) const SUSPEND: u32 = 1 << 1;
    pub(crate) const PERSISTENT_DEV: u32 = 1 << 3;
    pub(crate) const ACTIVE_PRESENT: u32 = 1 << 5;
    pub(crate) const INACTIVE_PRESENT: u32 = 1 << 6;
    pub(crate) const BUFFER_FULL: u32 = 1 << 8;
    pub(crate) const SKIP_LOCKFS: u32 = 1 << 10;
    pub(crate) const NOFLUSH: u32 = 1 << 11;
    pub(crate) const UEVENT_GENERATED: u32 = 1 << 13;
    pub(crate) const UUID: u32 = 1 << 14;
}

/// Largest buffer for a list: 16 MiB hold some 60 000 devices.
const LARGEST: usize = 16 << 20;

/// How a device is to be made.
#[derive(Clone, Copy, Debug)]
pub struct Creation<'a> {
    /// Its name, at most 127 bytes.
    pub name: &'a str,
    /// Its UUID, at most 128 bytes; may be empty.
    pub uuid: &'a str,
    /// True where it may not be written.
    pub read_only: bool,
    /// The minor number that it must have.
    pub minor: Option<u32>,
}

/// A device with all that the kernel says of it.
#[derive(Clone, Debug)]
pub struct Found {
    /// Its name.
    pub name: String,
    /// Its UUID; empty where it has none.
    pub uuid: String,
    /// The rest.
    pub answer: Answer,
}

/// `/dev/mapper/control`, open.
#[derive(Debug)]
pub struct Control {
    file: File,
}

impl Control {
    /// Over the open control device.
    pub fn new(file: File) -> Self {
        Self { file }
    }

    /// The kernel's version of the interface (`DM_VERSION`).
    ///
    /// # Errors
    /// `ENOTTY` where the file is no control device, `EACCES` without privilege.
    pub fn version(&self) -> io::Result<[u32; 3]> {
        Ok(self.issue(Command::Version, &mut Request::new("")?)?.version)
    }

    /// Makes a device without a table (`DM_DEV_CREATE`).
    ///
    /// # Errors
    /// `EBUSY` where the name, the UUID or the minor number is taken.
    pub fn create(&self, device: Creation<'_>) -> io::Result<Answer> {
        let mut request = Request::new(device.name)?;
        request.set_uuid(device.uuid)?;
        if device.read_only {
            request.add_flags(flag::READONLY);
        }
        if let Some(minor) = device.minor {
            request.add_flags(flag::PERSISTENT_DEV);
            request.set_number(0, minor);
        }
        self.issue(Command::Create, &mut request)
    }

    /// Waits for an event of any device since the last such wait, or since the file was opened
    /// (`DM_DEV_ARM_POLL`, interface 4.37); false where there was none for that long.
    ///
    /// # Errors
    /// `EINTR` where a signal came.
    pub fn wait_for_event(&self, at_most: Duration) -> io::Result<bool> {
        let mut file = [PollFd::new(self.file.as_fd(), PollFlags::POLLIN)];
        let at_most = PollTimeout::try_from(at_most).unwrap_or(PollTimeout::MAX);
        let came = poll(&mut file, at_most)? > 0;
        if came {
            self.issue(Command::ArmPoll, &mut Request::new("")?)?;
        }
        Ok(came)
    }

    /// Asks after one device (`DM_DEV_STATUS`).
    ///
    /// # Errors
    /// `ENXIO` where there is none of that name.
    pub fn status(&self, name: &str) -> io::Result<Answer> {
        self.issue(Command::Status, &mut Request::new(name)?)
    }

    /// Asks after one device and its UUID (`DM_DEV_STATUS`).
    ///
    /// # Errors
    /// `ENXIO` where there is none of that name.
    pub fn named(&self, name: &str) -> io::Result<Found> {
        self.find(Request::new(name)?)
    }

    /// Asks after the device of that UUID (`DM_DEV_STATUS`).
    ///
    /// # Errors
    /// `ENXIO` where there is none of that UUID.
    pub fn with_uuid(&self, uuid: &str) -> io::Result<Found> {
        let mut request = Request::new("")?;
        request.set_uuid(uuid)?;
        self.find(request)
    }

    /// Asks after the device of that number (`DM_DEV_STATUS`).
    ///
    /// # Errors
    /// `ENXIO` where there is none of that number, or it is of another driver.
    pub fn numbered(&self, major: u32, minor: u32) -> io::Result<Found> {
        let mut request = Request::new("")?;
        request.set_number(major, minor);
        self.find(request)
    }

    fn find(&self, mut request: Request) -> io::Result<Found> {
        let answer = self.issue(Command::Status, &mut request)?;
        let (name, uuid) = (request.name()?.to_owned(), request.uuid()?.to_owned());
        Ok(Found { name, uuid, answer })
    }

    /// Holds I/O back (`DM_DEV_SUSPEND` with the flag). `quick`: without flushing and without
    /// freezing the file system.
    ///
    /// # Errors
    /// `ENXIO` where there is no such device, `EINTR` where a signal cut the wait for I/O short.
    pub fn suspend(&self, name: &str, quick: bool) -> io::Result<Answer> {
        let mut request = Request::new(name)?;
        request.add_flags(flag::SUSPEND);
        if quick {
            request.add_flags(flag::NOFLUSH | flag::SKIP_LOCKFS);
        }
        self.issue(Command::Suspend, &mut request)
    }

    /// Lets I/O pass, the loaded table first becoming the live one (`DM_DEV_SUSPEND` without the
    /// flag). `event` is the udev cookie: flags in the high half, [base](crate::cookie) in the low.
    ///
    /// # Errors
    /// `ENXIO` where there is no such device, `EINVAL` where it has no table.
    pub fn resume(&self, name: &str, event: u32) -> io::Result<Answer> {
        let mut request = Request::new(name)?;
        request.set_event(event);
        self.issue(Command::Suspend, &mut request)
    }

    /// Removes a device (`DM_DEV_REMOVE`); `event` as in [`resume`](Control::resume).
    ///
    /// # Errors
    /// `EBUSY` where it is open, `ENXIO` where there is no such device.
    pub fn remove(&self, name: &str, event: u32) -> io::Result<Answer> {
        let mut request = Request::new(name)?;
        request.set_event(event);
        self.issue(Command::Remove, &mut request)
    }

    /// Gives a device another name (`DM_DEV_RENAME`); `event` as in [`resume`](Control::resume).
    ///
    /// # Errors
    /// `EBUSY` where the new name is taken, `ENXIO` where there is no such device.
    pub fn rename(&self, name: &str, new: &str, event: u32) -> io::Result<Answer> {
        let mut request = Request::new(name)?;
        request.set_event(event);
        request.append_text(new)?;
        self.issue(Command::Rename, &mut request)
    }

    /// Sends a message to the target at sector 0 (`DM_TARGET_MSG`).
    ///
    /// # Errors
    /// Those of the target: a thin pool says `EEXIST` and `ENODATA` of device ids.
    pub fn message(&self, name: &str, message: &str) -> io::Result<Answer> {
        let mut request = Request::new(name)?;
        request.append_number(0);
        request.append_text(message)?;
        self.issue(Command::Message, &mut request)
    }

    /// The numbers, major and minor, of the devices that a device's live table lies on
    /// (`DM_TABLE_DEPS`: `count` (4 bytes), 4 unused, then 8 for each).
    ///
    /// # Errors
    /// `ENXIO` where there is none of that name; `InvalidData` where the answer cannot be read.
    pub fn deps(&self, name: &str) -> io::Result<Vec<(u32, u32)>> {
        let mut request = Request::new(name)?;
        request.reserve(4 << 10);
        let answer = self.issue(Command::Deps, &mut request)?;
        let bad = || io::Error::from(io::ErrorKind::InvalidData);
        let (head, numbers) = request.payload().split_at_checked(8).ok_or_else(bad)?;
        let count = head.first_chunk().map(|count| u32::from_ne_bytes(*count) as usize);
        let numbers: Vec<u64> = numbers
            .chunks_exact(8)
            .map_while(|dev| Some(u64::from_ne_bytes(dev.try_into().ok()?)))
            .collect();
        let numbers = count.and_then(|count| numbers.get(..count)).filter(|_| !answer.is_cut());
        let pair = |dev: &u64| (request::major(*dev), request::minor(*dev));
        Ok(numbers.ok_or_else(bad)?.iter().map(pair).collect())
    }

    /// All devices whose UUID starts with `prefix` (`DM_LIST_DEVICES`); kernels before 5.12 give
    /// all, and those before 5.9 no UUIDs: see [`Listed::uuid`].
    ///
    /// # Errors
    /// As the kernel gives them; `InvalidData` where its answer cannot be read.
    pub fn list(&self, prefix: &str) -> io::Result<Vec<Listed>> {
        let mut room = 16 << 10;
        while room <= LARGEST {
            let mut request = Request::new("")?;
            request.set_uuid(prefix)?;
            request.add_flags(flag::UUID);
            request.reserve(room);
            let answer = self.issue(Command::List, &mut request)?;
            if !answer.is_cut() {
                return list::parse(request.payload());
            }
            room *= 4;
        }
        Err(io::Error::from_raw_os_error(libc::ENOMEM))
    }

    pub(crate) fn issue(&self, command: Command, request: &mut Request) -> io::Result<Answer> {
        issue(self.fd(), command, request)?;
        Ok(request.answer())
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        std::os::fd::AsFd::as_fd(&self.file)
    }
}

/// One ioctl. Allocates nothing and takes no lock: fit for a child after a fork.
pub(crate) fn issue(
    control: BorrowedFd<'_>,
    command: Command,
    request: &mut Request,
) -> io::Result<()> {
    let bytes = request.bytes_mut();
    // SAFETY: `Request` keeps `data_size` equal to the buffer's length and at least as long as
    // the header, so the kernel reads and writes only inside the buffer, which is borrowed alone
    // until the call returns; the kernel keeps no pointer. A wrong file answers ENOTTY.
    let result =
        unsafe { libc::ioctl(control.as_raw_fd(), command.number() as _, bytes.as_mut_ptr()) };
    crate::checked(result)?;
    Ok(())
}
