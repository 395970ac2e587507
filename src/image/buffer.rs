//! Memory for large transfers.

use std::ops::Range;

/// What O_DIRECT wants of memory on any disk.
const ALIGN: usize = 4096;

/// Bytes that begin at a multiple of 4096 in memory.
pub(super) struct Buffer {
    memory: Vec<u8>,
    start: usize,
    len: usize,
}

impl Buffer {
    /// `len` bytes of zeros.
    pub(super) fn new(len: usize) -> Self {
        let memory = vec![0; len.saturating_add(ALIGN)];
        // Never more than ALIGN - 1 for bytes; should it not be known, nothing is aligned but all fits.
        let start = Some(memory.as_ptr().align_offset(ALIGN)).filter(|&start| start < ALIGN);
        Self { memory, start: start.unwrap_or(0), len }
    }

    /// Some of its bytes; fewer where it is not that long.
    pub(super) fn get(&self, range: Range<usize>) -> &[u8] {
        self.memory.get(self.place(range)).unwrap_or_default()
    }

    /// Some of its bytes; fewer where it is not that long.
    pub(super) fn get_mut(&mut self, range: Range<usize>) -> &mut [u8] {
        let place = self.place(range);
        self.memory.get_mut(place).unwrap_or_default()
    }

    fn place(&self, range: Range<usize>) -> Range<usize> {
        let at = |index: usize| index.min(self.len).saturating_add(self.start);
        at(range.start.min(range.end))..at(range.end)
    }

    /// Makes some of its bytes zero.
    pub(super) fn clear(&mut self, range: Range<usize>) {
        self.get_mut(range).fill(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dev::bytes::is_zero;

    #[test]
    fn is_aligned_and_stays_inside_itself() {
        let mut buffer = Buffer::new(10_000);
        assert_eq!(buffer.get(0..1).as_ptr().align_offset(ALIGN), 0);
        assert_eq!(buffer.get(0..usize::MAX).len(), 10_000);
        buffer.get_mut(9_999..20_000).fill(7);
        assert!(is_zero(buffer.get(0..9_999)) && !is_zero(buffer.get(0..10_000)));
        buffer.clear(5_000..10_000);
        assert!(is_zero(buffer.get(0..10_000)) && is_zero(&[]));
    }
}
