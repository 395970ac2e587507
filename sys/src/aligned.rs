//! Memory whose address suits O_DIRECT.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

/// Zeroed bytes at an address that is a multiple of what was asked for.
#[derive(Debug)]
pub struct AlignedBuf {
    start: NonNull<u8>,
    layout: Layout,
}

// SAFETY: the buffer owns its memory alone and has no interior mutability, like a `Box<[u8]>`.
unsafe impl Send for AlignedBuf {}
// SAFETY: shared references only read; see above.
unsafe impl Sync for AlignedBuf {}

impl AlignedBuf {
    /// `len` zeros at a multiple of `align`, or `None` where `align` is no power of two, `len` is
    /// zero or both do not fit the address space.
    pub fn zeroed(len: usize, align: usize) -> Option<Self> {
        let layout = Layout::from_size_align(len, align).ok().filter(|layout| layout.size() > 0)?;
        // SAFETY: the layout's size is not zero.
        let start = unsafe { alloc_zeroed(layout) };
        let start = NonNull::new(start).unwrap_or_else(|| handle_alloc_error(layout));
        Some(Self { start, layout })
    }
}

impl Deref for AlignedBuf {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: `start` points at `layout.size()` bytes that were initialised with zeros and
        // live as long as `self`; nobody else has the pointer.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.layout.size()) }
    }
}

impl DerefMut for AlignedBuf {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `deref`, and `self` is borrowed alone.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.layout.size()) }
    }
}

impl Drop for AlignedBuf {
    fn drop(&mut self) {
        // SAFETY: allocated in `zeroed` with this very layout and given back only here.
        unsafe { dealloc(self.start.as_ptr(), self.layout) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_where_asked_and_holds_what_is_written() {
        let mut buf = AlignedBuf::zeroed(8192, 4096).expect("a fair layout");
        assert_eq!(buf.as_ptr().addr() % 4096, 0);
        assert!(buf.iter().all(|byte| *byte == 0));
        buf[8191] = 7;
        assert_eq!(buf.last(), Some(&7));
        assert!(AlignedBuf::zeroed(0, 512).is_none());
        assert!(AlignedBuf::zeroed(512, 3).is_none());
    }
}
