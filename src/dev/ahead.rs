//! A reader that a thread of its own reads.

use std::io::{self, Read};
use std::thread::{self, JoinHandle};

use super::bytes::{PIECE, PIECES, Pieces};
use crate::queue::{Receiver, queue};

/// What a reader gives, read by a thread of its own as long as there is room for more: 1 MiB. What is
/// costly to read, as what has to be unpacked, comes while what came before is worked on. Where what
/// is given is dropped before its end, the thread ends with the piece that it is reading.
///
/// # Errors
/// Where no thread can be started.
pub(crate) fn ahead(mut from: impl Read + Send + 'static) -> io::Result<impl Read + Send> {
    let (send, pieces) = queue(PIECES);
    let thread = thread::Builder::new().name("read ahead".into()).spawn(move || {
        loop {
            let mut piece = Vec::new();
            let read = from.by_ref().take(PIECE as u64).read_to_end(&mut piece);
            if !piece.is_empty() && send.send(Ok(piece)) && read.is_ok() {
                continue;
            }
            // What was read from is free before its end is told.
            drop(from);
            if let Err(error) = read {
                send.send(Err(error));
            }
            return;
        }
    })?;
    Ok(Pieces::of(Ahead { pieces, thread: Some(thread) }))
}

/// Pieces of a thread that has read to the end when there are no more.
struct Ahead {
    pieces: Receiver<io::Result<Vec<u8>>>,
    thread: Option<JoinHandle<()>>,
}

impl Iterator for Ahead {
    type Item = io::Result<Vec<u8>>;

    fn next(&mut self) -> Option<Self::Item> {
        let piece = self.pieces.receive();
        if piece.is_some() {
            return piece;
        }
        let ended = self.thread.take()?.join();
        ended.err().map(|_| Err(io::Error::other("the thread that unpacks it has died")))
    }
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
        for len in [0, 1, PIECE, 3_000_001] {
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

    #[test]
    fn a_thread_that_died_has_not_come_to_the_end() {
        struct Dying;
        impl Read for Dying {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                panic!("this is how it dies");
            }
        }
        let mut reader = ahead(Dying).expect("a thread");
        reader.read_to_end(&mut Vec::new()).expect_err("it died");
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
