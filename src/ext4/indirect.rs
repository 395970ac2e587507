//! Files mapped as in ext2: twelve blocks, then blocks of pointers to blocks, up to three deep.

use std::collections::BTreeSet;

use super::blocks::Blocks;
use super::fields::Fields;
use super::inode::Inode;
use super::map::{Run, Runs};
use crate::error::Result;

/// `EXT4_NDIR_BLOCKS`.
const DIRECT: usize = 12;

/// Adds the file's runs, of its first `count` blocks.
pub(super) fn collect(
    blocks: &Blocks<'_>,
    inode: &Inode,
    count: u64,
    runs: &mut Runs,
) -> Result<()> {
    let root = inode.i_block();
    let mut walk = Walk { blocks, inode, runs, count, next: 0, seen: BTreeSet::new() };
    for (index, pointer) in pointers(&root).enumerate() {
        let depth = index.saturating_add(1).saturating_sub(DIRECT);
        walk.pointer(pointer, u32::try_from(depth).unwrap_or(u32::MAX))?;
    }
    Ok(())
}

struct Walk<'w, 'd> {
    blocks: &'w Blocks<'d>,
    inode: &'w Inode,
    runs: &'w mut Runs,
    count: u64,
    /// The next block of the file.
    next: u64,
    /// Blocks of pointers: each may be met once, else a few blocks could stand for any number.
    seen: BTreeSet<u64>,
}

impl Walk<'_, '_> {
    /// Takes a pointer that stands for a block, or for what is so deep below it.
    fn pointer(&mut self, block: u64, depth: u32) -> Result<()> {
        if self.next >= self.count {
            return Ok(());
        }
        if block == 0 {
            // Four bytes a pointer.
            let below = self.blocks.geometry.block_log.saturating_sub(2).saturating_mul(depth);
            self.next = self.next.saturating_add(1u64.checked_shl(below).unwrap_or(u64::MAX));
            return Ok(());
        }
        if depth == 0 {
            self.blocks.check(block, 1)?;
            self.runs.push(Run { logical: self.next, start: block, len: 1 });
            self.next = self.next.saturating_add(1);
            return Ok(());
        }
        if !self.seen.insert(block) {
            return Err(self.inode.wrong("has a block of pointers twice").into());
        }
        let node = self.blocks.read(block)?;
        pointers(&node).try_for_each(|below| self.pointer(below, depth.saturating_sub(1)))
    }
}

fn pointers(node: &[u8]) -> impl Iterator<Item = u64> + '_ {
    node.chunks_exact(4).map(|pointer| u64::from(Fields(pointer).le32(0)))
}
