//! Bytes as they are read.

use std::io::{self, Read};

/// A page of zeros.
static ZEROS: [u8; 4096] = [0; 4096];

/// True where all bytes are zero. Compares pages: the C library's comparison is the fastest there
/// is without unsafe code, and it stops at the first page that is not zero.
pub(crate) fn is_zero(bytes: &[u8]) -> bool {
    bytes.chunks(ZEROS.len()).all(|page| ZEROS.get(..page.len()) == Some(page))
}

/// Reads until the buffer is full or the stream ends; says how much there was also with an error.
pub(crate) fn read_full(
    reader: &mut (impl Read + ?Sized),
    buf: &mut [u8],
) -> Result<usize, (io::Error, usize)> {
    let mut got = 0usize;
    while let Some(rest) = buf.get_mut(got..).filter(|rest| !rest.is_empty()) {
        match reader.read(rest) {
            Ok(0) => break,
            Ok(count) => got = got.saturating_add(count),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err((error, got)),
        }
    }
    Ok(got)
}

/// Hands on all that a reader gives, piece by piece; says how much that was.
pub(crate) fn each_piece(reader: &mut dyn Read, each: &mut dyn FnMut(&[u8])) -> io::Result<u64> {
    let (mut buf, mut size) = (vec![0; PIECE], 0u64);
    loop {
        let got = read_full(reader, &mut buf).map_err(|(error, _)| error)?;
        each(buf.get(..got).unwrap_or_default());
        size = size.saturating_add(u64::try_from(got).unwrap_or(u64::MAX));
        if got < buf.len() {
            return Ok(size);
        }
    }
}

/// So many bytes are read at once where they go on to somebody else.
pub(crate) const PIECE: usize = 128 << 10;

/// How many pieces may wait where one thread hands them to another.
pub(crate) const PIECES: usize = 8;

/// Pieces as one stream.
pub(crate) struct Pieces<I> {
    pieces: I,
    piece: Vec<u8>,
    at: usize,
}

impl<I: Iterator<Item = io::Result<Vec<u8>>>> Pieces<I> {
    /// These, one after the other.
    pub(crate) const fn of(pieces: I) -> Self {
        Self { pieces, piece: Vec::new(), at: 0 }
    }
}

impl<I: Iterator<Item = io::Result<Vec<u8>>>> Read for Pieces<I> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while self.at >= self.piece.len() {
            match self.pieces.next().transpose()? {
                Some(piece) => (self.piece, self.at) = (piece, 0),
                None => return Ok(0),
            }
        }
        let mut rest = self.piece.get(self.at..).unwrap_or_default();
        let read = rest.read(buf)?;
        self.at = self.at.saturating_add(read);
        Ok(read)
    }
}
