//! Nodes of the trees.

use super::{BLOCK, Block, corrupt};
use crate::dev::Dev;
use crate::error::Result;

pub(super) const NODE_XOR: u32 = 121_107;
pub(super) const NODE_HEADER: usize = 32;
/// Of a value that leads to a block.
const POINTER: usize = 8;

/// A node whose counts fit it.
pub(super) struct Node {
    block: Block,
    pub(super) is_leaf: bool,
    pub(super) len: usize,
    room: usize,
    value: usize,
}

impl Node {
    /// Reads a node of a tree whose values take so many bytes.
    pub(super) fn read(dev: &dyn Dev, number: u64, value_len: usize) -> Result<Self> {
        let block = Block::read(dev, number, NODE_XOR)?;
        let is_leaf = match block.u32(4) {
            1 => false,
            2 => true,
            flags => return Err(corrupt(dev, number, format!("its flags are {flags}"))),
        };
        let field = |at| usize::try_from(block.u32(at)).unwrap_or(usize::MAX);
        let (len, room, value) = (field(16), field(20), field(24));
        let wanted = if is_leaf { value_len } else { POINTER };
        let size = value.checked_add(8).and_then(|both| both.checked_mul(room));
        let fits = size.is_some_and(|size| size <= BLOCK.saturating_sub(NODE_HEADER));
        if value != wanted || len > room || !fits {
            return Err(corrupt(dev, number, "its counts do not fit it"));
        }
        Ok(Self { block, is_leaf, len, room, value })
    }

    /// A key, and where its value stands.
    pub(super) fn entry(&self, index: usize) -> Option<(u64, usize)> {
        let values = NODE_HEADER.saturating_add(self.room.saturating_mul(8));
        let key = NODE_HEADER.saturating_add(index.saturating_mul(8));
        let value = values.saturating_add(index.saturating_mul(self.value));
        (index < self.len).then(|| (self.block.u64(key), value))
    }

    /// Keys, and where their values stand.
    pub(super) fn entries(&self) -> impl Iterator<Item = (u64, usize)> + '_ {
        (0..self.len).map_while(|index| self.entry(index))
    }

    /// A key with its value, where that is a number.
    pub(super) fn pair(&self, index: usize) -> Option<(u64, u64)> {
        self.entry(index).map(|(key, at)| (key, self.u64(at)))
    }

    pub(super) fn u64(&self, at: usize) -> u64 {
        self.block.u64(at)
    }
}
