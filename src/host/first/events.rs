//! The kernel's events of devices, by its netlink socket (NETLINK_KOBJECT_UEVENT).

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::io::Errno;
use rustix::net::netlink::{KOBJECT_UEVENT, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, bind, recvfrom, socket_with};

use crate::error::{IoContext, Result};
use crate::first::uevent::Uevent;

/// The group in which the kernel itself speaks; udev has another.
const KERNEL: u32 = 1;
/// Longer than any event (lib/kobject_uevent.c: 2048 bytes of variables).
const LONGEST: usize = 8192;

/// The open socket.
pub(super) struct Events {
    socket: OwnedFd,
}

impl Events {
    /// From here on no event is missed.
    pub(super) fn listen() -> Result<Self> {
        Self::open().context("listen to the kernel's events", "netlink")
    }

    fn open() -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let kind = SocketType::DGRAM;
        let socket = socket_with(AddressFamily::NETLINK, kind, flags, Some(KOBJECT_UEVENT))?;
        bind(&socket, &SocketAddrNetlink::new(0, KERNEL))?;
        Ok(Self { socket })
    }

    /// Waits until a disk may have come, no longer than until then. False where none has.
    pub(super) fn wait_for_disk(&mut self, until: Instant) -> Result<bool> {
        self.wait(until).context("wait for the kernel's events", "netlink")
    }

    fn wait(&mut self, until: Instant) -> io::Result<bool> {
        loop {
            if self.drain()? {
                return Ok(true);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(false);
            }
            // In whole milliseconds, and not less than is left.
            let left = left.saturating_add(Duration::from_millis(1));
            let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
            let mut fds = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
            match poll(&mut fds, timeout) {
                Ok(_) | Err(nix::errno::Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    /// Reads all that has come; true where a disk may be among it.
    fn drain(&mut self) -> io::Result<bool> {
        let mut buffer = [0; LONGEST];
        let mut found = false;
        loop {
            match recvfrom(&self.socket, &mut buffer, RecvFlags::empty()) {
                Ok((len, _, sender)) => {
                    let sender = sender.and_then(|it| SocketAddrNetlink::try_from(it).ok());
                    let from_kernel = sender.is_none_or(|sender| sender.pid() == 0);
                    let message = buffer.get(..len).unwrap_or_default();
                    let event = Uevent::parse(message).filter(|_| from_kernel);
                    if let Some(event) = event.filter(Uevent::may_bring_a_disk) {
                        log::debug!("{} {}", event.action, event.name);
                        found = true;
                    }
                }
                // More than the socket holds have come: some are lost.
                Err(Errno::NOBUFS) => found = true,
                Err(Errno::AGAIN) => return Ok(found),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_ends_in_time() {
        // In a sandbox the socket may be forbidden.
        let Ok(mut events) = Events::listen() else { return };
        let start = Instant::now();
        let until = start + Duration::from_millis(30);
        while events.wait_for_disk(until).expect("waits") {}
        assert!(start.elapsed() >= Duration::from_millis(30));
        assert!(!events.wait_for_disk(start).expect("is over"));
    }
}
