//! Ioctls of block devices (`linux/fs.h`), and reading one into new memory.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

mod raw {
    use nix::libc;

    // BLKDISCARD: _IO(0x12, 119), takes `u64[2]`: start and length in bytes.
    nix::ioctl_write_ptr_bad!(discard, nix::request_code_none!(0x12, 119), [u64; 2]);
    // BLKSSZGET: _IO(0x12, 104), gives an `int`.
    nix::ioctl_read_bad!(sector_size, nix::request_code_none!(0x12, 104), libc::c_int);
    // BLKROGET: _IO(0x12, 94), gives an `int`.
    nix::ioctl_read_bad!(read_only, nix::request_code_none!(0x12, 94), libc::c_int);
    // BLKGETSIZE64: _IOR(0x12, 114, size_t), gives a `u64`.
    nix::ioctl_read_bad!(size, nix::request_code_read!(0x12, 114, size_of::<libc::size_t>()), u64);
}

/// Tells a device that `len` bytes from `start` on are no longer needed (`BLKDISCARD`). Both must
/// be multiples of the logical block size.
///
/// # Errors
/// `EOPNOTSUPP` where it has no discard, `EINVAL` for a bad range, `EBADF` where it is not open
/// for writing.
pub fn discard(device: impl AsFd, start: u64, len: u64) -> io::Result<()> {
    let range = [start, len];
    // SAFETY: the kernel reads two u64 from a live array and keeps no pointer.
    unsafe { raw::discard(device.as_fd().as_raw_fd(), &raw const range) }?;
    Ok(())
}

/// Adds the `len` bytes from byte `at` of a device or file on (`pread64`) to `bytes`, whose memory is not made
/// zero first. Where it has room for them it stays in its place.
///
/// # Errors
/// As the kernel gives them; `UnexpectedEof` where there are fewer. Some may have been added.
pub fn append(device: impl AsFd, bytes: &mut Vec<u8>, len: usize, at: u64) -> io::Result<()> {
    bytes.reserve(len);
    let (mut left, mut at) = (len, at);
    while left > 0 {
        let place = i64::try_from(at).map_err(io::Error::other)?;
        let room = bytes.spare_capacity_mut();
        let most = left.min(room.len());
        // SAFETY: the kernel writes at most `most` bytes, and so much room there is behind what `bytes` holds.
        let got = unsafe {
            libc::pread64(device.as_fd().as_raw_fd(), room.as_mut_ptr().cast(), most, place)
        };
        let got = match usize::try_from(got) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(got) => got.min(most),
            Err(_) => match io::Error::last_os_error() {
                error if error.kind() == io::ErrorKind::Interrupted => continue,
                error => return Err(error),
            },
        };
        // SAFETY: the kernel has just written these bytes behind the others, in the memory of `bytes`.
        unsafe { bytes.set_len(bytes.len() + got) };
        left -= got;
        at = at.saturating_add(u64::try_from(got).map_err(io::Error::other)?);
    }
    Ok(())
}

/// The logical block size in bytes (`BLKSSZGET`): the smallest unit of O_DIRECT.
///
/// # Errors
/// `ENOTTY` for what is no block device.
pub fn logical_block_size(device: impl AsFd) -> io::Result<u32> {
    let mut size = 0;
    // SAFETY: the kernel writes one int to a live variable.
    unsafe { raw::sector_size(device.as_fd().as_raw_fd(), &raw mut size) }?;
    u32::try_from(size).map_err(|_| io::ErrorKind::InvalidData.into())
}

/// True where the device may not be written (`BLKROGET`).
///
/// # Errors
/// `ENOTTY` for what is no block device.
pub fn is_read_only(device: impl AsFd) -> io::Result<bool> {
    let mut flag = 0;
    // SAFETY: the kernel writes one int to a live variable.
    unsafe { raw::read_only(device.as_fd().as_raw_fd(), &raw mut flag) }?;
    Ok(flag != 0)
}

/// The size in bytes (`BLKGETSIZE64`).
///
/// # Errors
/// `ENOTTY` for what is no block device.
pub fn size(device: impl AsFd) -> io::Result<u64> {
    let mut size = 0;
    // SAFETY: the kernel writes one u64 to a live variable.
    unsafe { raw::size(device.as_fd().as_raw_fd(), &raw mut size) }?;
    Ok(size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_added_where_there_is_room() {
        let file = std::fs::File::open("/proc/self/exe").expect("the test itself");
        let size = file.metadata().expect("a file").len();
        let mut bytes = Vec::with_capacity(10);
        bytes.extend_from_slice(b"before");
        let place = bytes.as_ptr();
        append(&file, &mut bytes, 3, 1).expect("it is longer");
        assert_eq!((&*bytes, bytes.as_ptr()), (&b"beforeELF"[..], place));
        append(&file, &mut bytes, 0, u64::MAX).expect("nothing");
        assert_eq!(bytes.len(), 9);
        let error = append(&file, &mut bytes, 2, size - 1).expect_err("one byte");
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        append(&file, &mut bytes, 1, u64::MAX).expect_err("no such place");
    }

    #[test]
    fn a_plain_file_is_no_block_device() {
        let file = std::fs::File::open("/proc/self/exe").expect("the test itself");
        for error in [
            logical_block_size(&file).expect_err("no device"),
            is_read_only(&file).map(u32::from).expect_err("no device"),
            size(&file).map(|_| 0).expect_err("no device"),
        ] {
            assert_eq!(error.raw_os_error(), Some(libc::ENOTTY));
        }
    }
}
