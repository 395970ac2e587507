//! Files mapped by extents: a tree whose root lies in the inode.
//!
//! A node is a header of 12 bytes (magic 0xF30A, entries, room for how many, depth) and entries of
//! 12 bytes. An index entry is the first block of the file below it and the block of that node; an
//! extent is a block of the file, a length (above 2^15: that many more and not written yet), and
//! the block on the device. With `metadata_csum` a node outside of the inode has a crc32c behind
//! its last entry's room.

use std::ops::Range;

use super::blocks::Blocks;
use super::checksum::crc32c;
use super::features::ro_compat;
use super::fields::Fields;
use super::inode::Inode;
use super::map::{Run, Runs};
use crate::error::Result;

const MAGIC: u16 = 0xF30A;
/// Of the header and of an entry.
const LEN: usize = 12;
/// `EXT4_MAX_EXTENT_DEPTH`.
const DEPTH_MAX: u16 = 5;
/// Up to this length an extent is written.
const WRITTEN_MAX: u16 = 1 << 15;

/// Adds the file's runs.
pub(super) fn collect(blocks: &Blocks<'_>, inode: &Inode, runs: &mut Runs) -> Result<()> {
    let root = inode.i_block();
    let depth = Fields(&root).le16(6);
    if depth > DEPTH_MAX {
        return Err(inode.wrong("has extents that are too deep").into());
    }
    Walk { blocks, inode, runs }.node(&root, depth, 0..1 << 32)
}

struct Walk<'w, 'd> {
    blocks: &'w Blocks<'d>,
    inode: &'w Inode,
    runs: &'w mut Runs,
}

impl Walk<'_, '_> {
    /// Takes a node whose blocks of the file must lie within `range`. Since ranges of siblings do
    /// not overlap and depths fall by one, no node with entries can be met twice.
    fn node(&mut self, node: &[u8], depth: u16, range: Range<u64>) -> Result<()> {
        let fields = Fields(node);
        let (entries, room) = (fields.le16(2), fields.le16(4));
        let fits = usize::from(room).saturating_add(1).saturating_mul(LEN) <= node.len();
        let empty = depth > 0 && entries == 0;
        if fields.le16(0) != MAGIC || fields.le16(6) != depth || entries > room || !fits || empty {
            return Err(self.inode.wrong("has a node of extents that cannot be right").into());
        }
        let mut next = range.start;
        for index in 0..usize::from(entries) {
            let entry = Fields(entry(node, index));
            let first = u64::from(entry.le32(0));
            if first < next || first >= range.end {
                return Err(self.inode.wrong("has extents out of order").into());
            }
            next = if depth == 0 {
                self.extent(entry)?
            } else {
                let last = index.saturating_add(1) == usize::from(entries);
                let end = if last { range.end } else { first_of(node, index.saturating_add(1)) };
                self.child(entry, depth, first..end.min(range.end))?;
                end
            };
        }
        if next > range.end {
            return Err(self.inode.wrong("has extents that overlap").into());
        }
        Ok(())
    }

    /// Returns the block of the file behind it.
    fn extent(&mut self, entry: Fields<'_>) -> Result<u64> {
        let (logical, len) = (u64::from(entry.le32(0)), entry.le16(4));
        let start = (u64::from(entry.le16(6)) << 32) | u64::from(entry.le32(8));
        let written = len <= WRITTEN_MAX;
        let len = u64::from(if written { len } else { len.saturating_sub(WRITTEN_MAX) });
        if len == 0 {
            return Err(self.inode.wrong("has an extent of no length").into());
        }
        self.blocks.check(start, len)?;
        if written {
            self.runs.push(Run { logical, start, len });
        }
        Ok(logical.saturating_add(len))
    }

    fn child(&mut self, entry: Fields<'_>, depth: u16, range: Range<u64>) -> Result<()> {
        let block = (u64::from(entry.le16(8)) << 32) | u64::from(entry.le32(4));
        let node = self.blocks.read(block)?;
        if !self.checksum_holds(&node) {
            return Err(self.inode.wrong("has a node of extents with a wrong checksum").into());
        }
        self.node(&node, depth.saturating_sub(1), range)
    }

    fn checksum_holds(&self, node: &[u8]) -> bool {
        if !self.blocks.geometry.features.ro_compat(ro_compat::METADATA_CSUM) {
            return true;
        }
        let covered = usize::from(Fields(node).le16(4)).saturating_add(1).saturating_mul(LEN);
        let stored = node.get(covered..).and_then(<[u8]>::first_chunk);
        let sum = crc32c(self.inode.seed(), node.get(..covered).unwrap_or_default());
        stored.is_some_and(|stored| *stored == sum.to_le_bytes())
    }
}

/// An entry of a node that was found to have room for it.
fn entry(node: &[u8], index: usize) -> &[u8] {
    let at = index.saturating_add(1).saturating_mul(LEN);
    node.get(at..).and_then(|rest| rest.get(..LEN)).expect("the node's room was checked")
}

fn first_of(node: &[u8], index: usize) -> u64 {
    Fields(entry(node, index)).le32(0).into()
}
