//! What a file holds.

use std::io::{self, Read};

use super::blocks::{Blocks, OP};
use super::detail::Detail;
use super::inode::{Inode, flag};
use super::map::{Run, runs};
use super::xattr;
use crate::error::{IoContext, Result};
use crate::units::Bytes;

/// A file's content, read from front to back.
pub struct Content<'t> {
    blocks: &'t Blocks<'t>,
    place: Place,
    size: u64,
    at: u64,
}

enum Place {
    Inode(Vec<u8>),
    Runs(Vec<Run>),
}

impl<'t> Content<'t> {
    pub(super) fn of(blocks: &'t Blocks<'_>, inode: &Inode) -> Result<Self> {
        if inode.has(flag::ENCRYPT) {
            return Err(Detail::Feature(inode.ino().get(), "encrypt").into());
        }
        let size = inode.size().get();
        let place = if inode.has(flag::INLINE_DATA) {
            let held = xattr::inline_content(inode)?;
            if size > u64::try_from(held.len()).unwrap_or(u64::MAX) {
                return Err(inode.wrong("holds less of its content than its size").into());
            }
            Place::Inode(held)
        } else {
            Place::Runs(runs(blocks, inode)?)
        };
        Ok(Self { blocks, place, size, at: 0 })
    }

    /// How long it is.
    pub fn size(&self) -> Bytes {
        Bytes::new(self.size)
    }

    /// Its runs; `None` where the inode holds it.
    pub(super) fn runs(&self) -> Option<&[Run]> {
        match &self.place {
            Place::Inode(_) => None,
            Place::Runs(runs) => Some(runs),
        }
    }

    /// log2 of the block size.
    pub(super) fn block_log(&self) -> u32 {
        self.blocks.geometry.block_log
    }

    /// All of it; whoever asks for that knows its size to be small.
    pub(super) fn all(&self) -> Result<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(self.size).unwrap_or(usize::MAX)];
        self.fill(&mut bytes, 0).context(OP, self.blocks.dev.name())?;
        Ok(bytes)
    }

    /// Fills `buf`, all of which lies within the size, from a byte on.
    pub(super) fn fill(&self, buf: &mut [u8], mut at: u64) -> io::Result<()> {
        let mut rest = buf;
        while !rest.is_empty() {
            let count = self.fill_some(rest, at)?;
            (rest, at) =
                (rest.get_mut(count..).unwrap_or_default(), at.saturating_add(as_u64(count)));
        }
        Ok(())
    }

    /// Fills the begin of `buf`, which is not empty and lies within the size, and says how much.
    fn fill_some(&self, buf: &mut [u8], at: u64) -> io::Result<usize> {
        let log = self.blocks.geometry.block_log;
        let runs = match &self.place {
            Place::Runs(runs) => runs,
            Place::Inode(held) => return take(held, buf, at),
        };
        let index = runs.partition_point(|run| run.end() << log <= at);
        let run = runs.get(index);
        match run.map(|run| (run, at.checked_sub(run.logical << log))) {
            Some((run, Some(inside))) => {
                let here = front(buf, (run.len << log).saturating_sub(inside));
                let place = Bytes::new((run.start << log).saturating_add(inside));
                self.blocks.dev.read_at(here, place)?;
                Ok(here.len())
            }
            hole => {
                let until = hole.map_or(u64::MAX, |(run, _)| run.logical << log);
                let here = front(buf, until.saturating_sub(at));
                here.fill(0);
                Ok(here.len())
            }
        }
    }
}

/// The first `len` bytes, or all where there are no more.
fn front(buf: &mut [u8], len: u64) -> &mut [u8] {
    let len = usize::try_from(len).unwrap_or(usize::MAX).min(buf.len());
    buf.get_mut(..len).unwrap_or_default()
}

fn take(held: &[u8], buf: &mut [u8], at: u64) -> io::Result<usize> {
    let from = usize::try_from(at).ok().and_then(|at| held.get(at..)).unwrap_or_default();
    let len = from.len().min(buf.len());
    if len == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let (Some(here), Some(there)) = (buf.get_mut(..len), from.get(..len)) else { return Ok(0) };
    here.copy_from_slice(there);
    Ok(len)
}

fn as_u64(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

impl Read for Content<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let here = front(buf, self.size.saturating_sub(self.at));
        if here.is_empty() {
            return Ok(0);
        }
        let count = self.fill_some(here, self.at)?;
        self.at = self.at.saturating_add(as_u64(count));
        Ok(count)
    }
}
