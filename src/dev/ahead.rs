//! A reader that a thread of its own reads.

use std::io::{self, Read};
use std::thread;

use super::bytes::{PIECES, Pieces};
use crate::queue::queue;

/// So many bytes are a piece.
const PIECE: u64 = 128 << 10;

/// What a reader gives, read by a thread of its own as long as there is room for more: 1 MiB. What is
/// costly to read, as what has to be unpacked, comes while what came before is worked on.
///
/// # Errors
/// Where no thread can be started.
pub(crate) fn ahead(mut from: impl Read + Send + 'static) -> io::Result<impl Read + Send> {
    let (send, pieces) = queue(PIECES);
    thread::Builder::new().name("read ahead".into()).spawn(move || {
        loop {
            let mut piece = Vec::new();
            let read = from.by_ref().take(PIECE).read_to_end(&mut piece);
            // Before its error, and before its end is told.
            let is_end = piece.is_empty();
            let sent = is_end || send.send(Ok(piece));
            let more = read.is_ok() && !is_end && sent;
            if more {
                continue;
            }
            drop(from);
            if let Err(error) = read {
                send.send(Err(error));
            }
            return;
        }
    })?;
    Ok(Pieces::of(pieces))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives so many bytes, then an error or the end.
    struct Source {
        left: usize,
        error: Option<io::ErrorKind>,
    }

    impl Read for Source {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            let len = buf.len().min(self.left).min(50_000);
            buf.iter_mut()
                .take(len)
                .enumerate()
                .for_each(|(n, byte)| *byte = (self.left - n) as u8);
            self.left -= len;
            match self.error {
                Some(kind) if len == 0 => Err(kind.into()),
                _ => Ok(len),
            }
        }
    }

    #[test]
    fn what_is_read_ahead_is_what_was_to_be_read() {
        for len in [0, 1, PIECE as usize, 3_000_001] {
            for error in [None, Some(io::ErrorKind::InvalidData)] {
                let (mut plain, mut read) = (Vec::new(), Vec::new());
                let _ = Source { left: len, error }.read_to_end(&mut plain);
                let mut reader = ahead(Source { left: len, error }).expect("a thread");
                let ended = reader.read_to_end(&mut read);
                assert_eq!(ended.err().map(|error| error.kind()), error);
                assert!(read == plain && plain.len() == len, "{len}");
                assert_eq!(reader.read(&mut [0]).expect("the end"), 0);
            }
        }
    }

    #[test]
    fn nobody_reads_on_when_the_reader_is_gone() {
        let (gone, told) = queue::<()>(1);
        let endless = Holding { _gone: gone };
        let mut reader = ahead(endless).expect("a thread");
        reader.read_exact(&mut [0; 1000]).expect("zeros");
        drop(reader);
        assert_eq!(told.receive(), None, "it was dropped");
    }

    struct Holding {
        _gone: crate::queue::Sender<()>,
    }

    impl Read for Holding {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            buf.fill(0);
            Ok(buf.len())
        }
    }
}
