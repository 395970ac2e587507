//! What the page cache has of a file (`mincore`).

use std::io;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::os::fd::AsFd;
use std::ptr::NonNull;

use nix::libc::{self, c_void};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};

/// A file's bytes at addresses by which the kernel is asked for their pages. Nobody can read them there.
#[derive(Debug)]
pub struct Pages {
    start: NonNull<c_void>,
    len: NonZeroUsize,
    page: usize,
}

// SAFETY: the mapping belongs to this alone, and nothing is ever read or written by its address.
unsafe impl Send for Pages {}
// SAFETY: as above; the kernel may be asked from several threads at once.
unsafe impl Sync for Pages {}

impl Pages {
    /// Of a file of so many bytes.
    ///
    /// # Errors
    /// `InvalidInput` for a file of none, `ENODEV` where its file system maps no files, `ENOMEM` where the
    /// address space is too small.
    pub fn of(file: impl AsFd, len: usize) -> io::Result<Self> {
        let len = NonZeroUsize::new(len).ok_or(io::ErrorKind::InvalidInput)?;
        // SAFETY: asks for a number.
        let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) });
        let page = page.map_err(io::Error::other)?.max(1);
        let flags = MapFlags::MAP_SHARED | MapFlags::MAP_NORESERVE;
        // SAFETY: a new mapping, at an address that the kernel chooses, to which nobody has access.
        let start = unsafe { mmap(None, len, ProtFlags::PROT_NONE, flags, file, 0) }?;
        Ok(Self { start, len, page })
    }

    /// How many of the pages that a range of bytes touches are in memory, and how many there are. To
    /// who may not write the file, nor owns it, the kernel says that all are there.
    ///
    /// # Errors
    /// `InvalidInput` for what is not in the file; `ENOMEM`, `EAGAIN`.
    pub fn resident(&self, range: Range<usize>) -> io::Result<(usize, usize)> {
        if range.start >= range.end || range.end > self.len.get() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let first = range.start - range.start % self.page;
        let mut pages = vec![0u8; (range.end - first).div_ceil(self.page)];
        // SAFETY: `first` is inside the mapping, a multiple of a page; so is all up to `range.end`.
        let start = unsafe { self.start.as_ptr().byte_add(first) };
        // SAFETY: the kernel writes a byte for each page of this range of ours: as many as there are.
        let asked = unsafe { libc::mincore(start, range.end - first, pages.as_mut_ptr()) };
        crate::checked(asked)?;
        Ok((pages.iter().filter(|page| **page & 1 == 1).count(), pages.len()))
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: this very mapping, of which no address was given away. Should the kernel refuse, it
        // stays until the program ends.
        let _refused = unsafe { munmap(self.start, self.len.get()) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::Write;

    #[test]
    fn what_was_written_is_there() {
        let path = std::env::temp_dir().join(format!("imgbase-pages-{}", std::process::id()));
        let mut file = File::create_new(&path).expect("a new file");
        let opened = File::options().read(true).write(true).open(&path);
        std::fs::remove_file(&path).expect("it is ours");
        file.write_all(&[1; 10_000]).expect("there is room");
        file.set_len(1 << 20).expect("it is sparse");
        let pages = Pages::of(opened.expect("it was there"), 1 << 20).expect("mapped");
        let (there, all) = pages.resident(1..9999).expect("inside");
        assert!(there == all && all >= 1);
        // No page stands for the hole.
        let (there, all) = pages.resident(512 << 10..1 << 20).expect("inside");
        assert!(there == 0 && all >= 1, "{there} of {all}");
        for range in [0..(1 << 20) + 1, 5..5] {
            let refused = pages.resident(range).expect_err("not in the file");
            assert_eq!(refused.kind(), io::ErrorKind::InvalidInput);
        }
        assert!(Pages::of(&file, 0).is_err());
    }
}
