//! What a device holds, by the marks at its two ends. It guards what is about to be overwritten,
//! so it names too much rather than too little: only a device whose ends are all zeros is empty.
//!
//! The places and marks are those of each format's own documentation and of what `blkid` finds.

use crate::dev::Dev;
use crate::dev::bytes::is_zero;
use crate::error::{IoContext, Result};
use crate::units::Bytes;

mod marks;
mod raid;
#[cfg(test)]
mod tests;

/// How much of each end is looked at, in bytes.
const END: u64 = 1 << 20;

/// Where a few formats keep a mark between the ends, in bytes: VMFS at 1 and 2 MiB, the second
/// header of LUKS2 at up to 4 MiB.
pub(crate) const BETWEEN: [u64; 3] = [1 << 20, 2 << 20, 4 << 20];

/// How much is looked at there.
pub(crate) const SPOT: u64 = 4096;

/// The first and the last MiB of a device, and a few spots between.
struct Ends {
    /// The spots between that the device is large enough for, and where each begins, in bytes.
    spots: Vec<(u64, Vec<u8>)>,
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
        let read = |at: u64, len: u64| -> Result<Vec<u8>> {
            let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
            dev.read_at(&mut bytes, Bytes::new(at))
                .context("look for what is on the device", dev.name())?;
            Ok(bytes)
        };
        let tail_at = size.saturating_sub(END);
        let head = read(0, size.min(END))?;
        let tail = if tail_at == 0 { head.clone() } else { read(tail_at, END)? };
        let spots = BETWEEN.into_iter().filter(|at| at.saturating_add(SPOT) <= size);
        let spots = spots.map(|at| Ok((at, read(at, SPOT)?))).collect::<Result<_>>()?;
        Ok(Self { spots, head, tail, tail_at, size })
    }

    /// `len` bytes from byte `at` of the device on, where they lie in one of the ends or spots.
    fn at(&self, at: u64, len: usize) -> Option<&[u8]> {
        let ends = [(0, &self.head), (self.tail_at, &self.tail)].into_iter();
        let spots = self.spots.iter().map(|(start, bytes)| (*start, bytes));
        ends.chain(spots).find_map(|(start, bytes)| {
            let start = usize::try_from(at.checked_sub(start)?).ok()?;
            bytes.get(start..start.checked_add(len)?)
        })
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
        let spots = self.spots.iter().map(|(_, bytes)| bytes);
        [&self.head, &self.tail].into_iter().chain(spots).all(|bytes| is_zero(bytes))
    }
}

/// Names what a device holds: `an ext4 file system`, or `unknown data`. `None` only where the
/// first and the last MiB are all zeros, and the few places between where a mark may stand. Reads
/// no more than these.
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
