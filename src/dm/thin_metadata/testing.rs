//! Metadata of a pool that was never one.

use super::node::{NODE_HEADER, NODE_XOR};
use super::{BLOCK, MAGIC, START, SUPERBLOCK_XOR, crc32c};
use crate::dev::MemDev;

/// A pool's metadata: a superblock, and nodes at the blocks that a test puts them.
pub(super) struct Sample {
    pub(super) blocks: Vec<[u8; BLOCK]>,
}

pub(super) fn put(block: &mut [u8; BLOCK], at: usize, bytes: &[u8]) {
    block[at..at + bytes.len()].copy_from_slice(bytes);
}

impl Sample {
    /// So many blocks; at transaction 7, with chunks of 64 KiB.
    pub(super) fn new(blocks: usize) -> Self {
        let mut sample = Self { blocks: vec![[0; BLOCK]; blocks] };
        let root = &mut sample.blocks[0];
        put(root, 32, &MAGIC.to_le_bytes());
        put(root, 40, &2u32.to_le_bytes());
        put(root, 48, &7u64.to_le_bytes());
        put(root, 336, &128u32.to_le_bytes());
        (0..blocks).for_each(|number| sample.seal(number));
        sample
    }

    /// Lets a field of the superblock lead to a block.
    pub(super) fn root(&mut self, field: usize, block: u64) {
        put(&mut self.blocks[0], field, &block.to_le_bytes());
        self.seal(0);
    }

    pub(super) fn node(
        &mut self,
        number: usize,
        flags: u32,
        value: usize,
        entries: &[(u64, Vec<u64>)],
    ) {
        let room = (BLOCK - NODE_HEADER) / (8 + value) / 3 * 3;
        let node = &mut self.blocks[number];
        put(node, 4, &flags.to_le_bytes());
        for (at, count) in [(16, entries.len()), (20, room), (24, value)] {
            put(node, at, &u32::try_from(count).expect("small").to_le_bytes());
        }
        for (index, (key, values)) in entries.iter().enumerate() {
            put(node, NODE_HEADER + index * 8, &key.to_le_bytes());
            for (word, field) in values.iter().enumerate() {
                let at = NODE_HEADER + room * 8 + index * value + word * 8;
                put(node, at, &field.to_le_bytes());
            }
        }
        self.seal(number);
    }

    /// Makes a block's number and checksum right.
    pub(super) fn seal(&mut self, number: usize) {
        let xor = if number == 0 { SUPERBLOCK_XOR } else { NODE_XOR };
        let block = &mut self.blocks[number];
        put(block, 8, &u64::try_from(number).expect("small").to_le_bytes());
        let sum = crc32c(START, &block[4..]) ^ xor;
        put(block, 0, &sum.to_le_bytes());
    }

    pub(super) fn dev(&self) -> MemDev {
        MemDev::new("/dev/mapper/vg-pool_tmeta", self.blocks.concat())
    }
}
