//! Where in its metadata area a text goes: a ring behind the header.
//!
//! A new text begins in the first whole sector behind the live one and may
//! run over the area's end, going on at byte 512. It never touches the live
//! text: that is what makes a commit a matter of one sector. lvm2 places its
//! texts by the same rule, so the two can take turns.

use crate::error::{Error, ErrorKind, Result};
use crate::units::{Bytes, SECTOR};

use super::crc::crc;
use super::mda::{MDA_HEADER_SIZE, Mda, RawLocn};

/// No text is longer, whatever the area's size: bounds what a hostile header makes us read.
pub const TEXT_MAX: u64 = 64 << 20;

/// A run of bytes of the area, counted from the area's start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Its first byte.
    pub offset: u64,
    /// Its length; not zero.
    pub len: u64,
}

impl Piece {
    const fn end(&self) -> u64 {
        self.offset.saturating_add(self.len)
    }

    const fn overlaps(&self, other: &Self) -> bool {
        self.offset < other.end() && other.offset < self.end()
    }
}

/// A text's run, and the second one where it wraps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pieces {
    /// Up to the text's or the area's end.
    pub first: Piece,
    /// From the ring's start on.
    pub wrapped: Option<Piece>,
}

impl Pieces {
    /// Both, in the text's order.
    pub fn iter(&self) -> impl Iterator<Item = Piece> + use<> {
        std::iter::once(self.first).chain(self.wrapped)
    }

    fn overlaps(&self, other: &Self) -> bool {
        self.iter().any(|piece| other.iter().any(|theirs| piece.overlaps(&theirs)))
    }
}

/// A text as it goes into a ring: made once for all of them.
#[derive(Clone, Debug)]
pub struct RingText {
    /// With its NUL, and zeros up to the end of its last sector.
    bytes: Vec<u8>,
    /// Without the zeros.
    size: u64,
    checksum: u32,
}

impl RingText {
    /// From a text without its NUL.
    pub fn of(text: &str) -> Self {
        let mut bytes = Vec::with_capacity(padded(text.len().saturating_add(1)));
        bytes.extend_from_slice(text.as_bytes());
        bytes.push(0);
        Self::with_nul(bytes)
    }

    /// From the bytes of a text, its NUL with them.
    fn with_nul(mut bytes: Vec<u8>) -> Self {
        let (size, checksum) = (u64::try_from(bytes.len()).unwrap_or(u64::MAX), crc(&bytes));
        bytes.resize(padded(bytes.len()), 0);
        Self { bytes, size, checksum }
    }
}

/// As many bytes up to the end of the last sector.
fn padded(len: usize) -> usize {
    len.next_multiple_of(usize::try_from(SECTOR).unwrap_or(512))
}

/// Why a text cannot be there.
#[derive(Debug, thiserror::Error)]
enum Detail {
    #[error("the text is said to lie at {offset} with {size} bytes, outside its area of {area}")]
    Outside { offset: u64, size: u64, area: u64 },
    #[error("the text is said to have {0} bytes, more than any text has")]
    Huge(u64),
    #[error("the volume group's metadata has outgrown the metadata area")]
    Full,
}

/// The ring of an area of `size` bytes, header included.
#[derive(Clone, Copy, Debug)]
pub struct Ring {
    size: u64,
}

impl Ring {
    /// The ring of that area.
    pub fn of(mda: &Mda) -> Self {
        Self { size: mda.area().size.get() }
    }

    /// The longest text, in bytes with its NUL, that may be written: half of the ring less a
    /// sector, so that a text and its successor always fit beside each other.
    pub fn limit(&self) -> u64 {
        let half = self.size.saturating_sub(MDA_HEADER_SIZE) / 2;
        half.saturating_sub(SECTOR).min(TEXT_MAX)
    }

    /// The runs of a text that is in the ring.
    ///
    /// # Errors
    /// [`Corrupt`](ErrorKind::Corrupt) where it would leave the ring.
    pub fn pieces(&self, text: &RawLocn) -> Result<Pieces> {
        let RawLocn { offset, size, .. } = *text;
        let ring = self.size.saturating_sub(MDA_HEADER_SIZE);
        if offset < MDA_HEADER_SIZE || offset >= self.size || size == 0 || size > ring {
            let detail = Detail::Outside { offset, size, area: self.size };
            return Err(Error::new(ErrorKind::Corrupt, detail));
        }
        if size > TEXT_MAX {
            return Err(Error::new(ErrorKind::Unsupported, Detail::Huge(size)));
        }
        Ok(self.split(offset, size))
    }

    /// `offset` must lie in the ring and `len` not be longer than it.
    fn split(&self, offset: u64, len: u64) -> Pieces {
        let plain = self.size.saturating_sub(offset).min(len);
        let rest = len.saturating_sub(plain);
        let wrapped = (rest > 0).then_some(Piece { offset: MDA_HEADER_SIZE, len: rest });
        Pieces { first: Piece { offset, len: plain }, wrapped }
    }

    /// Where the text after `live` begins: lvm2's rule, byte for byte.
    pub fn start_after(&self, live: Option<&RawLocn>) -> u64 {
        let Some(live) = live else {
            return MDA_HEADER_SIZE;
        };
        let end = live.offset.saturating_add(live.size);
        let over = end.saturating_sub(self.size);
        let last = if over > 0 { MDA_HEADER_SIZE.saturating_add(over) } else { end };
        let last = last.saturating_sub(1);
        let start = last.saturating_add(1).checked_next_multiple_of(SECTOR).unwrap_or(u64::MAX);
        let fits = self.size.saturating_sub(last) >= SECTOR;
        if fits && start <= self.size.saturating_sub(SECTOR) { start } else { MDA_HEADER_SIZE }
    }

    /// Places `text` at `start` beside `live`, as the sectors to write.
    ///
    /// # Errors
    /// [`NoSpace`](ErrorKind::NoSpace) where it is longer than [`limit`](Self::limit) or would
    /// touch the live text.
    pub fn place(&self, text: &RingText, start: u64, live: Option<&RawLocn>) -> Result<Placed> {
        let len = text.size;
        let full = || {
            let (need, have) = (Bytes::new(len), Bytes::new(self.limit()));
            Error::new(ErrorKind::NoSpace { need, have }, Detail::Full)
        };
        if len > self.limit() {
            return Err(full());
        }
        let padded = len.checked_next_multiple_of(SECTOR).ok_or_else(full)?;
        let pieces = self.split(start, padded);
        if let Some(live) = live
            && pieces.overlaps(&self.pieces(live)?)
        {
            return Err(full());
        }
        let slot = RawLocn { offset: start, size: len, checksum: text.checksum, flags: 0 };
        Ok(Placed { slot, pieces })
    }
}

/// A text's place in an area, checked against the live one.
#[derive(Clone, Copy, Debug)]
pub struct Placed {
    /// What the header will say.
    pub slot: RawLocn,
    /// The whole sectors that it takes: the last one is filled up with zeros.
    pub pieces: Pieces,
}

impl Placed {
    /// The bytes of the text that was placed for each run: pairs of the offset in the area and whole
    /// sectors.
    pub fn sectors<'t>(&self, text: &'t RingText) -> impl Iterator<Item = (u64, &'t [u8])> {
        let mut rest = text.bytes.as_slice();
        self.pieces.iter().map(move |piece| {
            let len = usize::try_from(piece.len).unwrap_or(usize::MAX);
            let (run, after) = rest.split_at(len.min(rest.len()));
            rest = after;
            (piece.offset, run)
        })
    }
}

#[cfg(test)]
mod tests;
