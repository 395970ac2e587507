//! What a device holds, by the marks at its two ends. It guards what is about to be overwritten,
//! so it names too much rather than too little: only a device whose ends are all zeros is empty.
//!
//! The places and marks are those of each format's own documentation and of what `blkid` finds.

use crate::dev::Dev;
use crate::error::{IoContext, Result};
use crate::units::Bytes;

mod marks;
mod raid;
#[cfg(test)]
mod tests;

/// How much of each end is looked at, in bytes.
const END: u64 = 1 << 20;

/// The first and the last MiB of a device.
struct Ends {
    head: Vec<u8>,
    tail: Vec<u8>,
    /// Where `tail` begins, in bytes.
    tail_at: u64,
    /// The device's size in bytes.
    size: u64,
}

impl Ends {
    fn read(dev: &dyn Dev) -> Result<Self> {
        let size = dev.size().get();
        let part = |at: u64| -> Result<Vec<u8>> {
            let mut bytes = vec![0; usize::try_from(size.min(END)).unwrap_or(0)];
            dev.read_at(&mut bytes, Bytes::new(at))
                .context("look for what is on the device", dev.name())?;
            Ok(bytes)
        };
        let tail_at = size.saturating_sub(END);
        let head = part(0)?;
        let tail = if tail_at == 0 { head.clone() } else { part(tail_at)? };
        Ok(Self { head, tail, tail_at, size })
    }

    /// `len` bytes from byte `at` of the device on, where they lie in one of the ends.
    fn at(&self, at: u64, len: usize) -> Option<&[u8]> {
        let within = |bytes: &[u8], start: u64| -> Option<std::ops::Range<usize>> {
            let start = usize::try_from(start).ok()?;
            let end = start.checked_add(len)?;
            (end <= bytes.len()).then_some(start..end)
        };
        if let Some(range) = within(&self.head, at) {
            return self.head.get(range);
        }
        let range = within(&self.tail, at.checked_sub(self.tail_at)?)?;
        self.tail.get(range)
    }

    /// True where `mark` stands at byte `at`.
    fn has(&self, at: u64, mark: &[u8]) -> bool {
        self.at(at, mark.len()) == Some(mark)
    }

    /// True where `mark` stands `back` bytes before the end.
    fn ends_with(&self, back: u64, mark: &[u8]) -> bool {
        self.size.checked_sub(back).is_some_and(|at| self.has(at, mark))
    }

    /// The little-endian number of four bytes at byte `at`, or 0.
    fn le32(&self, at: u64) -> u32 {
        let bytes = self.at(at, 4).and_then(|bytes| <[u8; 4]>::try_from(bytes).ok());
        u32::from_le_bytes(bytes.unwrap_or_default())
    }

    fn is_zero(&self) -> bool {
        self.head.iter().chain(&self.tail).all(|byte| *byte == 0)
    }
}

/// Names what a device holds: `an ext4 file system`, or `unknown data`. `None` only where the
/// first and the last MiB are all zeros. Reads no more than these.
///
/// # Errors
/// [`Io`](crate::ErrorKind::Io) where they cannot be read.
pub fn recognise(dev: &dyn Dev) -> Result<Option<String>> {
    let ends = Ends::read(dev)?;
    if ends.is_zero() {
        return Ok(None);
    }
    let name = raid::name(&ends).or_else(|| marks::name(&ends)).unwrap_or("unknown data");
    Ok(Some(name.to_owned()))
}
