//! Writing to a fresh thin volume so that it maps as little as possible.

use std::ops::Range;

use super::buffer::Buffer;
use super::feed::{Job, Windows};
use crate::dev::Dev;
use crate::dev::bytes::is_zero;
use crate::error::{Error, ErrorKind, Result};
use crate::units::Bytes;

/// The size of one write where chunks allow it, and how much memory all buffers take together.
const WINDOW: Bytes = Bytes::mib(1);
const MEMORY: Bytes = Bytes::mib(12);
/// How many writes are under way at once.
const WRITERS: u64 = 8;
/// Chunks up to this size can be written whole from one buffer.
const LARGEST_WHOLE: Bytes = Bytes::mib(8);

/// A volume on which nothing is mapped yet, so that all of it reads as zeros.
#[derive(Clone, Copy)]
pub struct Target<'t> {
    dev: &'t dyn Dev,
    chunk: Bytes,
    window: Bytes,
}

impl<'t> Target<'t> {
    /// A volume of a pool with chunks of this size. `zeroes`: the pool makes a chunk zeros when it
    /// maps it. Where it does not, a chunk is written whole or not at all, since it would show what
    /// another volume left there.
    ///
    /// # Errors
    /// [`Invalid`](ErrorKind::Invalid) for a chunk that is no multiple of 512 bytes,
    /// [`Unsupported`](ErrorKind::Unsupported) for one above 8 MiB in a pool that does not zero.
    pub fn new(dev: &'t dyn Dev, chunk: Bytes, zeroes: bool) -> Result<Self> {
        if chunk.is_zero() || chunk != chunk.round_down(Bytes::new(512)) {
            let why = format!("a chunk cannot have {} bytes", chunk.get());
            return Err(Error::new(ErrorKind::Invalid, why).at(dev.name()));
        }
        if !zeroes && chunk > LARGEST_WHOLE {
            let why = format!("the pool does not zero its chunks, and they have {chunk} each");
            return Err(Error::new(ErrorKind::Unsupported, why).at(dev.name()));
        }
        let window = match WINDOW.round_up(chunk) {
            Some(window) if chunk <= WINDOW => window,
            // No window may reach over the end of a chunk, or it would map the next one too.
            _ if zeroes => common_part(WINDOW, chunk),
            _ => chunk,
        };
        Ok(Self { dev, chunk, window })
    }

    /// The volume.
    pub(super) fn dev(&self) -> &'t dyn Dev {
        self.dev
    }

    /// What the pool maps at once.
    pub(super) fn chunk(&self) -> Bytes {
        self.chunk
    }

    /// How many threads write, each with a buffer of one window.
    pub(super) fn writers(&self) -> u64 {
        MEMORY.get().checked_div(self.window.get()).unwrap_or(1).clamp(1, WRITERS)
    }

    /// A buffer for one window.
    pub(super) fn buffer(&self) -> Buffer {
        Buffer::new(index(self.window))
    }

    /// The windows that `size` bytes of image fill: up to the end of the last one's chunk, or of the
    /// volume.
    pub(super) fn windows(&self, size: Bytes) -> Windows {
        let end = size.round_up(self.chunk).unwrap_or(size).min(self.dev.size());
        Windows { size: self.window, end }
    }

    /// Writes what of a window is not zero, neighbours in one go; says how much that was.
    ///
    /// # Errors
    /// As [`Error::io`], naming the volume and the byte.
    pub(super) fn write(&self, job: &Job, buffer: &Buffer) -> Result<Bytes> {
        let mut written = Bytes::ZERO;
        for run in self.runs(buffer.get(0..job.len)) {
            let at = job.at.saturating_add(bytes(run.start));
            let len = bytes(run.end.saturating_sub(run.start));
            self.dev.write_at(buffer.get(run), at).map_err(|error| {
                Error::io(error).op("write the volume").at_byte(self.dev.name(), at)
            })?;
            written = written.saturating_add(len);
        }
        Ok(written)
    }

    /// The stretches of chunks that are not zero.
    fn runs(&self, data: &[u8]) -> Vec<Range<usize>> {
        let grain = index(self.chunk.min(self.window)).max(1);
        let mut runs: Vec<Range<usize>> = Vec::new();
        let mut at = 0usize;
        for piece in data.chunks(grain) {
            let end = at.saturating_add(piece.len());
            if !is_zero(piece) {
                match runs.last_mut() {
                    Some(last) if last.end == at => last.end = end,
                    _ => runs.push(at..end),
                }
            }
            at = end;
        }
        runs
    }
}

/// The largest size that both are multiples of.
fn common_part(a: Bytes, b: Bytes) -> Bytes {
    let (mut a, mut b) = (a.get(), b.get());
    while let Some(rest) = a.checked_rem(b) {
        (a, b) = (b, rest);
    }
    Bytes::new(a)
}

fn bytes(count: usize) -> Bytes {
    Bytes::new(count.try_into().unwrap_or(u64::MAX))
}

fn index(bytes: Bytes) -> usize {
    usize::try_from(bytes.get()).unwrap_or(usize::MAX)
}
