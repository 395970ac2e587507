//! Which bytes of a file system's device it uses, from its block bitmaps.

use std::ops::Range;

use super::features::ro_compat;
use super::group::Descriptor;
use super::superblock::{State, Superblock};
use crate::dev::Dev;
use crate::error::{IoContext, Result};
use crate::units::Bytes;

const OP: &str = "read the block bitmaps";

/// A stretch of bytes: from the first on, up to and without the second.
pub type Extent = Range<Bytes>;

/// Why a file system's bitmaps are not believed, so that all of it has to be copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Distrust {
    /// They may be older than what the journal holds, or wrong.
    #[error("the file system was not left in order")]
    NotClean,
    /// Nothing tells a right bitmap from a damaged one.
    #[error("its bitmaps have no checksums (no metadata_csum)")]
    NoChecksums,
    /// A feature unknown here may change what a bitmap means.
    #[error("it has features unknown to this program")]
    UnknownFeatures,
}

impl Superblock {
    /// Whether the block bitmaps can be believed at all. Each is still held against its own
    /// checksum when it is read.
    ///
    /// # Errors
    /// Why not.
    pub fn trust_bitmaps(&self) -> Result<(), Distrust> {
        if self.state() != State::Clean {
            Err(Distrust::NotClean)
        } else if !self.features().known() {
            Err(Distrust::UnknownFeatures)
        } else if !self.features().ro_compat(ro_compat::METADATA_CSUM) {
            Err(Distrust::NoChecksums)
        } else {
            Ok(())
        }
    }
}

/// The extents that the file system uses, in order and none touching the next. Reads one block of
/// descriptors and one bitmap at a time. A group whose descriptor's or bitmap's checksum does not
/// hold counts as used as a whole.
///
/// The device must hold all of the file system; what is used in it ends with the file system.
///
/// # Errors
/// [`Distrust`] where no bitmap is believed.
pub fn used_extents<'d>(dev: &'d dyn Dev, sb: &'d Superblock) -> Result<UsedExtents<'d>, Distrust> {
    sb.trust_bitmaps()?;
    Ok(UsedExtents {
        groups: Groups { dev, sb, table_index: None, table: Vec::new(), bitmap: Vec::new() },
        next: 0,
        blocks: Vec::new().into_iter(),
        held: None,
        distrusted: 0,
    })
}

/// The extents between those of [`used_extents`]: what may be discarded.
///
/// # Errors
/// As [`used_extents`].
pub fn free_extents<'d>(
    dev: &'d dyn Dev,
    sb: &'d Superblock,
) -> Result<impl Iterator<Item = Result<Extent>> + use<'d>, Distrust> {
    let end = std::iter::once(Ok(sb.size()..sb.size()));
    // Where the next gap begins; nowhere after an error, behind which nothing is known to be free.
    let mut from = Some(Bytes::ZERO);
    let gaps = used_extents(dev, sb)?.chain(end).map_while(move |used| {
        let start = from.take()?;
        Some(used.map(|used| {
            from = Some(used.end);
            start..used.start
        }))
    });
    Ok(gaps.filter(|gap| gap.as_ref().map_or(true, |gap| gap.start < gap.end)))
}

/// Iterator of [`used_extents`]; it ends after an error.
pub struct UsedExtents<'d> {
    groups: Groups<'d>,
    next: u64,
    blocks: std::vec::IntoIter<Range<u64>>,
    held: Option<Range<u64>>,
    distrusted: u64,
}

impl UsedExtents<'_> {
    /// How many groups so far counted as used as a whole because a checksum did not hold.
    pub fn distrusted(&self) -> u64 {
        self.distrusted
    }

    fn next_blocks(&mut self) -> Result<Option<Range<u64>>> {
        loop {
            if let Some(blocks) = self.blocks.next() {
                return Ok(Some(blocks));
            }
            if self.next >= self.groups.sb.geometry().group_count() {
                return Ok(None);
            }
            self.blocks = self.group_used()?.into_iter();
            self.next = self.next.saturating_add(1);
        }
    }

    fn group_used(&mut self) -> Result<Vec<Range<u64>>> {
        let (group, geometry) = (self.next, self.groups.sb.geometry());
        let mut used = match self.groups.used(group)? {
            Some(used) => used,
            None => {
                self.distrusted = self.distrusted.saturating_add(1);
                vec![geometry.group_blocks(group)]
            }
        };
        if group == 0 {
            // The boot block and the superblock: no bitmap is needed to know of them.
            used.push(0..geometry.front(0).end);
            used.sort_unstable_by_key(|blocks| blocks.start);
        }
        Ok(used)
    }

    /// The next run of used blocks, joined with all that touch it.
    fn next_run(&mut self) -> Result<Option<Range<u64>>> {
        let Some(mut run) = self.held.take() else {
            self.held = self.next_blocks()?;
            return if self.held.is_some() { self.next_run() } else { Ok(None) };
        };
        while let Some(blocks) = self.next_blocks()? {
            if blocks.start > run.end {
                self.held = Some(blocks);
                break;
            }
            run.end = run.end.max(blocks.end);
        }
        Ok(Some(run))
    }
}

impl Iterator for UsedExtents<'_> {
    type Item = Result<Extent>;

    fn next(&mut self) -> Option<Self::Item> {
        let geometry = self.groups.sb.geometry();
        let run = self.next_run().transpose()?;
        if run.is_err() {
            (self.next, self.held) = (u64::MAX, None);
        }
        Some(run.map(|run| geometry.byte_of(run.start)..geometry.byte_of(run.end)))
    }
}

/// Reads groups one after the other.
struct Groups<'d> {
    dev: &'d dyn Dev,
    sb: &'d Superblock,
    table_index: Option<u64>,
    table: Vec<u8>,
    bitmap: Vec<u8>,
}

impl Groups<'_> {
    /// The used blocks of a group in order, or `None` where nothing about it can be believed.
    fn used(&mut self, group: u64) -> Result<Option<Vec<Range<u64>>>> {
        let (block, byte) = self.sb.geometry().desc_place(group);
        if self.table_index != Some(block) {
            if !read_block(self.dev, self.sb, block, &mut self.table)? {
                return Ok(None);
            }
            self.table_index = Some(block);
        }
        let Some(descriptor) = Descriptor::of(self.sb, &self.table, byte, group) else {
            return Ok(None);
        };
        if descriptor.checksum(self.sb) != Some(descriptor.stored()) {
            return Ok(None);
        }
        if descriptor.block_uninit() {
            return Ok(Some(own_blocks(self.sb, descriptor, group)));
        }
        let believed = read_block(self.dev, self.sb, descriptor.block_bitmap(), &mut self.bitmap)?
            && descriptor.bitmap_holds(self.sb, &self.bitmap);
        Ok(believed.then(|| runs(self.sb, group, &self.bitmap)))
    }
}

/// Reads a block; `false` where it is outside of the file system.
fn read_block(dev: &dyn Dev, sb: &Superblock, block: u64, buf: &mut Vec<u8>) -> Result<bool> {
    let geometry = sb.geometry();
    if block >= geometry.blocks_count {
        return Ok(false);
    }
    buf.resize(1 << geometry.block_log, 0);
    let at = geometry.byte_of(block);
    dev.read_at(buf, at).context(OP, format_args!("{}, byte {}", dev.name(), at.get()))?;
    Ok(true)
}

/// What a group holds whose bitmap was never written: its front and, where they lie in it, its own
/// bitmaps and inode table.
fn own_blocks(sb: &Superblock, descriptor: Descriptor<'_>, group: u64) -> Vec<Range<u64>> {
    let geometry = sb.geometry();
    let all = geometry.group_blocks(group);
    let one = |block: u64| block..block.saturating_add(1);
    let table = descriptor.inode_table();
    let mut own = vec![
        geometry.front(group),
        one(descriptor.block_bitmap()),
        one(descriptor.inode_bitmap()),
        table..table.saturating_add(geometry.inode_table_blocks),
    ];
    for blocks in &mut own {
        *blocks = blocks.start.max(all.start)..blocks.end.min(all.end);
    }
    own.retain(|blocks| blocks.start < blocks.end);
    own.sort_unstable_by_key(|blocks| blocks.start);
    own
}

/// The runs of set bits of a group's bitmap, as blocks.
fn runs(sb: &Superblock, group: u64, bitmap: &[u8]) -> Vec<Range<u64>> {
    let geometry = sb.geometry();
    let all = geometry.group_blocks(group);
    let clusters = (all.end.saturating_sub(all.start)).div_ceil(1 << geometry.cluster_log);
    let block =
        |cluster: u64| all.start.saturating_add(cluster << geometry.cluster_log).min(all.end);
    let runs = set_bits(bitmap, clusters).into_iter();
    runs.map(|run| block(run.start)..block(run.end)).collect()
}

/// The runs of set bits among the first `count` of a bitmap, lowest bit of each byte first.
fn set_bits(bitmap: &[u8], count: u64) -> Vec<Range<u64>> {
    let (mut runs, mut start, mut bit) = (Vec::new(), None, 0u64);
    for &byte in bitmap {
        if bit >= count {
            break;
        }
        // A byte that continues what came before it has nothing to say.
        if !(byte == 0 && start.is_none() || byte == 0xFF && start.is_some()) {
            for (at, place) in (bit..count).zip(0..8u32) {
                match (byte >> place & 1 != 0, start) {
                    (true, None) => start = Some(at),
                    (false, Some(from)) => {
                        runs.push(from..at);
                        start = None;
                    }
                    _ => {}
                }
            }
        }
        bit = bit.saturating_add(8);
    }
    runs.extend(start.map(|from| from..count));
    runs
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn runs_of_bits_are_the_bits(bitmap: Vec<u8>, spare in 0u64..9) {
            let count = (bitmap.len() as u64 * 8).saturating_sub(spare);
            let runs = set_bits(&bitmap, count);
            for bit in 0..count {
                let set = bitmap[(bit / 8) as usize] >> (bit % 8) & 1 == 1;
                prop_assert_eq!(runs.iter().any(|run| run.contains(&bit)), set);
            }
            prop_assert!(runs.windows(2).all(|pair| pair[0].end < pair[1].start));
            prop_assert!(runs.iter().all(|run| run.start < run.end && run.end <= count));
        }
    }
}
