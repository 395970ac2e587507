//! Where groups begin and what each holds of the file system's own.

use std::ops::Range;

use super::features::{Features, compat, incompat, ro_compat};
use crate::units::Bytes;

/// The numbers that a layout follows from, checked: no method can divide by zero or leave 64 bits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// log2 of the block size in bytes, 10 to 16.
    pub(super) block_log: u32,
    /// log2 of the blocks in a cluster; 0 without `bigalloc`.
    pub(super) cluster_log: u32,
    /// `s_blocks_count`; times the block size it fits 63 bits.
    pub(super) blocks_count: u64,
    /// `s_first_data_block`: 1 for blocks of 1 KiB (0 with `bigalloc`), else 0.
    pub(super) first_data_block: u64,
    /// `s_blocks_per_group`, not zero.
    pub(super) blocks_per_group: u64,
    /// `s_clusters_per_group`, not zero, at most the bits of a block.
    pub(super) clusters_per_group: u32,
    /// `s_inodes_count`.
    pub(super) inodes_count: u32,
    /// `s_inodes_per_group`, not zero.
    pub(super) inodes_per_group: u32,
    /// `s_inode_size`: a power of two from 128 up to the block size.
    pub(super) inode_size: u32,
    /// Blocks of a group's inode table.
    pub(super) inode_table_blocks: u64,
    /// Bytes of a group descriptor: 32, or a power of two from 64 up to the block size.
    pub(super) desc_size: u32,
    /// `s_reserved_gdt_blocks`.
    pub(super) reserved_gdt_blocks: u64,
    /// `s_first_meta_bg`: the first descriptor block that lies in its own groups.
    pub(super) first_meta_bg: u64,
    /// `s_backup_bgs`.
    pub(super) backup_bgs: [u32; 2],
    /// The features.
    pub(super) features: Features,
}

impl Geometry {
    /// Bytes of a block.
    pub fn block_size(&self) -> Bytes {
        Bytes::new(1 << self.block_log)
    }

    /// Bytes of the whole file system.
    pub fn size(&self) -> Bytes {
        Bytes::new(self.blocks_count << self.block_log)
    }

    /// The byte where a block begins; a block past the end is put at the end.
    pub fn byte_of(&self, block: u64) -> Bytes {
        Bytes::new(block.min(self.blocks_count) << self.block_log)
    }

    /// How many groups there are.
    pub fn group_count(&self) -> u64 {
        self.blocks_count.saturating_sub(self.first_data_block).div_ceil(self.blocks_per_group)
    }

    /// The blocks of a group; the last one may be short.
    pub fn group_blocks(&self, group: u64) -> Range<u64> {
        let start = self.group_start(group);
        start..start.saturating_add(self.blocks_per_group).min(self.blocks_count)
    }

    /// True where blocks, groups and inodes have the same numbers in both.
    pub(super) fn is_laid_out_as(&self, other: &Self) -> bool {
        let sizes =
            |geometry: &Self| (geometry.block_log, geometry.cluster_log, geometry.inode_size);
        let counts = |geometry: &Self| {
            let (blocks, inodes) = (geometry.blocks_count, geometry.inodes_count);
            let groups = (geometry.blocks_per_group, geometry.inodes_per_group);
            (blocks, inodes, groups, geometry.first_data_block)
        };
        sizes(self) == sizes(other) && counts(self) == counts(other)
    }

    /// The group that an inode belongs to, and the byte in that group's table where it begins.
    pub(super) fn inode_place(&self, ino: u32) -> (u64, u64) {
        let index = ino.saturating_sub(1);
        let per_group = self.inodes_per_group.max(1);
        let byte = u64::from(index % per_group).saturating_mul(self.inode_size.into());
        ((index / per_group).into(), byte)
    }

    fn group_start(&self, group: u64) -> u64 {
        let start = group.saturating_mul(self.blocks_per_group);
        start.saturating_add(self.first_data_block).min(self.blocks_count)
    }

    /// The block that the first superblock lies in.
    fn superblock_block(&self) -> u64 {
        u64::from(self.block_log == 10)
    }

    fn descs_per_block(&self) -> u64 {
        // At least 1: a descriptor is never larger than a block.
        ((1u64 << self.block_log) / u64::from(self.desc_size.max(1))).max(1)
    }

    /// How many blocks of group descriptors there are.
    pub(super) fn desc_blocks(&self) -> u64 {
        self.group_count().div_ceil(self.descs_per_block())
    }

    /// Descriptor blocks that follow the superblock; the rest lie in their own groups.
    fn desc_blocks_at_front(&self) -> u64 {
        if self.features.incompat(incompat::META_BG) {
            self.first_meta_bg.min(self.desc_blocks())
        } else {
            self.desc_blocks()
        }
    }

    /// The block of descriptors that a group's is in, and the byte in it.
    pub(super) fn desc_place(&self, group: u64) -> (u64, usize) {
        let per_block = self.descs_per_block();
        let (index, slot) = (group / per_block, group % per_block);
        let byte = slot.saturating_mul(u64::from(self.desc_size));
        (self.desc_block(index), usize::try_from(byte).unwrap_or(usize::MAX))
    }

    /// The groups whose descriptors are in the `index`th block of them.
    pub(super) fn groups_of_desc_block(&self, index: u64) -> Range<u64> {
        let start = index.saturating_mul(self.descs_per_block());
        start..start.saturating_add(self.descs_per_block()).min(self.group_count())
    }

    /// The block number of the `index`th block of descriptors.
    pub(super) fn desc_block(&self, index: u64) -> u64 {
        if index < self.desc_blocks_at_front() {
            return index.saturating_add(self.superblock_block()).saturating_add(1);
        }
        let group = index.saturating_mul(self.descs_per_block());
        let after = u64::from(self.has_super(group)).saturating_add(self.boot_block(group));
        self.group_start(group).saturating_add(after)
    }

    /// With blocks of 1 KiB and `bigalloc` group 0 begins with a boot block that is not the superblock.
    fn boot_block(&self, group: u64) -> u64 {
        u64::from(group == 0 && self.block_log == 10 && self.first_data_block == 0)
    }

    /// True for a group that begins with the superblock or a copy of it.
    pub fn has_super(&self, group: u64) -> bool {
        if group == 0 {
            return true;
        }
        if self.features.compat(compat::SPARSE_SUPER2) {
            return self.backup_bgs.iter().any(|&backup| u64::from(backup) == group);
        }
        if group == 1 || !self.features.ro_compat(ro_compat::SPARSE_SUPER) {
            return true;
        }
        [3, 5, 7].into_iter().any(|base| is_power_of(group, base))
    }

    /// The block of the first copy of the superblock, where there is one.
    pub(super) fn first_copy(&self) -> Option<u64> {
        let group = if self.features.compat(compat::SPARSE_SUPER2) {
            let groups = self.backup_bgs.iter().map(|&group| u64::from(group));
            groups.filter(|group| *group > 0).min()?
        } else {
            1
        };
        (group < self.group_count()).then(|| self.group_start(group))
    }

    /// What a group begins with: superblock, descriptors, room for more of them.
    pub(super) fn front(&self, group: u64) -> Range<u64> {
        let blocks = self.group_blocks(group);
        let backup = u64::from(self.has_super(group));
        let len = backup
            .saturating_add(self.desc_blocks_in(group))
            .saturating_add(self.boot_block(group));
        blocks.start..blocks.start.saturating_add(len).min(blocks.end)
    }

    fn desc_blocks_in(&self, group: u64) -> u64 {
        let metagroup = group / self.descs_per_block();
        let at_front = self.desc_blocks_at_front();
        if !self.features.incompat(incompat::META_BG) || metagroup < self.first_meta_bg {
            let all = at_front.saturating_add(self.reserved_gdt_blocks);
            return if self.has_super(group) { all } else { 0 };
        }
        // The first, second and last group of a metagroup each hold its one block of descriptors.
        let slot = group % self.descs_per_block();
        u64::from(slot <= 1 || slot.saturating_add(1) == self.descs_per_block())
    }
}

/// True where `value` is `base` to some power from 1 on.
fn is_power_of(value: u64, base: u64) -> bool {
    let mut power = base;
    while power < value {
        let Some(next) = power.checked_mul(base) else { return false };
        power = next;
    }
    power == value
}
