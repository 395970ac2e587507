//! Emptying a file system's journal, for a boot loader that does not read it.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

mod raw {
    use nix::libc::c_int;

    // EXT4_IOC_CHECKPOINT of fs/ext4/ext4.h (Linux 5.14 and later): flags.
    nix::ioctl_write_ptr!(ext4_checkpoint, b'f', 43, u32);
    // FIFREEZE and FITHAW of linux/fs.h.
    nix::ioctl_readwrite!(freeze, b'X', 119, c_int);
    nix::ioctl_readwrite!(thaw, b'X', 120, c_int);
}

/// Writes all that is in an ext4's journal to its place, durably.
///
/// # Errors
/// `ENOTTY` for another file system and for kernels before 5.14, `ENODEV` where it has no journal,
/// `EPERM`.
pub fn empty_ext4(folder: impl AsFd) -> io::Result<()> {
    let flags = 0;
    // SAFETY: the descriptor is open; the kernel reads a live u32.
    unsafe { raw::ext4_checkpoint(folder.as_fd().as_raw_fd(), &raw const flags) }?;
    Ok(())
}

/// Freezes a file system and thaws it at once, by which any journal is emptied. Nothing that this
/// process needs may lie on it: if the process dies in between, it stays frozen.
///
/// # Errors
/// `EOPNOTSUPP` where it cannot be frozen, `EBUSY` where it is, `EPERM`. One that was frozen here is
/// thawed in any case.
pub fn freeze_and_thaw(folder: impl AsFd) -> io::Result<()> {
    let fd = folder.as_fd().as_raw_fd();
    let mut unused = 0;
    // SAFETY: the descriptor is open; the kernel ignores the argument.
    unsafe { raw::freeze(fd, &raw mut unused) }?;
    // SAFETY: as above.
    unsafe { raw::thaw(fd, &raw mut unused) }?;
    Ok(())
}
