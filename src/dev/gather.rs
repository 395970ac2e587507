//! A device in whole pieces: each is read once, and those that were changed are written at once.
//!
//! A snapshot breaks sharing at the first write into each of its chunks, which waits while the kernel
//! copies the chunk. A write of the whole chunk needs no copy (`io_overwrites_block` of dm-thin.c),
//! and several at once wait together.

use std::io;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use super::{AlignedBuf, Dev};
use crate::units::Bytes;

/// Larger chunks are more to read and write whole than the kernel's copy is worth.
const LARGEST: Bytes = Bytes::kib(256);

/// The piece of a device with larger chunks.
const SMALL: Bytes = Bytes::kib(16);

/// A device over another that keeps what is written until it is [released](Self::release).
pub struct Gathered<'d> {
    below: &'d dyn Dev,
    len: u64,
    pieces: Mutex<Vec<Piece>>,
}

struct Piece {
    at: Bytes,
    bytes: AlignedBuf,
    changed: bool,
}

/// What is done with a piece: where a range lies in it, and which part of the caller's bytes that is.
type Each<'f> = &'f mut dyn FnMut(&mut Piece, Range<usize>, Range<usize>);

impl<'d> Gathered<'d> {
    /// Over a device with chunks of so many bytes, in pieces of one each; where they have more than
    /// 256 KiB, in pieces of 16.
    pub fn over(below: &'d dyn Dev, chunk: Bytes) -> Self {
        let piece = if chunk > LARGEST { SMALL } else { chunk };
        let len = piece.get().max(1);
        Self { below, len, pieces: Mutex::default() }
    }

    /// Writes what was changed, all of it at once unless it is to be `in_order`. Not synced.
    ///
    /// # Errors
    /// One of those that the device gives; other pieces may have been written.
    pub fn release(self, in_order: bool) -> io::Result<()> {
        let mut pieces = self.pieces.into_inner().unwrap_or_else(PoisonError::into_inner);
        pieces.retain(|piece| piece.changed);
        let write = |piece: &Piece| self.below.write_at(&piece.bytes, piece.at);
        let Some((first, others)) = pieces.split_first() else { return Ok(()) };
        if in_order {
            return write(first).and_then(|()| others.iter().try_for_each(write));
        }
        thread::scope(|scope| {
            let begin = |piece| thread::Builder::new().spawn_scoped(scope, move || write(piece));
            let others: Vec<_> = others.iter().map(|piece| (piece, begin(piece))).collect();
            let mut written = write(first);
            for (piece, thread) in others {
                let ended = match thread {
                    Ok(thread) => {
                        thread.join().unwrap_or_else(|_| Err(io::ErrorKind::Other.into()))
                    }
                    // There are no more threads to be had.
                    Err(_) => write(piece),
                };
                written = written.and(ended);
            }
            written
        })
    }

    fn pieces(&self) -> MutexGuard<'_, Vec<Piece>> {
        self.pieces.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls `each` with every piece of a range.
    fn each(&self, at: Bytes, len: usize, each: Each<'_>) -> io::Result<()> {
        let mut pieces = self.pieces();
        let mut done = 0;
        while done < len {
            let place = at.get().saturating_add(as_u64(done));
            let inside = place % self.len;
            let piece = self.piece(&mut pieces, place - inside)?;
            let inside = usize::try_from(inside).map_err(io::Error::other)?;
            let count = piece.bytes.len().saturating_sub(inside).min(len - done);
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            each(piece, inside..inside + count, done..done + count);
            done += count;
        }
        Ok(())
    }

    /// The piece that begins there.
    fn piece<'p>(&self, pieces: &'p mut Vec<Piece>, at: u64) -> io::Result<&'p mut Piece> {
        let at = Bytes::new(at);
        let place = match pieces.iter().position(|piece| piece.at == at) {
            Some(place) => place,
            None => {
                let left = self.size().get().saturating_sub(at.get()).min(self.len);
                let left = usize::try_from(left).map_err(io::Error::other)?;
                let bytes = self.below.read_new(left, at)?;
                pieces.push(Piece { at, bytes, changed: false });
                pieces.len() - 1
            }
        };
        pieces.get_mut(place).ok_or_else(|| io::ErrorKind::Other.into())
    }
}

fn as_u64(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

impl Dev for Gathered<'_> {
    fn name(&self) -> &str {
        self.below.name()
    }

    fn size(&self) -> Bytes {
        self.below.size()
    }

    fn read_at(&self, buf: &mut [u8], at: Bytes) -> io::Result<()> {
        self.each(at, buf.len(), &mut |piece, inside, outside| {
            if let (Some(to), Some(from)) = (buf.get_mut(outside), piece.bytes.get(inside)) {
                to.copy_from_slice(from);
            }
        })
    }

    fn reads_ahead(&self) -> bool {
        true
    }

    fn write_at(&self, data: &[u8], at: Bytes) -> io::Result<()> {
        self.each(at, data.len(), &mut |piece, inside, outside| {
            if let (Some(to), Some(from)) = (piece.bytes.get_mut(inside), data.get(outside)) {
                to.copy_from_slice(from);
                piece.changed = true;
            }
        })
    }

    /// Nothing is durable before it was released and the device below synced.
    fn sync(&self) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn discard(&self, _at: Bytes, _len: Bytes) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::dev::MemDev;

    /// No multiple of a piece.
    const SIZE: usize = (64 << 10) - 512;

    fn all(dev: &dyn Dev) -> Vec<u8> {
        let mut bytes = vec![0; SIZE];
        dev.read_at(&mut bytes, Bytes::ZERO).expect("memory");
        bytes
    }

    proptest! {
        /// It reads as if all had been written at once, and so does the device once it is released.
        #[test]
        fn what_is_gathered_is_read_and_then_written(
            writes in proptest::collection::vec((0..SIZE - 5000, 1usize..5000, any::<u8>()), 0..12),
            piece in 1u64..20_000, in_order in any::<bool>(),
        ) {
            let before: Vec<u8> = (0..SIZE).map(|n| (n % 251) as u8).collect();
            let (plain, below) = (MemDev::new("plain", before.clone()), MemDev::new("below", before.clone()));
            let gathered = Gathered::over(&below, Bytes::new(piece));
            for (at, len, byte) in writes {
                let at = Bytes::new(at as u64);
                plain.write_at(&vec![byte; len], at).expect("memory");
                gathered.write_at(&vec![byte; len], at).expect("kept");
            }
            prop_assert_eq!(all(&gathered), all(&plain));
            prop_assert_eq!(all(&below), before);
            gathered.release(in_order).expect("memory");
            prop_assert_eq!(all(&below), all(&plain));
        }
    }

    #[test]
    fn nothing_is_read_or_written_past_the_end() {
        let below = MemDev::new("below", vec![0; SIZE]);
        let gathered = Gathered::over(&below, Bytes::kib(4));
        assert!(gathered.write_at(&[1; 600], Bytes::new(SIZE as u64 - 512)).is_err());
        assert!(gathered.read_at(&mut [1], Bytes::new(SIZE as u64)).is_err());
        assert!(gathered.read_at(&mut [1], Bytes::new(u64::MAX)).is_err());
    }

    #[test]
    fn what_the_device_refuses_is_told() {
        struct Full;
        impl Dev for Full {
            fn name(&self) -> &str {
                "full"
            }
            fn size(&self) -> Bytes {
                Bytes::mib(1)
            }
            fn read_at(&self, buf: &mut [u8], _: Bytes) -> io::Result<()> {
                buf.fill(0);
                Ok(())
            }
            fn write_at(&self, _: &[u8], at: Bytes) -> io::Result<()> {
                if at.is_zero() { Ok(()) } else { Err(io::ErrorKind::StorageFull.into()) }
            }
            fn sync(&self) -> io::Result<()> {
                Ok(())
            }
            fn discard(&self, _: Bytes, _: Bytes) -> io::Result<()> {
                Ok(())
            }
        }
        for in_order in [false, true] {
            let gathered = Gathered::over(&Full, Bytes::kib(64));
            for at in [0, 1 << 16] {
                gathered.write_at(&[1], Bytes::new(at)).expect("kept");
            }
            let error = gathered.release(in_order).expect_err("full");
            assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        }
    }
}
