//! Memory whose address suits O_DIRECT.

use std::fmt;
use std::io;
use std::ops::{Deref, DerefMut, Range};

/// What O_DIRECT wants of memory, and of a place and a length, in bytes: as much as any usual disk does.
pub(crate) const ANY_DISK: usize = 4096;

/// Bytes whose address is a multiple of what a disk wants.
///
/// They are a part of memory that is larger, and not what an allocator has aligned: glibc's, before 2.38, does
/// not find such memory again once it was freed, so that who reads a device piece by piece takes as much
/// memory as the device has.
#[derive(Default)]
pub struct AlignedBuf {
    memory: Vec<u8>,
    place: Range<usize>,
}

impl AlignedBuf {
    /// `len` zeros, for any disk: at a multiple of 4096.
    #[must_use]
    pub fn zeroed(len: usize) -> Self {
        let memory = vec![0; len.saturating_add(ANY_DISK)];
        let start = first_aligned(memory.as_ptr(), ANY_DISK);
        Self { memory, place: start..start.saturating_add(len) }
    }

    /// What `fill` adds to memory that has room for `len` bytes, the first of them at a multiple of `align`,
    /// which is rounded up to a power of two: who reads all of it need not make it zero first.
    ///
    /// # Errors
    /// Those of `fill`; `UnexpectedEof` where what it has added is not `len` bytes.
    pub fn filled(
        len: usize,
        align: usize,
        fill: impl FnOnce(&mut Vec<u8>) -> io::Result<()>,
    ) -> io::Result<Self> {
        let align = align.checked_next_power_of_two().unwrap_or(1);
        let mut memory = Vec::with_capacity(len.saturating_add(align));
        let start = first_aligned(memory.as_ptr(), align);
        // In steps: one byte after the other is as much work as the read.
        while memory.len() < start {
            let zeros = [0; 64];
            memory.extend_from_slice(zeros.get(..start - memory.len()).unwrap_or(&zeros));
        }
        fill(&mut memory)?;
        let place = start..start.saturating_add(len);
        if memory.len() == place.end {
            Ok(Self { memory, place })
        } else {
            Err(io::ErrorKind::UnexpectedEof.into())
        }
    }

    /// Some of its bytes; fewer where it is not that long.
    #[must_use]
    pub fn part(&self, range: Range<usize>) -> &[u8] {
        let range = self.clamped(range);
        self.get(range).unwrap_or_default()
    }

    /// Some of its bytes; fewer where it is not that long.
    pub fn part_mut(&mut self, range: Range<usize>) -> &mut [u8] {
        let range = self.clamped(range);
        self.get_mut(range).unwrap_or_default()
    }

    /// How many bytes of memory it takes: more than it has.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.memory.capacity()
    }

    fn clamped(&self, range: Range<usize>) -> Range<usize> {
        let end = range.end.min(self.place.len());
        range.start.min(end)..end
    }
}

/// Where in this memory the first aligned byte is: before `align`, for bytes. Should it not be known, nothing
/// is aligned but all fits.
fn first_aligned(memory: *const u8, align: usize) -> usize {
    Some(memory.align_offset(align)).filter(|start| *start < align).unwrap_or(0)
}

impl fmt::Debug for AlignedBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AlignedBuf").field("len", &self.place.len()).finish_non_exhaustive()
    }
}

impl Deref for AlignedBuf {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.memory.get(self.place.clone()).unwrap_or_default()
    }
}

impl DerefMut for AlignedBuf {
    fn deref_mut(&mut self) -> &mut [u8] {
        self.memory.get_mut(self.place.clone()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dev::bytes::is_zero;

    #[test]
    fn starts_where_asked_and_holds_what_is_written() {
        let mut buf = AlignedBuf::zeroed(8192);
        assert_eq!((buf.as_ptr().addr() % 4096, buf.len()), (0, 8192));
        assert!(is_zero(&buf));
        if let Some(last) = buf.last_mut() {
            *last = 7;
        }
        assert_eq!(buf.last(), Some(&7));
        assert!(AlignedBuf::zeroed(0).is_empty());
    }

    #[test]
    fn what_fills_it_gives_all_of_it() {
        let fill = |with: &[u8], align| {
            AlignedBuf::filled(3, align, |memory| {
                memory.extend_from_slice(with);
                Ok(())
            })
        };
        for align in [4096, 4000, 16_000, 1, 0, usize::MAX] {
            let buf = fill(b"abc", align).expect("all of it");
            let place = buf.as_ptr().addr() % align.checked_next_power_of_two().unwrap_or(1);
            assert_eq!((&*buf, place), (&b"abc"[..], 0), "{align}");
        }
        assert!(fill(b"ab", 4096).is_err() && fill(b"abcd", 4096).is_err());
        let refused = AlignedBuf::filled(3, 4096, |_| Err(io::ErrorKind::Other.into()));
        assert_eq!(refused.map_err(|error| error.kind()).err(), Some(io::ErrorKind::Other));
    }

    #[test]
    fn parts_stay_inside() {
        let mut buf = AlignedBuf::zeroed(10_000);
        assert_eq!(buf.part(0..1).as_ptr().addr() % 4096, 0);
        assert_eq!(buf.part(0..usize::MAX).len(), 10_000);
        buf.part_mut(9_999..20_000).fill(7);
        assert!(is_zero(buf.part(0..9_999)) && !is_zero(buf.part(0..10_000)));
        assert!(buf.part(20_000..30_000).is_empty() && buf.part_mut(10_000..10_001).is_empty());
    }
}
