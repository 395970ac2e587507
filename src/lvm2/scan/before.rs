//! The text before one that is lost.
//!
//! lvm2 puts no flush between a text and the header that points to it: a power cut may leave the
//! header and not the text. The text before it is still in the ring, as none is ever written over
//! the one in force; and the rule by which each is placed behind the one before (see
//! [`Ring::start_after`]) tells which it is.

use crate::error::Result;
use crate::units::SECTOR;

use super::super::crc::crc;
use super::super::label::PvLabel;
use super::super::mda::{MDA_HEADER_SIZE, Mda, RawLocn};
use super::super::model::Vg;
use super::super::ring::Ring;
use super::device::{Source, parse};

/// How far back it is looked for: a text is not much longer than its successor. In bytes.
const LEAST: u64 = 256 << 10;
const MOST: u64 = 4 << 20;
const SECTOR_LEN: usize = 512;

/// A text that was in force when the lost one was written.
pub(super) struct Before {
    pub(super) slot: RawLocn,
    pub(super) vg: Vg,
}

/// Looks for the text before `lost`, which must be in the ring; it names this physical volume.
///
/// # Errors
/// Where the device cannot be read.
pub(super) fn before(
    source: &Source<'_>,
    label: &PvLabel,
    header: &Mda,
    lost: &RawLocn,
) -> Result<Option<Before>> {
    let ring = header.area().size.get().saturating_sub(MDA_HEADER_SIZE);
    if Ring::of(header).pieces(lost).is_err() || !lost.offset.is_multiple_of(SECTOR) {
        return Ok(None);
    }
    let len = lost.size.saturating_mul(2).clamp(LEAST, MOST);
    let len = len.checked_next_multiple_of(SECTOR).unwrap_or(MOST).min(ring);
    // The first byte of the window, as one of the ring.
    let end = lost.offset.saturating_sub(MDA_HEADER_SIZE);
    let start = if end >= len { end - len } else { end.saturating_add(ring).saturating_sub(len) };
    let window = read(source, header, (start, len, ring))?;
    // Each text ends with a NUL and fills its last sector, which is the one before the lost text.
    let last = window.len().saturating_sub(SECTOR_LEN);
    let is_nul = |byte: &u8| *byte == 0;
    let Some(nul) = window.iter().skip(last).position(is_nul) else { return Ok(None) };
    let end = last.saturating_add(nul).saturating_add(1);
    let after_nul = window.get(..last).unwrap_or_default().iter().rposition(is_nul);
    let first = after_nul.map_or(0, |nul| nul.saturating_add(1)).next_multiple_of(SECTOR_LEN);
    let heads = |from: usize, to: usize| (from..to).step_by(SECTOR_LEN).rev();
    let head_at = |at: usize| Head::of(window.get(at..)?);
    // The nearest one decides.
    let Some(at) = heads(first, end).find(|at| head_at(*at).is_some()) else { return Ok(None) };
    let candidate = || {
        let text = window.get(at..end)?;
        let offset = start.checked_add(u64::try_from(at).ok()?)? % ring;
        let slot = RawLocn {
            offset: offset.checked_add(MDA_HEADER_SIZE)?,
            size: u64::try_from(text.len()).ok()?,
            checksum: crc(text),
            flags: 0,
        };
        let both = slot.size.checked_next_multiple_of(SECTOR)?.checked_add(lost.size)?;
        let follows = Ring::of(header).start_after(Some(&slot)) == lost.offset && both <= ring;
        let vg = if follows { parse(text.to_vec(), None).ok()? } else { return None };
        vg.pvs.iter().any(|pv| pv.id == label.id).then_some(Before { slot, vg })
    };
    // One from an earlier trip round the ring may end there by chance: then its successors are
    // about. In the place of the lost one itself there may be its beginning.
    let inside = len.saturating_add(lost.size).saturating_sub(ring);
    let inside = usize::try_from(inside).unwrap_or(usize::MAX).next_multiple_of(SECTOR_LEN);
    let all = heads(inside, window.len());
    Ok(candidate().filter(|found| {
        let mut all = all.filter_map(head_at);
        !all.any(|head| head.is_of(&found.vg) && head.seqno > found.vg.seqno)
    }))
}

/// Bytes of the ring from `start` on, which may run over its end.
fn read(source: &Source<'_>, header: &Mda, (start, len, ring): (u64, u64, u64)) -> Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
    let plain = usize::try_from(ring.saturating_sub(start)).unwrap_or(usize::MAX);
    let (first, second) = bytes.split_at_mut(plain.min(usize::try_from(len).unwrap_or(0)));
    source.read(first, header.at(start.saturating_add(MDA_HEADER_SIZE)))?;
    source.read(second, header.at(MDA_HEADER_SIZE))?;
    Ok(bytes)
}

/// The first three lines of a text, of lvm2's or ours: `NAME {`, `id` and `seqno`.
struct Head<'t> {
    id: &'t [u8],
    seqno: u64,
}

impl<'t> Head<'t> {
    fn of(text: &'t [u8]) -> Option<Self> {
        let mut lines = text.get(..SECTOR_LEN).unwrap_or(text).split(|byte| *byte == b'\n');
        lines.next().filter(|line| line.ends_with(b" {"))?;
        let id = lines.next()?.strip_prefix(b"id = \"")?.strip_suffix(b"\"")?;
        let seqno = std::str::from_utf8(lines.next()?.strip_prefix(b"seqno = ")?).ok()?;
        Some(Self { id, seqno: seqno.trim().parse().ok()? })
    }

    fn is_of(&self, vg: &Vg) -> bool {
        self.id == vg.id.to_string().as_bytes()
    }
}
