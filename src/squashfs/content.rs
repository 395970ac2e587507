//! What a file holds: blocks, and behind them an end that lies with those of other files.

use std::io::{self, Read};
use std::ops::Range;

use super::inode::{Blocks, Inode};
use super::reader::{Reader, State, stored_len};
use super::{Image, damaged};

/// A file's content, read from front to back.
pub(super) struct Content<'r> {
    reader: &'r Reader,
    blocks: Blocks,
    /// Bytes that were not read yet, those of `block` among them.
    left: u64,
    /// A block for whoever reads less at once, and what is left of it.
    block: Vec<u8>,
    unread: Range<usize>,
}

impl<'r> Content<'r> {
    pub(super) fn of(reader: &'r Reader, inode: &Inode, blocks: Blocks) -> Self {
        let left = inode.meta.size.get();
        Self { reader, blocks, left, block: Vec::new(), unread: 0..0 }
    }

    /// Fills the begin of `buf` with the next block if that is as long, else `block`.
    fn next(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let Self { reader, blocks, left, block, unread } = self;
        let whole = reader.image.sb.block_size;
        let len = whole.min(usize::try_from(*left).unwrap_or(usize::MAX));
        let mut state = reader.state();
        if let Some(into) = buf.get_mut(..len) {
            fill(&mut state, &reader.image, blocks, into)?;
            return Ok(len);
        }
        block.resize(len, 0);
        fill(&mut state, &reader.image, blocks, block)?;
        *unread = 0..len;
        Ok(0)
    }
}

/// Unpacks the next block, which has as many bytes as there is room; the last one, where it is shorter, may
/// lie with others.
fn fill(state: &mut State, image: &Image, blocks: &mut Blocks, into: &mut [u8]) -> io::Result<()> {
    if let Some((number, offset)) = blocks.fragment.filter(|_| into.len() < image.sb.block_size) {
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        let bytes = state.fragment(image, number)?;
        let end = bytes.get(offset..).and_then(|rest| rest.get(..into.len()));
        let end = end.ok_or_else(|| damaged("the end of a file is not where it should be"))?;
        into.copy_from_slice(end);
        return Ok(());
    }
    let mut fields = state.fields(image, blocks.lengths);
    let size = fields.u32()?;
    blocks.lengths = fields.at;
    if size == 0 {
        into.fill(0);
        return Ok(());
    }
    let got = state.block(image, blocks.start, size, into)?;
    if got < into.len() {
        return Err(damaged("a block of data holds less than it should"));
    }
    let len = u64::try_from(stored_len(size)).unwrap_or(u64::MAX);
    blocks.start = blocks.start.saturating_add(len);
    Ok(())
}

impl Read for Content<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() || self.left == 0 {
            return Ok(0);
        }
        let mut len = 0;
        if self.unread.is_empty() {
            len = self.next(buf)?;
        }
        if len == 0 {
            len = self.block.get(self.unread.clone()).unwrap_or_default().read(buf)?;
            self.unread.start = self.unread.start.saturating_add(len);
        }
        self.left = self.left.saturating_sub(u64::try_from(len).unwrap_or(u64::MAX));
        Ok(len)
    }
}
