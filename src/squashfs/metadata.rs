//! Metadata: blocks of 8 KiB, each packed by itself behind two bytes that say how long it is packed.

use std::io;

use super::{Image, damaged};
use crate::pack::Unpacker;

/// What a block unpacks to, at most.
pub(super) const BLOCK: usize = 8 << 10;

/// Of the two bytes before a block: it is not packed.
const AS_IT_IS: u16 = 1 << 15;

/// So many blocks are kept: those of one folder's entries lie side by side, and so do their inodes.
const KEPT: usize = 64;

/// A place in metadata: where its block begins in the image, and the place in what that unpacks to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) block: u64,
    pub(super) offset: usize,
}

impl Place {
    /// As inodes and attributes are referred to: the block's distance from a table's start, and in the
    /// low 16 bits the offset.
    pub(super) fn of(reference: u64, table: u64) -> Self {
        let offset = usize::try_from(reference & 0xffff).unwrap_or(usize::MAX);
        Self { block: table.saturating_add(reference >> 16), offset }
    }
}

#[derive(Default)]
struct Block {
    at: u64,
    /// Where the one behind it begins.
    next: u64,
    bytes: Vec<u8>,
}

/// Blocks of metadata that were read last.
#[derive(Default)]
pub(super) struct Metadata {
    blocks: Vec<Block>,
    last: usize,
    /// Which one goes for the next one.
    oldest: usize,
    packed: Vec<u8>,
}

impl Metadata {
    /// Reads so many bytes, across blocks, and goes on to the place behind them.
    pub(super) fn read(
        &mut self,
        image: &Image,
        unpacker: &mut Unpacker,
        at: &mut Place,
        buf: &mut [u8],
    ) -> io::Result<()> {
        let mut rest = buf;
        while !rest.is_empty() {
            let block = self.block(image, unpacker, at.block)?;
            let have =
                block.bytes.get(at.offset..).ok_or_else(|| damaged("a place is no place"))?;
            if have.is_empty() {
                *at = Place { block: block.next, offset: 0 };
                continue;
            }
            let len = have.len().min(rest.len());
            let (now, later) = rest.split_at_mut(len);
            now.copy_from_slice(have.get(..len).unwrap_or_default());
            at.offset = at.offset.saturating_add(len);
            rest = later;
        }
        Ok(())
    }

    fn block(&mut self, image: &Image, unpacker: &mut Unpacker, at: u64) -> io::Result<&Block> {
        if self.blocks.get(self.last).is_none_or(|block| block.at != at) {
            self.last = match self.blocks.iter().position(|block| block.at == at) {
                Some(index) => index,
                None => self.load(image, unpacker, at)?,
            };
        }
        self.blocks.get(self.last).ok_or_else(|| damaged("no block"))
    }

    fn load(&mut self, image: &Image, unpacker: &mut Unpacker, at: u64) -> io::Result<usize> {
        let left = image.sb.end.saturating_sub(at);
        let len = usize::try_from(left).unwrap_or(usize::MAX).min(BLOCK + 2);
        self.packed.resize(len, 0);
        image.read(&mut self.packed, at)?;
        let cut = || damaged("a block of metadata goes on behind the end");
        let (head, packed) = self.packed.split_first_chunk().ok_or_else(cut)?;
        let head = u16::from_le_bytes(*head);
        let len = usize::from(head & !AS_IT_IS);
        let packed = packed.get(..len).ok_or_else(cut)?;
        // It is whole before it takes an older one's place.
        let mut bytes = vec![0; BLOCK];
        let got = if head & AS_IT_IS == 0 {
            unpacker.unpack(packed, &mut bytes)?
        } else {
            bytes.get_mut(..len).ok_or_else(cut)?.copy_from_slice(packed);
            len
        };
        if got == 0 {
            return Err(damaged("a block of metadata has nothing in it"));
        }
        bytes.truncate(got);
        let next = at.saturating_add(2).saturating_add(u64::try_from(len).unwrap_or(u64::MAX));
        let block = Block { at, next, bytes };
        if self.blocks.len() < KEPT {
            self.blocks.push(block);
            return Ok(self.blocks.len().saturating_sub(1));
        }
        let index = self.oldest;
        self.oldest = index.wrapping_add(1) % KEPT;
        if let Some(place) = self.blocks.get_mut(index) {
            *place = block;
        }
        Ok(index)
    }
}

/// Where the entry with that number is in a table of entries of equal length (a power of two): behind
/// `pointers` there is, for each of its blocks, where that is.
pub(super) fn entry(image: &Image, pointers: u64, number: u32, len: u64) -> io::Result<Place> {
    const UNPACKED: u64 = BLOCK as u64;
    let at = u64::from(number).saturating_mul(len);
    let pointer = pointers.saturating_add((at / UNPACKED).saturating_mul(8));
    let mut block = [0; 8];
    image.read(&mut block, pointer)?;
    let offset = usize::try_from(at % UNPACKED).unwrap_or(usize::MAX);
    Ok(Place { block: u64::from_le_bytes(block), offset })
}

/// All users and groups.
pub(super) fn ids(image: &Image) -> io::Result<Vec<u32>> {
    let (mut metadata, mut unpacker) = (Metadata::default(), Unpacker::new(image.sb.packing));
    let mut ids = Vec::new();
    for number in 0..image.sb.id_count {
        let mut at = entry(image, image.sb.id_table, number.into(), 4)?;
        let mut id = [0; 4];
        metadata.read(image, &mut unpacker, &mut at, &mut id)?;
        ids.push(u32::from_le_bytes(id));
    }
    Ok(ids)
}
