//! Memory whose address suits O_DIRECT.

use std::fmt;
use std::ops::{Deref, DerefMut, Range};

/// Zeroed bytes at an address that is a multiple of what was asked for.
///
/// They are a part of memory that is larger, and not what an allocator has aligned: glibc's, before 2.38, does
/// not find such memory again once it was freed, so that who reads a device piece by piece takes as much
/// memory as the device has.
pub struct AlignedBuf {
    memory: Vec<u8>,
    place: Range<usize>,
}

impl AlignedBuf {
    /// `len` zeros at a multiple of `align`, which is rounded up to a power of two.
    ///
    /// # Panics
    /// Where both do not fit the address space.
    #[must_use]
    pub fn zeroed(len: usize, align: usize) -> Self {
        let align = align.next_power_of_two();
        let memory = vec![0; len + align];
        // Less than `align`, as bytes can begin anywhere.
        let start = memory.as_ptr().align_offset(align);
        Self { place: start..start + len, memory }
    }
}

impl fmt::Debug for AlignedBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AlignedBuf").field("len", &self.place.len()).finish_non_exhaustive()
    }
}

impl Deref for AlignedBuf {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.memory[self.place.clone()]
    }
}

impl DerefMut for AlignedBuf {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.memory[self.place.clone()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_where_asked_and_holds_what_is_written() {
        let mut buf = AlignedBuf::zeroed(8192, 4000);
        assert_eq!((buf.as_ptr().addr() % 4096, buf.len()), (0, 8192));
        assert!(buf.iter().all(|byte| *byte == 0));
        buf[8191] = 7;
        assert_eq!(buf.last(), Some(&7));
        assert!(AlignedBuf::zeroed(0, 512).is_empty());
    }
}
