//! Cuts an image into windows, in order.

use std::io::Read;
use std::ops::Range;

use super::extents::Extents;
use super::open::unreadable;
use crate::dev::bytes::read_full;
use crate::dev::{AlignedBuf, Dev};
use crate::error::{Error, Result};
use crate::ext4::Extent;
use crate::units::Bytes;

pub(super) const OP: &str = "read the image";
/// Two pieces that lie closer than this are read as one: cheaper than a second read.
const NEAR: Bytes = Bytes::kib(128);

/// A window of the volume, to be written where it is not zero.
pub(super) struct Job {
    /// Where it begins: a multiple of the window's size.
    pub(super) at: Bytes,
    /// How many bytes it has: whole grains, but for the last one.
    pub(super) len: usize,
    /// What of it must still be read from the image; the rest is zeros, or is there already.
    pub(super) pieces: Vec<Extent>,
    /// How many bytes of the image it stands for.
    pub(super) source_bytes: Bytes,
}

/// Gives windows, each once and in order.
pub(super) trait Feed: Send {
    /// The next window; may fill the buffer, which is as large as a window.
    fn next(&mut self, buffer: &mut AlignedBuf) -> Result<Option<Job>>;
}

/// Windows of `size` bytes up to `end`; the last may be shorter.
#[derive(Clone, Copy)]
pub(super) struct Windows {
    pub(super) size: Bytes,
    pub(super) end: Bytes,
}

impl Windows {
    pub(super) fn at(self, byte: Bytes) -> Extent {
        let start = byte.round_down(self.size);
        start..start.saturating_add(self.size).min(self.end)
    }
}

/// From an image that can be read in any order: windows that hold data, not read yet.
pub(super) struct DiskFeed<'s> {
    pub(super) extents: Extents<'s>,
    pub(super) windows: Windows,
    pub(super) held: Option<Extent>,
}

impl DiskFeed<'_> {
    fn take(&mut self) -> Result<Option<Extent>> {
        match self.held.take() {
            Some(extent) => Ok(Some(extent)),
            None => self.extents.next().transpose(),
        }
    }
}

impl Feed for DiskFeed<'_> {
    fn next(&mut self, _buffer: &mut AlignedBuf) -> Result<Option<Job>> {
        self.window()
    }
}

impl DiskFeed<'_> {
    /// The next window that holds data.
    pub(super) fn window(&mut self) -> Result<Option<Job>> {
        let Some(first) = self.take()? else { return Ok(None) };
        let window = self.windows.at(first.start);
        let (mut pieces, mut source_bytes) = (Vec::new(), Bytes::ZERO);
        let mut next = Some(first);
        while let Some(extent) = next {
            if extent.start >= window.end {
                self.held = Some(extent);
                break;
            }
            let end = extent.end.min(window.end);
            source_bytes = source_bytes.saturating_add(end.saturating_sub(extent.start));
            pieces.push(extent.start..end);
            if end < extent.end {
                self.held = Some(end..extent.end);
                break;
            }
            next = self.take()?;
        }
        let len = index(window.start, window.end);
        Ok(Some(Job { at: window.start, len, pieces, source_bytes }))
    }
}

/// Reads a job's pieces into the buffer; what lies between them becomes zeros.
pub(super) fn read_pieces(dev: &dyn Dev, job: &Job, buffer: &mut AlignedBuf) -> Result<()> {
    let mut pieces = job.pieces.iter().peekable();
    let mut filled = 0;
    while let Some(first) = pieces.next() {
        let (mut end, mut gaps) = (first.end, Vec::new());
        while let Some(next) = pieces.next_if(|next| next.start <= end.saturating_add(NEAR)) {
            gaps.push(index(job.at, end)..index(job.at, next.start));
            end = next.end;
        }
        let span = index(job.at, first.start)..index(job.at, end);
        buffer.part_mut(filled..span.start).fill(0);
        filled = span.end;
        dev.read_at(buffer.part_mut(span), first.start)
            .map_err(|error| Error::io(error).op(OP).at_byte(dev.name(), first.start))?;
        gaps.into_iter().for_each(|gap: Range<usize>| buffer.part_mut(gap).fill(0));
    }
    buffer.part_mut(filled..job.len).fill(0);
    Ok(())
}

/// A place in a window; windows are small.
fn index(from: Bytes, to: Bytes) -> usize {
    usize::try_from(to.saturating_sub(from).get()).unwrap_or(usize::MAX)
}

/// From a stream: every window, filled.
pub(super) struct StreamFeed<'s, R> {
    pub(super) name: &'s str,
    pub(super) reader: R,
    pub(super) windows: Windows,
    /// The next byte of the image.
    pub(super) at: Bytes,
    /// Where the image ends; the last window may go on a little, with zeros.
    pub(super) size: Bytes,
    /// Makes the error for an image that ended after so many bytes.
    pub(super) short: &'s (dyn Fn(Bytes) -> Error + Sync),
}

impl<R: Read + Send> Feed for StreamFeed<'_, R> {
    fn next(&mut self, buffer: &mut AlignedBuf) -> Result<Option<Job>> {
        if self.at >= self.size {
            return Ok(None);
        }
        let window = self.windows.at(self.at);
        let end = window.end.min(self.size);
        let (want, len) = (index(window.start, end), index(window.start, window.end));
        let got = read_full(&mut self.reader, buffer.part_mut(0..want))
            .map_err(|(error, got)| unreadable(error).at_byte(self.name, self.after(got)))?;
        if got < want {
            return Err((self.short)(self.after(got)).op(OP).at(self.name));
        }
        buffer.part_mut(want..len).fill(0);
        let source_bytes = end.saturating_sub(self.at);
        self.at = end;
        Ok(Some(Job { at: window.start, len, pieces: Vec::new(), source_bytes }))
    }
}

impl<R> StreamFeed<'_, R> {
    fn after(&self, count: usize) -> Bytes {
        self.at.saturating_add(Bytes::new(count.try_into().unwrap_or(u64::MAX)))
    }
}
