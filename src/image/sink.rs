//! Writing to a thin volume so that it maps as little as possible of its own: only what is not zero
//! on a fresh one, only what differs on a snapshot of another image's.

use std::io;
use std::ops::Range;

use super::feed::{Job, Windows};
use crate::dev::bytes::is_zero;
use crate::dev::{AlignedBuf, Dev};
use crate::error::{Error, ErrorKind, Result};
use crate::units::Bytes;

/// The size of one write where chunks allow it, and how much memory all buffers take together.
const WINDOW: Bytes = Bytes::mib(1);
const MEMORY: Bytes = Bytes::mib(12);
/// How many writes are under way at once.
const WRITERS: u64 = 8;
/// Chunks up to this size can be written whole from one buffer.
const LARGEST_WHOLE: Bytes = Bytes::mib(8);

/// A volume on which nothing is mapped yet, so that all of it reads as zeros, or one that has what
/// another image left there.
#[derive(Clone, Copy)]
pub struct Target<'t> {
    dev: &'t dyn Dev,
    chunk: Bytes,
    window: Bytes,
    /// What is there already may stay, or must go.
    over: bool,
}

/// What a chunk needs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Need {
    Nothing,
    Write,
    Clear,
}

/// What a window came to.
#[derive(Clone, Copy, Default)]
pub(super) struct Wrote {
    pub(super) written: Bytes,
    pub(super) discarded: Bytes,
}

/// One window's memory, and as much again where it is compared with what is there.
pub(super) struct Buffers {
    pub(super) new: AlignedBuf,
    old: Option<AlignedBuf>,
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
        Ok(Self { dev, chunk, window, over: false })
    }

    /// True where chunks of this size can be compared one by one with what is there.
    pub fn can_be_over(chunk: Bytes) -> bool {
        chunk <= WINDOW
    }

    /// The same volume where another image is on it: chunks that have the same content stay, all that
    /// the new image leaves empty reads as zeros in the end.
    ///
    /// # Errors
    /// [`Unsupported`](ErrorKind::Unsupported) where [it cannot be](Self::can_be_over).
    pub fn over(self) -> Result<Self> {
        if !Self::can_be_over(self.chunk) {
            let why = format!("chunks of {} are too large to be compared", self.chunk);
            return Err(Error::new(ErrorKind::Unsupported, why).at(self.dev.name()));
        }
        Ok(Self { over: true, ..self })
    }

    /// The same of another device.
    pub(super) fn on(self, dev: &'t dyn Dev) -> Self {
        Self { dev, ..self }
    }

    /// True where something else was there before.
    pub(super) fn is_over(&self) -> bool {
        self.over
    }

    /// The volume.
    pub(super) fn dev(&self) -> &'t dyn Dev {
        self.dev
    }

    /// What the pool maps at once.
    pub(super) fn chunk(&self) -> Bytes {
        self.chunk
    }

    /// How many threads write, each with its own buffers.
    pub(super) fn writers(&self) -> u64 {
        let each = self.window.get().saturating_mul(if self.over { 2 } else { 1 });
        MEMORY.get().checked_div(each).unwrap_or(1).clamp(1, WRITERS)
    }

    /// Buffers for one window.
    pub(super) fn buffers(&self) -> Buffers {
        let buffer = || AlignedBuf::zeroed(index(self.window));
        Buffers { new: buffer(), old: self.over.then(buffer) }
    }

    /// The windows that `size` bytes of image fill: up to the end of the last one's chunk, or of the
    /// volume.
    pub(super) fn windows(&self, size: Bytes) -> Windows {
        let end = size.round_up(self.chunk).unwrap_or(size).min(self.dev.size());
        Windows { size: self.window, end }
    }

    /// Writes what of a window is not there yet, neighbours in one go; says how much that was.
    ///
    /// # Errors
    /// As [`Error::io`], naming the volume and the byte.
    pub(super) fn write(&self, job: &Job, buffers: &mut Buffers) -> Result<Wrote> {
        let Buffers { new, old } = buffers;
        let old = match old {
            Some(old) => {
                self.read(old.part_mut(0..job.len), job.at)?;
                Some(old.part(0..job.len))
            }
            None => None,
        };
        let mut wrote = Wrote::default();
        for (need, mut run) in self.runs(new.part(0..job.len), old) {
            if need == Need::Clear {
                let at = job.at.saturating_add(bytes(run.start));
                let discarded = self.discard(at, bytes(run.len()))?;
                wrote.discarded = wrote.discarded.saturating_add(discarded);
                run.start = run.start.saturating_add(index(discarded));
            }
            if run.is_empty() {
                continue;
            }
            let (at, len) = (job.at.saturating_add(bytes(run.start)), bytes(run.len()));
            self.put(new.part(run), at)?;
            wrote.written = wrote.written.saturating_add(len);
        }
        Ok(wrote)
    }

    /// Makes all zeros from one byte to another, where no window is: both ends of whole chunks, or of
    /// the volume.
    pub(super) fn clear(&self, from: Bytes, to: Bytes) -> Result<Wrote> {
        let discarded = self.discard(from, to.saturating_sub(from))?;
        let mut wrote = Wrote { discarded, ..Wrote::default() };
        let (mut at, mut buffers) = (from.saturating_add(discarded), self.buffers());
        let windows = Windows { size: self.window, end: to };
        while at < to {
            let end = windows.at(at).end;
            let job = Job {
                at,
                len: index(end.saturating_sub(at)),
                pieces: Vec::new(),
                source_bytes: Bytes::ZERO,
            };
            wrote.written = wrote.written.saturating_add(self.write(&job, &mut buffers)?.written);
            at = end;
        }
        Ok(wrote)
    }

    fn read(&self, data: &mut [u8], at: Bytes) -> Result<()> {
        self.dev
            .read_at(data, at)
            .map_err(|error| Error::io(error).op("read the volume").at_byte(self.dev.name(), at))
    }

    fn put(&self, data: &[u8], at: Bytes) -> Result<()> {
        self.dev
            .write_at(data, at)
            .map_err(|error| Error::io(error).op("write the volume").at_byte(self.dev.name(), at))
    }

    /// Discards the whole chunks of a stretch that begins with one; says how much that was. The rest has
    /// to become zeros, and so has all of it on a volume that cannot discard.
    pub(super) fn discard(&self, at: Bytes, len: Bytes) -> Result<Bytes> {
        let whole = len.round_down(self.chunk);
        if whole.is_zero() {
            return Ok(whole);
        }
        match self.dev.discard(at, whole) {
            Ok(()) => Ok(whole),
            Err(error) if error.kind() == io::ErrorKind::Unsupported => Ok(Bytes::ZERO),
            Err(error) => {
                Err(Error::io(error).op("discard free blocks").at_byte(self.dev.name(), at))
            }
        }
    }

    /// The stretches of chunks that need the same.
    fn runs(&self, new: &[u8], old: Option<&[u8]>) -> Vec<(Need, Range<usize>)> {
        let grain = index(self.chunk.min(self.window)).max(1);
        let mut runs: Vec<(Need, Range<usize>)> = Vec::new();
        let mut at = 0usize;
        for piece in new.chunks(grain) {
            let end = at.saturating_add(piece.len());
            let need = match old.map(|old| old.get(at..end).unwrap_or_default()) {
                Some(old) if old == piece => Need::Nothing,
                Some(_) if is_zero(piece) => Need::Clear,
                None if is_zero(piece) => Need::Nothing,
                _ => Need::Write,
            };
            match runs.last_mut() {
                _ if need == Need::Nothing => {}
                Some((last, run)) if *last == need && run.end == at => run.end = end,
                _ => runs.push((need, at..end)),
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
