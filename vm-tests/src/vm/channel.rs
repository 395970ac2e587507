//! The host's end of the channel: it waits no longer than it may, and sees when QEMU ends.

use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::process::Child;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::error::{Doing, Result};
use crate::wire;

/// How often the end of QEMU and the time limit are looked at.
const TICK: Duration = Duration::from_millis(200);

#[derive(Debug)]
pub(super) struct Channel {
    stream: UnixStream,
}

impl Channel {
    pub(super) fn new(stream: UnixStream) -> Self {
        Self { stream }
    }

    /// Waits a moment; whether something is to be read.
    pub(super) fn has_something(&self) -> Result<bool> {
        let mut fds = [PollFd::new(&self.stream, PollFlags::IN)];
        let tick = Timespec { tv_sec: 0, tv_nsec: i64::from(TICK.subsec_nanos()) };
        poll(&mut fds, Some(&tick)).doing("the channel")?;
        let [fd] = fds;
        Ok(fd.revents() == PollFlags::IN)
    }

    /// Reads one message.
    pub(super) fn receive(&self, deadline: Instant, qemu: &mut Child) -> Result<Vec<Vec<u8>>> {
        self.stream.set_read_timeout(Some(TICK))?;
        wire::receive(&mut Patient { stream: &self.stream, deadline, qemu }).doing("the guest")
    }
}

impl Write for Channel {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

struct Patient<'a> {
    stream: &'a UnixStream,
    deadline: Instant,
    qemu: &'a mut Child,
}

impl Patient<'_> {
    fn may_wait(&mut self) -> io::Result<()> {
        if let Some(status) = self.qemu.try_wait()? {
            return Err(io::Error::other(format!("the machine has ended: {status}")));
        }
        if Instant::now() > self.deadline {
            return Err(io::Error::new(ErrorKind::TimedOut, "no answer before the time limit"));
        }
        Ok(())
    }
}

impl Read for Patient<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.stream.read(buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.may_wait()?,
                other => return other,
            }
        }
    }
}
