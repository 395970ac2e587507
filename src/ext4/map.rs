//! Where the blocks of a file lie.

use super::blocks::Blocks;
use super::features::ro_compat;
use super::inode::{Inode, flag};
use super::{extents, indirect};
use crate::error::Result;
use crate::tree::Kind;

/// Blocks of a file that lie side by side on the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// The first, counted in the file.
    pub(super) logical: u64,
    /// The first, counted on the device.
    pub(super) start: u64,
    /// How many; not zero.
    pub(super) len: u64,
}

impl Run {
    /// The block of the file behind it.
    pub(super) fn end(&self) -> u64 {
        self.logical.saturating_add(self.len)
    }
}

/// Runs in the order of the file; one that goes on where the last one ends makes that longer.
#[derive(Debug, Default)]
pub(super) struct Runs(Vec<Run>);

impl Runs {
    pub(super) fn push(&mut self, run: Run) {
        match self.0.last_mut() {
            Some(last)
                if last.end() == run.logical
                    && last.start.saturating_add(last.len) == run.start =>
            {
                last.len = last.len.saturating_add(run.len);
            }
            _ => self.0.push(run),
        }
    }
}

/// The runs of what is written in a file, within its size. What lies between them reads as zeros.
/// They take no more memory than a small multiple of the blocks that were read for them, and no
/// block is there twice: a file takes no longer to read than its device.
pub(super) fn runs(blocks: &Blocks<'_>, inode: &Inode) -> Result<Vec<Run>> {
    let count = inode.size().get().div_ceil(blocks.geometry.block_size().get());
    let mut runs = Runs::default();
    if inode.has(flag::EXTENTS) {
        extents::collect(blocks, inode, &mut runs)?;
    } else {
        indirect::collect(blocks, inode, count, &mut runs)?;
    }
    let mut runs = runs.0;
    runs.retain(|run| run.logical < count);
    if let Some(last) = runs.last_mut() {
        last.len = last.len.min(count.saturating_sub(last.logical));
    }
    let shared = blocks.geometry.features.ro_compat(ro_compat::SHARED_BLOCKS);
    if has_block_twice(&runs) && !(shared && inode.kind() == Kind::File) {
        return Err(inode.wrong("has a block twice").into());
    }
    Ok(runs)
}

fn has_block_twice(runs: &[Run]) -> bool {
    let mut starts: Vec<(u64, u64)> = runs.iter().map(|run| (run.start, run.len)).collect();
    starts.sort_unstable();
    starts.windows(2).any(|pair| match pair {
        [(start, len), (next, _)] => start.saturating_add(*len) > *next,
        _ => false,
    })
}
