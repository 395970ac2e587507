//! The child that resumes a device whatever happens to its parent.
//!
//! It is forked before the suspend and lives on what it has then: two
//! requests made beforehand, the control device and one end of a socket pair.
//! It allocates nothing, takes no lock, looks up no path and logs nothing:
//! after a fork only async-signal-safe calls are allowed (signal-safety(7)),
//! and while the device is suspended no page may be missing. It therefore
//! locks its memory and walks once through all that it may have to do before
//! it says that it is ready.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use nix::unistd::{ForkResult, Pid};

use crate::dm::{Command, Control, Request, issue};

/// What passes the socket, one byte each.
mod word {
    /// Child: everything is touched and locked.
    pub(super) const READY: u8 = b'r';
    /// Parent: the device is resumed.
    pub(super) const DONE: u8 = b'd';
    /// Child, at its end: there was nothing to do.
    pub(super) const IDLE: u8 = b'i';
    /// Child, at its end: it had to resume.
    pub(super) const ACTED: u8 = b'a';
}

/// How often the child looks after the device.
const TICK_MS: libc::c_int = 1000;

/// What became of the watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The device stayed suspended until the parent resumed it.
    Held,
    /// The child resumed it: what was to be done meanwhile may be half done.
    LetGo,
    /// The child is gone without a word.
    Lost,
}

/// A child that watches over one suspended device. Dropping it ends the watch.
#[derive(Debug)]
pub struct Watchdog {
    child: Pid,
    line: Option<UnixStream>,
}

impl Watchdog {
    /// Begins to watch. The device of that name exists and is not suspended yet; once it has been
    /// seen suspended for `limit` (whole seconds, at least one), it is resumed. The time that the
    /// suspend itself takes does not count.
    ///
    /// # Errors
    /// Where there is no such device, or no process can be made.
    pub fn begin(control: &Control, name: &str, limit: Duration) -> io::Result<Self> {
        control.status(name)?;
        let mut watch = Watch {
            request: Request::new(name)?,
            work: Request::new(name)?,
            ticks: limit.as_secs().max(1),
        };
        let (ours, theirs) = UnixStream::pair()?;
        // SAFETY: the child calls only `Watch::run`, which keeps to async-signal-safe calls and
        // never returns; see there.
        match unsafe { nix::unistd::fork() }? {
            ForkResult::Child => watch.run(control.fd(), theirs.as_fd(), ours.as_fd()),
            ForkResult::Parent { child } => {
                drop(theirs);
                let mut dog = Self { child, line: Some(ours) };
                match dog.hear() {
                    Some(word::READY) => Ok(dog),
                    _ => Err(io::Error::other("the watchdog did not start")),
                }
            }
        }
    }

    /// The parent has resumed the device: ends the watch.
    pub fn end(mut self) -> Verdict {
        self.finish()
    }

    fn finish(&mut self) -> Verdict {
        let Some(line) = &self.line else { return Verdict::Lost };
        say(line.as_fd(), word::DONE);
        let verdict = match self.hear() {
            Some(word::IDLE) => Verdict::Held,
            Some(word::ACTED) => Verdict::LetGo,
            _ => Verdict::Lost,
        };
        self.line = None;
        // ECHILD where the program ignores SIGCHLD: the kernel has reaped it then.
        while nix::sys::wait::waitpid(self.child, None) == Err(nix::errno::Errno::EINTR) {}
        verdict
    }

    fn hear(&mut self) -> Option<u8> {
        hear(self.line.as_ref()?.as_fd())
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        if self.line.is_some() {
            self.finish();
        }
    }
}

/// What the child lives on.
struct Watch {
    /// Names the device; status and resume need no more.
    request: Request,
    /// The copy that is handed to the kernel.
    work: Request,
    /// After this many seconds suspended the device is resumed.
    ticks: u64,
}

impl Watch {
    /// The child's whole life. Only system calls: `close`, `setsid`, `mlockall`, `poll`, `ioctl`,
    /// `send`, `recv`, `_exit`.
    fn run(&mut self, control: BorrowedFd<'_>, line: BorrowedFd<'_>, parent: BorrowedFd<'_>) -> ! {
        // SAFETY: the parent's end, of which this process needs no copy: while it is open here,
        // the parent's death would go unnoticed. Its owner in this process is never dropped, as
        // `_exit` ends it.
        unsafe { libc::close(parent.as_raw_fd()) };
        // Who kills the parent with all of its group (timeout(1), a shell) leaves the child.
        // SAFETY: changes only what this process belongs to; a new child leads no group.
        unsafe { libc::setsid() };
        // Pages are locked as they are touched; there is nothing to be done where that fails.
        // SAFETY: changes only this process's own paging.
        unsafe { libc::mlockall(libc::MCL_CURRENT | libc::MCL_ONFAULT) };
        self.rehearse(control, line);
        let word = if self.watch(control, line) { word::ACTED } else { word::IDLE };
        say(line, word);
        // SAFETY: ends the process without running anything of the parent's.
        unsafe { libc::_exit(0) }
    }

    /// Touches every page that the watch may need: code, stack and both buffers (the copy is
    /// written to, so it is this process's own).
    fn rehearse(&mut self, control: BorrowedFd<'_>, line: BorrowedFd<'_>) {
        let _ = self.is_suspended(control);
        let _ = is_readable(line, 0);
        say(line, word::READY);
    }

    /// Until the parent is done or dead. True where the device had to be resumed.
    fn watch(&mut self, control: BorrowedFd<'_>, line: BorrowedFd<'_>) -> bool {
        let (mut held, mut acted) = (0, false);
        loop {
            if is_readable(line, TICK_MS) {
                if hear(line) == Some(word::DONE) {
                    return acted;
                }
                return self.resume_if_suspended(control) || acted;
            }
            held = if self.is_suspended(control) { held + 1 } else { 0 };
            if held >= self.ticks {
                acted |= self.resume_if_suspended(control);
                held = 0;
            }
        }
    }

    fn is_suspended(&mut self, control: BorrowedFd<'_>) -> bool {
        self.issue(control, Command::Status) && self.work.answer().is_suspended()
    }

    fn resume_if_suspended(&mut self, control: BorrowedFd<'_>) -> bool {
        self.is_suspended(control) && self.issue(control, Command::Suspend)
    }

    fn issue(&mut self, control: BorrowedFd<'_>, command: Command) -> bool {
        self.work.copy_from(&self.request);
        issue(control, command, &mut self.work).is_ok()
    }
}

/// True where something can be read, the other side's end included.
fn is_readable(line: BorrowedFd<'_>, limit_ms: libc::c_int) -> bool {
    let mut poll = libc::pollfd { fd: line.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one live pollfd; the kernel keeps no pointer.
    let ready = unsafe { libc::poll(&raw mut poll, 1, limit_ms) };
    ready > 0
}

fn say(line: BorrowedFd<'_>, word: u8) {
    // SAFETY: one live byte. MSG_NOSIGNAL: a dead listener raises no SIGPIPE; it needs no word.
    unsafe {
        libc::send(line.as_raw_fd(), (&raw const word).cast(), 1, libc::MSG_NOSIGNAL);
    }
}

/// One byte, or `None` where the other side is gone.
fn hear(line: BorrowedFd<'_>) -> Option<u8> {
    let mut word = 0u8;
    loop {
        // SAFETY: one live byte to be written; the kernel keeps no pointer.
        let len = unsafe { libc::recv(line.as_raw_fd(), (&raw mut word).cast(), 1, 0) };
        match len {
            1 => return Some(word),
            -1 if io::Error::last_os_error().kind() == io::ErrorKind::Interrupted => {}
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_device_there_is_no_watch() {
        // Any file but the control device answers ENOTTY.
        let control = Control::new(std::fs::File::open("/dev/null").expect("always there"));
        let error = Watchdog::begin(&control, "x", Duration::from_secs(1)).expect_err("no device");
        assert_eq!(error.raw_os_error(), Some(libc::ENOTTY));
    }

    /// The child without a device: it says that it is ready, hears the word and ends.
    #[test]
    fn the_child_ends_when_told_and_when_its_parent_is_gone() {
        let null = std::fs::File::open("/dev/null").expect("always there");
        for told in [true, false] {
            let (ours, theirs) = UnixStream::pair().expect("a pair");
            let request = || Request::new("x").expect("short");
            let mut watch = Watch { request: request(), work: request(), ticks: 1 };
            // SAFETY: as in `Watchdog::begin`.
            let child = match unsafe { nix::unistd::fork() }.expect("a child") {
                ForkResult::Child => watch.run(null.as_fd(), theirs.as_fd(), ours.as_fd()),
                ForkResult::Parent { child } => child,
            };
            drop(theirs);
            assert_eq!(hear(ours.as_fd()), Some(word::READY));
            let group = nix::unistd::getpgid(Some(child)).expect("it lives");
            assert_eq!(group, child, "it dies with its parent's group");
            if told {
                say(ours.as_fd(), word::DONE);
                assert_eq!(hear(ours.as_fd()), Some(word::IDLE));
            }
            drop(ours);
            let status = nix::sys::wait::waitpid(child, None).expect("our child");
            assert_eq!(status, nix::sys::wait::WaitStatus::Exited(child, 0));
        }
    }
}
