//! Blocks of metadata, read with their neighbours, of which the last ones are kept.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::{Deref, Range};
use std::rc::Rc;

use super::detail::Detail;
use super::geometry::Geometry;
use crate::dev::{AlignedBuf, Dev};
use crate::error::{IoContext, Result};
use crate::units::Bytes;

pub(super) const OP: &str = "read the file system";

/// So much is read at once: inodes, and folders, lie beside those that are asked for next.
const STRETCH: u64 = 32 << 10;
/// So many bytes make up a generation; the last two are kept.
const GENERATION: usize = 1 << 20;

/// The blocks of one file system.
pub(super) struct Blocks<'d> {
    pub(super) dev: &'d dyn Dev,
    pub(super) geometry: Geometry,
    /// So many bytes are read at once, a power of two.
    step: u64,
    kept: RefCell<Kept>,
}

/// What was read, by the place where it begins. What is asked for again moves from the older
/// generation to the younger; once that is full it becomes the older one.
#[derive(Default)]
struct Kept {
    young: BTreeMap<u64, Rc<AlignedBuf>>,
    old: BTreeMap<u64, Rc<AlignedBuf>>,
    bytes: usize,
}

impl Kept {
    fn get(&mut self, at: u64) -> Option<Rc<AlignedBuf>> {
        if let Some(found) = self.young.get(&at) {
            return Some(Rc::clone(found));
        }
        let found = self.old.remove(&at)?;
        self.put(at, &found);
        Some(found)
    }

    fn put(&mut self, at: u64, stretch: &Rc<AlignedBuf>) {
        if self.bytes >= GENERATION {
            self.old = std::mem::take(&mut self.young);
            self.bytes = 0;
        }
        self.bytes = self.bytes.saturating_add(stretch.memory());
        self.young.insert(at, Rc::clone(stretch));
    }
}

/// A block's bytes.
#[derive(Clone)]
pub(super) struct Block {
    stretch: Rc<AlignedBuf>,
    range: Range<usize>,
}

impl Deref for Block {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.stretch.get(self.range.clone()).unwrap_or_default()
    }
}

impl<'d> Blocks<'d> {
    pub(super) fn new(dev: &'d dyn Dev, geometry: Geometry) -> Self {
        let block = geometry.block_size().get();
        let step = if dev.reads_ahead() { block } else { STRETCH.max(block) };
        Self { dev, geometry, step, kept: RefCell::default() }
    }

    /// Bytes of a block; a power of two.
    pub(super) fn size(&self) -> usize {
        1 << self.geometry.block_log
    }

    /// Reads a block, or finds it among those read before.
    pub(super) fn read(&self, block: u64) -> Result<Block> {
        self.check(block, 1)?;
        let at = self.geometry.byte_of(block).get();
        let start = at & !self.step.saturating_sub(1);
        let known = self.kept.borrow_mut().get(start);
        if let Some(stretch) = known {
            return Ok(self.part(stretch, at.saturating_sub(start)));
        }
        let end = start.saturating_add(self.step).min(self.geometry.size().get());
        match self.bytes(Bytes::new(start), end.saturating_sub(start)) {
            Ok(stretch) => {
                self.kept.borrow_mut().put(start, &stretch);
                Ok(self.part(stretch, at.saturating_sub(start)))
            }
            Err(error) if self.step == self.size_u64() => Err(error),
            // It may be a neighbour that cannot be read.
            Err(error) => {
                log::debug!("{error}");
                Ok(self.part(self.bytes(Bytes::new(at), self.size_u64())?, 0))
            }
        }
    }

    fn size_u64(&self) -> u64 {
        self.geometry.block_size().get()
    }

    fn part(&self, stretch: Rc<AlignedBuf>, from: u64) -> Block {
        let from = usize::try_from(from).unwrap_or(usize::MAX);
        Block { stretch, range: from..from.saturating_add(self.size()) }
    }

    fn bytes(&self, at: Bytes, len: u64) -> Result<Rc<AlignedBuf>> {
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        let place = format_args!("{}, byte {}", self.dev.name(), at.get());
        self.dev.read_new(len, at).context(OP, place).map(Rc::new)
    }

    /// Fails unless all of these blocks belong to the file system.
    pub(super) fn check(&self, first: u64, count: u64) -> Result<(), Detail> {
        let end = first.checked_add(count);
        let inside = end.is_some_and(|end| end <= self.geometry.blocks_count);
        if inside && first >= self.geometry.first_data_block {
            Ok(())
        } else {
            Err(Detail::Outside(first))
        }
    }
}
