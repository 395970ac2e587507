//! Large reads of a file past the page cache, where that has less than half of what is read.
//!
//! To bring an image to the page cache and copy it out of there is a third of the work of an import or
//! more, and puts out of memory what others have there. What is there already (an image that was just
//! fetched, or verified) is read from there, and that without the disk.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};

use imgbase_sys::cache::Pages;

use super::file::is_aligned;
use crate::dev::aligned::ANY_DISK;

/// What is smaller gets more of the kernel's reading ahead.
const LEAST: usize = 64 << 10;

/// A file beside the page cache.
#[derive(Debug)]
pub(super) struct Uncached {
    file: File,
    pages: Pages,
}

impl Uncached {
    /// Fails where the file system has no O_DIRECT, or the kernel does not say what the page cache has.
    pub(super) fn of(opened: &File, size: u64) -> io::Result<Self> {
        let size = usize::try_from(size).map_err(io::Error::other)?;
        // The same file, whatever its name stands for by now.
        let path = format!("/proc/self/fd/{}", opened.as_raw_fd());
        let file = OpenOptions::new().read(true).custom_flags(libc::O_DIRECT).open(path)?;
        Ok(Self { pages: Pages::of(&file, size)?, file })
    }

    /// False where it was not read: it is for the page cache.
    pub(super) fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<bool> {
        let begin = usize::try_from(at).unwrap_or(usize::MAX);
        if buf.len() < LEAST || !is_aligned(buf, at, ANY_DISK) {
            return Ok(false);
        }
        match self.pages.resident(begin..begin.saturating_add(buf.len())) {
            Ok((there, all)) if there.saturating_mul(2) < all => {}
            _ => return Ok(false),
        }
        match self.file.read_exact_at(buf, at) {
            // This disk wants more, or it is a file that is stored otherwise.
            Err(error) if is_refusal(&error) => Ok(false),
            read => read.map(|()| true),
        }
    }
}

fn is_refusal(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EINVAL | libc::EOPNOTSUPP))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use crate::dev::AlignedBuf;
    use rustix::fs::{Advice, fadvise};

    use super::*;

    #[test]
    fn what_the_page_cache_has_is_left_to_it() {
        // Beside this program, which is on a disk: a folder for temporary files may be in memory.
        let program = std::env::current_exe().expect("it has a path");
        let mut file = tempfile::tempfile_in(program.parent().expect("a folder")).expect("a file");
        let bytes: Vec<u8> = (0..(1 << 20) + 100u32).map(|at| (at / 7 % 251) as u8).collect();
        file.write_all(&bytes).expect("there is room");
        let uncached =
            Uncached::of(&file, bytes.len() as u64).expect("target/ is on a disk's file system");
        let mut buffer = AlignedBuf::zeroed(256 << 10);
        let mut read = |len: usize, at: u64| {
            let place = buffer.get_mut(..len).expect("it is as long");
            place.fill(0);
            let was_read = uncached.read_at(place, at).expect("readable");
            let from = usize::try_from(at).expect("small");
            assert!(!was_read || place == &bytes[from..from + len], "{len} bytes at {at}");
            was_read
        };
        assert!(!read(256 << 10, 0), "it was just written");
        file.sync_all().expect("its disk works");
        fadvise(&file, 0, None, Advice::DontNeed).expect("it is a file");
        let there = Pages::of(&file, bytes.len()).and_then(|pages| pages.resident(0..bytes.len()));
        assert_eq!(there.expect("all of it").0, 0, "target/ is on a disk");
        assert!(read(256 << 10, 256 << 10));
        assert!(read(256 << 10, 256 << 10), "it was not brought there");
        assert!(!read(64 << 10, 100) && !read(100, 0) && !read(8192, 0));
        file.read_exact_at(&mut vec![0; 64 << 10], 512 << 10).expect("readable");
        assert!(!read(64 << 10, 512 << 10));
    }
}
